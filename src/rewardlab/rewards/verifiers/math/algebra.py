"""Exact algebra on small expression trees: are two expressions the same, certainly different, or too hard to say here?

Equal is decided by exact rational functions over independent generators (symbols, roots of primes, pi, e, i, and function
values that are not looked into). Different is decided by numbers: two expressions that differ at a point differ. What
neither settles is left to the symbolic path. No floating-point result ever says that two expressions are equal.
"""

from __future__ import annotations

import math
from fractions import Fraction

from rewardlab.rewards.verifiers.math.evaluation import differ_somewhere
from rewardlab.rewards.verifiers.math.polynomials import (
    HALF,
    ONE,
    POSITIVE_CONSTANTS,
    Polynomial,
    Ratio,
    TooHard,
    add,
    difference,
    key_of,
    monomial_of,
    prime_powers,
    ratio_power,
    ratio_product,
    ratio_sum,
    rational,
    whole_power,
)
from rewardlab.rewards.verifiers.math.trees import Tree


def same(left: Tree, right: Tree) -> bool | None:
    """Whether two expressions are equal wherever both are defined: yes, no, or None where it is not certain."""
    if left == right:
        return True
    try:
        first, second = canonical(left), canonical(right)
        if not difference(first, second):
            return True
        exact = rational(first), rational(second)
        if exact[0] is not None and exact[1] is not None:
            return False
    except (TooHard, RecursionError):
        pass
    return False if differ_somewhere(left, right) else None


def canonical(tree: Tree) -> Ratio:
    """An expression as a quotient of polynomials in independent generators.

    Raises:
        TooHard: it has no such form, or one that is too large.
    """
    kind = tree[0]
    if kind == "num":
        return ({(): tree[1]} if tree[1] else {}), ONE
    if kind in ("sym", "const"):
        return {((tree[1], Fraction(1)),): Fraction(1)}, ONE
    if kind == "add":
        total: Ratio = ({}, ONE)
        for child in tree[1]:
            total = ratio_sum(total, canonical(child))
        return total
    if kind == "mul":
        product: Ratio = (ONE, ONE)
        for child in tree[1]:
            product = ratio_product(product, canonical(child))
        return product
    if kind == "pow":
        return ratio_power(canonical(tree[1]), canonical(tree[2]))
    return _function(tree[1], [canonical(child) for child in tree[2]])


# ---- functions ----------------------------------------------------------------------------------------------------------


def _combination(*terms: tuple[int, int, int]) -> Polynomial:
    """The sum of `upper / lower * sqrt(radicand)`."""
    total: Polynomial = {}
    for radicand, upper, lower in terms:
        powers, factor = monomial_of({prime: count * HALF for prime, count in prime_powers(Fraction(radicand)).items()})
        total[powers] = factor * Fraction(upper, lower)
    return total


SINES: list[Polynomial] = [  # sin(k pi / 12)
    {},
    _combination((6, 1, 4), (2, -1, 4)),
    _combination((1, 1, 2)),
    _combination((2, 1, 2)),
    _combination((3, 1, 2)),
    _combination((6, 1, 4), (2, 1, 4)),
    dict(ONE),
]


def _sine(twelfths: int) -> Polynomial:
    turn = twelfths % 24
    sign = -1 if turn >= 12 else 1
    turn %= 12
    value = SINES[min(turn, 12 - turn)]
    return {monomial: sign * coefficient for monomial, coefficient in value.items()}


def _function(name: str, arguments: list[Ratio]) -> Ratio:
    first = arguments[0]
    value = rational(first)
    if name == "deg":
        return ratio_product(first, ({(("pi", Fraction(1)),): Fraction(1, 180)}, ONE))
    if name == "log":
        return ratio_product(_function("ln", [first]), whole_power(_function("ln", [arguments[1]]), -1))
    if name == "ln":
        return _logarithm(first)
    if name in ("sin", "cos", "tan", "cot", "sec", "csc"):
        twelfths = _twelfths_of_pi(first)
        if twelfths is not None:
            sine, cosine = (_sine(twelfths), ONE), (_sine(twelfths + 6), ONE)
            upper, lower = {
                "sin": (sine, (ONE, ONE)),
                "cos": (cosine, (ONE, ONE)),
                "tan": (sine, cosine),
                "cot": (cosine, sine),
                "sec": ((ONE, ONE), cosine),
                "csc": ((ONE, ONE), sine),
            }[name]
            return ratio_product(upper, whole_power(lower, -1))
    if value is not None:
        exact = _exact_function(name, value, arguments[1:])
        if exact is not None:
            return ({(): exact} if exact else {}), ONE
    inside = ",".join(key_of(argument) for argument in arguments)
    return {((f"{name}({inside})", Fraction(1)),): Fraction(1)}, ONE


def _exact_function(name: str, value: Fraction, others: list[Ratio]) -> Fraction | None:
    if name == "abs":
        return abs(value)
    if name == "floor":
        return Fraction(math.floor(value))
    if name == "ceil":
        return Fraction(math.ceil(value))
    if name == "factorial" and value.denominator == 1 and 0 <= value <= 200:
        return Fraction(math.factorial(int(value)))
    if name == "binom":
        chosen = rational(others[0])
        if chosen is not None and value.denominator == chosen.denominator == 1 and chosen >= 0 and 0 <= value <= 500:
            return Fraction(math.comb(int(value), int(chosen)))
    return None


def _twelfths_of_pi(ratio: Ratio) -> int | None:
    if not ratio[0]:
        return 0
    if ratio[1] != ONE or len(ratio[0]) != 1:
        return None
    ((monomial, coefficient),) = ratio[0].items()
    twelfths = coefficient * 12
    return int(twelfths) if monomial == (("pi", Fraction(1)),) and twelfths.denominator == 1 else None


def _logarithm(ratio: Ratio) -> Ratio:
    """The logarithm of one positive term of primes, pi and e as a sum of logarithms; else it is not looked into."""
    if len(ratio[0]) == 1 and ratio[1] == ONE:
        ((monomial, coefficient),) = ratio[0].items()
        if coefficient > 0 and all(name[0] == "#" or name in POSITIVE_CONSTANTS for name, _ in monomial):
            powers = {name: Fraction(count) for name, count in prime_powers(coefficient).items()}
            for name, power in monomial:
                powers[name] = powers.get(name, Fraction(0)) + power
            total: Polynomial = {}
            for name, power in powers.items():
                total = add(total, {(): power} if name == "e" else {((f"ln({name})", Fraction(1)),): power})
            return total, ONE
    if not ratio[0]:
        raise TooHard("the logarithm of zero")
    return {((f"ln({key_of(ratio)})", Fraction(1)),): Fraction(1)}, ONE
