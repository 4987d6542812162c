"""Equations and inequalities: when do two of them say the same, and when does a bare value answer one?"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from rewardlab.rewards.verifiers.math import regions
from rewardlab.rewards.verifiers.math.algebra import canonical
from rewardlab.rewards.verifiers.math.forms import Answer, Relation, Scalar, Sequence, Union
from rewardlab.rewards.verifiers.math.polynomials import Polynomial, TooHard
from rewardlab.rewards.verifiers.math.trees import Tree, negated

if TYPE_CHECKING:
    from rewardlab.rewards.verifiers.math.comparison import Rules


def related(gold: Answer, answer: Answer, rules: Rules) -> bool | None:
    """Compare two answers of which at least one is an equation or inequality."""
    from rewardlab.rewards.verifiers.math.comparison import equal

    ours, theirs = _assignment(gold), _assignment(answer)
    if not isinstance(gold, Relation):
        area = regions.region(answer) if isinstance(gold, (Sequence, Union)) else None
        if area is not None:
            return equal(gold, area, rules)
        if theirs:
            return equal(gold, theirs[1], rules)
        assert isinstance(answer, Relation)
        return False if _is_inequality(answer) else equal(gold, answer.sides[-1], rules)  # 2 + 3 = 5 answers 5
    if not isinstance(answer, Relation):
        area = regions.region(gold) if isinstance(answer, (Sequence, Union)) else None
        if area is not None:
            return equal(area, answer, rules)
        if ours:
            return equal(ours[1], answer, rules)
        return None if isinstance(answer, (Sequence, Union)) else False
    if ours and theirs and ours[0] == theirs[0]:
        return equal(ours[1], theirs[1], rules)
    first, second = regions.region(gold), regions.region(answer)
    if first is not None and second is not None:
        return equal(first, second, rules) if regions.variable(gold) == regions.variable(answer) else False
    if len(gold.operators) == len(answer.operators) == 1:
        return _same_relation(gold, answer)
    return _same_chain(gold, answer, rules)


def _is_inequality(answer: Relation) -> bool:
    return any(operator != "=" for operator in answer.operators)


def _assignment(answer: Answer) -> tuple[Tree, Answer] | None:
    """The name and the last side of "x = ... = 5" or "f(x) = ..."; None for any other answer."""
    if not isinstance(answer, Relation) or _is_inequality(answer):
        return None
    first = answer.sides[0]
    if isinstance(first, Scalar) and (first.tree[0] == "sym" or (first.tree[0] == "fn" and len(first.tree[1]) == 1)):
        return first.tree, answer.sides[-1]
    return None


def _difference(relation: Relation) -> Polynomial | None:
    """The numerator of left side minus right side."""
    left, right = relation.sides
    if not (isinstance(left, Scalar) and isinstance(right, Scalar)):
        return None
    try:
        return canonical(("add", (left.tree, negated(right.tree))))[0]
    except (TooHard, RecursionError):
        return None


_KIND = {"=": "=", "!=": "!=", "<": "<", ">": "<", "<=": "<=", ">=": "<="}


def _same_relation(gold: Relation, answer: Relation) -> bool | None:
    """Whether two relations say the same: their differences of sides are multiples of one another."""
    first, second = gold.operators[0], answer.operators[0]
    if _KIND[first] != _KIND[second]:
        return False if "=" in (first, second) else None
    ours, theirs = _difference(gold), _difference(answer)
    if ours is None or theirs is None:
        return None
    symmetric = first in ("=", "!=")
    if not symmetric and (first in (">", ">=")) != (second in (">", ">=")):
        theirs = {monomial: -coefficient for monomial, coefficient in theirs.items()}
    if ours and ours.keys() == theirs.keys():
        ratios = {coefficient / theirs[monomial] for monomial, coefficient in ours.items()}
        if len(ratios) == 1 and (symmetric or ratios.pop() > 0):
            return True
    if _is_linear(ours) and _is_linear(theirs):
        return False
    return False if symmetric and (_misses(ours, theirs) or _misses(theirs, ours)) else None


def _is_linear(polynomial: Polynomial) -> bool:
    """Whether it is a sum of variables with rational weights, and a constant."""
    return bool(polynomial) and all(
        not monomial or (len(monomial) == 1 and monomial[0][1] == 1 and _is_name(monomial[0][0]))
        for monomial in polynomial
    )


def _is_name(generator: str) -> bool:
    return generator[0].isalpha() and "(" not in generator and generator not in ("pi", "e", "i", "oo")


def _misses(curve: Polynomial, other: Polynomial) -> bool:
    """Whether a point with `curve` = 0 was found at which `other` is far from 0, so that the equations differ."""
    names = sorted({generator for polynomial in (curve, other) for monomial in polynomial for generator, _ in monomial})
    terms = [*curve, *other]
    if not names or len(names) > 6 or not all(_is_name(name) for name in names):
        return False
    if any(power.denominator != 1 or not 0 < power <= 12 for monomial in terms for _, power in monomial):
        return False
    for position, name in enumerate(names):
        fixed = {other_name: 0.37 + 0.61 * index for index, other_name in enumerate(names) if index != position}
        along, across = _along(curve, name, fixed), _along(other, name, fixed)
        if not along or not across:
            continue
        grid = [step / 2 for step in range(-24, 25)]
        values = [_at(along, t) for t in grid]
        for (left, low), (right, high) in pairwise(zip(grid, values, strict=True)):
            if low * high > 0:
                continue
            root = _bisected(along, left, right)
            size = sum(abs(weight) * abs(root) ** power for power, weight in across.items())
            if size and abs(_at(across, root)) > 1e-6 * size:
                return True
    return False


def _along(polynomial: Polynomial, name: str, fixed: dict[str, float]) -> dict[int, float]:
    """Weights by power of one variable, with the others at fixed values."""
    weights: dict[int, float] = {}
    for monomial, coefficient in polynomial.items():
        try:
            weight = float(coefficient)
        except OverflowError:
            return {}
        power = 0
        for generator, exponent in monomial:
            if generator == name:
                power = int(exponent)
            else:
                weight *= fixed[generator] ** int(exponent)
        weights[power] = weights.get(power, 0.0) + weight
    return weights if all(math.isfinite(weight) for weight in weights.values()) and any(weights.values()) else {}


def _at(weights: dict[int, float], t: float) -> float:
    return sum(weight * t**power for power, weight in weights.items())


def _bisected(weights: dict[int, float], left: float, right: float) -> float:
    low = _at(weights, left)
    if low == 0:
        return left
    for _ in range(60):
        middle = (left + right) / 2
        value = _at(weights, middle)
        if value * low <= 0:
            right = middle
        else:
            left, low = middle, value
    return (left + right) / 2


def _same_chain(gold: Relation, answer: Relation, rules: Rules) -> bool | None:
    """Whether two chains such as 1 < x < y are the same, read from either end."""
    from rewardlab.rewards.verifiers.math.comparison import equal

    if len(gold.sides) != len(answer.sides):
        return None
    flipped = [regions.FLIPPED[operator] for operator in answer.operators[::-1]]
    for sides, operators in ((answer.sides, answer.operators), (answer.sides[::-1], flipped)):
        if operators == gold.operators and all(equal(a, b, rules) for a, b in zip(gold.sides, sides, strict=True)):
            return True
    return None
