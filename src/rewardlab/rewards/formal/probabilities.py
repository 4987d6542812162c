"""How likely a policy is to satisfy a formula, exactly, on a finite decision process.

`trace_probability` is for finite traces: a trajectory ends in a terminal state of the process, or after a number of steps.
`long_run_probability` is for endless ones, and for the formulas whose verdict can be read off where a chain stays for ever:
reach, avoid and recur, in any boolean combination. Both solve linear equations on the product with an automaton.

Source: Baier and Katoen 2008, sections 10.1 (reachability) and 10.3 (bottom components of the product).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.extras import require
from rewardlab.rewards.formal.automata import Automaton, compile_formula, normal_form
from rewardlab.rewards.formal.labels import as_labels
from rewardlab.rewards.formal.syntax import (
    And,
    Formula,
    Or,
    Temporal,
    conjunction,
    disjunction,
    evaluate,
    parse_formula,
    propositions,
    walk,
)
from rewardlab.rewards.formal.tables import valuation_codes

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess


@dataclass(frozen=True)
class TraceProbability:
    """How likely each verdict is; the three sum to 1.

    Args:
        satisfied: the formula holds of the trajectory.
        violated: it does not.
        open: the trajectory goes on for ever without either being settled.
    """

    satisfied: float
    violated: float
    open: float


def trace_probability(
    process: MarkovDecisionProcess, policy: Any, formula: Formula | str, labels: Any, *, steps: int | None = None
) -> TraceProbability:
    """How likely a policy is to satisfy a formula of temporal logic on finite traces.

    Args:
        process: its terminal states end a trajectory.
        policy: float64[S, A], or the action of each state.
        formula: a formula or its text.
        labels: which propositions hold, as for `RewardMachine`; read from the numbers of state, action and next state.
        steps: end every trajectory after so many steps; None for no limit.

    Raises:
        ValueError: a start in a terminal state (its trace has no step), or wrong arguments.
    """
    if float(process.initial[process.terminal].sum()) > 0:
        raise ValueError("the process may start in a terminal state, where a trace has no step to speak of")
    automaton = compile_formula(read_formula(formula, labels))
    chain, _, joint = _product(process, policy, [automaton], labels)
    count, size = process.states, joint.size
    state = np.array([member[0] for member in joint.members])
    accepting = np.tile(automaton.accepting[state], count)
    verdict = np.tile(automaton.decided[state], count)
    ended = np.repeat(process.terminal, size)
    verdict = np.where(ended & (verdict == -1), accepting.astype(np.int8), verdict)
    start = np.zeros(count * size)
    start[::size] = process.initial
    if steps is not None:
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        stays = verdict != -1
        chain = np.where(stays[:, None], np.eye(len(chain)), chain)
        law = start @ np.linalg.matrix_power(chain, steps)
        won = float(law[np.where(stays, verdict == 1, accepting)].sum())
        return TraceProbability(won, float(law.sum()) - won, 0.0)
    won, lost = (float(start @ reach_probability(chain, verdict == kind, verdict != -1)) for kind in (1, 0))
    return TraceProbability(won, lost, max(0.0, 1.0 - won - lost))


def long_run_probability(process: MarkovDecisionProcess, policy: Any, formula: Formula | str, labels: Any) -> float:
    """How likely a policy is to satisfy a formula on endless words.

    Args:
        process: a terminal state goes on for ever with the labels of its way to itself.
        policy: float64[S, A], or the action of each state.
        formula: a boolean combination of `G F p` (again and again), `F G p` (for ever from some time on) with `p` free of
            temporal operators, of formulas that a beginning proves (X, F, U), and of those that one disproves (X, G, R, W).
        labels: as in `trace_probability`.

    Returns:
        The probability from the process' first state.

    Raises:
        ValueError: the formula is outside this fragment; the part at fault is named.
    """
    parsed = normal_form(read_formula(formula, labels))
    atoms: list[Formula] = []
    collect_atoms(parsed, atoms)
    automata = [compile_formula(finite_form(atom)) for atom in atoms if kind_of(atom) in ("reach", "avoid")]
    chain, edges, joint = _product(process, policy, automata, labels, extra=propositions(parsed))
    start = np.zeros(len(chain))
    start[:: joint.size] = process.initial
    component, bottom = _bottom_components(chain)
    accepted = np.zeros(len(chain), dtype=bool)
    for number in np.flatnonzero(bottom):
        members = component == number
        inside = members[edges.source]
        columns = {name: column[inside] for name, column in edges.columns.items()}
        state = joint.members[int(np.flatnonzero(members)[0]) % joint.size]
        verdicts: dict[Formula, bool] = {}
        place = 0
        for atom in atoms:
            kind = kind_of(atom)
            if kind in ("reach", "avoid"):
                decided = automata[place].decided[state[place]]
                verdicts[atom] = bool(decided == 1) if kind == "reach" else bool(decided != 0)
                place += 1
            else:
                assert isinstance(atom, Temporal)
                inner = atom.operands[0]
                assert isinstance(inner, Temporal)
                true = evaluate(inner.operands[0], columns, int(inside.sum()))
                verdicts[atom] = bool(true.any() if kind == "again" else true.all())
        accepted[members] = _combined(parsed, verdicts)
    return float(start @ reach_probability(chain, accepted, bottom[component]))


def reach_probability(
    chain: NDArray[np.float64], target: NDArray[np.bool_], stop: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """How likely a Markov chain is to enter a set before it enters the rest of a larger one.

    Args:
        chain: float64[state, state], rows sum to 1.
        target: bool[state].
        stop: bool[state], where the way ends; holds the target.

    Returns:
        float64[state], 1 on the target.
    """
    result = target.astype(np.float64)
    possible = target.copy()
    open_states = ~stop
    while True:  # those that can get there at all: the equations have one solution on them alone
        more = open_states & ~possible & (chain[:, possible] > 0).any(1)
        if not more.any():
            break
        possible |= more
    rows = np.flatnonzero(possible & open_states)
    if rows.size:
        within = chain[np.ix_(rows, rows)]
        result[rows] = np.linalg.solve(np.eye(rows.size) - within, chain[np.ix_(rows, np.flatnonzero(target))].sum(1))
    return result


@dataclass(frozen=True, eq=False)
class _Edges:
    source: NDArray[np.intp]
    columns: dict[str, NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Joint:
    """Process and automata together; joint state `s * size + q`.

    Args:
        members: what `q` stands for: a state of each automaton.
        before: int[K], joint state before each possible step.
        action: int[K].
        after: int[K], joint state after it.
        chance: float64[K].
        columns: proposition -> bool[K].
    """

    members: list[tuple[int, ...]]
    before: NDArray[np.intp]
    action: NDArray[np.intp]
    after: NDArray[np.intp]
    chance: NDArray[np.float64]
    columns: dict[str, NDArray[np.bool_]]

    @property
    def size(self) -> int:
        """How many `q` there are."""
        return len(self.members)


def joint_steps(
    process: MarkovDecisionProcess, automata: Sequence[Automaton], labels: Any, extra: Sequence[str] = ()
) -> Joint:
    """Every possible step of process and automata together.

    Args:
        process: the process.
        automata: run side by side.
        labels: which propositions hold.
        extra: propositions wanted in `columns` beside those of the automata.
    """
    chance = process.transitions.reshape(-1)
    before, action, after = (column.reshape(-1) for column in np.indices(process.transitions.shape))
    kept = chance > 0
    before, action, after, chance = before[kept], action[kept], after[kept], chance[kept]
    labelling = as_labels(labels)
    if labelling is None:
        raise ValueError("labels say which propositions hold; give a function, or proposition -> states")
    names = tuple(sorted({*extra, *(name for automaton in automata for name in automaton.propositions)}))
    found = labelling.valuate(before, action, after, process.terminal[after], None)
    columns = dict(zip(names, labelling.select(found, names, len(before)).T, strict=True))
    nothing = np.zeros(len(before), dtype=np.intp)
    codes = [
        valuation_codes(np.stack([columns[name] for name in automaton.propositions], -1))
        if automaton.propositions
        else nothing
        for automaton in automata
    ]
    words, word = np.unique(np.stack([*codes, nothing], axis=1), axis=0, return_inverse=True)
    members, following = [tuple(0 for _ in automata)], []
    place = {members[0]: 0}
    for state in members:  # grows while it is read
        row = []
        for letters in words:
            then = tuple(
                int(automaton.transitions[now, code])
                for automaton, now, code in zip(automata, state, letters, strict=False)
            )
            if then not in place:
                place[then] = len(members)
                members.append(then)
            row.append(place[then])
        following.append(row)
    size, table = len(members), np.array(following, dtype=np.intp)
    return Joint(
        members,
        (before[None] * size + np.arange(size)[:, None]).reshape(-1),
        np.tile(action, size),
        (after[None] * size + table[:, word.reshape(-1)]).reshape(-1),
        np.tile(chance, size),
        {name: np.tile(column, size) for name, column in columns.items()},
    )


def _product(
    process: MarkovDecisionProcess, policy: Any, automata: Sequence[Automaton], labels: Any, extra: Sequence[str] = ()
) -> tuple[NDArray[np.float64], _Edges, Joint]:
    """The chain of joint states under a policy, and its edges with what holds on them."""
    from rewardlab.environments.tabular import check_policy

    weights = check_policy(process, policy)
    if weights.ndim != 2:
        raise ValueError(f"one policy [S, A] is needed, got shape {weights.shape}")
    joint = joint_steps(process, automata, labels, extra)
    chance = joint.chance * weights[joint.before // joint.size, joint.action]
    taken = chance > 0
    chain = np.zeros((process.states * joint.size,) * 2)
    np.add.at(chain, (joint.before[taken], joint.after[taken]), chance[taken])
    return chain, _Edges(joint.before[taken], {name: column[taken] for name, column in joint.columns.items()}), joint


def _bottom_components(
    chain: NDArray[np.float64],
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The strong component of each state, and whether a component is never left."""
    graph = require("scipy.sparse.csgraph", extra="control", why="the long-run probability of a formula")
    count, component = graph.connected_components(chain > 0, directed=True, connection="strong")
    bottom = np.ones(count, dtype=bool)
    source, target = np.nonzero(chain > 0)
    bottom[component[source][component[source] != component[target]]] = False
    return component.astype(np.intp), bottom


def read_formula(formula: Formula | str, labels: Any) -> Formula:
    """A formula as a tree, over the propositions of a labelling where those are known."""
    labelling = as_labels(labels)
    known = None if labelling is None else labelling.propositions
    return parse_formula(formula, known) if isinstance(formula, str) else formula


def kind_of(formula: Formula) -> str | None:
    """What a formula in normal form asks of an endless word; None where it is a combination, or outside the fragment."""
    used = {node.operator for node in walk(formula) if isinstance(node, Temporal)}
    if isinstance(formula, Temporal) and isinstance(formula.operands[0], Temporal):
        inner = formula.operands[0]
        pair = formula.operator + inner.operator
        plain = not any(isinstance(node, Temporal) for node in walk(inner.operands[0]))
        if pair in ("GF", "FG") and plain:
            return "again" if pair == "GF" else "settled"
    if used <= {"X", "WX", "F", "U"}:
        return "reach"
    return "avoid" if used <= {"X", "WX", "G", "R", "W"} else None


def collect_atoms(formula: Formula, found: list[Formula]) -> None:
    """Gather the parts that `kind_of` knows, of which a formula in normal form is a boolean combination.

    Raises:
        ValueError: a part is none of these; it is named.
    """
    if kind_of(formula) is not None:
        if formula not in found:
            found.append(formula)
    elif isinstance(formula, (And, Or)):
        for operand in sorted(formula.operands, key=str):
            collect_atoms(operand, found)
    else:
        raise ValueError(
            f"the part {str(formula)!r} mixes what a beginning can prove with what one can disprove, or recurs in a way "
            "that needs a larger automaton; write it as a boolean combination of G F p, F G p, formulas with X, F, U, and "
            "formulas with X, G, R, W"
        )


def finite_form(formula: Formula) -> Formula:
    """The formula on finite traces that settles the same as this one on endless words: X strong to prove, else weak."""
    return _with_next(formula, "X" if kind_of(formula) == "reach" else "WX")


def _with_next(formula: Formula, sign: Any) -> Formula:
    if isinstance(formula, (And, Or)):
        combine = conjunction if isinstance(formula, And) else disjunction
        return combine(_with_next(operand, sign) for operand in formula.operands)
    if isinstance(formula, Temporal):
        operator = sign if formula.operator in ("X", "WX") else formula.operator
        return Temporal(operator, tuple(_with_next(operand, sign) for operand in formula.operands))
    return formula


def _combined(formula: Formula, verdicts: dict[Formula, bool]) -> bool:
    if formula in verdicts:
        return verdicts[formula]
    assert isinstance(formula, (And, Or))  # everything else is an atom
    parts = [_combined(operand, verdicts) for operand in formula.operands]
    return all(parts) if isinstance(formula, And) else any(parts)
