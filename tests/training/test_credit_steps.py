"""Rules that credit single steps: what they read, whom they leave out, and what they say in small cases."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.registry import SpecError, load_file
from rewardlab.training.credit import (
    CREDITS,
    AnchorStates,
    Credit,
    EpisodePlusStep,
    Group,
    LeaveOneOut,
    PotentialBased,
    Redistributed,
    ReturnToGo,
    TurnRewards,
)
from rewardlab.training.seats import build_seat
from rewardlab.types import Scores, Status, Task, Trajectory

reference = load_file(Path(__file__).parents[2] / "benchmarks" / "credit_reference.py")
SCORED, FAILED = Status.SCORED, Status.FAILED


def trajectory(rewards, group="g", states=None, terminated=True, **info):
    """A chat of as many turns as there are rewards; `states` are the texts that arrive before the actions."""
    turns = len(rewards)
    texts = states if states is not None else [f"{group} {turn}" for turn in range(turns)]
    return Trajectory(
        observations=[*([{"role": "user", "content": text}] for text in texts), []],
        actions=[{"role": "assistant", "content": "x"}] * turns,
        rewards=np.array(rewards, dtype=float),
        group=group,
        terminated=terminated,
        truncated=not terminated,
        task=Task(id=f"task-{group}"),
        info=info,
    )


def scores(values, steps=None, status=None):
    steps = None if steps is None else [None if row is None else np.array(row, dtype=float) for row in steps]
    return Scores(values=np.array(values, dtype=float), steps=steps, status=status)


def rows(advantages):
    return [row.tolist() for row in advantages.values]


RULES = {
    "return_to_go": ReturnToGo(within="group"),
    "turn_rewards": TurnRewards(),
    "redistributed": Redistributed(within="group", how="rescale"),
    "potential_based": PotentialBased(within="group", potential=lambda entry: [0.0] * (len(entry) + 1)),
    "anchor_states": AnchorStates(source="scores"),
    "episode_plus_step": EpisodePlusStep(),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_failed_members_change_nothing_for_the_others(rule):
    made = [trajectory([0.0] * turns, states=["s"] * turns) for turns in (2, 3, 1, 2)]
    steps = [[1.0, 2.0], [5.0, 5.0, 5.0], [0.5], [0.0, 1.0]]
    status = [SCORED, FAILED, SCORED, SCORED]
    got = rule(made, scores([3.0, math.nan, 0.5, 1.0], [steps[0], None, *steps[2:]], status))
    without = rule([made[0], *made[2:]], scores([3.0, 0.5, 1.0], [steps[0], *steps[2:]]))
    assert got.included.tolist() == [True, False, True, True]
    assert [rows(got)[place] for place in (0, 2, 3)] == rows(without)
    assert rows(got)[1] == [0.0] * 3
    assert isinstance(rule, Credit)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_the_only_usable_member_is_left_out_and_equal_members_get_exactly_zero(rule):
    made = [trajectory([0.0, 0.0], group) for group in ("a", "b", "b")]
    got = rule(made, scores([1.0, 0.1, 0.1], [[0.5, 0.5], [0.3, -0.2], [0.3, -0.2]]))
    assert got.included.tolist() == [False, True, True]
    assert got.statistics["groups"] == 2
    assert got.statistics["single_member_groups"] == 1
    assert got.statistics["zero_variance_groups"] == 1
    if not isinstance(rule, EpisodePlusStep):  # steps of one trajectory differ among themselves
        assert rows(got)[1:] == [[0.0, 0.0]] * 2


@pytest.mark.parametrize(
    "rule",
    [TurnRewards(single="zero"), AnchorStates(single="zero"), EpisodePlusStep(single="zero", step_weight=0.0)],
)
def test_the_only_member_may_stay_at_zero(rule):
    got = rule([trajectory([0.0])], scores([1.0], [[0.5]]))
    assert got.included.all()
    assert rows(got) == [[0.0]]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@given(order=st.permutations(range(5)))
@settings(max_examples=8)
def test_the_order_of_trajectories_does_not_matter(rule, order):
    groups, turns = ["a", "a", "b", "a", "b"], [3, 1, 2, 2, 2]
    made = [trajectory([0.0] * length, group) for group, length in zip(groups, turns, strict=True)]
    values = [1.0, 0.0, 2.0, -1.0, 0.5]
    steps = [[0.1 * index + step for step in range(length)] for index, length in enumerate(turns)]
    plain = rows(rule(made, scores(values, steps)))
    shuffled = rule([made[i] for i in order], scores([values[i] for i in order], [steps[i] for i in order]))
    for place, index in enumerate(order):
        assert rows(shuffled)[place] == pytest.approx(plain[index], abs=1e-12)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_another_number_of_step_values_than_of_steps_names_the_trajectory(rule):
    made = [trajectory([0.0, 0.0]), trajectory([0.0, 0.0])]
    with pytest.raises(
        ValueError, match=r"trajectory 1 \(task 'task-g'\) has 2 actions but step values of shape \(3,\)"
    ):
        rule(made, scores([1.0, 2.0], [[1.0, 1.0], [1.0, 1.0, 1.0]]))
    with pytest.raises(ValueError, match="no step values"):
        rule(made, scores([1.0, 2.0]))
    with pytest.raises(ValueError, match="not finite: nan"):
        rule(made, scores([1.0, 2.0], [[1.0, 1.0], [math.nan, 1.0]]))


def test_return_to_go_with_each_baseline():
    made, scored = [trajectory([1.0, 1.0]), trajectory([3.0])], scores([0.0, 0.0])
    got = {
        name: rows(ReturnToGo(source="environment", baseline=name, discount=0.5)(made, scored))
        for name in ("none", "batch", "position", "leave_one_out")
    }
    assert got["none"] == [[1.5, 1.0], [3.0]]
    assert got["batch"] == [pytest.approx([1.5 - 5.5 / 3, 1.0 - 5.5 / 3]), pytest.approx([3.0 - 5.5 / 3])]
    assert got["position"] == [[-0.75, 0.0], [0.75]]
    assert got["leave_one_out"] == [[-1.5, 1.0 - 3.0], [1.5]]  # nobody else reached turn 1: the others' mean over all
    unit = ReturnToGo(source="environment", baseline="none", scale="std")(made, scored)
    assert np.concatenate(unit.values).std() == pytest.approx(1.0, abs=1e-3)


def test_truncated_tails_bootstrap_from_info_and_terminated_ones_do_not():
    made = [
        trajectory([1.0], terminated=False, tail=10.0),
        trajectory([1.0], terminated=True, tail=10.0),
        trajectory([1.0], terminated=False),
    ]
    rule = ReturnToGo(source="environment", baseline="none", discount=0.5, tail_key="tail")
    assert rows(rule(made, scores([0.0] * 3))) == [[6.0], [1.0], [1.0]]
    made[0].info["tail"] = "much"
    with pytest.raises(ValueError, match=r"info\['tail'\] of trajectory 0 .* must be a finite number, got 'much'"):
        rule(made, scores([0.0] * 3))


def test_rewards_of_a_truncated_trajectory_count_as_far_as_they_came():
    made = [trajectory([1.0, math.nan], terminated=False), trajectory([math.nan, math.nan], terminated=False)]
    got = ReturnToGo(source="environment", baseline="none")(made, scores([0.0, 0.0]))
    assert rows(got) == [[1.0, 0.0], [0.0, 0.0]]


def test_an_outcome_on_the_last_step_is_the_outcome_rule():
    made = [trajectory([0.0] * turns) for turns in (2, 2, 2)]
    outcome = scores([1.0, 0.0, 0.5])
    want = rows(LeaveOneOut()(made, outcome))
    assert rows(TurnRewards(source="outcome")(made, outcome)) == [pytest.approx(row) for row in want]


def test_redistribution_preserves_the_return():
    made = [trajectory([0.0] * 3), trajectory([0.0] * 2)]
    scored = scores([1.0, -2.0], [[0.2, 0.9, -0.5], [0.0, 0.0]])
    for how in ("equal", "proportional", "residual_last", "rescale"):
        got = Redistributed(how=how, baseline="none", discount=0.0)(made, scored)
        assert [sum(row) for row in rows(got)] == pytest.approx([1.0, -2.0])
        whole = Redistributed(how=how, baseline="none")(made, scored)
        assert [row[0] for row in rows(whole)] == pytest.approx([1.0, -2.0])


def test_potentials_from_info_and_what_is_wrong_with_them():
    made = [
        trajectory([1.0, 1.0], potential=[1.0, 2.0, 5.0]),
        trajectory([1.0], potential=[1.0, 9.0], terminated=False),
    ]
    rule = PotentialBased(source="environment", baseline="none", discount=0.5)
    # 1 + .5 * 2 - 1 = 1 and 1 + 0 - 2 = -1; after the truncation the potential stands: 1 + .5 * 9 - 1
    assert rows(rule(made, scores([0.0, 0.0]))) == [[0.5, -1.0], [4.5]]
    made[0].info["potential"] = [1.0, 2.0]
    with pytest.raises(ValueError, match=r"potential of trajectory 0 .* must be 3 finite numbers.*shape \(2,\)"):
        rule(made, scores([0.0, 0.0]))


def test_anchor_states_compare_what_was_done_in_the_same_state():
    """Both trajectories pass the hall and leave it differently: that step is told apart, the others are not."""
    made = [
        trajectory([0, 0, 0], states=["door", "hall", "kitchen"]),
        trajectory([0, 0, 0], states=["door", "hall", "cellar"]),
        trajectory([0, 0], states=["door", "garden"]),
    ]
    outcome = scores([1.0, 0.0, 0.5])
    rule = AnchorStates(episode="none", scale="none", discount=1.0)
    assert rows(rule(made, outcome)) == [[0.5, 0.5, 0.0], [-0.5, -0.5, 0.0], [0.0, 0.0]]
    whole = AnchorStates(scale="none", discount=1.0, step_weight=2.0)(made, outcome)
    assert rows(whole) == [[1.5, 1.5, 0.5], [-1.5, -1.5, -0.5], [0.0, 0.0]]
    assert whole.statistics["step_groups_single"] == pytest.approx(3 / 8)


@given(st.integers(0, 500), st.sampled_from(["none", "std"]))
@settings(max_examples=20)
def test_anchor_states_are_those_of_the_reference(seed, scale):
    draw = np.random.default_rng(seed)
    turns = draw.integers(1, 6, size=6)
    states = [draw.integers(0, 3, size=length).tolist() for length in turns]
    groups = ["a", "a", "b", "b", "b", "a"]
    made = [trajectory([0.0] * len(own), group, place=own) for own, group in zip(states, groups, strict=True)]
    values = draw.integers(0, 3, size=6).astype(float)
    got = AnchorStates(state="info.place", discount=0.9, scale=scale, step_weight=0.7)(made, scores(values))
    outcomes = reference.outcome_advantages(values.tolist(), groups, scale)
    last = [[0.0] * (len(own) - 1) + [value] for own, value in zip(states, values, strict=True)]
    steps = reference.anchor_advantages(reference.returns_to_go(last, 0.9), states, groups, scale)
    for row, outcome, own in zip(rows(got), outcomes, steps, strict=True):
        assert row == pytest.approx([outcome + 0.7 * value for value in own], abs=1e-9)


def test_states_that_are_missing_or_cannot_be_compared():
    made = [trajectory([0.0, 0.0], place=[1])]
    with pytest.raises(ValueError, match="must have one state for each of its 2 steps, got 1 entries"):
        AnchorStates(state="info.place")(made, scores([1.0]))
    with pytest.raises(TypeError, match="a state of trajectory 0 .* is a list, which is not hashable"):
        AnchorStates(state=lambda entry, step: [step])(made, scores([1.0]))


def test_arrays_are_states_too():
    made = [
        Trajectory(observations=np.array([[0.0], [1.0], [2.0]]), actions=np.zeros(2), group="g", terminated=True),
        Trajectory(observations=np.array([[0.0], [3.0]]), actions=np.zeros(1), group="g", terminated=True),
    ]
    got = AnchorStates(episode="none", scale="none", discount=1.0)(made, scores([1.0, 0.0]))
    assert rows(got) == [[0.5, 0.0], [-0.5]]


def test_episode_plus_step():
    made = [trajectory([0.0] * turns) for turns in (2, 1, 1, 1)]
    scored = scores([1.0, 0.0, 0.0, 0.0], [[0.5, 0.5], [0.0], [0.25], [0.0]])
    mean, third = 0.25, 1 / 3
    got = EpisodePlusStep(step_weight=2.0)(made, scored)
    want = [[1 + 0.5, 1 + 0.5], [-third - 0.5], [-third], [-third - 0.5]]
    assert rows(got) == [pytest.approx(row) for row in want]
    assert got.statistics["sign_conflicts"] == 0
    only = EpisodePlusStep(combine="step_only")(made, scored)
    assert rows(only) == [[0.25, 0.25], [-mean], [0.0], [-mean]]
    merged = EpisodePlusStep(combine="merged")(made, scored)
    assert merged.values[0] == pytest.approx([2 - 0.25 / 3] * 2)
    first = EpisodePlusStep(combine="step_only", step_baseline="first_step")(made, scored)
    assert first.values[0] == pytest.approx([(0.5 - 0.1875) * 4 / 3] * 2)
    others = EpisodePlusStep(combine="step_only", step_baseline="other_members")(made, scored)
    assert others.values[0] == pytest.approx([0.5 - 0.25 / 3] * 2)
    position = EpisodePlusStep(combine="step_only", step_baseline="position")(made, scored)
    assert position.values[0] == pytest.approx([0.5 - 0.1875, 0.0])
    plain = EpisodePlusStep(combine="step_only", step_baseline="none", discount=1.0)(made, scored)
    assert rows(plain) == [[1.0, 0.5], [0.0], [0.25], [0.0]]
    unit = EpisodePlusStep(combine="step_only", step_scale="std")(made, scored)
    assert np.concatenate(unit.values).std() == pytest.approx(1.0, abs=1e-6)
    whole = EpisodePlusStep(episode="group", scale="std", step_weight=0.0)(made, scored)
    assert rows(whole) == rows(Group()(made, scored))


def test_rloo_of_one_success_in_four():
    got = EpisodePlusStep(step_weight=0.0)([trajectory([0.0])] * 4, scores([1.0, 0.0, 0.0, 0.0], [[0.0]] * 4))
    assert [row[0] for row in rows(got)] == pytest.approx([1.0, -1 / 3, -1 / 3, -1 / 3])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"type": "turn_rewards", "absent": "never"}, "absent must be one of 'all_steps', 'zero', got 'never'"),
        ({"type": "turn_rewards", "baseline": "turn_index", "discount": 0.5}, "only defined with discount=1"),
        ({"type": "return_to_go", "discount": 2}, r"discount must be in \[0, 1\], got 2"),
        ({"type": "return_to_go", "source": "judge"}, "source must be one of"),
        ({"type": "redistributed", "how": "later"}, "how must be one of"),
        ({"type": "anchor_states", "state": "text"}, "state must be"),
        ({"type": "episode_plus_step", "episode": "rloo"}, "episode must be one of"),
        ({"type": "episode_plus_step", "step_weight": math.nan}, "step_weight must be finite"),
        ({"type": "episode_plus_step", "episode": "none", "combine": "merged"}, "merged"),
        ({"type": "potential_based", "potential": "position"}, "potential must be"),
    ],
)
def test_options_from_a_configuration_are_checked(spec, message):
    with pytest.raises(ValueError, match=message):
        build_seat(spec, CREDITS)


@pytest.mark.parametrize("name", RULES)
def test_rules_have_names_and_unknown_options_are_refused(name):
    assert type(build_seat(name, CREDITS)) is type(RULES[name])
    with pytest.raises(SpecError, match="has no option 'discont'"):
        build_seat({"type": name, "discont": 0.5}, CREDITS)


def test_whether_groups_are_needed():
    assert not ReturnToGo().needs_groups
    assert ReturnToGo(within="group").needs_groups
    assert not ReturnToGo(within="group", baseline="batch").needs_groups
    assert TurnRewards().needs_groups
