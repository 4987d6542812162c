"""Edges of reward machines, and the checks that make a table of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rewardlab.rewards.base import Reward
from rewardlab.rewards.formal.labels import check_transition_reward
from rewardlab.rewards.formal.syntax import Formula, disjunction, negation, propositions, witness
from rewardlab.rewards.formal.tables import Arc, MachineTable, overlap, shown, uncovered
from rewardlab.rewards.spec import from_spec

OTHERWISE = "otherwise"
"""The guard of an edge that is taken where no other edge of its state is."""
TERMINATED = "terminated"
"""A proposition that every machine may use and no labelling gives: the environment ended the trajectory with this step."""
STAY = "stay"
"""What `otherwise` is called that leads nowhere."""


class Edge(NamedTuple):
    """One edge of a machine.

    Args:
        source: the state that it leaves.
        target: the state that it leads to.
        guard: when it is taken, such as `coffee & !plant`; or `otherwise`.
        reward: what it pays: a number, or a reward of single transitions.
    """

    source: str
    target: str
    guard: str
    reward: float | Reward = 0.0


def read_edge(entry: Any, number: int) -> Edge:
    """An edge from three or four values, checked.

    Args:
        entry: source, target, guard and perhaps the reward: a number, a reward, or the spec of one.
        number: its place among the edges, for messages.

    Raises:
        ValueError: it has another length, pays what is not finite, or a state has a name that means something else.
        TypeError: the guard is no text, or the reward is not one of single transitions.
    """
    if not isinstance(entry, (tuple, list)) or not 3 <= len(entry) <= 4:
        raise ValueError(
            f"edge {number} must be (source, target, guard, reward), the reward 0 where left out, got {entry!r:.120}"
        )
    source, target, guard, *rest = entry
    if not isinstance(guard, str):
        raise TypeError(f"the guard of edge {number} must be text such as 'coffee & !plant', got {guard!r:.80}")
    reward: Any = rest[0] if rest else 0.0
    where = f"the edge {source} -> {target}"
    if isinstance(reward, (str, Mapping)):
        reward = from_spec(reward)
    if isinstance(reward, Reward):
        check_transition_reward(reward, where=where)
    elif not isinstance(reward, (int, float, np.integer, np.floating)) or not np.isfinite(reward):
        raise ValueError(f"{where} must pay a finite number or a reward of single transitions, got {reward!r:.80}")
    else:
        reward = float(reward)
    state = str(source), str(target)
    if STAY in state:
        raise ValueError(f"{where}: no state can be called 'stay', which is what otherwise=\"stay\" means")
    return Edge(*state, guard.strip(), reward)


def build_table(
    states: Sequence[str],
    edges: Sequence[Edge],
    guards: Sequence[Formula],
    terminal: Iterable[str],
    otherwise: str | None,
) -> MachineTable:
    """The machine by numbers, complete.

    Args:
        states: names, the initial one first.
        edges: the edges.
        guards: the guard of each, read; what stands for `otherwise` does not matter.
        terminal: states in which the task is over.
        otherwise: see `RewardMachine`.

    Raises:
        ValueError: it is not deterministic, not complete, or has a state that nothing leads to.
    """
    position = {state: number for number, state in enumerate(states)}
    mentioned = {name for edge in edges for name in (edge.source, edge.target)} | {states[0]}
    ends = set(terminal)
    if otherwise is not None and otherwise != STAY and otherwise not in mentioned:
        ends.add(otherwise)
    leaving: dict[str, list[int]] = {state: [] for state in states}
    for number, edge in enumerate(edges):
        if edge.source in ends:
            raise ValueError(
                f"state {edge.source!r} is terminal and has an edge to {edge.target!r}; drop the edge, or take the state "
                "out of 'terminal'"
            )
        leaving[edge.source].append(number)
    arcs: list[Arc] = []
    for state, numbers in leaving.items():
        if state not in ends:
            arcs += _arcs_of(
                state, [(number, edges[number], guards[number]) for number in numbers], position, otherwise
            )
    _check_reached(arcs, position, ends, spare=otherwise)
    used = sorted({name for arc in arcs for name in propositions(arc.guard)})
    return MachineTable(tuple(used), tuple(states), tuple(arcs), np.array([state in ends for state in states]))


def _arcs_of(
    state: str,
    leaving: Sequence[tuple[int, Edge, Formula]],
    position: Mapping[str, int],
    otherwise: str | None,
) -> list[Arc]:
    plain = [entry for entry in leaving if entry[1].guard != OTHERWISE]
    rest = [entry for entry in leaving if entry[1].guard == OTHERWISE]
    for place, (_, edge, guard) in enumerate(plain):
        if witness(guard) is None:
            raise ValueError(
                f"the guard {edge.guard!r} of the edge {state} -> {edge.target} can never hold; drop the edge"
            )
        for _, other, other_guard in plain[place + 1 :]:
            if (edge.target, edge.reward) == (other.target, other.reward):
                continue
            both = overlap(guard, other_guard)
            if both is not None:
                raise ValueError(
                    f"state {state!r} is non-deterministic: with {shown(both)}, both {edge.guard!r} (to {edge.target}) and "
                    f"{other.guard!r} (to {other.target}) hold; make the guards exclude one another"
                )
    if len(rest) > 1:
        raise ValueError(f"state {state!r} has {len(rest)} edges with the guard 'otherwise'; keep one")
    guards = [guard for _, _, guard in plain]
    arcs = [Arc(position[state], position[edge.target], guard, number) for number, edge, guard in plain]
    left = uncovered(guards)
    if left is None:
        return arcs
    remaining = negation(disjunction(guards))
    if rest:
        return [*arcs, Arc(position[state], position[rest[0][1].target], remaining, rest[0][0])]
    if otherwise is None:
        raise ValueError(
            f"state {state!r} has no transition for {shown(left)}; add an edge, one with the guard 'otherwise', or say "
            'otherwise="stay" (or the name of a sink) for the whole machine'
        )
    target = state if otherwise == STAY else otherwise
    return [*arcs, Arc(position[state], position[target], remaining, -1)]


def _check_reached(arcs: Iterable[Arc], position: Mapping[str, int], ends: set[str], spare: str | None) -> None:
    """Every state can be reached, but for the sink of `otherwise`, which a complete machine may not need."""
    following: dict[int, set[int]] = {}
    for arc in arcs:
        following.setdefault(arc.source, set()).add(arc.target)
    reached, frontier = {0}, [0]
    while frontier:
        for target in following.get(frontier.pop(), ()):
            if target not in reached:
                reached.add(target)
                frontier.append(target)
    names = list(position)
    for state, number in position.items():
        if number not in reached and state != spare:
            kind = "terminal state" if state in ends else "state"
            raise ValueError(
                f"the {kind} {state!r} cannot be reached from {names[0]!r}; is an edge to it missing, or is its name "
                f"misspelt? The states are {', '.join(names)}"
            )
