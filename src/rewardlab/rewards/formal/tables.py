"""What a reward machine does, as arrays: state and valuation in, next state and edge out.

A valuation says which propositions hold. Its code has bit p set where proposition p does. With few propositions a machine is
a table of states by codes, so that any number of environments take one step in one look-up; with more, guards are evaluated
on the rows at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.formal.syntax import (
    Formula,
    Proposition,
    conjunction,
    disjunction,
    evaluate,
    negation,
    witness,
)

TABLE_LIMIT = 10
"""Up to how many propositions a machine is kept as a table."""


class Arc(NamedTuple):
    """An edge between states by number. `reward` is the number of the edge that pays, -1 where nothing is paid."""

    source: int
    target: int
    guard: Formula
    reward: int


@dataclass(frozen=True, eq=False)
class MachineTable:
    """A deterministic and complete machine by numbers.

    Args:
        propositions: the names, in the order of the columns of a valuation.
        states: names of the states.
        arcs: every edge, implied ones included; terminal states have none.
        terminal: bool[state].
    """

    propositions: tuple[str, ...]
    states: tuple[str, ...]
    arcs: tuple[Arc, ...]
    terminal: NDArray[np.bool_]
    _dense: tuple[NDArray[np.int32], NDArray[np.int32]] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if len(self.propositions) <= TABLE_LIMIT:
            object.__setattr__(self, "_dense", self.dense())

    def dense(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The table: next state int32[state, code] and edge int32[state, code], -1 where nothing is paid."""
        columns = code_columns(self.propositions)
        size = 1 << len(self.propositions)
        following = np.repeat(np.arange(len(self.states), dtype=np.int32)[:, None], size, axis=1)
        edge = np.full((len(self.states), size), -1, dtype=np.int32)
        for arc in self.arcs:
            rows = evaluate(arc.guard, columns, size)
            following[arc.source, rows] = arc.target
            edge[arc.source, rows] = arc.reward
        return following, edge

    def step(self, state: NDArray[np.intp], valuation: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """One step of N machines at once.

        Args:
            state: int[N].
            valuation: bool[N, proposition].

        Returns:
            The next state int[N], and the edge that pays int[N], -1 where nothing is paid (terminal states stay).
        """
        if self._dense is not None:
            codes = valuation_codes(valuation)
            return self._dense[0][state, codes].astype(np.intp), self._dense[1][state, codes].astype(np.intp)
        following, edge = state.copy(), np.full(state.shape, -1, dtype=np.intp)
        columns = dict(zip(self.propositions, valuation.T, strict=True))
        for arc in self.arcs:
            rows = state == arc.source
            if rows.any():
                rows = rows & evaluate(arc.guard, columns, state.shape)
                following[rows], edge[rows] = arc.target, arc.reward
        return following, edge


def code_columns(names: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """For each proposition, in which of the 2 ** P codes it holds."""
    codes = np.arange(1 << len(names))
    return {name: (codes >> position & 1).astype(bool) for position, name in enumerate(names)}


def valuation_codes(valuation: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Codes int[...] of valuations bool[..., proposition]."""
    weights = 1 << np.arange(valuation.shape[-1], dtype=np.intp)
    return valuation.astype(np.intp) @ weights


def decode(code: int, names: Sequence[str]) -> tuple[str, ...]:
    """The propositions that hold in a code."""
    return tuple(name for position, name in enumerate(names) if code >> position & 1)


def cover(codes: NDArray[np.bool_], names: Sequence[str]) -> Formula:
    """A short disjunction of conjunctions that holds in just the codes marked.

    Args:
        codes: bool[2 ** P].
        names: the P propositions.

    Returns:
        Each marked code grown to a cube by dropping literals while it stays inside; true where all are marked. Short, though
        not always the shortest.
    """
    every = np.arange(codes.size)
    open_codes = codes.copy()
    cubes: list[Formula] = []
    while open_codes.any():
        start = int(np.flatnonzero(open_codes)[0])
        mask = codes.size - 1
        for position in reversed(range(len(names))):
            wider = mask & ~(1 << position)
            if codes[(every & wider) == (start & wider)].all():
                mask = wider
        open_codes &= (every & mask) != (start & mask)
        literals = [
            Proposition(name) if start >> position & 1 else negation(Proposition(name))
            for position, name in enumerate(names)
            if mask >> position & 1
        ]
        cubes.append(conjunction(literals))
    return disjunction(cubes)


def shown(valuation: dict[str, bool]) -> str:
    """A valuation in words: `coffee and not office`."""
    parts = [name if value else f"not {name}" for name, value in valuation.items()]
    return " and ".join(parts) if parts else "any valuation"


def overlap(first: Formula, second: Formula) -> dict[str, bool] | None:
    """A valuation in which both guards hold, or None."""
    return witness(conjunction([first, second]))


def uncovered(guards: Sequence[Formula]) -> dict[str, bool] | None:
    """A valuation in which none of the guards holds, or None."""
    return witness(negation(disjunction(guards)))


def blocks_of(
    following: NDArray[np.integer], outputs: NDArray[np.integer], start: NDArray[np.integer]
) -> NDArray[np.intp]:
    """The coarsest partition of states that agree in output and stay together, by refinement.

    Args:
        following: int[state, code], the next state.
        outputs: int[state, code], what must agree at each step.
        start: int[state], what must agree from the beginning (accepting or not, terminal or not).

    Returns:
        int[state], the block of each state, numbered in order of first appearance.
    """
    block = _renumber(np.asarray(start))
    while True:
        signature = np.concatenate([block[:, None], block[following], outputs], axis=1)
        refined = _renumber(np.unique(signature, axis=0, return_inverse=True)[1].reshape(-1))
        if refined.max(initial=-1) == block.max(initial=-1):
            return refined
        block = refined


def _renumber(labels: NDArray[np.integer]) -> NDArray[np.intp]:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(first.size, dtype=np.intp)
    rank[np.argsort(first)] = np.arange(first.size)
    return rank[inverse.reshape(-1)]
