"""The world of step labels, counted again in plain Python; baselines; the plumbing of the proof."""

from __future__ import annotations

import math

import numpy as np
import pytest

import rewardlab as rl
from rewardlab.learning.data import StepLabelData
from rewardlab.recipes.step_labels import RECIPE, Arms, StepPrior, World, labelled, outcomes, people
from rewardlab.recipes.step_labels.arms import smaller
from rewardlab.recipes.step_labels.world import INPUTS, MODULUS
from rewardlab.types import Trajectory

WORLD = smaller(World(seed=100), 0.05)


def test_mistakes_are_what_plain_arithmetic_says() -> None:
    solutions = WORLD.training
    for row in range(len(solutions)):
        value = truth = int(solutions.start[row])
        for step, (operation, operand) in enumerate(solutions.asked[row].tolist()):
            begins, taken, result = solutions.written[row, step].tolist()
            right = (begins + taken if operation == 0 else begins * taken) % MODULUS == result
            assert solutions.mistake[row, step] == (not right or begins != value or taken != operand)
            value = result
            truth = (truth + operand if operation == 0 else truth * operand) % MODULUS
        assert solutions.right[row] == (value == truth)
    assert 0.3 < World(seed=100).training.sound.mean() < 0.6
    assert (World(seed=100).training.right & ~World(seed=100).training.sound).any()  # right in spite of a mistake


def test_labels_of_every_origin() -> None:
    solutions = WORLD.training
    for mistake, labels in zip(solutions.mistake, people(solutions), strict=True):
        first = int(mistake.argmax()) if mistake.any() else len(mistake)
        assert (labels[:first] == 1).all()
        assert mistake.any() == (first < len(mistake) and labels[first] == 0)
        assert np.isnan(labels[first + 1 :]).all()
    assert [one[0] for one in outcomes(solutions)] == solutions.right.astype(float).tolist()
    shares = np.stack(WORLD.shares(solutions))
    assert ((shares >= 0) & (shares <= 1)).all()
    assert shares[:, -1].tolist() == solutions.right.astype(float).tolist()  # nothing is left to continue
    before = shares[solutions.sound, 0].mean()
    assert before < shares[solutions.sound, -2].mean()
    spoilt = WORLD.careless(people(solutions), share=1.0)
    assert all(np.isnan(one).sum() == 0 or (one == 0).sum() == 1 for one in spoilt)
    assert WORLD.careless(people(solutions), share=0.0)[0].tolist() == people(solutions)[0].tolist()


def test_worlds_repeat_and_parts_differ() -> None:
    again = smaller(World(seed=100), 0.05)
    assert (again.training.written == WORLD.training.written).all()
    assert not (World(seed=101).training.written == World(seed=100).training.written).all()
    seen = WORLD.training.trajectories("x")[0]
    assert np.asarray(seen.observations).shape == (7, INPUTS)
    assert (np.asarray(seen.observations).sum(1) == 6).all()  # six choices, each one-hot


def test_what_is_to_be_picked_is_sound_and_something_else_is_not() -> None:
    data = WORLD.best_of_eight
    assert len(data) > 0
    assert all(len(ranking) == 8 and (~ties).sum() == 1 for ranking, ties in zip(data.rankings, data.ties, strict=True))
    sound = WORLD._solutions("choices", np.repeat(np.arange(WORLD.choices), 8)).sound
    for ranking, ties in zip(data.rankings, data.ties, strict=True):
        border = int((~ties).argmax()) + 1
        assert sound[ranking[:border]].all()
        assert not sound[ranking[border:]].any()


def chat(*steps: str) -> Trajectory:
    return Trajectory.from_messages(
        [{"role": "user", "content": "q"}, *({"role": "assistant", "content": s} for s in steps)]
    )


def test_the_prior_counts_labels_by_place_and_by_length() -> None:
    items = [chat("aa", "b" * 9), chat("aaa", "b" * 8)]
    data = StepLabelData(items=items, item=np.arange(2), labels=[np.asarray([1.0, 0.0]), np.asarray([1.0, np.nan])])
    prior = StepPrior.fitted(data)
    scores = prior(items)
    mean = 2 / 3
    assert scores.steps[0].tolist() == pytest.approx([(2 + mean) / 3, (0 + mean) / 2])
    assert scores.values[0] == pytest.approx(mean / 2)
    by_length = StepPrior.fitted(data, "length")
    assert by_length(items).steps[0][0] > by_length(items).steps[0][1]
    from_end = StepPrior.fitted(data, "place_from_end")(items).steps
    assert from_end[0].tolist() == pytest.approx(scores.steps[0].tolist())  # both have two steps
    again = rl.from_spec(
        {"type": "rewardlab.recipes.step_labels.baselines:StepPrior", "edges": [1.0], "shares": [1.0, 0.5]}
    )
    assert again(items).steps[0].tolist() == [1.0, 0.5]
    with pytest.raises(ValueError, match="no step has a label"):
        StepPrior.fitted(data.select([]))
    with pytest.raises(ValueError, match="looks_at must be one of place, place_from_end, length, got 'words'"):
        StepPrior.fitted(data, "words")
    with pytest.raises(ValueError, match="one share more than edges, got 1 shares and 1 edges"):
        StepPrior(edges=[1.0], shares=[0.5])


def test_the_proof_returns_every_claim() -> None:
    arms = Arms(world=smaller(World(seed=100), 0.06), steps=3, hidden=(8,))
    found = RECIPE.proof(100, arms=arms)
    assert set(found) == {claim.name for claim in RECIPE.claims}
    assert all(math.isfinite(one.method) and math.isfinite(one.baseline) for one in found.values())


def test_a_model_of_steps_learns_what_a_step_is() -> None:
    arms = Arms(world=World(seed=100, labelled=300, held_out=200, choices=20), steps=300)
    model = arms.fit("people")
    assert arms.area(model) > 0.75
    assert arms.picks(model, "min") == rl.evaluate(model, arms.world.best_of_eight).main.value
    data = labelled(arms.world.training, people(arms.world.training), "again")
    assert data.prompts()[0] == "again/0"
