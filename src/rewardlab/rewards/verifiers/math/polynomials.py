"""Quotients of polynomials with rational coefficients, in generators that are independent of one another.

A generator is a name: a symbol, "pi", "e", "i", a prime such as "#2" (whose fractional powers are roots), or a text that
stands for something not looked into. Exponents are rational, and may be negative.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

Monomial = tuple[tuple[str, Fraction], ...]
Polynomial = dict[Monomial, Fraction]
Ratio = tuple[Polynomial, Polynomial]

MAX_TERMS = 400
MAX_BITS = 4096
MAX_POWER = 64

ONE: Polynomial = {(): Fraction(1)}
HALF = Fraction(1, 2)
SMALL_PRIMES = [p for p in range(2, 1000) if all(p % q for q in range(2, int(p**0.5) + 1))]
POSITIVE_CONSTANTS = ("pi", "e")


class TooHard(Exception):
    """This expression is outside what the exact algebra handles."""


def difference(first: Ratio, second: Ratio) -> Polynomial:
    """A polynomial that is zero exactly where two quotients are equal."""
    return add(multiply(first[0], second[1]), multiply(second[0], first[1]), -1)


def rational(ratio: Ratio) -> Fraction | None:
    """The value of a quotient that is a rational number, or None."""
    upper, lower = _constant(ratio[0]), _constant(ratio[1])
    return upper / lower if upper is not None and lower else None


def _constant(polynomial: Polynomial) -> Fraction | None:
    if not polynomial:
        return Fraction(0)
    return polynomial.get(()) if len(polynomial) == 1 else None


def add(first: Polynomial, second: Polynomial, sign: int = 1) -> Polynomial:
    """The sum of two polynomials, or their difference where `sign` is -1."""
    total = dict(first)
    for monomial, coefficient in second.items():
        value = total.get(monomial, 0) + sign * coefficient
        if value:
            total[monomial] = value
        else:
            total.pop(monomial, None)
    return total


def multiply(first: Polynomial, second: Polynomial) -> Polynomial:
    """The product of two polynomials.

    Raises:
        TooHard: it has too many terms, or too large a coefficient.
    """
    if second is ONE:
        return first
    if first is ONE:
        return second
    if len(first) * len(second) > MAX_TERMS:
        raise TooHard("too many terms")
    total: Polynomial = {}
    for left, factor in first.items():
        for right, other in second.items():
            monomial, extra = _join(left, right)
            value = total.get(monomial, 0) + factor * other * extra
            if value:
                total[monomial] = value
            else:
                total.pop(monomial, None)
    for value in total.values():
        if value.numerator.bit_length() + value.denominator.bit_length() > MAX_BITS:
            raise TooHard("a coefficient is too large")
    return total


def _join(left: Monomial, right: Monomial) -> tuple[Monomial, Fraction]:
    """The product of two monomials, and the rational factor that falls out of it (i * i = -1, roots of a prime)."""
    if not left or not right:
        return left or right, Fraction(1)
    exponents = dict(left)
    for generator, exponent in right:
        exponents[generator] = exponents.get(generator, Fraction(0)) + exponent
    return monomial_of(exponents)


def monomial_of(exponents: Mapping[str, Fraction]) -> tuple[Monomial, Fraction]:
    """The monomial of some powers, and the rational factor that falls out of it (i * i = -1, whole powers of primes)."""
    factor = Fraction(1)
    kept = []
    for generator, exponent in exponents.items():
        if generator == "i" and exponent.denominator == 1:
            turns = int(exponent) % 4
            factor = -factor if turns >= 2 else factor
            exponent = Fraction(turns % 2)
        elif generator[0] == "#":  # a root of a prime: whole powers are rational numbers
            whole = math.floor(exponent)
            if whole:
                factor *= _rational_power(Fraction(int(generator[1:])), whole)
                exponent -= whole
        if exponent:
            kept.append((generator, exponent))
    kept.sort()
    return tuple(kept), factor


def _rational_power(base: Fraction, exponent: int) -> Fraction:
    if (base.numerator.bit_length() + base.denominator.bit_length()) * abs(exponent) > MAX_BITS:
        raise TooHard("a power is too large")
    if not base and exponent < 0:
        raise TooHard("division by zero")
    return base**exponent


def ratio_sum(first: Ratio, second: Ratio) -> Ratio:
    """The sum of two quotients."""
    if first[1] == second[1]:
        return add(first[0], second[0]), first[1]
    return add(multiply(first[0], second[1]), multiply(second[0], first[1])), multiply(first[1], second[1])


def ratio_product(first: Ratio, second: Ratio) -> Ratio:
    """The product of two quotients."""
    return multiply(first[0], second[0]), multiply(first[1], second[1])


def ratio_power(base: Ratio, exponent: Ratio) -> Ratio:
    """A quotient to the power of another; what has no closed form becomes a generator of its own."""
    constant = rational(exponent)
    if constant is None:
        return _symbolic_power(base, exponent)
    if constant.denominator == 1:
        return whole_power(base, int(constant))
    if len(base[0]) == 1 and len(base[1]) == 1:
        upper, lower = _root(base[0], constant), _root(base[1], constant)
        if upper is not None and lower is not None:
            return ratio_product(upper, whole_power(lower, -1))
    if not base[0]:
        if constant > 0:
            return {}, ONE
        raise TooHard("division by zero")
    return {((f"({key_of(base)})", constant),): Fraction(1)}, ONE


def whole_power(base: Ratio, exponent: int) -> Ratio:
    """A quotient to a whole power."""
    upper, lower = base
    if exponent < 0:
        if not upper:
            raise TooHard("division by zero")
        upper, lower, exponent = lower, upper, -exponent
    if exponent == 0 and not upper:
        raise TooHard("zero to the power of zero")
    raised = _raise(upper, exponent), _raise(lower, exponent)
    if len(raised[1]) == 1 and raised[1] is not ONE:  # a single term below becomes negative exponents above
        ((monomial, coefficient),) = raised[1].items()
        inverse, factor = monomial_of({generator: -power for generator, power in monomial})
        return multiply(raised[0], {inverse: factor / coefficient}), ONE
    return raised


def _raise(base: Polynomial, exponent: int) -> Polynomial:
    if exponent == 1 or base is ONE:
        return base
    if len(base) == 1:
        ((monomial, coefficient),) = base.items()
        if exponent > 10**6:
            raise TooHard("a power is too large")
        powers, factor = monomial_of({generator: power * exponent for generator, power in monomial})
        return {powers: factor * _rational_power(coefficient, exponent)}
    if exponent > MAX_POWER:
        raise TooHard("a power is too large")
    result = ONE
    for _ in range(exponent):
        result = multiply(result, base)
    return result


def _root(base: Polynomial, exponent: Fraction) -> Ratio | None:
    """A fractional power of one term, where it is the product of the powers of its factors; else None."""
    ((monomial, coefficient),) = base.items()
    unsigned = [generator for generator, _ in monomial if generator[0] != "#" and generator not in POSITIVE_CONSTANTS]
    if unsigned and (len(monomial) > len(unsigned) or len(unsigned) > 1 or coefficient < 0):
        return None
    if unsigned and monomial[0][1].numerator != 1:
        return None  # the root of x ** 2 is not x
    exponents = {generator: power * exponent for generator, power in monomial}
    if coefficient < 0:
        if exponent.denominator != 2:
            raise TooHard("an odd root of a negative number: real or principal?")
        exponents["i"] = Fraction(int(2 * exponent))
    for prime, count in prime_powers(abs(coefficient)).items():
        exponents[prime] = exponents.get(prime, Fraction(0)) + count * exponent
    powers, factor = monomial_of(exponents)
    return {powers: factor}, ONE


def prime_powers(value: Fraction) -> dict[str, int]:
    """The primes of a positive rational, as generators; what is left of a large number counts as one prime."""
    powers: dict[str, int] = {}
    for part, sign in ((value.numerator, 1), (value.denominator, -1)):
        rest = part
        for prime in SMALL_PRIMES:
            if prime * prime > rest:
                break
            while rest % prime == 0:
                rest //= prime
                powers[f"#{prime}"] = powers.get(f"#{prime}", 0) + sign
        if rest > 1:
            root = math.isqrt(rest)
            name, count = (root, 2) if root * root == rest else (rest, 1)
            powers[f"#{name}"] = powers.get(f"#{name}", 0) + sign * count
    return powers


def _symbolic_power(base: Ratio, exponent: Ratio) -> Ratio:
    """A power whose exponent is not a number: b ** (2 x + 1) becomes b * (b ** x) ** 2 where b is a positive constant."""
    if len(base[0]) == 1 and base[1] == ONE and exponent[1] == ONE:
        ((monomial, coefficient),) = base[0].items()
        if coefficient > 0 and all(name[0] == "#" or name in POSITIVE_CONSTANTS for name, _ in monomial):
            factors = {name: Fraction(count) for name, count in prime_powers(coefficient).items()}
            for name, power in monomial:
                factors[name] = factors.get(name, Fraction(0)) + power
            result: Ratio = (ONE, ONE)
            for name, power in factors.items():
                for term, weight in exponent[0].items():
                    generator = name if term == () else f"^{name}[{_monomial_key(term)}]"
                    powers, factor = monomial_of({generator: power * weight})
                    result = ratio_product(result, ({powers: factor}, ONE))
            return result
    return {((f"({key_of(base)})^({key_of(exponent)})", Fraction(1)),): Fraction(1)}, ONE


def _monomial_key(monomial: Monomial) -> str:
    return "*".join(f"{generator}^{exponent}" for generator, exponent in monomial)


def key_of(ratio: Ratio) -> str:
    """A name for an expression that equal canonical forms share."""
    parts = []
    lead = ratio[1][min(ratio[1])] if ratio[1] else Fraction(1)
    for polynomial in ratio:
        terms = sorted((_monomial_key(monomial), coefficient / lead) for monomial, coefficient in polynomial.items())
        parts.append("+".join(f"{coefficient}*{monomial}" for monomial, coefficient in terms))
    key = "/".join(parts)
    if len(key) > 2000:
        raise TooHard("the expression is too long")
    return key
