from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rewardlab.rewards.base import Verifier
from rewardlab.rewards.spec import from_spec
from rewardlab.rewards.verifiers.milestones import BENCH_MILESTONES, PartialCredit, RegexMilestones
from rewardlab.types import Status, Trajectory

SEVEN = {name: f"^{name}$" for name in "abcdefg"}


class Given(Verifier):
    """The score that stands in the info."""

    def verify(self, trajectory: Trajectory) -> float:
        return float(trajectory.info["score"])


def run(log: Any = "", **info: Any) -> Trajectory:
    return Trajectory.from_text("q", "a", info={"log": log, **info})


def test_each_milestone_counts_once_and_has_a_part() -> None:
    reward = RegexMilestones(milestones=SEVEN)
    scores = reward([run("a\nb\nb\nnoise c\nc"), run("")])
    np.testing.assert_allclose(scores.values, [0.3, 0.0])
    assert scores.parts["b"].values.tolist() == [1, 0]
    assert scores.parts["g"].values.tolist() == [0, 0]
    np.testing.assert_allclose(RegexMilestones(milestones=SEVEN, once=False)([run("a\nb\nb\nc")]).values, [0.4])
    np.testing.assert_allclose(RegexMilestones(milestones=SEVEN, values={"b": 1.0})([run("a\nb\nb\nc")]).values, [1.2])


def test_colours_are_stripped_and_only_lines_behind_a_token_count_where_there_are_tokens() -> None:
    reward = RegexMilestones(milestones=SEVEN)
    assert reward([run("\x1b[32ma\x1b[0m")]).values[0] == pytest.approx(0.1)
    forged = run("a\nb\n| k1 c\nk1 d\nk9 e", milestone_tokens=["k1", "k2"])
    scores = reward([forged])
    assert scores.values[0] == pytest.approx(0.2)
    assert [name for name, part in scores.parts.items() if part.values[0]] == ["c", "d"]
    assert reward([run("a", milestone_tokens=[])]).values[0] == 0


def test_a_log_that_is_missing_is_failed_and_one_without_prints_abstains() -> None:
    scores = RegexMilestones()([run(None), Trajectory.from_text("q", "a"), run("x", milestones_abstain=True)])
    assert scores.status.tolist() == [Status.FAILED, Status.FAILED, Status.ABSTAINED]


def test_a_pattern_that_never_ends_is_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    from rewardlab.rewards.verifiers import milestones

    monkeypatch.setattr(milestones, "_SECONDS", 0.01)
    scores = RegexMilestones(milestones={"slow": r"(a|aa)+$"})([run("a" * 1500 + "b")])
    assert scores.status[0] == Status.FAILED
    assert "too long" in (scores.note(0) or "")


def partial(**options: Any) -> PartialCredit:
    return PartialCredit(outcome=Given(), milestones=RegexMilestones(milestones=SEVEN), **options)


def test_the_papers_scale_by_hand() -> None:
    batch = [
        run("a\nb\nc\nd\ne", status="no submission"),
        run("a\nb\nc\nd\ne\nf\ng", status="no submission"),
        run("a", status="submitted", score=-0.9),
        run("", status="no submission"),
    ]
    scores = partial()(batch)
    np.testing.assert_allclose(scores.values, [-9.5, -9.3, -0.9, -10.0])
    assert scores.parts["valid"].values.tolist() == [0, 0, 1, 0]
    np.testing.assert_allclose(scores.parts["milestones"].values, [0.5, 0.7, 0.1, 0.0])
    assert np.isnan(scores.parts["outcome"].values).tolist() == [True, True, False, True]
    assert partial(add_to_valid=True)(batch).values[2] == pytest.approx(-0.8)


def test_what_says_nothing_is_failed_unless_it_is_asked_to_be_penalised() -> None:
    batch = [run("a", status="timeout"), run("a", status="lost"), run("a", status="submitted", score=float("nan"))]
    assert not partial()(batch).scored.any()
    penalised = partial(failed_as="penalty")(batch)
    np.testing.assert_allclose(penalised.values[:2], [-9.9, -9.9])
    assert not penalised.scored[2]


def test_a_scale_on_which_milestones_pay_better_than_results_is_refused() -> None:
    with pytest.raises(ValueError, match="below every valid result"):
        partial(fail=0.0, worst=0.0)
    with pytest.raises(ValueError, match="below every valid result"):
        PartialCredit(outcome=Given(), milestones=RegexMilestones(milestones=SEVEN, value=1.0), fail=-5.0)
    scores = partial()([run("", status="submitted", score=-3000.0)])
    assert "give the outcome a scale" in (scores.note(0) or "")


def test_a_required_milestone_is_missed_even_by_a_valid_result() -> None:
    batch = [run("d", status="submitted", score=0.5), run("a", status="submitted", score=0.9)]
    np.testing.assert_allclose(partial(required="d")(batch).values, [0.5, -9.1])
    with pytest.raises(ValueError, match="one of the milestones"):
        partial(required="x")


def test_milestones_that_abstain_leave_the_outcome() -> None:
    batch = [
        run("", status="submitted", score=0.5, milestones_abstain=True),
        run("", status="x", milestones_abstain=True),
    ]
    scores = partial(required="d")(batch)
    np.testing.assert_allclose(scores.values, [0.5, -10.0])
    assert np.isnan(scores.parts["milestones"].values).all()


def test_specs_and_wrong_options() -> None:
    reward = from_spec(
        {"type": "partial_credit", "outcome": "model_bench_score", "milestones": {"type": "regex_milestones"}}
    )
    assert isinstance(reward, PartialCredit)
    assert reward.milestones.milestones == BENCH_MILESTONES
    assert from_spec(reward.to_spec()) == reward
    for options in ({"milestones": {}}, {"milestones": {"a": "("}}, {"values": {"nothing": 1.0}}):
        with pytest.raises(ValueError, match="option"):
            RegexMilestones(**options)  # type: ignore[arg-type]
