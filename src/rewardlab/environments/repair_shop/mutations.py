"""Bugs that people make, put into a line of a program: another comparison, another sign, a number that is off by one.

A mutation changes the text of one place in one line and leaves everything else as it stands, so that the repair is a line.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
_SIGNS = {"+": "-", "-": "+", "*": "+", "//": "%", "%": "//"}

KINDS = ("comparison", "direction", "arithmetic", "update", "number", "connective")
"""Kinds of mistakes: `<` for `<=`; `<` for `>`; `+` for `-`; `+=` for `=`; a number off by one; `or` for `and`."""
_DIRECTIONS = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, slots=True)
class Mutation:
    """One mistake.

    Args:
        kind: one of `KINDS`.
        line: where, from 1.
        fixed: the line as it should be.
        broken: the line with the mistake.
    """

    kind: str
    line: int
    fixed: str
    broken: str

    def applied(self, source: str) -> str:
        """The program with the mistake."""
        lines = source.split("\n")
        lines[self.line - 1] = self.broken
        return "\n".join(lines)


def mutations(source: str) -> list[Mutation]:
    """All mistakes that can be made in a program, in the order of its text; docstrings stay as they are.

    Args:
        source: a program in plain ASCII whose expressions do not span lines.
    """
    lines = source.split("\n")
    found = []
    for kind, line, start, end, text in sorted(_changes(ast.parse(source), lines)):
        old = lines[line - 1]
        found.append(Mutation(kind, line, old, old[:start] + text + old[end:]))
    return [one for one in found if one.fixed != one.broken]


def _changes(tree: ast.AST, lines: list[str]) -> Iterator[tuple[str, int, int, int, str]]:
    """Kind, line, first and last column, and what stands there afterwards."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            start, end, sign = _between(lines, node.left, node.comparators[0])
            for kind, table in (("comparison", _COMPARISONS), ("direction", _DIRECTIONS)):
                if sign in table:
                    yield kind, node.lineno, start, end, table[sign]
        elif isinstance(node, ast.BinOp):
            start, end, sign = _between(lines, node.left, node.right)
            if sign in _SIGNS and not isinstance(node.left, ast.Constant):
                yield "arithmetic", node.lineno, start, end, _SIGNS[sign]
        elif isinstance(node, ast.AugAssign):
            start, end, sign = _between(lines, node.target, node.value)
            yield "update", node.lineno, start, end, "="
            if sign in ("+=", "-="):
                yield "arithmetic", node.lineno, start, end, "-=" if sign == "+=" else "+="
        elif isinstance(node, ast.BoolOp):
            start, end, sign = _between(lines, node.values[0], node.values[1])
            yield "connective", node.lineno, start, end, "or" if sign == "and" else "and"
        elif isinstance(node, ast.Constant) and type(node.value) is int:
            for value in (node.value + 1, node.value - 1):
                if value >= 0:
                    yield "number", node.lineno, node.col_offset, node.end_col_offset or 0, str(value)


def _between(lines: list[str], left: ast.expr, right: ast.expr) -> tuple[int, int, str]:
    """Where the sign between two expressions of one line stands, and which one it is."""
    start, end = left.end_col_offset or 0, right.col_offset
    text = lines[left.lineno - 1][start:end]
    sign = text.strip(" ()")
    first = start + text.index(sign)
    return first, first + len(sign), sign
