"""Credit by a value head against a plain loop, and what ends, limits and missing tokens do to it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rewardlab.policies import reading
from rewardlab.training.credit.gae import GAE
from rewardlab.types import Scores, Status, Tokens, Trajectory
from tests.training.worlds import policy


def trajectory(step, rewards=None, terminated=True, truncated=False):
    """One with these tokens; its first token is one that nobody wrote."""
    step = np.array([-1, *step])
    length = int(step.max()) + 1 if rewards is None else len(rewards)
    actions = [{"role": "assistant", "content": "x"}] * length
    return Trajectory(
        observations=[[] for _ in range(length + 1)],
        actions=actions,
        rewards=None if rewards is None else np.array(rewards, dtype=float),
        terminated=terminated,
        truncated=truncated,
        tokens=Tokens(ids=np.arange(step.size), step=step, logprobs=np.zeros(step.size)),
    )


@pytest.fixture
def credit(monkeypatch):
    """GAE with values that are given: those before written tokens, and one behind the whole."""

    def make(before, after=None, **options):
        def said(_, trajectories, *, after=None, behind=after):
            asked = after or [False] * len(trajectories)
            return [
                reading.StateValues(before=np.array(own, dtype=float), after=behind[place] if asked[place] else 0.0)
                for place, own in enumerate(before)
            ]

        monkeypatch.setattr(reading, "state_values", said)
        made = GAE(**options)
        made.bind(policy())
        return made

    return make


def scores(values):
    return Scores(values=np.array(values, dtype=float))


def loop(rewards, values, after, discount, smoothing):
    """GAE backwards over the decisions of one trajectory; `after` is None where nothing follows."""
    advantages, running = [0.0] * len(values), 0.0
    for t in reversed(range(len(values))):
        following = (values[t + 1] if t + 1 < len(values) else after) or 0.0
        running = rewards[t] + discount * following - values[t] + discount * smoothing * running
        advantages[t] = running
    return advantages


def test_tokens_that_nobody_wrote_are_jumped_over(credit):
    """The mask 1 1 0 0 1 with rewards 0 r1 0 0 r2 and values 0: r1 + r2, r1 + r2, -, -, r2; more of them change nothing."""
    for gap in (0, 2, 40):
        made = trajectory([0, 0, *[-1] * gap, 1], rewards=[0.3, 0.5])
        found = credit([[0.0] * 3], level="token", smoothing=1.0, source="environment")([made], scores([0.0]))
        assert found.tokens[0].tolist() == pytest.approx([0.8, 0.8, 0.5])
        assert found.values[0].tolist() == pytest.approx([0.8, 0.5])


@pytest.mark.parametrize("level", ["step", "token"])
@pytest.mark.parametrize("ending", ["terminated", "truncated", "both", "closed"])
def test_against_a_plain_loop(credit, level, ending):
    draw = np.random.default_rng(4)
    flags = {"terminated": ending != "truncated", "truncated": ending != "terminated"}
    made = [
        trajectory([0, 0, -1, 1, 1, 1, -1, 2], draw.normal(size=3), **flags),
        trajectory([-1, 0], draw.normal(size=1), **flags),
    ]
    if ending == "closed":
        for one in made:
            one.terminated, one.truncated = False, True
    before, after = [draw.normal(size=6), draw.normal(size=1)], [0.7, -0.4]
    options = {"discount": 0.9, "smoothing": 0.8, "source": "environment", "bootstrap": ending != "closed"}
    found = credit(before, after, level=level, **options)(made, scores([1.0, 2.0]))
    starts, ends = [[0, 2, 5], [0]], [[1, 4, 5], [0]]
    for index, one in enumerate(made):
        behind = after[index] if ending == "truncated" else None
        if level == "step":
            rewards, values = list(one.rewards), before[index][starts[index]]
        else:
            rewards, values = np.zeros(before[index].size), before[index]
            rewards[ends[index]] = one.rewards
        expected = loop(rewards, values, behind, 0.9, 0.8)
        got = found.values[index] if level == "step" else found.tokens[index]
        assert got == pytest.approx(expected)
        assert found.targets[index] == pytest.approx(np.add(expected, values))
        assert found.baselines[index] == pytest.approx(values)
    assert found.decay == pytest.approx(0.72)
    assert found.statistics["bootstrapped"] == (1.0 if ending == "truncated" else 0.0)


def test_the_outcome_stands_on_the_last_action_and_perfect_values_leave_nothing(credit):
    made = trajectory([0, -1, 1])
    found = credit([[2.0, 2.0]])([made], scores([2.0]))
    assert found.values[0].tolist() == [0.0, 0.0]
    found = credit([[2.0, 1.0]], smoothing=0.0)([made], scores([2.0]))
    assert found.values[0].tolist() == [-1.0, 1.0]
    assert found.statistics["explained_variance"] == pytest.approx(1 - 1.0 / 0.25)


@pytest.mark.parametrize("level", ["step", "token"])
def test_actions_without_tokens_share_what_came_before(credit, level):
    made = trajectory([0, 0, 2], rewards=[1.0, 10.0, 100.0, 1000.0])
    found = credit([[0.0] * 3], level=level, smoothing=1.0, source="environment")([made], scores([0.0]))
    assert found.values[0].tolist() == [1111.0, 1111.0, 1100.0, 1100.0]


def test_failed_trajectories_and_those_without_tokens(credit):
    failed, silent = trajectory([0]), trajectory([], rewards=[1.0])
    batch = Scores(
        values=np.array([math.nan, 1.0, 1.0]), status=np.array([Status.FAILED, Status.SCORED, Status.SCORED])
    )
    found = credit([[0.0, 0.0]])([failed, silent, trajectory([0, 1])], batch)
    assert found.included.tolist() == [False, True, True]
    assert found.values[1].tolist() == [0.0]
    assert found.values[2].tolist() == pytest.approx([0.95, 1.0])
    bare = Trajectory(observations=[[], []], actions=[{"role": "assistant", "content": "x"}])
    with pytest.raises(ValueError, match="trajectory 0 has no tokens"):
        credit([])([bare], scores([1.0]))


def test_a_policy_gets_a_value_head_once():
    acting = policy()
    GAE(hidden=4).bind(acting)
    head = acting.value_head
    assert head.hidden == 4
    GAE().bind(acting)
    assert acting.value_head is head
    with pytest.raises(TypeError, match="a object cannot have"):
        GAE().bind(object())
    with pytest.raises(RuntimeError, match="call gae.bind"):
        GAE()([], scores([]))


@pytest.mark.parametrize("options", [{"level": "turn"}, {"source": "critic"}, {"discount": 1.1}, {"smoothing": -0.1}])
def test_bad_options_fail_at_once(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        GAE(**options)


def test_step_values_are_checked(credit):
    wrong = Scores(values=np.ones(1), steps=[np.zeros(2)])
    with pytest.raises(ValueError, match="has 1 actions but step values of shape"):
        credit([[0.0]], source="scores")([trajectory([0])], wrong)


def test_nothing_scored_gives_nothing():
    made = GAE()
    made.bind(policy())
    torch.manual_seed(0)
    found = made([trajectory([0])], Scores.blank(1, Status.FAILED))
    assert not found.included.any()
    assert found.statistics == {}
