"""How close a list of tool calls comes to the true ones: Jaccard overlaps, values, and who is matched with whom.

Source: ToolRL (arXiv 2504.13958), section 3.2 and its repository. The paper speaks of an optimal matching of predicted with
true calls; its code goes through the true calls in order and takes the best partner left. Both are here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rewardlab.parsing.tool_calls import Call
from rewardlab.rewards.verifiers.tool_references import TrueCall
from rewardlab.rewards.verifiers.tool_values import Equal


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts, as the options of `ToolCallMatch` say it."""

    names: Literal["jaccard", "exact"]
    parameters: Literal["jaccard", "exact"]
    values: Literal["count", "all"]
    matching: Literal["greedy", "optimal"]
    ordered: bool
    equal: Equal


@dataclass(frozen=True, slots=True)
class Pair:
    """One predicted call beside one true call.

    Args:
        parameters: agreement of the parameter names, in [0, 1].
        right: how many parameters of the true call have a right value.
        exact: whether the calls are the same.
        score: what the pair adds to the total.
    """

    parameters: float
    right: int
    exact: bool
    score: float


@dataclass(frozen=True, slots=True)
class Match:
    """What came of comparing two lists of calls.

    Args:
        share: S / S_max, in [0, 1]; exactly 1 where nothing is wrong.
        name: agreement of the names, in [0, 1].
        parameter: mean agreement of parameter names over the true calls, in [0, 1].
        value: share of the true parameters with a right value; None where the true calls have no parameters.
        exact: whether the lists are the same (in any order, unless the rules are ordered).
        surplus: predicted calls without a partner.
    """

    share: float
    name: float
    parameter: float
    value: float | None
    exact: bool
    surplus: int


def match_calls(true: Sequence[TrueCall], given: Sequence[Call], rules: Rules) -> Match:
    """Compare predicted calls with the true ones (at least one).

    S is the agreement of the names plus, for every true call, the agreement of the parameter names and the number of right
    values of its partner; S_max = 1 + sum of (1 + number of parameters). With `values="all"` a call counts 1 or 0 whole.
    """
    name = name_agreement([call.name for call in true], [call.name for call in given], rules)
    pairs = _optimal(true, given, rules) if rules.matching == "optimal" else _greedy(true, given, rules)
    counts = [len(call.required) for call in true]
    if len(given) != len(true):
        exact = False
    elif rules.ordered:
        both = zip(true, given, strict=True)
        exact = all(call.name == other.name and _compare(call, other, rules).exact for call, other in both)
    else:
        exact = len(pairs) == len(true) and all(pair.exact for pair in pairs)
    reached = name + sum(pair.score for pair in pairs)
    most = 1 + (len(true) if rules.values == "all" else sum(1 + count for count in counts))
    parameters = sum(counts)
    return Match(
        share=1.0 if exact else min(1.0, reached / most),
        name=name,
        parameter=sum(pair.parameters for pair in pairs) / len(true),
        value=sum(pair.right for pair in pairs) / parameters if parameters else None,
        exact=exact,
        surplus=len(given) - len(pairs),
    )


def name_agreement(true: Sequence[str], given: Sequence[str], rules: Rules) -> float:
    """Multiset Jaccard of two lists of tool names, or 1 or 0 for equal lists (equal multisets, unless ordered)."""
    if rules.names == "exact":
        if rules.ordered:
            return float(list(true) == list(given))
        return float(Counter(true) == Counter(given))
    shared = (Counter(true) & Counter(given)).total()
    union = len(true) + len(given) - shared
    return shared / union if union else 1.0


def best_assignment(scores: Sequence[Sequence[float]]) -> list[int]:
    """The column for each row that makes the sum of the scores largest; -1 for a row without one.

    The Hungarian method with potentials (Kuhn 1955, in Jonker and Volgenant's shortest-path form), exact at any size and
    of order rows^2 x columns for fewer rows than columns.

    Args:
        scores: float[row, column], none negative.
    """
    rows, columns = len(scores), len(scores[0]) if scores else 0
    if rows > columns:
        flipped = best_assignment([[scores[row][column] for row in range(rows)] for column in range(columns)])
        owner = {row: column for column, row in enumerate(flipped)}
        return [owner.get(row, -1) for row in range(rows)]
    infinity = float("inf")
    row_price, column_price = [0.0] * (rows + 1), [0.0] * (columns + 1)
    taken_by = [0] * (columns + 1)  # the row (from 1) that holds each column (from 1); column 0 is the row being placed
    for row in range(1, rows + 1):
        taken_by[0] = row
        column = 0
        slack, previous, visited = [infinity] * (columns + 1), [0] * (columns + 1), [False] * (columns + 1)
        while True:
            visited[column] = True
            holder, step, following = taken_by[column], infinity, 0
            for other in range(1, columns + 1):
                if visited[other]:
                    continue
                reduced = -scores[holder - 1][other - 1] - row_price[holder] - column_price[other]
                if reduced < slack[other]:
                    slack[other], previous[other] = reduced, column
                if slack[other] < step:
                    step, following = slack[other], other
            for other in range(columns + 1):
                if visited[other]:
                    row_price[taken_by[other]] += step
                    column_price[other] -= step
                else:
                    slack[other] -= step
            column = following
            if taken_by[column] == 0:
                break
        while column:
            taken_by[column] = taken_by[previous[column]]
            column = previous[column]
    found = [-1] * rows
    for column in range(1, columns + 1):
        if taken_by[column]:
            found[taken_by[column] - 1] = column - 1
    return found


def _greedy(true: Sequence[TrueCall], given: Sequence[Call], rules: Rules) -> list[Pair]:
    """True calls in order; each takes the best predicted call of its name that is left, if that adds anything."""
    used: set[int] = set()
    pairs: list[Pair] = []
    for call in true:
        best: Pair | None = None
        position = -1
        for index, other in enumerate(given):
            if index in used or call.name != other.name:
                continue
            pair = _compare(call, other, rules)
            if pair.score > (best.score if best is not None else 0.0):
                best, position = pair, index
        if best is not None:
            used.add(position)
            pairs.append(best)
    return pairs


def _optimal(true: Sequence[TrueCall], given: Sequence[Call], rules: Rules) -> list[Pair]:
    """The pairs, at most one for each call, whose scores have the largest sum."""
    pairs: list[Pair] = []
    for name in dict.fromkeys(call.name for call in true):  # calls of different names never pair up
        rows = [call for call in true if call.name == name]
        columns = [other for other in given if other.name == name]
        if not columns:
            continue
        table = [[_compare(row, column, rules) for column in columns] for row in rows]
        if len(rows) == len(columns) == 1:
            chosen = [0]
        else:
            chosen = best_assignment([[pair.score for pair in line] for line in table])
        best = (line[column] for line, column in zip(table, chosen, strict=True) if column >= 0)
        pairs.extend(pair for pair in best if pair.score > 0)
    return pairs


def _compare(call: TrueCall, other: Call, rules: Rules) -> Pair:
    """Two calls of the same name. An optional parameter with an acceptable value is passed over; a wrong one is surplus."""
    given = other.arguments
    right = shared = 0
    for parameter, value in call.required.items():
        if parameter in given:
            shared += 1
            right += call.accepts(given[parameter], value, rules.equal)
    surplus = 0
    if len(given) > shared:
        surplus = sum(
            parameter not in call.optional or not call.accepts(value, call.optional[parameter], rules.equal)
            for parameter, value in given.items()
            if parameter not in call.required
        )
    union = len(call.required) + surplus
    exact = shared == union == right
    if rules.values == "all":
        return Pair(shared / union if union else 1.0, right, exact, float(exact))
    if rules.parameters == "jaccard":
        parameters = shared / union if union else 1.0
    else:
        parameters = float(shared == union)
        if rules.ordered and parameters:
            parameters = float([key for key in given if key in call.required] == list(call.required))
    return Pair(parameters, right, exact, parameters + right)
