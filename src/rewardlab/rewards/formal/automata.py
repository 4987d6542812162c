"""Temporal logic on finite traces: what a formula says of a trace, and the smallest automaton that decides it step by step.

`holds` is the definition, read off position by position. `compile_formula` follows what is still owed as a trace unfolds
(progression): an automaton's state is a set of alternatives, each a set of obligations for the rest of the trace. An
obligation `X f` wants a next step, `WX f` is content with none, so at the end of the trace the first has failed and the
second is met. Alternatives that ask more than another are dropped, which keeps states canonical and finitely many.

Source: De Giacomo and Vardi 2013 (LTLf); Bacchus and Kabanza 2000 (progression).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.formal.syntax import (
    And,
    Constant,
    Formula,
    Not,
    Or,
    Proposition,
    Temporal,
    conjunction,
    disjunction,
    negation,
    parse_formula,
    propositions,
)
from rewardlab.rewards.formal.tables import blocks_of, valuation_codes

MOST_PROPOSITIONS = 12
MOST_STATES = 5000
Owed = frozenset[frozenset[Formula]]
"""Alternatives, each a set of obligations: the empty set of alternatives is false, one without obligations is true."""
_MET: Owed = frozenset([frozenset()])
_FAILED: Owed = frozenset()
_OPPOSITE = {"X": "WX", "WX": "X", "F": "G", "G": "F", "U": "R", "R": "U"}


def holds(formula: Formula | str, trace: Any) -> NDArray[np.bool_]:
    """Whether finite traces satisfy a formula, by the definition of each operator.

    Args:
        formula: a formula or its text.
        trace: proposition -> bool[..., T], T at least 1; or, for one trace, a list with the propositions true at each step.

    Returns:
        bool[...].
    """
    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    if isinstance(trace, Mapping):
        columns = {name: np.asarray(column, dtype=bool) for name, column in trace.items()}
        shape = next(iter(columns.values())).shape if columns else (1,)
    else:
        steps = [set(step) for step in trace]
        columns = {name: np.array([name in step for step in steps]) for name in propositions(parsed)}
        shape = (len(steps),)
    if shape[-1] == 0:
        raise ValueError("a trace must have at least one step")
    return _truth(parsed, columns, shape)[..., 0]


def _truth(formula: Formula, columns: Mapping[str, NDArray[np.bool_]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Truth at every position: bool[..., T]."""
    if isinstance(formula, Constant):
        return np.full(shape, formula.value)
    if isinstance(formula, Proposition):
        return columns[formula.name]
    if isinstance(formula, Not):
        return ~_truth(formula.operand, columns, shape)
    if isinstance(formula, (And, Or)):
        parts = [_truth(operand, columns, shape) for operand in formula.operands]
        return functools.reduce(np.logical_and if isinstance(formula, And) else np.logical_or, parts)
    assert isinstance(formula, Temporal)
    operands = [_truth(operand, columns, shape) for operand in formula.operands]
    result = np.empty(shape, dtype=bool)
    last = shape[-1] - 1
    # what stands for the truth of the whole formula beyond the last step
    later: Any = np.full(shape[:-1], formula.operator in ("WX", "G", "R", "W"))
    value: Any
    for position in range(last, -1, -1):
        now = [operand[..., position] for operand in operands]
        if formula.operator in ("X", "WX"):
            value = later if position == last else operands[0][..., position + 1]
        elif formula.operator == "F":
            value = now[0] | later
        elif formula.operator == "G":
            value = now[0] & later
        elif formula.operator == "R":
            value = now[1] & (now[0] | later)
        else:  # U, and W, which differ in what the end of the trace means
            value = now[1] | (now[0] & later)
        result[..., position] = later = value
    return result


def normal_form(formula: Formula) -> Formula:
    """The same formula with negation on propositions alone."""
    if isinstance(formula, (And, Or)):
        combine = conjunction if isinstance(formula, And) else disjunction
        return combine(normal_form(operand) for operand in formula.operands)
    if isinstance(formula, Temporal):
        return Temporal(formula.operator, tuple(normal_form(operand) for operand in formula.operands))
    if not isinstance(formula, Not) or isinstance(formula.operand, Proposition):
        return formula
    inner = formula.operand
    if isinstance(inner, (And, Or)):
        combine = disjunction if isinstance(inner, And) else conjunction
        return combine(normal_form(negation(operand)) for operand in inner.operands)
    assert isinstance(inner, Temporal)  # negations of constants and of negations are gone when a formula is built
    opposites = tuple(normal_form(negation(operand)) for operand in inner.operands)
    if inner.operator == "W":
        return Temporal("U", (opposites[1], conjunction(opposites)))
    return Temporal(_OPPOSITE[inner.operator], opposites)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Automaton:
    """A deterministic, complete automaton over valuations; state 0 is where it starts.

    Args:
        propositions: the names; bit p of a code says whether proposition p holds.
        transitions: int[state, code].
        accepting: bool[state], whether a trace that ends there satisfies the formula.
    """

    propositions: tuple[str, ...]
    transitions: NDArray[np.intp]
    accepting: NDArray[np.bool_]

    def accepts(self, trace: Any) -> NDArray[np.bool_]:
        """Whether traces are accepted; `trace` as in `holds`, or bool[..., T, proposition]."""
        if isinstance(trace, Mapping):
            trace = np.stack([np.asarray(trace[name], dtype=bool) for name in self.propositions], axis=-1)
        elif not isinstance(trace, np.ndarray):
            steps = [set(step) for step in trace]
            trace = np.array([[name in step for name in self.propositions] for step in steps], dtype=bool)
        codes = valuation_codes(trace)
        state = np.zeros(codes.shape[:-1], dtype=np.intp)
        for position in range(codes.shape[-1]):
            state = self.transitions[state, codes[..., position]]
        return self.accepting[state]

    @functools.cached_property
    def reach(self) -> NDArray[np.bool_]:
        """Which states can be reached from which, in any number of steps, none included: bool[state, state]."""
        count = len(self.accepting)
        reach = np.eye(count, dtype=bool)
        reach[np.arange(count)[:, None], self.transitions] = True
        for middle in range(count):
            reach |= reach[:, middle : middle + 1] & reach[middle]
        return reach

    @functools.cached_property
    def decided(self) -> NDArray[np.int8]:
        """What each state has settled: 1 where every continuation satisfies the formula, 0 where none does, -1 while open.

        The initial state counts as open unless all traces of at least one step agree.
        """
        after = self.reach.copy()
        after[0, 0] = (self.transitions[self.reach[0]] == 0).any()  # the empty trace is none
        can = (after & self.accepting).any(1)
        must = (after <= self.accepting).all(1)
        return np.where(must, 1, np.where(can, -1, 0)).astype(np.int8)

    @functools.cached_property
    def distance(self) -> NDArray[np.float64]:
        """The least number of steps to a state that accepts, 0 in one, infinity where there is no way."""
        distance = np.where(self.accepting, 0.0, np.inf)
        for _ in range(len(distance)):
            distance = np.minimum(distance, 1 + distance[self.transitions].min(1))
        return distance

    def minimised(self) -> Automaton:
        """The smallest automaton that decides all traces of at least one step alike."""
        candidates = [self.accepting]
        if not (self.transitions == 0).any():  # nothing ends in the initial state, so what it says is free
            candidates.append(np.append(~self.accepting[:1], self.accepting[1:]))
        silent = np.zeros((len(self.accepting), 0), dtype=np.intp)
        partitions = [blocks_of(self.transitions, silent, flags.astype(np.intp)) for flags in candidates]
        best = min(range(len(partitions)), key=lambda index: int(partitions[index].max()))
        block, flags = partitions[best], candidates[best]
        first = np.unique(block, return_index=True)[1]
        return Automaton(self.propositions, block[self.transitions[first]], flags[first])


def compile_formula(formula: Formula | str, names: Sequence[str] | None = None) -> Automaton:
    """The smallest automaton that accepts just the finite traces, of at least one step, that satisfy a formula.

    Args:
        formula: a formula or its text.
        names: the propositions of the alphabet, in order; those of the formula when not given.

    Raises:
        FormulaError: the text cannot be read.
        ValueError: too many propositions, or the automaton grows too large.
    """
    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    alphabet = tuple(propositions(parsed) if names is None else names)
    if len(alphabet) > MOST_PROPOSITIONS:
        raise ValueError(
            f"the formula has {len(alphabet)} propositions, and up to {MOST_PROPOSITIONS} can be compiled; split it into "
            "several formulas whose rewards are added"
        )
    start: Owed = frozenset([frozenset([Temporal("X", (normal_form(parsed),))])])
    numbers, rows, queue = {start: 0}, [], [start]
    memory: dict[tuple[Formula, int], Owed] = {}
    for owed in queue:  # grows while it is read
        row = []
        for code in range(1 << len(alphabet)):
            true = {name for bit, name in enumerate(alphabet) if code >> bit & 1}
            following = _progress(owed, code, true, memory)
            if following not in numbers:
                if len(numbers) >= MOST_STATES:
                    raise ValueError(
                        f"the automaton of {str(parsed)!r:.200} has more than {MOST_STATES} states; split it"
                    )
                numbers[following] = len(numbers)
                queue.append(following)
            row.append(numbers[following])
        rows.append(row)
    accepting = [any(all(_content(atom) for atom in choice) for choice in owed) for owed in queue]
    return Automaton(alphabet, np.array(rows, dtype=np.intp), np.array(accepting, dtype=bool)).minimised()


def _content(obligation: Formula) -> bool:
    """Whether an obligation is met when the trace ends."""
    return isinstance(obligation, Temporal) and obligation.operator == "WX"


def _progress(owed: Owed, code: int, true: set[str], memory: dict[tuple[Formula, int], Owed]) -> Owed:
    """What is owed after one more step."""
    result = _FAILED
    for choice in owed:
        rest = _MET
        for obligation in choice:
            assert isinstance(obligation, Temporal)
            rest = _both(rest, _unfold(obligation.operands[0], code, true, memory))
        result = _either(result, rest)
    return result


def _unfold(formula: Formula, code: int, true: set[str], memory: dict[tuple[Formula, int], Owed]) -> Owed:
    """What a formula in normal form, wanted at this step, leaves owed after it."""
    key = (formula, code)
    if key not in memory:
        memory[key] = _unfolded(formula, code, true, memory)
    return memory[key]


def _unfolded(formula: Formula, code: int, true: set[str], memory: dict[tuple[Formula, int], Owed]) -> Owed:
    if isinstance(formula, Constant):
        return _MET if formula.value else _FAILED
    if isinstance(formula, Proposition):
        return _MET if formula.name in true else _FAILED
    if isinstance(formula, Not):
        assert isinstance(formula.operand, Proposition)  # normal form
        return _FAILED if formula.operand.name in true else _MET
    if isinstance(formula, (And, Or)):
        parts = [_unfold(operand, code, true, memory) for operand in formula.operands]
        return functools.reduce(_both if isinstance(formula, And) else _either, parts)
    assert isinstance(formula, Temporal)
    if formula.operator in ("X", "WX"):
        return frozenset([frozenset([formula])])
    strong = formula.operator in ("F", "U")
    again: Owed = frozenset([frozenset([Temporal("X" if strong else "WX", (formula,))])])
    now = [_unfold(operand, code, true, memory) for operand in formula.operands]
    if formula.operator == "F":
        return _either(now[0], again)
    if formula.operator == "G":
        return _both(now[0], again)
    if formula.operator == "R":
        return _both(now[1], _either(now[0], again))
    return _either(now[1], _both(now[0], again))


def _both(left: Owed, right: Owed) -> Owed:
    return _least(first | second for first in left for second in right)


def _either(left: Owed, right: Owed) -> Owed:
    return _least([*left, *right])


def _least(choices: Iterable[frozenset[Formula]]) -> Owed:
    """Without alternatives that ask for all that another asks for, and more."""
    kept: list[frozenset[Formula]] = []
    for choice in sorted(set(choices), key=len):
        if not any(other <= choice for other in kept):
            kept.append(choice)
    return frozenset(kept)
