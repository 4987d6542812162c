r"""The math answer verifier: outcomes, options, batches, specs, and agreement with labels of the shipped LaTeX answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rewardlab.rewards.base import ScoringFailure
from rewardlab.rewards.spec import from_spec
from rewardlab.rewards.verifiers.math import MathAnswer, answers_equal, symbolic
from rewardlab.rewards.verifiers.math.symbolic import Verdict
from rewardlab.rewards.verifiers.math.verifier import gold_answers
from rewardlab.types import Status, Trajectory

pytestmark = pytest.mark.xdist_group("math")  # one process, so that they share its child

DATA = Path(__file__).parents[3] / "benchmarks" / "data"


def sample(answer: str, reference: object) -> Trajectory:
    return Trajectory.from_text("?", answer, reference=reference)


def test_right_wrong_missing_and_failed_are_four_outcomes():
    scores = MathAnswer()(
        [
            sample("It is 18", 18),
            sample("It is 19", 18),
            sample("Nothing comes to my mind at all", 18),
            sample("18", None),
        ]
    )
    assert list(scores.status) == [Status.SCORED] * 3 + [Status.FAILED]
    assert list(scores.values[:3]) == [1.0, 0.0, 0.0]
    assert scores.note(0) is None
    assert scores.note(1) == "19 is not 18"
    assert "no answer was found" in scores.note(2)
    assert "no reference" in scores.note(3)


def test_a_missing_answer_abstains_where_asked():
    scores = MathAnswer(missing="abstain")([sample("", 18), sample("18", 18)])
    assert list(scores.status) == [Status.ABSTAINED, Status.SCORED]


def test_an_empty_trajectory_fails_and_the_rest_is_scored():
    empty = Trajectory(observations=[[{"role": "user", "content": "?"}]], actions=[])
    scores = MathAnswer()([empty, sample("18", 18)])
    assert list(scores.status) == [Status.FAILED, Status.SCORED]


@pytest.mark.parametrize(
    ("reference", "golds"),
    [
        (18, ["18"]),
        (0.5, ["0.5"]),
        ("  18 ", ["18"]),
        ("9 * 2 = <<9*2=18>>18 dollars\n#### 18", ["18"]),
        ("16 - 3 = 13\nA: 18", ["18"]),
        (r"Thus $x = \boxed{\frac{1}{2}}$.", [r"\frac{1}{2}"]),
        ("We add.\nThe answer is 7.", ["7"]),
        (r"x^2 + \frac{1}{2}", [r"x^2 + \frac{1}{2}"]),
        (["NaN of it", 3], ["NaN of it", "3"]),
    ],
)
def test_references(reference, golds):
    assert gold_answers(reference) == golds


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (None, "no reference"),
        ("", "holds no answer"),
        (" . ", "holds no answer"),
        ([], "empty list"),
        (True, "got True"),
        (float("nan"), "got nan"),
        ({"answer": 3}, r"got \{'answer': 3\}"),
        (["3", None], "no reference"),
        ("word " * 1000, "at most 2000"),
    ],
)
def test_references_that_cannot_be_read_fail(reference, message):
    with pytest.raises(ScoringFailure, match=message):
        gold_answers(reference)
    assert MathAnswer()([sample("3", reference)]).failed.all()


def test_any_of_several_references_is_right():
    scores = MathAnswer()(
        [sample(answer, ["1/2", r"\sin^2 x", "50%"]) for answer in ("0.5", r"\boxed{1-\cos^2 x}", "7")]
    )
    assert list(scores.values) == [1.0, 1.0, 0.0]


def test_verify_alone_agrees_with_a_batch():
    trajectories = [
        sample(r"\boxed{1-\cos^2 x}", r"\sin^2 x"),
        sample(r"\boxed{\sin x}", r"\int_0^x t\,dt"),
        sample("5", 5),
    ]
    batch = MathAnswer()(trajectories)
    assert (
        [MathAnswer().verify(trajectory).value for trajectory in trajectories] == list(batch.values) == [1.0, 0.0, 1.0]
    )
    with pytest.raises(ScoringFailure, match="timeout"):
        MathAnswer(timeout=0.2).verify(sample(r"\boxed{\cos(9^{9^{9^9}})}", "0"))


def test_open_pairs_of_a_batch_go_to_the_pool_together(monkeypatch):
    calls = []

    def compare(pairs, **options):
        calls.append((pairs, options))
        return [Verdict(True)] * len(pairs)

    monkeypatch.setattr(symbolic.symbolic_pool(), "compare", compare)
    batch = [sample(rf"\boxed{{\int_0^{{{k}}} 1\,dx}}", k) for k in range(3)] + [sample("18", 18)]
    assert list(MathAnswer(timeout=2, workers=3)(batch).values) == [1.0] * 4
    assert calls == [([(str(k), rf"\int_0^{{{k}}} 1\,dx") for k in range(3)], {"seconds": 2.0, "workers": 3})]


def test_options_reach_the_comparison():
    assert MathAnswer(tolerance=0.05)([sample("104", 100)]).values[0] == 1.0
    assert MathAnswer(significant_digits=3)([sample("0.333", "1/3")]).values[0] == 1.0
    assert MathAnswer(extract="last_number")([sample(r"\boxed{3} or 4", 4)]).values[0] == 1.0
    assert MathAnswer(extract="whole")([sample("so it is 4", 4)]).values[0] == 1.0


@pytest.mark.parametrize(
    ("option", "value"),
    [("extract", "first"), ("missing", "fail"), ("timeout", 0), ("workers", 0), ("tolerance", -1), ("tolerance", "a")],
)
def test_wrong_options_are_refused_by_name(option, value):
    with pytest.raises(ValueError, match=f"MathAnswer: option '{option}' must be"):
        MathAnswer(**{option: value})


def test_spec_round_trip():
    reward = MathAnswer(extract="boxed", timeout=2.0, workers=2)
    spec = reward.to_spec()
    assert spec == {"type": "math_answer", "extract": "boxed", "timeout": 2.0, "workers": 2}
    assert from_spec(spec) == reward
    assert reward.deterministic


def test_answers_equal_takes_numbers_and_refuses_other_things():
    assert answers_equal(18, "18.0")
    assert answers_equal(0.5, "1/2")
    assert not answers_equal("18", 19)
    for value in (None, True, [1], float("inf")):
        with pytest.raises(TypeError, match="must be a finite number or a string"):
            answers_equal("1", value)


def test_labels_of_all_latex_answers_are_met():
    rows = [
        json.loads(line)
        for name in ("answers", "heldout")
        for line in (DATA / f"latex_{name}.jsonl").read_text().splitlines()
    ]
    scores = MathAnswer(extract="whole")([sample(row["answer"], row["gold"]) for row in rows])
    wrong = [row for row, value in zip(rows, scores.values, strict=True) if value != float(row["equal"])]
    assert wrong == []
