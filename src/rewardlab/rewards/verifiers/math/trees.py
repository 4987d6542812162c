"""Expressions as small trees of tuples, and how they are built."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

Tree = tuple[Any, ...]
"""`("num", Fraction)`, `("sym", name)`, `("const", name)`, `("add", trees)`, `("mul", trees)`, `("pow", base, exponent)` or
`("fn", name, trees)`."""


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
