"""A calculator for text that nobody vouches for: numbers, brackets and seven operators, within limits; nothing is evaluated.

Python's own parser reads the text and a walk over the syntax tree does the sums, so whatever is not a number or a known
operator is refused by name. Size is checked before a power is taken, since one power tower can hold up a machine for ever.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable

Number = int | float

LONGEST = 200
"""Characters of an expression."""
LARGEST = 10**15
"""Bound on every number that occurs, results of each operation included."""


class ArithmeticRefusal(ValueError):
    """An expression that cannot be worked out; the text says why, for whoever wrote it."""


_BINARY: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**"}


def evaluate(expression: str) -> Number:
    """Work out an arithmetic expression.

    Args:
        expression: numbers, `+ - * / // % **`, signs and brackets, with Python's meaning and precedence.

    Returns:
        What Python would give for it.

    Raises:
        ArithmeticRefusal: it is empty, too long, not arithmetic, divides by zero, or leaves the bounds.
    """
    text = expression.strip()
    if not text:
        raise ArithmeticRefusal("the expression is empty")
    if len(text) > LONGEST:
        raise ArithmeticRefusal(f"the expression has {len(text)} characters, more than {LONGEST}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parser warns of code like "1if", which is refused below anyway
            tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ArithmeticRefusal(f"{text!r:.60} is not an arithmetic expression") from error
    return _work_out(tree.body)


def written(value: Number) -> str:
    """A number as the tools write it: without a point where it is whole, else rounded to two decimals."""
    rounded = round(float(value), 2)
    if isinstance(value, int) or rounded.is_integer():
        return str(value if isinstance(value, int) else int(rounded))
    return f"{rounded:.2f}".rstrip("0")


def _work_out(node: ast.expr) -> Number:
    if isinstance(node, ast.Constant):
        if type(node.value) not in (int, float):
            raise ArithmeticRefusal(f"{node.value!r:.40} is not a number")
        return _bounded(node.value)  # type: ignore[arg-type]  # the line above leaves int and float
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.UAdd, ast.USub)):
        value = _work_out(node.operand)
        return value if isinstance(node.op, ast.UAdd) else -value
    if isinstance(node, ast.BinOp):
        left, right = _work_out(node.left), _work_out(node.right)
        if isinstance(node.op, ast.Pow):
            return _bounded(_power(left, right))
        work = _BINARY.get(type(node.op))
        if work is not None:
            try:
                return _bounded(work(left, right))
            except ZeroDivisionError as error:
                raise ArithmeticRefusal("division by zero") from error
        hint = "; a power is written **" if isinstance(node.op, ast.BitXor) else ""
        raise ArithmeticRefusal(f"that operator is not known; the operators are {' '.join(_SIGNS.values())}{hint}")
    if isinstance(node, ast.Name):
        raise ArithmeticRefusal(f"{node.id!r:.40} is not a number")
    raise ArithmeticRefusal("only numbers, operators and brackets are allowed")


def _power(base: Number, exponent: Number) -> Number:
    if base == 0 and exponent < 0:
        raise ArithmeticRefusal("division by zero")
    if base < 0 and not float(exponent).is_integer():
        raise ArithmeticRefusal("a negative number has no such root")
    if base != 0 and exponent * math.log2(abs(base)) > math.log2(LARGEST) + 1:
        raise ArithmeticRefusal(f"the power is larger than {LARGEST:.0e}")
    result: Number = base**exponent
    return result


def _bounded(value: Number) -> Number:
    if not -LARGEST <= value <= LARGEST:  # false for NaN too
        raise ArithmeticRefusal(f"a number is larger than {LARGEST:.0e}")
    return value
