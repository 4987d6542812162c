"""The small worlds of the witnesses: each function gives a process, an objective, and the policies that matter."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.formal.objectives.base import Objective

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess

Floats = NDArray[np.float64]
Task = tuple[Any, Objective, Floats]


def process(
    following: Any, *, rewards: Any = None, initial: Any = None, terminal: Any = None, discount: float = 0.9
) -> MarkovDecisionProcess:
    """A process from `following[s][a]`: a next state, or a law of next states."""
    from rewardlab.environments.tabular import MarkovDecisionProcess

    count, actions = len(following), len(following[0])
    transitions = np.zeros((count, actions, count))
    for state, action in itertools.product(range(count), range(actions)):
        target = following[state][action]
        if isinstance(target, int):
            transitions[state, action, target] = 1.0
        else:
            transitions[state, action] = target
    table = np.zeros((count, actions)) if rewards is None else np.asarray(rewards, dtype=np.float64)
    start = np.eye(count)[0] if initial is None else np.asarray(initial, dtype=np.float64)
    return MarkovDecisionProcess(transitions, table, discount, start, terminal)


def binary(*shares: float) -> Floats:
    """A policy of two actions: how likely action 1 is in each state."""
    share = np.asarray(shares, dtype=np.float64)
    return np.stack([1 - share, share], axis=1)


def second_action(observation: Any, action: Any, next_observation: Any) -> dict[str, Any]:
    """Labels: `second` holds where action 1 is taken."""
    return {"second": np.asarray(action) == 1}


def good_start(observation: Any, action: Any, next_observation: Any) -> dict[str, Any]:
    """Labels: `good` holds where action 0 is taken in state 0."""
    return {"good": (np.asarray(observation) == 0) & (np.asarray(action) == 0)}


def at_goal(observation: Any, action: Any, next_observation: Any) -> dict[str, Any]:
    """Labels: `goal` holds on the way into state 1."""
    return {"goal": np.asarray(next_observation) == 1}


def alternating_machine() -> Any:
    """Pays 1 for an action that differs from the last one."""
    from rewardlab.rewards.formal.machines import RewardMachine

    return RewardMachine(
        transitions=(
            ("begin", "first", "!second", 0.0),
            ("begin", "second_one", "second", 0.0),
            ("first", "first", "!second", 0.0),
            ("first", "second_one", "second", 1.0),
            ("second_one", "second_one", "second", 0.0),
            ("second_one", "first", "!second", 1.0),
        ),
        labels=second_action,
    )


def alternate() -> Task:
    """Two states in turn, whatever is done; a machine that pays for another action than the last."""
    from rewardlab.rewards.formal.objectives.logic import MachineReturn

    loop = process([[1, 1], [0, 0]])
    shares = (0.0, 0.5, 1.0)
    return loop, MachineReturn(alternating_machine()), np.stack([binary(p, q) for p in shares for q in shares])


def first_two_differ() -> Task:
    """The same loop; a formula of the first two actions."""
    from rewardlab.rewards.formal.objectives.logic import TemporalLogic

    loop = process([[1, 1], [0, 0]])
    objective = TemporalLogic("(second & X !second) | (!second & X second)", second_action)
    shares = (0.0, 0.5, 1.0)
    return loop, objective, np.stack([binary(p, q) for p in shares for q in shares])


def _way() -> tuple[Any, Floats]:
    """Stay or go, then at the goal for ever; ever smaller chances of going, and none at the end."""
    chances = [0.5**k for k in range(1, 13)]
    return process([[0, 1], [1, 1]]), np.stack([binary(one, 0.0) for one in [*chances, 0.0]])


def eventually_reach() -> Task:
    """A formula: some day at the goal."""
    from rewardlab.rewards.formal.objectives.logic import TemporalLogic

    world, policies = _way()
    return world, TemporalLogic("F goal", at_goal), policies


def share_of_time_reached() -> Task:
    """The long-run share of time at the goal."""
    from rewardlab.rewards.formal.objectives.sums import LimitAverage

    world, policies = _way()
    return world, LimitAverage(np.array([0.0, 1.0])), policies


def first_action() -> Task:
    """Two first actions to one place: a formula sees which, and no long-run average does."""
    from rewardlab.rewards.formal.objectives.logic import TemporalLogic

    world = process([[1, 1], [1, 1]])
    return world, TemporalLogic("good", good_start), np.stack([binary(0.0, 0.0), binary(1.0, 0.0)])


def _three_ways() -> tuple[Any, Floats]:
    world = process([[1, 2, 3], [1, 1, 1], [2, 2, 2], [3, 3, 3]])
    return world, np.stack([np.eye(3)[[action, 0, 0, 0]] for action in range(3)])


def three_averages() -> Task:
    """Three sure ways with long-run averages 0, 1/2 and 1."""
    from rewardlab.rewards.formal.objectives.sums import LimitAverage

    world, policies = _three_ways()
    return world, LimitAverage(np.array([0.0, 0.0, 0.5, 1.0])), policies


def three_returns() -> Task:
    """Three sure ways with three returns."""
    from rewardlab.rewards.formal.objectives.sums import Markov

    world, policies = _three_ways()
    return world, Markov(np.array([0.0, 0.0, 0.5, 1.0])), policies


def soon() -> Task:
    """Straight to the goal, or by a detour."""
    from rewardlab.rewards.formal.objectives.sums import Markov

    world = process([[1, 2], [1, 1], [1, 1]])
    return world, Markov(np.array([0.0, 1.0, 0.0])), np.stack([binary(0.0, 0.0, 0.0), binary(1.0, 0.0, 0.0)])


def balance() -> Task:
    """Two states, each left by action 1: the long-run share of time in the second is p / (p + q)."""
    from rewardlab.rewards.formal.objectives.sums import LimitAverage

    world = process([[0, 1], [1, 0]])
    shares = (0.25, 0.5, 1.0)
    return world, LimitAverage(np.array([0.0, 1.0])), np.stack([binary(p, q) for p in shares for q in shares])


def uneven(chances: Floats) -> float:
    """0 for even chances, and 1 for all others."""
    return float(np.abs(chances - chances.mean()).max() > 1e-12)


def exactly_even() -> Task:
    """One state: even chances, or nothing."""
    from rewardlab.rewards.formal.objectives.sums import Regularised

    near = [0.5 + 0.5**k for k in range(2, 14)]
    world = process([[0, 0]])
    return world, Regularised(1.0, kind="function", function=uneven), np.stack([binary(one) for one in [*near, 0.5]])


def most_random_of_three() -> Task:
    """One state, three actions: entropy."""
    from rewardlab.rewards.formal.objectives.sums import Regularised

    policies = [np.eye(3)[[action]] for action in range(3)]
    policies += [np.full((1, 3), 1 / 3), np.array([[0.5, 0.5, 0.0]]), np.array([[0.1, 0.2, 0.7]])]
    return process([[0, 0, 0]]), Regularised(1.0), np.stack(policies)


def _one_shot(rewards: Any = None) -> tuple[Any, Floats]:
    world = process([[1, 2], [1, 1], [2, 2]], rewards=rewards, terminal=np.array([False, True, True]))
    return world, np.stack([binary(share, 0.0, 0.0) for share in (0.0, 0.5, 1.0)])


def one_shot_mixture() -> Task:
    """One decision and the end: entropy."""
    from rewardlab.rewards.formal.objectives.sums import Regularised

    world, policies = _one_shot()
    return world, Regularised(1.0), policies


def near_half(mean: float) -> float:
    """How near a number is to one half."""
    return -((mean - 0.5) ** 2)


def one_shot_target() -> Task:
    """One decision and the end: an expected return near one half."""
    from rewardlab.rewards.formal.objectives.returns import OuterNonlinear

    world, policies = _one_shot([[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    return world, OuterNonlinear(near_half), policies


def exactly_one(mean: float) -> float:
    """1 where the mean is 1, and 0 elsewhere."""
    return float(abs(mean - 1.0) < 1e-9)


def on_target() -> Task:
    """One state: an expected return of exactly 1, which even chances give at a discount of 1/2."""
    from rewardlab.rewards.formal.objectives.returns import OuterNonlinear

    near = [0.5 + 0.5**k for k in range(2, 14)]
    world = process([[0, 0]], rewards=[[0.0, 1.0]], discount=0.5)
    return world, OuterNonlinear(exactly_one), np.stack([binary(one) for one in [*near, 0.5]])


def target_of_two() -> Task:
    """One of two decisions, by lot: one of them should earn, and not both."""
    from rewardlab.rewards.formal.objectives.returns import OuterNonlinear

    world = process(
        [[2, 2], [2, 2], [2, 2]],
        rewards=[[0.0, 1.0], [0.0, 1.0], [0.0, 0.0]],
        initial=[0.5, 0.5, 0.0],
        terminal=np.array([False, False, True]),
    )
    policies = np.stack([binary(p, q, 0.0) for p in (0.0, 1.0) for q in (0.0, 1.0)])
    return world, OuterNonlinear(near_half), policies


def enough_is_enough() -> Task:
    """Two rounds: 1 for sure, or 2 with an even chance; the second round does not see how the first went."""
    from rewardlab.rewards.formal.objectives.returns import Satisficing

    even = np.zeros((2, 9))
    even[0, [2, 3]] = even[1, [6, 7]] = 0.5
    following: list[list[Any]] = [[1, even[0]], [4, 4], [4, 4], [4, 4], [5, even[1]], [8, 8], [8, 8], [8, 8], [8, 8]]
    paid = np.zeros((9, 2))
    paid[[1, 5]], paid[[2, 6]] = 1.0, 2.0
    world = process(following, rewards=paid, terminal=np.arange(9) == 8)
    policies = np.stack([binary(p, 0, 0, 0, q, 0, 0, 0, 0) for p in (0.0, 1.0) for q in (0.0, 1.0)])
    return world, Satisficing(2.0, discount=1.0), policies


def constrained() -> Task:
    """One state: what earns also costs, and the limit lets it be done half the time."""
    from rewardlab.rewards.formal.objectives.programmes import CMDP

    world = process([[0, 0]], rewards=[[0.0, 1.0]])
    policies = np.stack([binary(share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)])
    return world, CMDP({"harm": np.array([[0.0, 1.0]])}, {"harm": 5.0}), policies


def careful_elsewhere(policy: Floats) -> float:
    """How likely action 0 is in state 1."""
    return float(policy[1, 0])


def unreached_state() -> Task:
    """A state that nothing leads to, and what would be done there."""
    from rewardlab.rewards.formal.objectives.vectors import PolicyFunction

    return process([[0, 0], [0, 0]]), PolicyFunction(careful_elsewhere), np.stack([binary(0, 0), binary(0, 1)])


def priorities() -> Task:
    """One state, three actions: how often the second comes first, how often the third decides between ties."""
    from rewardlab.rewards.formal.objectives.vectors import Lexicographic

    world = process([[0, 0, 0]])
    objective = Lexicographic([("first", np.array([[0.0, 1.0, 0.0]])), ("second", np.array([[0.0, 0.0, 1.0]]))])
    policies = [np.array([[1 - x - y, x, y]]) for x in np.linspace(0, 0.8, 41) for y in (0.0, 0.2)]
    return world, objective, np.stack(policies)
