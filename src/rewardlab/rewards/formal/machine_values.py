"""What can be computed from a reward machine alone, or from a machine and a decision process.

The smallest machine that pays the same, potentials for shaping, experience in every state of the machine, and the product in
which rewards are Markov again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional.tabular import value_iteration
from rewardlab.rewards.base import Reward
from rewardlab.rewards.formal.edges import Edge
from rewardlab.rewards.formal.machines import RewardMachine
from rewardlab.rewards.formal.tables import blocks_of, cover

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess

_LARGEST_TABLE = 1 << 22


def minimise(machine: RewardMachine) -> RewardMachine:
    """The smallest machine that pays the same for every sequence of valuations, and is over at the same moments.

    States are told apart by what they pay and where they lead, as in Moore's refinement. A merged state keeps the name of
    its first member. Rewards on edges are the same where they are equal as rewards.

    Raises:
        ValueError: the table of states and valuations would be too large.
    """
    table = machine.table
    names = table.propositions
    cases = len(table.states) << len(names)
    if cases > _LARGEST_TABLE:
        raise ValueError(
            f"the machine has {len(table.states)} states and {len(names)} propositions, so {cases} cases; machines of up to "
            f"{_LARGEST_TABLE} can be minimised"
        )
    following, edge = table.dense()
    kinds: list[float | Reward] = [0.0]
    kind_of_edge = np.zeros(len(machine.transitions) + 1, dtype=np.intp)
    for number, entry in enumerate(machine.transitions):
        if entry.reward not in kinds:
            kinds.append(entry.reward)
        kind_of_edge[number] = kinds.index(entry.reward)
    kind = kind_of_edge[edge]
    block = blocks_of(following, kind, table.terminal.astype(np.intp))
    first = [int(np.flatnonzero(block == number)[0]) for number in range(int(block.max()) + 1)]
    edges = []
    for state in first:
        if table.terminal[state]:
            continue
        targets = block[following[state]]
        for target, paid in sorted(set(zip(targets.tolist(), kind[state].tolist(), strict=True))):
            guard = cover((targets == target) & (kind[state] == paid), names)
            edges.append(Edge(table.states[state], table.states[first[target]], str(guard), kinds[paid]))
    terminal = tuple(table.states[state] for state in first if table.terminal[state])
    return replace(machine, transitions=edges, initial=table.states[0], terminal=terminal, otherwise=None)


def potential(machine: RewardMachine, discount: float) -> NDArray[np.float64]:
    """What is to be had from each state of a machine if every valuation could be brought about at will.

    Taken as the potential of potential-based shaping it pays for progress through the machine: staying costs a little, the
    next edge towards the reward is free. No optimal policy of the product changes (Ng et al. 1999), because the potential
    depends on the machine's state alone, is 0 in its terminal states, and counts as 0 where a trajectory ends.

    Source: Toro Icarte et al. 2022, section 5.

    Args:
        machine: rewards on its edges must be numbers.
        discount: in [0, 1).

    Returns:
        float64[state], 0 in terminal states.

    Raises:
        ValueError: an edge pays what a reward of transitions says, which the machine alone does not know.
    """
    table = machine.table
    count = len(table.states)
    leaving: list[list[tuple[int, float]]] = [[] for _ in range(count)]
    for arc in table.arcs:
        paid = 0.0 if arc.reward < 0 else machine.transitions[arc.reward].reward
        if isinstance(paid, Reward):
            edge = machine.transitions[arc.reward]
            raise ValueError(
                f"the edge {edge.source} -> {edge.target} pays {paid.label}, which depends on the transition, so the "
                "machine alone has no potential; use numbers on edges, or shape with a potential of your own"
            )
        leaving[arc.source].append((arc.target, paid))
    width = max(len(entry) for entry in leaving)
    transitions, rewards = np.zeros((count, width, count)), np.zeros((count, width))
    for state, ways in enumerate(leaving):
        for slot in range(width):  # a state with fewer ways repeats its first one
            target, paid = ways[slot if slot < len(ways) else 0] if ways else (state, 0.0)
            transitions[state, slot, target], rewards[state, slot] = 1.0, paid
    return value_iteration(transitions, rewards, discount)[0]


@dataclass(frozen=True, eq=False)
class CounterfactualExperience:
    """Experience in every state of a machine, from transitions that were seen in one each; M rows.

    Args:
        row: int[M], which of the N transitions.
        state: int[M], the state of the machine before.
        next_state: int[M], the state after.
        reward: float64[M].
        terminated: bool[M], the environment ended, or the machine's task was over.
    """

    row: NDArray[np.intp]
    state: NDArray[np.intp]
    next_state: NDArray[np.intp]
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]


def counterfactual(
    machine: RewardMachine, observation: Any, action: Any, next_observation: Any, terminated: Any, info: Any = None
) -> CounterfactualExperience:
    """What N transitions would have been worth in every state in which the task is not over.

    What the environment does does not depend on the machine, so each transition is experience for all of its states; an
    off-policy learner may use them all. Source: Toro Icarte et al. 2022, section 4.2 (CRM).

    Returns:
        M = N times the number of states that are not terminal; rows of one state follow one another.
    """
    ended = np.asarray(terminated, dtype=bool)
    valuation = machine.valuation(observation, action, next_observation, ended, info)
    table = machine.table
    live = np.flatnonzero(~table.terminal)
    row = np.tile(np.arange(len(ended)), len(live))
    state = np.repeat(live, len(ended))
    following, edge = table.step(state, valuation[row])
    rewards = machine.paid(edge, row, (observation, action, next_observation, ended))
    rewards = rewards + machine.shaping_of(state, following, ended[row])
    return CounterfactualExperience(row, state, following, rewards, ended[row] | table.terminal[following])


def product(
    machine: RewardMachine, process: MarkovDecisionProcess, *, environment_weight: float = 0.0
) -> MarkovDecisionProcess:
    """The decision process whose states are those of the environment and of the machine together.

    State `s` with the machine in state `u` has the number `s * len(machine.states) + u`. It is terminal where either is.
    Labels read the numbers of state, action and next state.

    Args:
        machine: with a labelling that needs no info.
        process: the environment.
        environment_weight: how much of the environment's own reward is added.

    Returns:
        The product; `policy.reshape(S, U, A)` has what to do in each state of environment and machine.
    """
    from rewardlab.environments.tabular import MarkovDecisionProcess

    states, actions, count = process.states, process.actions, len(machine.states)
    before, action, after = (column.reshape(-1) for column in np.indices((states, actions, states)))
    possible = process.transitions.reshape(-1) > 0
    before, action, after = before[possible], action[possible], after[possible]
    chance = process.transitions.reshape(-1)[possible]
    live = ~process.terminal[before]
    before, action, after, chance = before[live], action[live], after[live], chance[live]
    ended = process.terminal[after]
    valuation = machine.valuation(before, action, after, ended, None)
    transitions = np.zeros((states, count, actions, states, count))
    rewards = np.zeros((states, count, actions))
    columns = (before, action, after, ended)
    for state in np.flatnonzero(~machine.table.terminal):
        here = np.full(len(before), state)
        following, edge = machine.table.step(here, valuation)
        paid = machine.paid(edge, np.arange(len(before)), columns) + machine.shaping_of(here, following, ended)
        np.add.at(transitions, (before, here, action, after, following), chance)
        np.add.at(rewards, (before, here, action), chance * paid)
    rewards += environment_weight * process.rewards[:, None, :]
    terminal = process.terminal[:, None] | machine.table.terminal[None, :]
    over = np.argwhere(terminal)
    transitions[over[:, 0], over[:, 1], :, over[:, 0], over[:, 1]] = 1.0
    rewards[terminal] = 0.0
    initial = np.zeros((states, count))
    initial[:, 0] = process.initial
    names = None
    if process.state_names is not None:
        names = tuple(f"{name} {state}" for name in process.state_names for state in machine.states)
    return MarkovDecisionProcess(
        transitions=transitions.reshape(states * count, actions, states * count),
        rewards=rewards.reshape(states * count, actions),
        discount=process.discount,
        initial=initial.reshape(-1),
        terminal=terminal.reshape(-1),
        state_names=names,
        action_names=process.action_names,
    )
