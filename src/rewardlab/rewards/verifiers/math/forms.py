"""What an answer can be: a number or expression, a list, a set or interval, a relation, a matrix, or words."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from rewardlab.rewards.verifiers.math.trees import Tree
from rewardlab.rewards.verifiers.math.units import Unit


@dataclass(slots=True, eq=False)
class Scalar:
    """One number or expression.

    Args:
        tree: the expression.
        value: its value where it is a plain rational number, else None.
        decimals: digits after the point where it is written as a decimal number, else None.
        digits: significant digits of such a decimal.
        percent: a per cent sign follows it.
        unit: a known unit that goes with it.
    """

    tree: Tree
    value: Fraction | None = None
    decimals: int | None = None
    digits: int = 0
    percent: bool = False
    unit: Unit | None = None


@dataclass(slots=True, eq=False)
class Sequence:
    """Several answers: a bare list (no brackets), a set ("{"), a tuple or interval ("(" or "[")."""

    opening: str
    closing: str
    items: list[Answer]


@dataclass(slots=True, eq=False)
class Union:
    """Intervals or sets joined by a union sign."""

    parts: list[Answer]


@dataclass(slots=True, eq=False)
class Relation:
    """An equation or inequality, possibly a chain: one more side than there are operators."""

    sides: list[Answer]
    operators: list[str]


@dataclass(slots=True, eq=False)
class Matrix:
    """The entries of a matrix, row by row."""

    rows: list[list[Answer]]


@dataclass(slots=True, eq=False)
class Words:
    """An answer in words, lower-case, without punctuation around it; and the number in it, where it holds exactly one."""

    text: str
    number: Scalar | None = None


@dataclass(slots=True, eq=False)
class Unread:
    """A text outside the grammar of this reader; hopeless where no other reader could make sense of it."""

    reason: str
    hopeless: bool = False


Answer = Scalar | Sequence | Union | Relation | Matrix | Words | Unread
