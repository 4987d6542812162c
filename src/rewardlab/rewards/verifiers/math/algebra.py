"""Exact algebra on small expression trees: are two expressions the same, certainly different, or too hard to say here?

Equal is decided by exact rational functions over independent generators (symbols, roots of primes, pi, e, i, and function
values that are not looked into). Different is decided by numbers: two expressions that differ at a point differ. What
neither settles is left to the symbolic path. No floating-point result ever says that two expressions are equal.
"""

from __future__ import annotations

import cmath
import math
import zlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

Tree = tuple[Any, ...]
"""`("num", Fraction)`, `("sym", name)`, `("const", name)`, `("add", trees)`, `("mul", trees)`, `("pow", base, exponent)` or
`("fn", name, trees)`."""
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


def number(value: int | Fraction) -> Tree:
    """A tree that holds one rational number."""
    return ("num", Fraction(value))


MINUS_ONE = number(-1)


def negated(tree: Tree) -> Tree:
    """The tree of minus an expression."""
    return ("num", -tree[1]) if tree[0] == "num" else ("mul", (MINUS_ONE, tree))


def divided(upper: Tree, lower: Tree) -> Tree:
    """The tree of a quotient."""
    return ("mul", (upper, ("pow", lower, MINUS_ONE)))


def symbols(tree: Tree) -> set[str]:
    """The names of the variables in a tree."""
    kind = tree[0]
    if kind == "sym":
        return {tree[1]}
    if kind == "pow":
        return symbols(tree[1]) | symbols(tree[2])
    if kind in ("add", "mul"):
        return set().union(*(symbols(child) for child in tree[1]))
    if kind == "fn":
        return set().union(*(symbols(child) for child in tree[2]))
    return set()


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
    return False if _differ_somewhere(left, right) else None


# ---- exact canonical form -----------------------------------------------------------------------------------------------


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
            total = _plus(total, canonical(child))
        return total
    if kind == "mul":
        product: Ratio = (ONE, ONE)
        for child in tree[1]:
            product = _product(product, canonical(child))
        return product
    if kind == "pow":
        return _power(canonical(tree[1]), canonical(tree[2]))
    return _function(tree[1], [canonical(child) for child in tree[2]])


def difference(first: Ratio, second: Ratio) -> Polynomial:
    """A polynomial that is zero exactly where two quotients are equal."""
    return _sum(_times(first[0], second[1]), _times(second[0], first[1]), -1)


def rational(ratio: Ratio) -> Fraction | None:
    """The value of a quotient that is a rational number, or None."""
    upper, lower = _constant(ratio[0]), _constant(ratio[1])
    return upper / lower if upper is not None and lower else None


def _constant(polynomial: Polynomial) -> Fraction | None:
    if not polynomial:
        return Fraction(0)
    return polynomial.get(()) if len(polynomial) == 1 else None


def _sum(first: Polynomial, second: Polynomial, sign: int = 1) -> Polynomial:
    total = dict(first)
    for monomial, coefficient in second.items():
        value = total.get(monomial, 0) + sign * coefficient
        if value:
            total[monomial] = value
        else:
            total.pop(monomial, None)
    return total


def _times(first: Polynomial, second: Polynomial) -> Polynomial:
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
    return _monomial(exponents)


def _monomial(exponents: Mapping[str, Fraction]) -> tuple[Monomial, Fraction]:
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


def _plus(first: Ratio, second: Ratio) -> Ratio:
    if first[1] == second[1]:
        return _sum(first[0], second[0]), first[1]
    return _sum(_times(first[0], second[1]), _times(second[0], first[1])), _times(first[1], second[1])


def _product(first: Ratio, second: Ratio) -> Ratio:
    return _times(first[0], second[0]), _times(first[1], second[1])


def _power(base: Ratio, exponent: Ratio) -> Ratio:
    constant = rational(exponent)
    if constant is None:
        return _symbolic_power(base, exponent)
    if constant.denominator == 1:
        return _whole_power(base, int(constant))
    if len(base[0]) == 1 and len(base[1]) == 1:
        upper, lower = _root(base[0], constant), _root(base[1], constant)
        if upper is not None and lower is not None:
            return _product(upper, _whole_power(lower, -1))
    if not base[0]:
        if constant > 0:
            return {}, ONE
        raise TooHard("division by zero")
    return {((f"({_key(base)})", constant),): Fraction(1)}, ONE


def _whole_power(base: Ratio, exponent: int) -> Ratio:
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
        inverse, factor = _monomial({generator: -power for generator, power in monomial})
        return _times(raised[0], {inverse: factor / coefficient}), ONE
    return raised


def _raise(base: Polynomial, exponent: int) -> Polynomial:
    if exponent == 1 or base is ONE:
        return base
    if len(base) == 1:
        ((monomial, coefficient),) = base.items()
        if exponent > 10**6:
            raise TooHard("a power is too large")
        powers, factor = _monomial({generator: power * exponent for generator, power in monomial})
        return {powers: factor * _rational_power(coefficient, exponent)}
    if exponent > MAX_POWER:
        raise TooHard("a power is too large")
    result = ONE
    for _ in range(exponent):
        result = _times(result, base)
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
    for prime, count in _prime_powers(abs(coefficient)).items():
        exponents[prime] = exponents.get(prime, Fraction(0)) + count * exponent
    powers, factor = _monomial(exponents)
    return {powers: factor}, ONE


def _prime_powers(value: Fraction) -> dict[str, int]:
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
            factors = {name: Fraction(count) for name, count in _prime_powers(coefficient).items()}
            for name, power in monomial:
                factors[name] = factors.get(name, Fraction(0)) + power
            result: Ratio = (ONE, ONE)
            for name, power in factors.items():
                for term, weight in exponent[0].items():
                    generator = name if term == () else f"^{name}[{_monomial_key(term)}]"
                    powers, factor = _monomial({generator: power * weight})
                    result = _product(result, ({powers: factor}, ONE))
            return result
    return {((f"({_key(base)})^({_key(exponent)})", Fraction(1)),): Fraction(1)}, ONE


def _monomial_key(monomial: Monomial) -> str:
    return "*".join(f"{generator}^{exponent}" for generator, exponent in monomial)


def _key(ratio: Ratio) -> str:
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


# ---- functions ----------------------------------------------------------------------------------------------------------


def _combination(*terms: tuple[int, int, int]) -> Polynomial:
    """The sum of `upper / lower * sqrt(radicand)`."""
    total: Polynomial = {}
    for radicand, upper, lower in terms:
        powers, factor = _monomial({prime: count * HALF for prime, count in _prime_powers(Fraction(radicand)).items()})
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
        return _product(first, ({(("pi", Fraction(1)),): Fraction(1, 180)}, ONE))
    if name == "log":
        return _product(_function("ln", [first]), _whole_power(_function("ln", [arguments[1]]), -1))
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
            return _product(upper, _whole_power(lower, -1))
    if value is not None:
        exact = _exact_function(name, value, arguments[1:])
        if exact is not None:
            return ({(): exact} if exact else {}), ONE
    inside = ",".join(_key(argument) for argument in arguments)
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
        if chosen is not None and value.denominator == chosen.denominator == 1 and 0 <= chosen and 0 <= value <= 500:
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
            powers = {name: Fraction(count) for name, count in _prime_powers(coefficient).items()}
            for name, power in monomial:
                powers[name] = powers.get(name, Fraction(0)) + power
            total: Polynomial = {}
            for name, power in powers.items():
                total = _sum(total, {(): power} if name == "e" else {((f"ln({name})", Fraction(1)),): power})
            return total, ONE
    if not ratio[0]:
        raise TooHard("the logarithm of zero")
    return {((f"ln({_key(ratio)})", Fraction(1)),): Fraction(1)}, ONE


# ---- numbers: only to tell expressions apart --------------------------------------------------------------------------


class Evaluator:
    """Values of trees at one point, with the largest number that a sum has met (which bounds the rounding error).

    Args:
        point: which point; each variable gets a positive value that depends on its name and on this.
    """

    def __init__(self, point: int = 0) -> None:
        self.point = point
        self.largest = 0.0

    def value(self, tree: Tree) -> complex:
        """The value of a tree; infinite where it exceeds the range of a float.

        Raises:
            TooHard: it has no value here, or one that is not accurate.
        """
        try:
            return self._value(tree)
        except (ArithmeticError, ValueError, TypeError, RecursionError) as error:
            raise TooHard(f"no value: {error}") from error

    def _value(self, tree: Tree) -> complex:
        kind = tree[0]
        if kind == "num":
            try:
                return float(tree[1])
            except OverflowError:
                return math.inf if tree[1] > 0 else -math.inf
        if kind == "sym":
            return 0.3 + (zlib.crc32(f"{self.point}{tree[1]}".encode()) % 99_991) / 50_000
        if kind == "const":
            return CONSTANTS[tree[1]]
        if kind == "add":
            terms = [self._value(child) for child in tree[1]]
            self.largest = max(self.largest, *(abs(term) for term in terms))
            return sum(terms)
        if kind == "mul":
            product: complex = 1.0
            for child in tree[1]:
                product *= self._value(child)
            return product
        if kind == "pow":
            return self._raised(self._value(tree[1]), self._value(tree[2]))
        return self._call(tree[1], [self._value(child) for child in tree[2]])

    def _raised(self, base: complex, exponent: complex) -> complex:
        if isinstance(base, float) and isinstance(exponent, float):
            if base < 0 and not exponent.is_integer():
                if (2 * exponent).is_integer():
                    return complex(base) ** exponent
                raise TooHard("an odd root of a negative number: real or principal?")
            try:
                return float(base**exponent)
            except OverflowError:
                if base > 1:
                    return math.inf
                raise
        if abs(exponent) > 100:
            raise TooHard("a large complex power")
        return complex(base) ** exponent

    def _call(self, name: str, arguments: list[complex]) -> complex:
        argument = arguments[0]
        if name not in FUNCTIONS or not cmath.isfinite(argument):
            raise TooHard(f"{name} is not computed here")
        if name in PERIODIC and abs(argument) > 1e4:
            raise TooHard("an angle so large that its float is not accurate")
        if name in STEPS and (isinstance(argument, complex) or abs(argument - round(argument)) < 1e-6):
            raise TooHard("a step right where the function jumps")
        result = FUNCTIONS[name](*arguments)
        return result.real if isinstance(result, complex) and abs(result.imag) <= 1e-15 * abs(result.real) else result


CONSTANTS: dict[str, complex] = {"pi": math.pi, "e": math.e, "i": 1j, "oo": math.inf}
PERIODIC = ("sin", "cos", "tan", "cot", "sec", "csc")
STEPS = ("floor", "ceil")
FUNCTIONS: dict[str, Callable[..., complex]] = {
    "sin": cmath.sin,
    "cos": cmath.cos,
    "tan": cmath.tan,
    "cot": lambda x: 1 / cmath.tan(x),
    "sec": lambda x: 1 / cmath.cos(x),
    "csc": lambda x: 1 / cmath.sin(x),
    "arcsin": cmath.asin,
    "arccos": cmath.acos,
    "arctan": cmath.atan,
    "sinh": cmath.sinh,
    "cosh": cmath.cosh,
    "tanh": cmath.tanh,
    "ln": cmath.log,
    "log": lambda x, base: cmath.log(x) / cmath.log(base),
    "exp": cmath.exp,
    "abs": abs,
    "deg": lambda x: x * math.pi / 180,
    "floor": lambda x: float(math.floor(x)),
    "ceil": lambda x: float(math.ceil(x)),
}


def real_value(tree: Tree) -> float | None:
    """The value of a constant expression, where it is real and accurate to about 1e-12 of itself; else None."""
    evaluator = Evaluator()
    try:
        value = evaluator.value(tree)
    except TooHard:
        return None
    if isinstance(value, complex) or not math.isfinite(value) or evaluator.largest > 1e3 * abs(value):
        return None
    return value


def _differ_somewhere(left: Tree, right: Tree) -> bool:
    """Whether two expressions differ at one of three points by far more than rounding explains."""
    for point in range(3 if symbols(left) or symbols(right) else 1):
        evaluator = Evaluator(point)
        try:
            first, second = evaluator.value(left), evaluator.value(right)
        except TooHard:
            continue
        gap = abs(first - second)
        size = max(abs(first), abs(second))
        if math.isnan(gap):
            continue
        if math.isinf(gap):
            if min(abs(first), abs(second)) < 1e290 or first == -second:
                return True
            continue
        if gap > 1e-7 * size and gap > 1e-9 * max(evaluator.largest, 1e-290) and gap > 1e-290:
            return True
    return False
