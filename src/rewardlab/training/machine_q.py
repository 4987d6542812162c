"""Tabular Q-learning on the product of a finite decision process and a reward machine, with counterfactual experience.

What a transition would have been worth in every other state of the machine costs nothing to know, so one step of the world
updates the values of all of them (CRM). Several seeds run side by side, and the greedy policy is valued exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rewardlab.environments.tabular import MarkovDecisionProcess
from rewardlab.rewards.formal.ltlf import LTLf
from rewardlab.rewards.formal.machines import RewardMachine


@dataclass(frozen=True, eq=False)
class MachineQLearning:
    """What was learned.

    Args:
        action_values: float64[seed, state, machine state, action].
        steps: int[point], after how many steps of the world the greedy policy was valued.
        returns: float64[point, seed], its exact discounted return, without shaping.
        best: the return of an optimal policy.
    """

    action_values: NDArray[np.float64]
    steps: NDArray[np.intp]
    returns: NDArray[np.float64]
    best: float


def machine_q_learning(
    machine: RewardMachine | LTLf,
    process: MarkovDecisionProcess,
    *,
    steps: int,
    seeds: Sequence[int],
    counterfactual: bool = True,
    rate: float = 0.5,
    exploration: float = 0.1,
    limit: int = 100,
    points: int = 10,
) -> MachineQLearning:
    """Learn with Q-learning what to do in each state of the world and of the machine.

    Source: Toro Icarte et al. 2022, algorithm 1 (tabular, with counterfactual experience).

    Args:
        machine: a machine or formula with a labelling; `machine.shaped(discount)` learns with shaping.
        process: the world; its own rewards are not used.
        steps: of the world, for each seed.
        seeds: one run for each.
        counterfactual: update all states of the machine from each transition, not only the one it was in.
        rate: of learning, in (0, 1].
        exploration: share of random actions.
        limit: steps after which an attempt is cut off; the value of what would follow is still counted.
        points: at how many moments the greedy policy is valued.

    Raises:
        ValueError: a number outside its range.
    """
    for name, value, low in (("steps", steps, 1), ("limit", limit, 1), ("points", points, 1)):
        if value < low:
            raise ValueError(f"{name} must be at least {low}, got {value}")
    if not 0 < rate <= 1 or not 0 <= exploration <= 1:
        raise ValueError(f"rate must be in (0, 1] and exploration in [0, 1], got {rate} and {exploration}")
    machine = machine.machine if isinstance(machine, LTLf) else machine
    truth = replace(machine, shaping=None).product(process)
    states, actions, size = process.states, process.actions, len(machine.states)
    following, paid, over, live = _tables(machine, process)
    chances = np.stack([np.random.default_rng(seed).random((steps + 1, actions + 4)) for seed in seeds], axis=1)
    count = chances.shape[1]
    rows = np.arange(count)
    values = np.zeros((count, states, size, actions))
    cumulative = process.transitions.cumsum(-1)
    first = process.initial.cumsum()
    state = np.searchsorted(first, chances[0, :, 0])
    memory, age = np.zeros(count, dtype=np.intp), np.zeros(count, dtype=np.intp)
    moments = np.unique(np.linspace(0, steps, points + 1).round().astype(int)[1:])
    returns = []
    every = np.broadcast_to(live, (count, live.size))
    for step in range(1, steps + 1):
        draws = chances[step]
        greedy = (values[rows, state, memory] + 1e-9 * draws[:, :actions]).argmax(1)  # ties are broken by chance
        wild = draws[:, actions] < exploration
        action = np.where(wild, (draws[:, actions + 1] * actions).astype(int), greedy)
        after = (draws[:, actions + 2, None] > cumulative[state, action]).sum(1)
        updated = every if counterfactual else memory[:, None]
        at = rows[:, None], state[:, None], updated, action[:, None]
        where = state[:, None], action[:, None], after[:, None], updated
        then = following[where]
        ahead = values[rows[:, None], after[:, None], then].max(-1)
        target = paid[where] + process.discount * np.where(over[where], 0.0, ahead)
        values[at] += rate * (target - values[at])
        here = state, action, after, memory
        age += 1
        again = over[here] | (age >= limit)
        memory = np.where(again, 0, following[here])
        state = np.where(again, np.searchsorted(first, draws[:, actions + 3]), after)
        age[again] = 0
        if step in moments:
            policy = np.eye(actions)[values.argmax(-1)].reshape(count, states * size, actions)
            returns.append(truth.expected_return(policy))
    return MachineQLearning(values, moments, np.stack(returns), float(truth.expected_return(truth.optimal_policy())))


def _tables(
    machine: RewardMachine, process: MarkovDecisionProcess
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.bool_], NDArray[np.intp]]:
    """Next machine state, reward and end for each [state, action, next state, machine state], and the states still open."""
    shape = (*process.transitions.shape, len(machine.states))
    before, action, after = (column.reshape(-1) for column in np.indices(shape[:3]))
    seen = machine.counterfactual(before, action, after, process.terminal[after])
    following = np.zeros((before.size, shape[3]), dtype=np.intp)
    paid, over = np.zeros(following.shape), np.ones(following.shape, dtype=bool)
    at = seen.row, seen.state
    following[at], paid[at], over[at] = seen.next_state, seen.reward, seen.terminated
    live = np.flatnonzero(~machine.table.terminal)
    return following.reshape(shape), paid.reshape(shape), over.reshape(shape), live
