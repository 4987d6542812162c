"""How likely the best policy is to satisfy a formula, exactly, on a finite decision process.

Policies may remember: the best one looks at the process and at the automaton. The probability to reach a set is the least
solution of linear inequalities, found by a linear programme; on endless words the set holds the accepting end components, in
which a policy can stay for ever and do again and again what the formula asks.

Source: Baier and Katoen 2008, sections 10.6.1 (maximal reachability) and 10.6.3 (end components).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.extras import require
from rewardlab.rewards.formal.automata import compile_formula, normal_form
from rewardlab.rewards.formal.probabilities import Joint, collect_atoms, finite_form, joint_steps, kind_of, read_formula
from rewardlab.rewards.formal.syntax import And, Formula, Temporal, evaluate, propositions

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess


def best_trace_probability(
    process: MarkovDecisionProcess, formula: Formula | str, labels: Any, *, steps: int | None = None
) -> float:
    """The greatest probability with which a policy satisfies a formula on finite traces.

    Args:
        process: its terminal states end a trajectory.
        formula: a formula or its text.
        labels: as in `trace_probability`.
        steps: end every trajectory after so many steps; None for no limit. The best policy may count them.
    """
    automaton = compile_formula(read_formula(formula, labels))
    joint = joint_steps(process, [automaton], labels)
    state = np.array([member[0] for member in joint.members])
    verdict = np.tile(automaton.decided[state], process.states)
    accepting = np.tile(automaton.accepting[state], process.states)
    ended = np.repeat(process.terminal, joint.size)
    verdict = np.where(ended & (verdict == -1), accepting.astype(np.int8), verdict)
    start = _start(process, joint)
    if steps is None:
        return float(start @ most_likely_reach(joint, process, verdict == 1, verdict != -1))
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    values = np.where(verdict == -1, accepting, verdict == 1).astype(np.float64)
    for _ in range(steps):
        ahead = np.zeros((len(values), process.actions))
        np.add.at(ahead, (joint.before, joint.action), joint.chance * values[joint.after])
        values = np.where(verdict == -1, ahead.max(1), verdict == 1)
    return float(start @ values)


def best_long_run_probability(process: MarkovDecisionProcess, formula: Formula | str, labels: Any) -> float:
    """The greatest probability with which a policy satisfies a formula on endless words.

    Args:
        process: a terminal state goes on for ever with the labels of its way to itself.
        formula: a conjunction of `G F p`, `F G p`, formulas that a beginning proves, and formulas that one disproves; see
            `long_run_probability`.
        labels: as in `trace_probability`.

    Raises:
        ValueError: the formula is outside this fragment.
    """
    parsed = normal_form(read_formula(formula, labels))
    parts = sorted(parsed.operands, key=str) if isinstance(parsed, And) and kind_of(parsed) is None else [parsed]
    for part in parts:
        if kind_of(part) is None:
            collect_atoms(part, [])  # names what is outside the larger fragment
            raise ValueError(
                f"the part {str(part)!r} is a choice between tasks; the best policy is found for conjunctions alone, so ask "
                "for each operand of the |"
            )
    automata = [compile_formula(finite_form(part)) for part in parts if kind_of(part) in ("reach", "avoid")]
    joint = joint_steps(process, automata, labels, propositions(parsed))
    good = np.ones(joint.size, dtype=bool)
    allowed = np.ones(len(joint.before), dtype=bool)
    wanted = []
    place = 0
    for part in parts:
        kind = kind_of(part)
        if kind in ("reach", "avoid"):
            decided = automata[place].decided[[member[place] for member in joint.members]]
            good &= (decided == 1) if kind == "reach" else (decided != 0)
            place += 1
            continue
        assert isinstance(part, Temporal)
        inner = part.operands[0]
        assert isinstance(inner, Temporal)
        true = evaluate(inner.operands[0], joint.columns, len(joint.before))
        if kind == "again":
            wanted.append(true)
        else:
            allowed &= true
    inside = np.tile(good, process.states)
    component, usable = end_components(joint, process, inside, allowed)
    target = np.zeros(len(inside), dtype=bool)
    within = usable[joint.before, joint.action]
    for number in range(int(component.max(initial=-1)) + 1):
        steps = within & (component[joint.before] == number)
        if all((steps & true).any() for true in wanted):
            target |= component == number
    return float(_start(process, joint) @ most_likely_reach(joint, process, target, target))


def most_likely_reach(
    joint: Joint, process: MarkovDecisionProcess, target: NDArray[np.bool_], stop: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The greatest probability to enter `target` before the rest of `stop`, for each joint state.

    The least `x >= 0` with `x[s] >= sum P(s, a, t) x[t]` for every action, 1 on the target and 0 on the rest of `stop`.
    """
    optimize = require("scipy.optimize", extra="control", why="the best probability of a formula")
    sparse = require("scipy.sparse", extra="control", why="the best probability of a formula")
    count = len(target)
    live = ~stop[joint.before]
    row = joint.before[live] * process.actions + joint.action[live]
    matrix = sparse.coo_matrix((joint.chance[live], (row, joint.after[live])), shape=(count * process.actions, count))
    own = np.repeat(np.arange(count), process.actions)
    identity = sparse.coo_matrix((np.ones(own.size), (np.arange(own.size), own)), shape=matrix.shape)
    open_rows = np.flatnonzero(~stop[own])
    bounds = np.stack([target.astype(float), np.where(stop, target.astype(float), 1.0)], axis=1)
    if not open_rows.size:
        return target.astype(np.float64)
    found = optimize.linprog(
        np.ones(count), A_ub=(matrix - identity).tocsr()[open_rows], b_ub=np.zeros(open_rows.size), bounds=bounds
    )
    if found.status != 0:
        raise ArithmeticError(f"the linear programme of the best probability was not solved: {found.message}")
    result: NDArray[np.float64] = found.x
    return result


def end_components(
    joint: Joint, process: MarkovDecisionProcess, inside: NDArray[np.bool_], allowed: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The largest sets of joint states in which some policy can stay for ever and go everywhere.

    Args:
        joint: process and automata.
        process: the process.
        inside: bool[state], the states that may be used.
        allowed: bool[K], the steps that may happen; an action with a step that may not is not used.

    Returns:
        The number of each state's component, -1 for none, and bool[state, action], what may be done inside it.
    """
    graph = require("scipy.sparse.csgraph", extra="control", why="the best probability of a formula")
    sparse = require("scipy.sparse", extra="control", why="the best probability of a formula")
    count = len(inside)
    usable = np.repeat(inside[:, None], process.actions, axis=1)
    usable[joint.before[~allowed], joint.action[~allowed]] = False
    usable[joint.before[~inside[joint.after]], joint.action[~inside[joint.after]]] = False
    while True:
        steps = usable[joint.before, joint.action]
        edges = sparse.coo_matrix(
            (np.ones(int(steps.sum())), (joint.before[steps], joint.after[steps])), shape=(count,) * 2
        )
        strong = graph.connected_components(edges, directed=True, connection="strong")[1]
        leaves = steps & (strong[joint.before] != strong[joint.after])
        if not leaves.any():
            break
        usable[joint.before[leaves], joint.action[leaves]] = False
    live = usable.any(1)
    component = np.full(count, -1, dtype=np.intp)
    component[live] = np.unique(strong[live], return_inverse=True)[1]
    return component, usable


def _start(process: MarkovDecisionProcess, joint: Joint) -> NDArray[np.float64]:
    start = np.zeros(process.states * joint.size)
    start[:: joint.size] = process.initial
    return start
