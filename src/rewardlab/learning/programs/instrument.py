"""The same program with notes: which conditions held in which share of states, and what each term of the sum gave.

Terms are the summands of what is returned, and of every variable that is returned or that a returned sum is made of.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from rewardlab.learning.programs.allowed import FUNCTION


@dataclass(frozen=True, slots=True)
class Place:
    """Where a condition or a term stands: its number in the notes, its line, its text."""

    number: int
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Instrumented:
    """A program with notes."""

    source: str
    conditions: tuple[Place, ...]
    terms: tuple[Place, ...]


def instrument(source: str) -> Instrumented:
    """Add the notes; lines may move, so the places say where things stood."""
    tree = ast.parse(source)
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == FUNCTION)
    sums = _summed(function)
    notes = _Notes(sums)
    function.body = [notes.visit(statement) for statement in function.body]
    return Instrumented(ast.unparse(ast.fix_missing_locations(tree)), tuple(notes.conditions), tuple(notes.terms))


def _summed(function: ast.FunctionDef) -> set[str]:
    """Variables that are returned, or are a summand of one that is and are built up in several places."""
    stores: dict[str, int] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            stores[node.id] = stores.get(node.id, 0) + 1
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None:
            leaves = _leaves(node.value)
            alone = len(leaves) == 1
            for leaf in leaves:
                if isinstance(leaf, ast.Name) and (alone or stores.get(leaf.id, 0) > 1):
                    found.add(leaf.id)
    return found


def _leaves(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
        return [*_leaves(node.left), *_leaves(node.right)]
    return [node]


class _Notes(ast.NodeTransformer):
    def __init__(self, sums: set[str]) -> None:
        self.sums = sums
        self.conditions: list[Place] = []
        self.terms: list[Place] = []

    def _note(self, hook: str, places: list[Place], node: ast.expr, text: str) -> ast.expr:
        places.append(Place(len(places), node.lineno, text))
        call = ast.Call(func=ast.Name(id=hook, ctx=ast.Load()), args=[ast.Constant(len(places) - 1), node], keywords=[])
        return ast.copy_location(call, node)

    def _condition(self, node: ast.expr) -> ast.expr:
        text = ast.unparse(node)
        return self._note("_note_condition", self.conditions, self.visit(node), text)

    def _sum(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
            left, right = self._sum(node.left), self._sum(node.right)
            return ast.copy_location(ast.BinOp(left=left, op=node.op, right=right), node)
        if isinstance(node, ast.Name) and node.id in self.sums:
            return node
        text = ast.unparse(node)
        if isinstance(
            node, ast.Constant
        ):  # the same everywhere, so it teaches nothing, and shifts nothing that matters
            return node
        return self._note("_note_term", self.terms, self.visit(node), text)

    def visit_Return(self, node: ast.Return) -> ast.Return:
        if node.value is not None and not isinstance(node.value, (ast.Dict, ast.Tuple, ast.Call)):
            node.value = self._sum(node.value)
        elif node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name) and node.targets[0].id in self.sums:
            node.value = self._sum(node.value)
        else:
            node.value = self.visit(node.value)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AugAssign:
        if (
            isinstance(node.target, ast.Name)
            and node.target.id in self.sums
            and isinstance(node.op, (ast.Add, ast.Sub))
        ):
            node.value = self._sum(node.value)
        else:
            node.value = self.visit(node.value)
        return node

    def visit_If(self, node: ast.If) -> ast.If:
        node.test = self._condition(node.test)
        node.body = [self.visit(statement) for statement in node.body]
        node.orelse = [self.visit(statement) for statement in node.orelse]
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.IfExp:
        node.test = self._condition(node.test)
        node.body, node.orelse = self.visit(node.body), self.visit(node.orelse)
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        if ast.unparse(node.func) in ("np.where", "numpy.where") and len(node.args) == 3:
            node.args = [self._condition(node.args[0]), *(self.visit(argument) for argument in node.args[1:])]
            return node
        return self.generic_visit(node)  # type: ignore[return-value]
