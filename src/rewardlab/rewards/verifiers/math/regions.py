"""Intervals, their unions, and the inequalities that describe them."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from rewardlab.rewards.verifiers.math.evaluation import evaluate
from rewardlab.rewards.verifiers.math.forms import Answer, Relation, Scalar, Sequence, Union
from rewardlab.rewards.verifiers.math.polynomials import TooHard
from rewardlab.rewards.verifiers.math.trees import negated

if TYPE_CHECKING:
    from rewardlab.rewards.verifiers.math.comparison import Rules

FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}
"""What an operator becomes when the sides change places."""


def region(answer: Answer) -> Answer | None:
    """The interval or union that inequalities in one variable describe; None for other answers."""
    if isinstance(answer, Sequence) and not answer.opening:
        parts = [region(item) for item in answer.items]
        return None if None in parts else Union([part for part in parts if part is not None])
    if not isinstance(answer, Relation) or len(answer.sides) > 3:
        return None
    sides, operators = answer.sides, answer.operators
    if any(operator in ("=", "!=") for operator in operators) or not all(isinstance(side, Scalar) for side in sides):
        return None
    if operators[0] in (">", ">="):
        sides, operators = sides[::-1], [FLIPPED[operator] for operator in operators[::-1]]
    if any(operator not in ("<", "<=") for operator in operators):
        return None
    named = [isinstance(side, Scalar) and side.tree[0] == "sym" for side in sides]
    opening = ["(" if operator == "<" else "[" for operator in operators]
    closing = [")" if operator == "<" else "]" for operator in operators]
    if named == [True, False]:
        return Sequence("(", closing[0], [Scalar(negated(("const", "oo"))), sides[1]])
    if named == [False, True]:
        return Sequence(opening[0], ")", [sides[0], Scalar(("const", "oo"))])
    if named == [False, True, False]:
        return Sequence(opening[0], closing[1], [sides[0], sides[2]])
    return None


def variable(relation: Relation) -> str | None:
    """The variable that stands alone on one side of a relation."""
    for side in relation.sides:
        if isinstance(side, Scalar) and side.tree[0] == "sym":
            return str(side.tree[1])
    return None


def unions(gold: Answer, answer: Answer, rules: Rules) -> bool | None:
    """Whether two unions of intervals and sets are the same part of the line."""
    from rewardlab.rewards.verifiers.math.comparison import unordered

    ours, theirs = _parts(gold), _parts(answer)
    if ours is None or theirs is None:
        return False
    if len(ours) == len(theirs) and unordered(ours, theirs, rules, distinct=False):
        return True
    first, second = _merged(ours), _merged(theirs)
    if first is None or second is None:
        return None
    if first == second and all(_is_exact(end) for span in first for end in (span.low, span.high)):
        return True
    return None if len(first) == len(second) and all(map(_alike, first, second)) else False


def _parts(answer: Answer) -> list[Answer] | None:
    if isinstance(answer, Union):
        return answer.parts
    if isinstance(answer, Sequence) and not answer.opening and all(isinstance(item, Sequence) for item in answer.items):
        return answer.items
    return [answer] if isinstance(answer, Sequence) else None


class _Span(NamedTuple):
    low: float | Fraction
    low_open: bool
    high: float | Fraction
    high_open: bool


def _is_exact(end: float | Fraction) -> bool:
    return isinstance(end, Fraction) or math.isinf(end)


def _merged(parts: list[Answer]) -> list[_Span] | None:
    """Spans in order, with those that overlap or touch made one; None where an end is no number."""
    spans: list[_Span] = []
    for part in parts:
        if not isinstance(part, Sequence) or not part.opening:
            return None
        ends = [_end(item) for item in part.items]
        if any(end is None for end in ends):
            return None
        values = [end for end in ends if end is not None]
        if part.opening == "{set":
            spans += [_Span(value, False, value, False) for value in values]
        elif len(values) == 2:
            spans.append(_Span(values[0], part.opening == "(", values[1], part.closing == ")"))
        else:
            return None
    merged: list[_Span] = []
    for span in sorted(spans):
        last = merged[-1] if merged else None
        if last and _near(span.low, last.high) and not (_is_exact(span.low) and _is_exact(last.high)):
            return None  # whether they touch is not certain
        if last and (span.low < last.high or (span.low == last.high and not (span.low_open and last.high_open))):
            high, high_open = max((last.high, not last.high_open), (span.high, not span.high_open))
            merged[-1] = _Span(last.low, last.low_open, high, not high_open)
        else:
            merged.append(span)
    return merged


def _end(answer: Answer) -> float | Fraction | None:
    if not isinstance(answer, Scalar):
        return None
    if answer.value is not None:
        return answer.value if abs(answer.value) < 10**300 else None
    if answer.tree == ("const", "oo"):
        return math.inf
    if answer.tree == negated(("const", "oo")):
        return -math.inf
    try:
        value, _ = evaluate(answer.tree)
    except TooHard:
        return None
    return value if isinstance(value, float) and math.isfinite(value) and answer.tree[0] != "sym" else None


def _near(one: float | Fraction, other: float | Fraction) -> bool:
    return one == other or abs(float(one) - float(other)) <= 1e-9 * max(abs(float(one)), abs(float(other)), 1e-9)


def _alike(one: _Span, other: _Span) -> bool:
    same_ends = (one.low_open, one.high_open) == (other.low_open, other.high_open)
    return same_ends and _near(one.low, other.low) and _near(one.high, other.high)
