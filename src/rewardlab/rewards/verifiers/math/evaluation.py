"""Values of expressions as floats: only ever used to tell expressions apart, never to call them equal."""

from __future__ import annotations

import cmath
import math
import zlib
from collections.abc import Callable

from rewardlab.rewards.verifiers.math.polynomials import TooHard
from rewardlab.rewards.verifiers.math.trees import Tree, symbols


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


def differ_somewhere(left: Tree, right: Tree) -> bool:
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
