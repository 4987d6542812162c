"""Values of expressions as floats, with error bounds: they tell expressions apart, and never call two of them equal.

The bound is a running error analysis to first order; two values differ where they are apart by a thousand times its sum.
"""

from __future__ import annotations

import cmath
import math
import zlib
from collections.abc import Callable

from rewardlab.rewards.verifiers.math.polynomials import TooHard
from rewardlab.rewards.verifiers.math.trees import Tree, symbols

Bounded = tuple[complex, float]
"""A value, a float where it is real, and a bound on its absolute error."""

EPSILON = 2.3e-16
SAFETY = 1e3


def evaluate(tree: Tree, point: int = 0) -> Bounded:
    """The value of a tree; infinite where it exceeds the range of a float.

    Args:
        tree: the expression.
        point: which point; each variable gets a positive value that depends on its name and on this.

    Raises:
        TooHard: it has no value here, or none with a useful bound.
    """
    try:
        value, error = _value(tree, point)
    except (ArithmeticError, ValueError, TypeError, RecursionError) as reason:
        raise TooHard(f"no value: {reason}") from reason
    if cmath.isnan(value) or math.isnan(error):
        raise TooHard("no value")
    return value, error


def real_value(tree: Tree) -> float | None:
    """The value of a constant expression, where it is real and accurate to about 1e-12 of itself; else None."""
    try:
        value, error = evaluate(tree)
    except TooHard:
        return None
    if isinstance(value, complex) or not math.isfinite(value) or error > 1e-12 * abs(value):
        return None
    return value


def differ_somewhere(left: Tree, right: Tree) -> bool:
    """Whether two expressions differ at one of three points by far more than rounding explains."""
    for point in range(3 if symbols(left) or symbols(right) else 1):
        try:
            (first, one), (second, other) = evaluate(left, point), evaluate(right, point)
        except TooHard:
            continue
        if cmath.isinf(first) or cmath.isinf(second):
            if min(abs(first), abs(second)) < 1e290 or first == -second:
                return True
        elif abs(first - second) > SAFETY * (one + other) + 1e-290:
            return True
    return False


def _value(tree: Tree, point: int) -> Bounded:
    kind = tree[0]
    if kind == "num":
        try:
            number = float(tree[1])
        except OverflowError:
            return (math.inf if tree[1] > 0 else -math.inf), 0.0
        return number, 0.0 if number == tree[1] else EPSILON * abs(number)
    if kind == "sym":
        return 0.3 + (zlib.crc32(f"{point}{tree[1]}".encode()) % 99_991) / 50_000, 0.0
    if kind == "const":
        constant = CONSTANTS[tree[1]]
        return constant, 0.0 if tree[1] in ("i", "oo") else EPSILON * abs(constant)
    if kind == "add":
        terms = [_value(child, point) for child in tree[1]]
        size = sum(abs(value) for value, _ in terms)
        total = sum(value for value, _ in terms)
        return total, sum(error for _, error in terms) + (EPSILON * len(terms) * size if math.isfinite(size) else 0.0)
    if kind == "mul":
        product: Bounded = (1.0, 0.0)
        for child in tree[1]:
            product = _product(product, _value(child, point))
        return product
    if kind == "pow":
        return _power(_value(tree[1], point), _value(tree[2], point))
    return _function(tree[1], [_value(child, point) for child in tree[2]])


def _product(first: Bounded, second: Bounded) -> Bounded:
    value = first[0] * second[0]
    if cmath.isinf(value):
        return value, 0.0
    return value, abs(first[0]) * second[1] + abs(second[0]) * first[1] + EPSILON * abs(value)


def _power(base: Bounded, exponent: Bounded) -> Bounded:
    (value, error), (power, power_error) = _settled(base), exponent
    if value == 0:
        if error or isinstance(power, complex) or power <= 0:
            raise TooHard("zero, or nearly, to a power")
        return 0.0, 0.0
    if error > 1e-3 * abs(value) or abs(power_error) > 1e-3:
        raise TooHard("a power of an inaccurate number")
    if isinstance(value, float) and isinstance(power, float):
        if value < 0 and not power.is_integer() and not (2 * power).is_integer():
            raise TooHard("an odd root of a negative number: real or principal?")
        try:
            result: complex = value**power
        except OverflowError:
            if value > 1:
                return math.inf, 0.0
            raise
    elif abs(power) > 100:
        raise TooHard("a large complex power")
    else:
        result = value**power
    if cmath.isinf(result) or result == 0:
        return result, 0.0
    logarithm = abs(cmath.log(value))
    relative = abs(power) * error / abs(value) + logarithm * power_error + EPSILON * (2 + abs(power) * logarithm)
    if relative > 1e-6:
        raise TooHard("a power that magnifies errors")
    return result, abs(result) * relative


def _settled(bounded: Bounded) -> Bounded:
    """The argument of a root or logarithm, which must not be so near the negative real axis that its branch is open."""
    value, error = bounded
    if isinstance(value, complex):
        if value.imag == 0 and error == 0:
            return value.real, 0.0
        if value.real <= 0 and abs(value.imag) <= SAFETY * max(error, EPSILON * abs(value)):
            raise TooHard("too near a branch cut")
    return bounded


def _function(name: str, arguments: list[Bounded]) -> Bounded:
    if name not in FUNCTIONS:
        raise TooHard(f"{name} is not computed here")
    if name == "log":
        (upper, above), (lower, below) = (_function("ln", [argument]) for argument in arguments)
        value = upper / lower
        return value, (above + abs(value) * below) / abs(lower) + EPSILON * abs(value)
    value, error = arguments[0]
    if not cmath.isfinite(value):
        raise TooHard(f"{name} of infinity")
    if name in ("ln", "arcsin", "arccos"):
        value, error = _settled((value, error))
    if name in ("floor", "ceil") and (isinstance(value, complex) or abs(value - round(value)) <= SAFETY * error + 1e-9):
        raise TooHard("a step right where the function jumps")
    compute, slope = FUNCTIONS[name]
    result = compute(value)
    if isinstance(result, complex) and not isinstance(value, complex) and result.imag == 0:
        result = result.real
    steepness = slope(value, result)
    if steepness * error > 1e-6 * max(1.0, abs(result)):
        raise TooHard(f"{name} magnifies errors here")
    return result, steepness * error + 4 * EPSILON * max(abs(result), 1.0 if name in ("sin", "cos", "ln") else 0.0)


CONSTANTS: dict[str, complex] = {"pi": math.pi, "e": math.e, "i": 1j, "oo": math.inf}
FUNCTIONS: dict[str, tuple[Callable[..., complex], Callable[[complex, complex], float]]] = {
    "sin": (cmath.sin, lambda x, y: math.cosh(x.imag)),
    "cos": (cmath.cos, lambda x, y: math.cosh(x.imag)),
    "tan": (cmath.tan, lambda x, y: 1 + abs(y) ** 2),
    "cot": (lambda x: 1 / cmath.tan(x), lambda x, y: 1 + abs(y) ** 2),
    "sec": (lambda x: 1 / cmath.cos(x), lambda x, y: abs(y) * (1 + abs(y))),
    "csc": (lambda x: 1 / cmath.sin(x), lambda x, y: abs(y) * (1 + abs(y))),
    "arcsin": (cmath.asin, lambda x, y: 1 / abs(cmath.sqrt(1 - x * x))),
    "arccos": (cmath.acos, lambda x, y: 1 / abs(cmath.sqrt(1 - x * x))),
    "arctan": (cmath.atan, lambda x, y: 1 / abs(1 + x * x)),
    "sinh": (cmath.sinh, lambda x, y: 1 + abs(y)),
    "cosh": (cmath.cosh, lambda x, y: 1 + abs(y)),
    "tanh": (cmath.tanh, lambda x, y: 1 + abs(y) ** 2),
    "ln": (cmath.log, lambda x, y: 1 / abs(x)),
    "log": (cmath.log, lambda x, y: 1 / abs(x)),
    "abs": (abs, lambda x, y: 1.0),
    "deg": (lambda x: x * math.pi / 180, lambda x, y: 0.02),
    "floor": (lambda x: float(math.floor(x)), lambda x, y: 0.0),
    "ceil": (lambda x: float(math.ceil(x)), lambda x, y: 0.0),
}
"""Each function, and a bound on how steep it is at an argument, given the result."""
