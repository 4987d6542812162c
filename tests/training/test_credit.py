from __future__ import annotations

import math

import numpy as np
import pytest

from rewardlab.training.credit import CREDITS, Advantages, Batch, Best, Credit, Group, LeaveOneOut
from rewardlab.types import Scores, Status, Trajectory

SCORED, ABSTAINED, FAILED = Status.SCORED, Status.ABSTAINED, Status.FAILED


def trajectories(groups, turns=None):
    made = []
    for index, group in enumerate(groups):
        length = (turns or [1] * len(groups))[index]
        actions = [{"role": "assistant", "content": "x"}] * length
        made.append(Trajectory(observations=[[] for _ in range(length + 1)], actions=actions, group=group))
    return made


def scores(values, status=None):
    status = [SCORED] * len(values) if status is None else status
    return Scores(values=np.array(values, dtype=float), status=np.array(status))


def test_group_broadcasts_the_outcome_to_every_action():
    got = Group(epsilon=0.0)(trajectories(["a", "b", "a", "b"], [2, 1, 3, 1]), scores([1.0, 5.0, 3.0, 5.0]))
    low = -1 / math.sqrt(2)
    assert [row.tolist() for row in got.values] == [pytest.approx([low] * 2), [0.0], pytest.approx([-low] * 3), [0.0]]
    assert got.included.all()
    assert got.statistics == {"groups": 2.0, "zero_variance_groups": 1.0, "single_member_groups": 0.0}
    assert got.abs_mean() == pytest.approx(-low / 2)


@pytest.mark.parametrize("credit", [Group(), LeaveOneOut(), Batch(), Best(ties="share")])
def test_failed_and_abstained_members_are_left_out_whatever_the_credit(credit):
    made = trajectories(["a", "a", "a", "a"])
    with_failures = credit(made, scores([1.0, math.nan, 4.0, math.nan], [SCORED, FAILED, SCORED, ABSTAINED]))
    without = credit([made[0], made[2]], scores([1.0, 4.0]))
    assert not with_failures.included[[1, 3]].any()
    assert with_failures.included[[0, 2]].tolist() == without.included.tolist()
    assert [with_failures.values[i].tolist() for i in (0, 2)] == [row.tolist() for row in without.values]
    assert [with_failures.values[i].tolist() for i in (1, 3)] == [[0.0], [0.0]]


@pytest.mark.parametrize("credit", [Group(), LeaveOneOut()])
def test_the_only_scored_member_of_a_group_is_excluded_and_counted(credit):
    got = credit(
        trajectories(["a", "a", "b", "b", "c"]),
        scores([1.0, 2.0, 3.0, math.nan, 9.0], [SCORED, SCORED, SCORED, FAILED, SCORED]),
    )
    assert got.included.tolist() == [True, True, False, False, False]
    assert got.statistics["groups"] == 3.0
    assert got.statistics["single_member_groups"] == 2.0


def test_single_member_groups_may_stay_at_zero():
    got = Group(single="zero")(trajectories(["a", "b", "b"]), scores([7.0, 1.0, 2.0]))
    assert got.included.all()
    assert got.values[0].tolist() == [0.0]


def test_trajectories_without_a_group_are_groups_of_their_own():
    got = Group()(trajectories([None, None, None]), scores([1.0, 2.0, 3.0]))
    assert not got.included.any()
    assert got.statistics["single_member_groups"] == 3.0
    assert math.isnan(got.abs_mean())


def test_batch_compares_with_everything():
    got = Batch()(trajectories([None, "a", "b"]), scores([1.0, 2.0, 6.0]))
    assert [row.tolist() for row in got.values] == [[-2.0], [-1.0], [3.0]]
    assert got.statistics["groups"] == 1.0


def test_best_of_each_group_and_of_the_batch():
    made, scored = trajectories(["a", "a", "b", "b", "c", "c"]), scores([1.0, 2.0, 9.0, 8.0, 0.0, 0.0])
    assert Best()(made, scored).included.tolist() == [False, True, True, False, False, False]
    assert Best(ties="share")(made, scored).values[4].tolist() == [0.5]
    whole = Best(within="batch", keep=2)(made, scored)
    assert whole.included.tolist() == [False, False, True, True, False, False]
    assert Best().needs_groups
    assert not Best(within="batch").needs_groups


def test_registry_builds_what_it_names():
    assert set(CREDITS) >= {"group", "leave_one_out", "batch", "best"}
    made, scored = trajectories(["a", "a"]), scores([0.0, 1.0])
    scored.steps = [np.array([0.0]), np.array([1.0])]
    for entry in made:
        entry.info["potential"], entry.seconds = [0.0, 0.0], np.ones(1)
    for name in CREDITS:
        credit = CREDITS.resolve(name)()
        assert isinstance(credit, Credit)
        if not hasattr(credit, "bind"):  # what asks the policy says so itself, and has tests of its own
            assert credit(made, scored).included.any()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="there are 3 scores for 2 trajectories"):
        Group()(trajectories(["a", "a"]), scores([1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match='within must be "group" or "batch", got \'world\''):
        Best(within="world")
    with pytest.raises(ValueError, match="trajectory 0 is included, but its advantages are not finite: nan"):
        Advantages(values=[np.array([math.nan])], included=np.array([True]))
    with pytest.raises(ValueError, match="included must have one entry for each of 1 trajectories"):
        Advantages(values=[np.array([1.0])], included=np.array([True, False]))
    with pytest.raises(ValueError, match=r"values\[0\] must be float\[action\]"):
        Advantages(values=[np.zeros((1, 1))], included=np.array([True]))
