from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from rewardlab.learning.data import PreferenceData
from rewardlab.learning.fitting import fit
from rewardlab.learning.losses import BradleyTerryLoss
from rewardlab.recipes.basereward import (
    RECIPE,
    Arms,
    MLPHead,
    PatchTextEncoder,
    World,
    check_images,
    length_margins,
    refuse_overlap,
    rescaled,
    scalar_ensemble,
    shortcut_report,
    shuffled_images,
    text_only_accuracy,
)
from rewardlab.recipes.basereward.proof import proof
from rewardlab.recipes.basereward.world import RULES, WORDS
from rewardlab.rewards.base import Reward
from rewardlab.rewards.models.base import Encoded
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Scores, Trajectory

SMALL = World(seed=3, sizes=(("pictures", 40), ("more_pictures", 20), ("texts", 40), ("poisoned", 200)), tests=200)


@dataclass(frozen=True, kw_only=True)
class Judged(Reward):
    """Scores by what the world wrote beside each answer: the fact first, then whether the instruction was obeyed."""

    facts: float = 2.0

    def _score(self, trajectories: Any, progress: float | None) -> Scores:
        return Scores(values=np.array([self.facts * right(one) + obeys(one) for one in trajectories], dtype=np.float64))


def noted(one: Trajectory) -> tuple[str, list[bool], list[bool], list[bool]]:
    told = one.info["noted"]
    return RULES[told.index(True)], told[8:12], told[12:16], told[16:20]


def right(one: Trajectory) -> bool:
    _, _, claimed, seen = noted(one)
    return seen[claimed.index(True)]


def obeys(one: Trajectory) -> bool:
    rule, (polite, closed, twice, wordy), _, _ = noted(one)
    place = RULES.index(rule)
    return [polite, closed, twice, not wordy][place // 2] == (place % 2 == 0)


def test_the_better_answer_has_the_right_fact_and_else_obeys() -> None:
    test = SMALL.test
    values = Judged()(test.items).values
    gap = values[test.first] - values[test.second]
    assert (gap != 0).all()
    assert np.array_equal(gap > 0, test.label == 1)
    assert test.metadata is not None
    factor = np.array([row["factor"] for row in test.metadata])
    facts = np.array(
        [right(test.items[a]) != right(test.items[b]) for a, b in zip(test.first, test.second, strict=True)]
    )
    assert np.array_equal(factor == "image", facts)
    assert 0.35 < float(test.label.mean()) < 0.65  # the better one stands on either side
    again = World(seed=3, tests=200).test
    assert [one.completion for one in again.items] == [one.completion for one in test.items]


def test_texts_teach_the_instruction_alone_and_the_poisoned_source_lies() -> None:
    texts, poisoned = SMALL.sources["texts"], SMALL.sources["poisoned"]
    assert all(
        isinstance(part, dict) and part["type"] == "text" for part in texts.items[0].observations[0][0]["content"]
    )
    values = Judged(facts=0.0)(texts.items).values
    assert np.array_equal(values[texts.first] > values[texts.second], texts.label == 1)
    values = Judged()(poisoned.items).values
    wrong = (values[poisoned.first] > values[poisoned.second]) != (poisoned.label == 1)
    assert 0.3 < wrong.mean() < 0.5


# ---- the model ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2, 5])
@pytest.mark.parametrize("activation", ["none", "silu", "tanh"])
def test_heads_of_any_depth_by_hand(layers: int, activation: Any) -> None:
    head = MLPHead(3, layers=layers, activation=activation, seed=1)
    encoded = Encoded(response=torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
    value, weights = encoded.response, [one for one in head.layers if isinstance(one, torch.nn.Linear)]
    assert len(weights) == layers
    for place, layer in enumerate(weights):
        value = layer(value)
        if place < layers - 1:
            value = {"none": lambda x: x, "silu": lambda x: x * torch.sigmoid(x), "tanh": torch.tanh}[activation](value)
    torch.testing.assert_close(head(encoded)["value"], value.squeeze(-1))
    assert weights[-1].bias is None


def test_heads_compute_in_float32_and_start_near_log_two() -> None:
    head = MLPHead(8, seed=0)
    features = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert head(Encoded(response=features.bfloat16()))["value"].dtype == torch.float32
    values = head(Encoded(response=features))["value"]
    loss = torch.nn.functional.softplus(-(values[:128] - values[128:])).mean().detach()
    assert float(loss) == pytest.approx(math.log(2), abs=0.1)
    with pytest.raises(ValueError, match="layers must be at least 1, got 0"):
        MLPHead(3, layers=0)
    with pytest.raises(ValueError, match="activation must be one of none, tanh.*got 'swish'"):
        MLPHead(3, activation="swish")  # type: ignore[arg-type]


def model(**options: Any) -> RewardModel:
    return RewardModel.make(PatchTextEncoder(WORDS, width=8, heads=2, **options), MLPHead(8, seed=5))


def test_scores_do_not_depend_on_padding_and_survive_disk(tmp_path: Any) -> None:
    items = SMALL.test.items[:9]
    scored = model()
    together = scored(items).values
    alone = np.array([scored([one]).values[0] for one in items])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    scored.save(tmp_path / "model")
    assert np.array_equal(RewardModel.load(tmp_path / "model")(items).values, together)


def test_the_picture_and_every_word_count() -> None:
    scored, one = model(), SMALL.test.items[0]
    other = SMALL.test.items[-1]
    picture = other.observations[0][0]["content"][0]
    text = one.observations[0][0]["content"][1]
    moved = Trajectory.from_messages([{"role": "user", "content": [picture, text]}, *one.actions])
    without = Trajectory.from_messages([{"role": "user", "content": [text]}, *one.actions])
    longer = Trajectory.from_messages(
        [*one.observations[0], {"role": "assistant", "content": f"{one.completion} stop stop"}]
    )
    values = scored([one, moved, without, longer]).values
    assert len(set(values.tolist())) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"type": "image", "image": None}], "trajectory 0 names an image that is not there"),
        (
            [{"type": "image", "image": np.zeros((8, 8, 3))}],
            r"has an image of shape \(8, 8, 3\), expected \(16, 16, 3\)",
        ),
        ([{"type": "image", "image": np.zeros((16, 16, 3))}] * 2, "several images, this encoder reads one"),
        ("a red elephant", "has the unknown word 'elephant'; add it to words"),
        (" ".join(["a"] * 40), "has 42 words, expected 1 to 32; a longer one would be scored on a cut answer"),
    ],
)
def test_dialogues_that_cannot_be_read(content: Any, message: str) -> None:
    one = Trajectory.from_messages([{"role": "user", "content": content}, {"role": "assistant", "content": "a red"}])
    with pytest.raises(ValueError, match=message):
        model().network.encoder.prepare([one])
    scores = model()([one, SMALL.test.items[0]])
    assert scores.counts() == {"scored": 1, "abstained": 0, "failed": 1}


# ---- reports and guards ---------------------------------------------------------------------------------------------------


def test_the_report_sets_a_score_beside_its_shortcuts() -> None:
    report = shortcut_report(Judged(), SMALL.test)
    assert report.accuracy == 1
    assert math.isfinite(report.text_only)
    assert 0.3 < report.longer_wins < 0.7
    assert "text alone" in str(report)


@dataclass(frozen=True, kw_only=True)
class Short(Reward):
    """Scores by length, or hardly at all."""

    scale: float = 1.0

    def _score(self, trajectories: Any, progress: float | None) -> Scores:
        return Scores(values=np.array([self.scale * len(one.completion) for one in trajectories]))


def test_scores_that_follow_length_or_hardly_differ_are_warned_about() -> None:
    with pytest.warns(UserWarning, match=r"scores follow length: their correlation is \+1.00"):
        found = shortcut_report(Short(), SMALL.test)
    assert found.accuracy == pytest.approx(found.longer_wins)
    with pytest.warns(UserWarning, match="the scores of a pair differ by .* on average"):
        shortcut_report(Short(scale=1e-6), SMALL.test)


def test_text_alone_finds_a_tell_tale_word() -> None:
    pairs = [
        (Trajectory.from_text(f"q{n}", f"fine {n % 3} well"), Trajectory.from_text(f"q{n}", f"fine {n % 3} alas"))
        for n in range(30)
    ]
    data = PreferenceData(
        items=[one for pair in pairs for one in pair],
        first=np.arange(0, 60, 2),
        second=np.arange(1, 60, 2),
        label=np.ones(30),
    )
    assert text_only_accuracy(data) == 1.0
    coin = np.random.default_rng(0).integers(0, 2, 30).astype(float)
    assert text_only_accuracy(replace(data, label=coin)) < 0.8
    with pytest.raises(ValueError, match="30 prompts cannot be cut into 40 folds; use fewer folds"):
        text_only_accuracy(data, folds=40)
    with pytest.raises(ValueError, match="at least 2 are needed to exchange them"):
        shuffled_images(data)


def test_pictures_are_exchanged_between_prompts_and_nothing_else_is() -> None:
    shuffled = shuffled_images(SMALL.test, seed=1)
    changed = [
        not np.array_equal(a.observations[0][0]["content"][0]["image"], b.observations[0][0]["content"][0]["image"])
        for a, b in zip(SMALL.test.items, shuffled.items, strict=True)
    ]
    assert all(changed)
    assert [one.completion for one in shuffled.items] == [one.completion for one in SMALL.test.items]
    check_images(shuffled)  # both answers of a pair still have one picture
    check_images(SMALL.test)
    crossed = replace(SMALL.test, second=np.roll(SMALL.test.second, 1))
    with pytest.raises(ValueError, match="row 0 compares answers about different pictures; say may_differ=True"):
        check_images(crossed)
    check_images(crossed, may_differ=True)


def test_comparisons_in_training_and_test_are_refused() -> None:
    train, test = SMALL.sources["pictures"], SMALL.test
    refuse_overlap(train, test)
    turned = PreferenceData(items=test.items, first=test.second[3:4], second=test.first[3:4], label=np.zeros(1))
    with pytest.raises(ValueError, match="1 comparisons of the test are in the training data too, row 3 among them"):
        refuse_overlap(turned, test)


def test_length_margins_ask_the_longer_side_to_win_by_more() -> None:
    items = [Trajectory.from_text("q", text) for text in ("a" * 9, "a", "aa")]
    data = PreferenceData(items=items, first=np.array([0, 1]), second=np.array([1, 2]), label=np.array([1.0, 1.0]))
    found = length_margins(data, 0.5).strength
    assert found is not None
    np.testing.assert_allclose(found, 0.5 * np.array([8, -1]) / np.std([8, -1]))
    assert BradleyTerryLoss(margin="strength")


def test_ensembles_are_brought_to_one_scale() -> None:
    items = SMALL.test.items[:40]
    quiet, loud = model(seed=1), model(seed=2)
    loud.network.scale.fill_(1e-3)
    with pytest.warns(UserWarning, match="follows one of them; use mode='zmean'"):
        plain = scalar_ensemble({"quiet": quiet, "loud": loud}, items, mode="mean")(items).values
    assert np.corrcoef(plain, loud(items).values)[0, 1] > 0.999
    columns = [rescaled(one, items)(items).values for one in (quiet, loud)]
    np.testing.assert_allclose([[one.mean(), one.std()] for one in columns], [[0, 1]] * 2, atol=1e-6)
    assert loud.network.scale == 1e-3  # the models themselves stay as they are
    for mode, expected in (
        ("zmean", np.mean(columns, axis=0)),
        ("min", np.min(columns, axis=0)),
        ("lcb", np.mean(columns, axis=0) - 2 * np.std(columns, axis=0)),
    ):
        scores = scalar_ensemble({"quiet": quiet, "loud": loud}, items, mode=mode, k=2.0)(items)  # type: ignore[arg-type]
        np.testing.assert_allclose(scores.values, expected, atol=1e-6)
        assert scores.confidence is not None
        np.testing.assert_allclose(scores.confidence, 1 / (1 + np.std(columns, axis=0)), atol=1e-6)


def test_ensembles_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="at least 2 members, got 1"):
        scalar_ensemble({"one": model()})
    with pytest.raises(ValueError, match="needs items to do it on"):
        scalar_ensemble({"one": model(seed=1), "two": model(seed=2)})
    with pytest.raises(ValueError, match="mode must be one of mean, zmean, min, lcb, got 'median'"):
        scalar_ensemble({"one": model(seed=1), "two": model(seed=2)}, mode="median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="gives all 2 items one score"):
        rescaled(model(), [SMALL.test.items[0]] * 2)


# ---- the proof ------------------------------------------------------------------------------------------------------------


def test_arms_start_from_one_trunk_and_a_frozen_one_stays() -> None:
    arms = Arms(world=SMALL, width=8, pretraining=3, steps=2)
    before = {name: value.clone() for name, value in arms.trunk.state_dict().items()}
    tuned, frozen = arms.fitted(), arms.fitted(frozen=True)
    state = frozen.network.encoder.state_dict()
    assert all(torch.equal(before[name], state[name]) for name in before)
    assert any(not torch.equal(before[name], value) for name, value in tuned.network.encoder.state_dict().items())
    assert all(torch.equal(before[name], value) for name, value in arms.trunk.state_dict().items())
    assert len(arms.added("poisoned")) == 5 * 40 + 200
    assert fit(model(), arms.mixed(pictures=1, texts=1), steps=1).metrics


def test_the_proof_returns_every_claim() -> None:
    outcomes = proof(100, pictures=12, texts=24, poisoned=12, tests=40, pretraining=2, steps=2)
    assert set(outcomes) == {claim.name for claim in RECIPE.claims}
    assert all(math.isfinite(entry.method) and math.isfinite(entry.baseline) for entry in outcomes.values())
