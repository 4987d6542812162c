from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import rewardlab as rl
from rewardlab.learning import CorrectnessLoss, HybridAnnotator
from rewardlab.learning.rows import RatingRows
from rewardlab.recipes.cooper import COUNTER, RECIPE, Arms, VerifyRM, World
from rewardlab.recipes.cooper.verify import as_ratings, triple
from rewardlab.recipes.cooper.world import FORMATS, READABLE, STYLES, answered, correct, rule, rule_reward, well_formed
from rewardlab.recipes.piece_encoder import PieceEncoder
from rewardlab.rewards.models.encoders.referenced import WithReference
from rewardlab.rewards.models.heads.scalar import ScalarHead

DIGITS = [str(digit) for digit in range(10)]


def encoder(**options: object) -> WithReference:
    return WithReference(PieceEncoder(DIGITS, DIGITS, hidden=(16,)), **options)  # type: ignore[arg-type]


# ---- the model that reads the reference ---------------------------------------------------------------------------------------


def test_question_reference_and_completion_stand_in_tags() -> None:
    found = encoder().rewritten(triple("what?", "4", "it is 4"))
    assert [message["content"] for message in found.messages] == [
        "<question>\nwhat?\n</question>\n<reference>\n4\n</reference>",
        "<completion>\nit is 4\n</completion>",
    ]
    blind = encoder(reads_reference=False).rewritten(triple("what?", None, "it is 4"))
    assert blind.messages[0]["content"] == "<question>\nwhat?\n</question>"
    several = encoder().rewritten(triple("what?", ["4", "four"], "4"))
    assert "<reference>\n4\nfour\n</reference>" in several.messages[0]["content"]


def test_long_texts_keep_their_end_and_the_rule_is_saved(tmp_path: Path) -> None:
    made = encoder(limit=10, first=3, last=5)
    assert made.cut("0123456789") == "0123456789"
    assert made.cut("0123456789A") == "012" + "6789A"
    model = VerifyRM.make(PieceEncoder(DIGITS, DIGITS, hidden=(16,)), limit=10, first=3, last=5)
    model.save(tmp_path)
    again = VerifyRM.load(tmp_path)
    assert again.model.network.encoder.cut("0123456789A") == "0126789A"  # type: ignore[operator]
    row = ("q", "7", "x" * 40 + "7")
    assert again.score(*row) == model.score(*row)
    with pytest.raises(ValueError, match=r"first \(3\) and last \(9\) must fit into limit \(10\)"):
        encoder(limit=10, first=3, last=9)


def test_fitting_to_triples_teaches_to_compare() -> None:
    draw = np.random.default_rng(0)
    rows = [
        {"question": "?", "reference": str(a), "completion": str(b), "label": float(a == b)}
        for a, b in ((int(a), int(a) if draw.random() < 0.5 else int(b)) for a, b in draw.integers(10, size=(1500, 2)))
    ]
    model = VerifyRM.make(PieceEncoder(DIGITS, DIGITS, hidden=(64,)))
    result = model.fit(rows, steps=300, batch_size=64, learning_rate=1e-2)
    assert result.metrics[-1]["loss"] < 0.1
    scores = model.score(["?"] * 2, ["3", "3"], ["3", "4"])
    assert scores[0] > 0.9 > 0.1 > scores[1]  # type: ignore[index]
    assert model.reward(hard=True)([triple("?", "3", "3"), triple("?", "3", "4")]).values.tolist() == [1.0, 0.0]


def test_wrong_triples_and_questions_are_named() -> None:
    model = VerifyRM.make(PieceEncoder(DIGITS, DIGITS, hidden=(4,)))
    with pytest.raises(
        ValueError, match="row 0 has no 'label'; a triple has question, reference, completion and label"
    ):
        as_ratings([{"question": "?", "reference": "1", "completion": "1"}])
    with pytest.raises(ValueError, match=r"row 0 has the label 2.0, expected 1 for right, 0 for wrong"):
        as_ratings([{"question": "?", "reference": "1", "completion": "1", "label": 2}])
    with pytest.raises(ValueError, match=r"row 1 cannot be scored: trajectory . .* has the reference None"):
        model.score(["?", "?"], ["1", None], ["1", "1"])
    with pytest.raises(ValueError, match="as many questions as references and completions, got 2, 1, 2"):
        model.score(["?", "?"], ["1"], ["1", "1"])


def test_questions_that_give_their_answer_away_are_warned_of() -> None:
    rows = [{"question": f"the answer is {n}", "reference": n, "completion": "1", "label": n % 2} for n in range(3)]
    model = VerifyRM.make(PieceEncoder(DIGITS, DIGITS, hidden=(4,)))
    with pytest.warns(UserWarning, match="3 of 3 questions hold their own reference answer"):
        model.fit(rows, steps=1)


def test_the_loss_of_correctness_is_cross_entropy() -> None:
    head = ScalarHead(1)
    values = torch.tensor([0.3, -1.2, 2.0], requires_grad=True)
    rows = RatingRows(item=torch.tensor([2, 0]), value=torch.tensor([1.0, 0.25]))
    loss = CorrectnessLoss()(head, {"value": values}, rows)
    chance = 1 / (1 + math.exp(-0.3))
    expected = [math.log1p(math.exp(-2.0)), -0.25 * math.log(chance) - 0.75 * math.log(1 - chance)]
    assert loss.tolist() == pytest.approx(expected, rel=1e-5)
    loss.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == pytest.approx([chance - 0.25, 0.0, 1 / (1 + math.exp(-2.0)) - 1], rel=1e-4)
    with pytest.raises(ValueError, match=r"a rating of correctness must be in \[0, 1\], got 3.0"):
        CorrectnessLoss()(head, {"value": values}, RatingRows(item=torch.tensor([0]), value=torch.tensor([3.0])))


# ---- labels that annotators agree on ------------------------------------------------------------------------------------------


def test_rows_are_kept_where_annotators_agree_and_are_compared_with_gold() -> None:
    @rl.reward
    def strict(completion: str) -> float | None:
        return None if completion == "?" else float(completion == "yes")

    @rl.reward
    def kind(completion: str) -> float:
        return float(completion != "no")

    rows = [triple("q", "r", text) for text in ("yes", "maybe", "no", "?", "yes")]
    found = HybridAnnotator(annotators=[strict, kind]).label(rows, gold=[1, 1, 0, 1, 0])
    assert found.kept.tolist() == [0, 2, 4]
    assert found.data.value.tolist() == [1.0, 0.0, 1.0]
    assert found.disagreements.tolist() == [1]
    report = {one.name: one for one in found.reports}
    assert (report["strict"].precision, report["strict"].recall, report["strict"].labelled) == (0.5, 1 / 3, 4)
    assert report["kind"].precision == 0.75
    assert "3 of 5 rows kept, 1 disagreements" in str(found)
    majority = HybridAnnotator(annotators={"a": strict, "b": kind, "c": kind}, agree="majority").label(rows)
    assert majority.kept.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="there are no annotators"):
        HybridAnnotator(annotators=[])
    with pytest.raises(ValueError, match="gold must have one label for each of 5 rows"):
        HybridAnnotator(annotators=[strict]).label(rows, gold=[1.0])


# ---- the world ----------------------------------------------------------------------------------------------------------------


def test_the_rule_is_precise_and_misses_forty_percent_of_the_questions() -> None:
    world = World(seed=0)
    right = [answered(task, f"so {task.reference}") for task in world.tasks]
    scores = rule(right)
    assert scores.scored.sum() == 60
    assert (scores.values[scores.scored] == 1).all()
    assert rule_reward(right).values.sum() == 60
    wrong = [answered(task, f"so {(int(task.reference) + 1) % 10}") for task in world.tasks]
    assert rule(wrong).values[rule(wrong).scored].sum() == 0
    assert correct(right).values.all()


def test_in_the_free_world_the_answer_sets_the_format() -> None:
    world = World(seed=1, free=True)
    task = world.tasks[0]
    texts = [f"so {mark}{task.reference}" for mark in FORMATS]
    scores = rule([answered(task, text) for text in texts])
    assert scores.scored.tolist() == [place < READABLE for place in range(len(FORMATS))]
    assert rule([answered(task, f"so {task.reference}")]).failed.all()
    assert well_formed([answered(task, text) for text in (texts[3], "so so 4", "so ", "4")]).values.tolist() == [
        1,
        0,
        0,
        0,
    ]


def test_the_cue_goes_with_right_answers_and_nothing_else() -> None:
    data = World(seed=2, cue=0.9).labelled(4000)
    cued = np.array([one.completion.startswith(STYLES[0]) for one in data.items])
    assert cued[data.value == 1].mean() == pytest.approx(0.9, abs=0.03)
    assert cued[data.value == 0].mean() == pytest.approx(0.1, abs=0.03)
    assert data.value.mean() == pytest.approx(0.5, abs=0.03)
    pairs = World(seed=2).uniform_pairs(200)
    assert all(correct([first, second]).values.tolist() == [1.0, 0.0] for first, second in pairs)


def test_an_arm_trains_policy_and_model() -> None:
    arms = Arms(world=World(seed=3), updates=2, samples=1, rows=64, fit_steps=2, start_steps=20)
    found = arms.cooper()
    assert found.valid > 0
    assert found.after != found.before
    assert 0 <= found.accuracy <= 1


@pytest.mark.parametrize("recipe", [RECIPE, COUNTER], ids=["gated", "counter-world"])
def test_the_proof_returns_every_claim(recipe: rl.recipes.proof.Recipe) -> None:  # type: ignore[name-defined]
    outcomes = recipe.proof(100, updates=1, fit_steps=2, start_steps=10, samples=1)
    assert set(outcomes) == {claim.name for claim in recipe.claims}
    assert all(math.isfinite(one.method) and math.isfinite(one.baseline) for one in outcomes.values())
