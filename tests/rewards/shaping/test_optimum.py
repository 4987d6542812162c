from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import rewardlab as rl
from rewardlab.environments.tabular import MarkovDecisionProcess
from rewardlab.environments.tabular_worlds import grid, grid_cells
from rewardlab.functional.tabular import optimal_actions, value_iteration
from rewardlab.rewards.shaping import ActionPotential, TimePotential, can_change_optimum, shape
from rewardlab.types import Trajectory

LAYOUT = ("S..", ".#.", "..G")
WORLD = grid(LAYOUT, slip=0.1)
SEEN = grid_cells(LAYOUT).astype(float)
NEAR = shape.distance([0, 1], shape.at(2, 2))


@rl.reward
def near_now(next_observation: Any) -> Any:
    """The usual mistake: nearness itself as a bonus, so that staying beside the goal pays for ever."""
    return np.exp(-0.5 * np.abs(next_observation - 2).sum(-1))


@rl.reward
def pull(observation: Any, action: Any) -> Any:
    return observation[:, 0] * np.asarray(action)


def process(seed: int, *, ends: bool) -> MarkovDecisionProcess:
    generator = np.random.default_rng(seed)
    transitions = generator.dirichlet(np.ones(4), size=(4, 3))
    rewards = generator.normal(size=(4, 3))
    if ends:
        transitions[3], rewards[3] = np.eye(4)[3], 0.0
    return MarkovDecisionProcess(
        transitions=transitions,
        rewards=rewards,
        discount=0.9,
        initial=np.full(4, 0.25),
        terminal=np.array([False, False, False, ends]),
    )


@settings(max_examples=25, deadline=None)
@given(some.integers(0, 10_000), some.booleans())
def test_every_potential_is_recognised_and_recovered(seed: int, ends: bool) -> None:
    world = process(seed, ends=ends)
    phi = np.random.default_rng(seed + 1).normal(size=4)
    later = np.where(world.terminal, 0.0, phi)
    found = can_change_optimum(0.9 * later[None, None, :] - phi[:, None, None] + np.zeros((4, 3, 4)), world)
    assert found.verdict == "cannot"
    assert not found
    assert found.potential is not None
    assert found.potential == pytest.approx(later, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(some.integers(0, 10_000), some.booleans())
def test_everything_else_has_a_task_that_it_spoils(seed: int, ends: bool) -> None:
    world = process(seed, ends=ends)
    shaping = 0.01 * np.random.default_rng(seed + 1).normal(size=(4, 3))
    found = can_change_optimum(shaping, world)
    assert found.verdict in ("could", "does")
    rewards = found.witness["rewards"] if found.verdict == "could" else world.rewards
    shaping = np.where(world.terminal[:, None], 0.0, shaping)
    before, after = (value_iteration(world.transitions, one, 0.9)[1] for one in (rewards, rewards + shaping))
    live = ~world.terminal
    assert (optimal_actions(before, 1e-9) != optimal_actions(after, 1e-9))[live].any()


def test_nearness_as_a_bonus_changes_the_grid_and_as_a_potential_does_not() -> None:
    assert can_change_optimum(rl.potential(NEAR, WORLD.discount), WORLD, observations=SEEN).verdict == "cannot"
    bonus = can_change_optimum(near_now, WORLD, observations=SEEN)
    assert bonus.verdict == "does"
    assert bonus.witness["loss"] > 0
    assert "the best actions were" in str(bonus)
    small = can_change_optimum(0.001 * near_now, WORLD, observations=SEEN)
    assert small.verdict == "could"
    other = can_change_optimum(rl.potential(NEAR, 0.5), WORLD, observations=SEEN)  # another discount than the learner's
    assert other.verdict in ("could", "does")
    slope = can_change_optimum(rl.potential(NEAR, WORLD.discount, 0.0), WORLD, observations=SEEN)
    assert slope.verdict == "does"


def test_the_form_alone() -> None:
    sound = rl.potential(NEAR, 0.9) + 2.0 * TimePotential(phi=lambda observation, time: observation[:, 0], discount=0.9)
    assert can_change_optimum(sound, discount=0.9).verdict == "cannot"
    for shaping, reason in (
        (rl.potential(NEAR, 0.9, 0.5), "negative_slope=0.5"),
        (ActionPotential(phi=pull, discount=0.9, advice="look_ahead"), "look-ahead advice"),
        (sound + 0.1, "a constant of 0.1 at every step"),
    ):
        found = can_change_optimum(shaping)
        assert found.verdict == "could"
        assert reason in found.reason
    assert "use one number" in can_change_optimum(sound, discount=0.99).reason
    assert can_change_optimum(near_now).verdict == "unknown"


def test_trajectories_show_that_none_exists_and_never_that_one_does() -> None:
    uniform = np.full((WORLD.transitions.shape[0], 4), 0.25)
    walks = WORLD.sample(uniform, 30, steps=20, seed=0)
    by_cell = dict(enumerate(SEEN))
    seen = [
        Trajectory(
            observations=np.array([by_cell[int(np.ravel(one)[0])] for one in walk.observations]),
            actions=walk.actions,
            terminated=walk.terminated,
            truncated=walk.truncated,
        )
        for walk in walks
    ]
    good = can_change_optimum(rl.potential(NEAR, 0.95), seen, discount=0.95)
    assert good.verdict == "unknown"
    assert good.witness["checked"] > 0
    bad = can_change_optimum(near_now, seen, discount=0.95)
    assert bad.verdict == "could"
    assert abs(bad.witness["unexplained"]) > 0.01
    featured = can_change_optimum(
        rl.potential(shape.along([0]) + 2 * shape.along([1]), 0.95), seen, discount=0.95, features=lambda rows: rows
    )
    assert featured.witness["weights"] == pytest.approx([1.0, 2.0])
    assert (
        can_change_optimum(near_now, seen, discount=0.95, features=lambda rows: rows).witness["unexplained_share"]
        > 0.01
    )


def test_states_that_never_come_twice_decide_nothing() -> None:
    rows = np.random.default_rng(0).normal(size=(9, 2))
    found = can_change_optimum(near_now, [Trajectory(observations=rows, actions=np.zeros(8))], discount=0.9)
    assert found.verdict == "unknown"
    assert "close no circle" in found.reason


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 2)), WORLD), r"shaping must be \[8, 4\] or \[8, 4, 8\], got shape \(2, 2\)"),
        ((np.zeros((2, 2)), None), "an array says nothing without a process"),
        ((near_now, []), "trajectories hold no discount"),
    ],
)
def test_messages(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        can_change_optimum(*arguments)
    with pytest.raises(ValueError, match="observations must hold one row for each of 8 states, got 2"):
        can_change_optimum(near_now, WORLD, observations=np.zeros((2, 2)))
