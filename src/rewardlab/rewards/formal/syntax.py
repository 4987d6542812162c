"""Formulas as text and as trees: boolean guards of reward machines and temporal logic share one small parser.

Nothing is ever evaluated as Python. An error shows the text with a mark under the place at fault, and says what was expected
there. Trees are frozen, hash by content, and are kept small by `negation`, `conjunction` and `disjunction`, which drop
constants and repeats: the compiler of temporal formulas rests on that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rewardlab.registry import nearest

Operator = Literal["X", "WX", "F", "G", "U", "R", "W"]
UNARY = ("X", "WX", "F", "G")
BINARY = ("U", "R", "W")
_WORDS = {"and": "&", "or": "|", "not": "!", "true": "true", "True": "true", "false": "false", "False": "false"}
_SAME = {"&&": "&", "||": "|", "~": "!", "=>": "->", "<=>": "<->"}
_TOKEN = re.compile(
    r'\s*(?:(<->|<=>|->|=>|&&|\|\||[()!~&|])|"([^"]*)"|([A-Za-z_][A-Za-z0-9_]*)|([01](?![0-9A-Za-z_])))'
)
_DEEPEST = 60


class FormulaError(ValueError):
    """A formula that cannot be read. `position` counts characters from 0."""

    def __init__(self, reason: str, text: str, position: int) -> None:
        super().__init__(f"{reason} at position {position}\n  {text}\n  {' ' * position}^")
        self.reason, self.position = reason, position


@dataclass(frozen=True, slots=True)
class Formula:
    """A node of a formula; `str` gives text that reads back as an equal formula."""

    def __str__(self) -> str:
        return write(self)


@dataclass(frozen=True, slots=True)
class Constant(Formula):
    """True or false, whatever holds."""

    value: bool


@dataclass(frozen=True, slots=True)
class Proposition(Formula):
    """Something that holds at a step, or does not."""

    name: str


@dataclass(frozen=True, slots=True)
class Not(Formula):
    """The opposite."""

    operand: Formula


@dataclass(frozen=True, slots=True)
class And(Formula):
    """All of them."""

    operands: frozenset[Formula]


@dataclass(frozen=True, slots=True)
class Or(Formula):
    """At least one of them."""

    operands: frozenset[Formula]


@dataclass(frozen=True, slots=True)
class Temporal(Formula):
    """A temporal operator: X, WX, F and G take one operand, U, R and W two."""

    operator: Operator
    operands: tuple[Formula, ...]


TRUE, FALSE = Constant(True), Constant(False)


def negation(formula: Formula) -> Formula:
    """Not `formula`, without double negation."""
    if isinstance(formula, Constant):
        return FALSE if formula.value else TRUE
    return formula.operand if isinstance(formula, Not) else Not(formula)


def conjunction(operands: Iterable[Formula]) -> Formula:
    """All of `operands`: flattened, without repeats and constants; false where one is the opposite of another."""
    return _combine(operands, And, TRUE, FALSE)


def disjunction(operands: Iterable[Formula]) -> Formula:
    """One of `operands`: flattened, without repeats and constants; true where one is the opposite of another."""
    return _combine(operands, Or, FALSE, TRUE)


def _combine(
    operands: Iterable[Formula], kind: type[And] | type[Or], neutral: Constant, absorbing: Constant
) -> Formula:
    kept: set[Formula] = set()
    for operand in operands:
        if operand == absorbing:
            return absorbing
        if isinstance(operand, kind):
            kept |= operand.operands
        elif operand != neutral:
            kept.add(operand)
    if any(isinstance(entry, Not) and entry.operand in kept for entry in kept):
        return absorbing
    # a & (a | b) is a, and a | (a & b) is a
    other = Or if kind is And else And
    kept = {entry for entry in kept if not (isinstance(entry, other) and entry.operands & kept)}
    if not kept:
        return neutral
    return next(iter(kept)) if len(kept) == 1 else kind(frozenset(kept))


def propositions(formula: Formula) -> tuple[str, ...]:
    """The names of all propositions in a formula, sorted."""
    return tuple(sorted({node.name for node in walk(formula) if isinstance(node, Proposition)}))


def walk(formula: Formula) -> Iterator[Formula]:
    """Every node of a formula."""
    stack = [formula]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, Not):
            stack.append(node.operand)
        elif isinstance(node, (And, Or, Temporal)):
            stack.extend(node.operands)


def evaluate(formula: Formula, columns: Any, shape: Any) -> Any:
    """What a formula without temporal operators says of many valuations at once.

    Args:
        columns: proposition name -> bool array of `shape`.
        shape: what `numpy.full` takes, for constants.

    Returns:
        bool array of `shape`.
    """
    import numpy as np

    if isinstance(formula, Constant):
        return np.full(shape, formula.value)
    if isinstance(formula, Proposition):
        return columns[formula.name]
    if isinstance(formula, Not):
        return ~evaluate(formula.operand, columns, shape)
    assert isinstance(formula, (And, Or))  # the parser of guards lets no temporal operator through
    result = np.full(shape, isinstance(formula, And))
    for operand in formula.operands:
        value = evaluate(operand, columns, shape)
        result = result & value if isinstance(formula, And) else result | value
    return result


def assign(formula: Formula, name: str, value: bool) -> Formula:
    """A formula without temporal operators, with one proposition fixed."""
    if isinstance(formula, Proposition):
        return Constant(value) if formula.name == name else formula
    if isinstance(formula, Not):
        return negation(assign(formula.operand, name, value))
    if isinstance(formula, And):
        return conjunction(assign(operand, name, value) for operand in formula.operands)
    if isinstance(formula, Or):
        return disjunction(assign(operand, name, value) for operand in formula.operands)
    return formula


def witness(formula: Formula) -> dict[str, bool] | None:
    """Values of propositions that make a formula without temporal operators true (others do not matter), or None."""
    if isinstance(formula, Constant):
        return {} if formula.value else None
    name = propositions(formula)[0]
    for value in (False, True):  # false first: the witness shown then names as few true propositions as it can
        found = witness(assign(formula, name, value))
        if found is not None:
            return {name: value, **found}
    return None


_LEVELS = {"<->": 0, "->": 1, "|": 2, "&": 3, "U": 4, "R": 4, "W": 4}


def write(formula: Formula) -> str:
    """A formula as text that reads back as an equal one; operands of & and | are sorted."""

    def level(node: Formula) -> int:
        if isinstance(node, Or):
            return 2
        if isinstance(node, And):
            return 3
        return 4 if isinstance(node, Temporal) and len(node.operands) == 2 else 5

    def inner(node: Formula, least: int) -> str:
        text = write(node)
        return f"({text})" if level(node) < least else text

    if isinstance(formula, Constant):
        return "true" if formula.value else "false"
    if isinstance(formula, Proposition):
        plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", formula.name) and formula.name not in _RESERVED
        return formula.name if plain else f'"{formula.name}"'
    if isinstance(formula, Not):
        return f"!{inner(formula.operand, 5)}"
    if isinstance(formula, (And, Or)):
        own = level(formula)
        sign = " & " if own == 3 else " | "
        texts = [inner(operand, own + 1) for operand in formula.operands]
        return sign.join(sorted(texts, key=lambda text: (text.lstrip("!("), text)))
    assert isinstance(formula, Temporal)
    if len(formula.operands) == 1:
        return f"{formula.operator} {inner(formula.operands[0], 5)}"
    return f" {formula.operator} ".join(inner(operand, 5) for operand in formula.operands)


_RESERVED = {*UNARY, *BINARY, *_WORDS}


def parse_guard(text: str, known: Sequence[str] | None = None) -> Formula:
    """Read a boolean guard such as `coffee & !lava | (mail -> office)`.

    Args:
        text: propositions (names, or anything in double quotes) under `!`, `&`, `|`, `->`, `<->`, `true`, `false`.
        known: the propositions there are; any name where it is None.

    Raises:
        FormulaError: the text cannot be read, or names an unknown proposition; position and expectation are shown.
    """
    return _Parser(text, known, temporal=False).parse()


def parse_formula(text: str, known: Sequence[str] | None = None) -> Formula:
    """Read a temporal formula such as `F goal & G !lava`.

    X is the strong next, WX the weak one, F eventually, G always; U, R and W associate to the right, and bind tighter than
    `&`, which binds tighter than `|`, then `->` and `<->`.

    Raises:
        FormulaError: the text cannot be read, or names an unknown proposition; position and expectation are shown.
    """
    return _Parser(text, known, temporal=True).parse()


class _Parser:
    """Recursive descent; each method leaves the parser behind what it read."""

    def __init__(self, text: str, known: Sequence[str] | None, *, temporal: bool) -> None:
        if not isinstance(text, str):
            raise TypeError(f"a formula must be text, got {text!r:.80}")
        self.text, self.known, self.temporal = text, known, temporal
        self.tokens = list(self._tokens())
        self.index = self.depth = 0

    def _tokens(self) -> Iterator[tuple[str, str, int]]:
        """(kind, text, position); kind is "sign", "name" or "end"."""
        position, end = 0, len(self.text.rstrip())
        while position < end:
            match = _TOKEN.match(self.text, position)
            if match is None:
                position += len(self.text[position:]) - len(self.text[position:].lstrip())
                raise FormulaError(f"{self.text[position]!r} is no part of a formula", self.text, position)
            sign, quoted, word, digit = match.groups()
            start = next(match.start(group) for group in range(1, 5) if match.group(group) is not None)
            if sign is not None:
                yield "sign", _SAME.get(sign, sign), start
            elif quoted is not None:
                yield "name", quoted, start
            elif digit is not None:
                yield "sign", "true" if digit == "1" else "false", start
            elif word in _WORDS:
                yield "sign", _WORDS[word], start
            elif self.temporal and word in (*UNARY, *BINARY):
                yield "sign", word, start
            else:
                yield "name", word, start
            position = match.end()
        yield "end", "the end", end

    def parse(self) -> Formula:
        formula = self._equivalence()
        kind, text, position = self.tokens[self.index]
        if kind != "end":
            shown = "')' without '('" if text == ")" else f"expected an operator or the end, got {text!r}"
            raise FormulaError(shown, self.text, position)
        return formula

    def _take(self, *signs: str) -> str | None:
        kind, text, _ = self.tokens[self.index]
        if kind == "sign" and text in signs:
            self.index += 1
            return text
        return None

    def _equivalence(self) -> Formula:
        left = self._implication()
        while self._take("<->"):
            right = self._implication()
            left = disjunction(
                [conjunction([left, right]), conjunction([negation(left), negation(right)])],
            )
        return left

    def _implication(self) -> Formula:
        left = self._chain("|", self._conjunction, disjunction)
        if self._take("->"):
            return disjunction([negation(left), self._nested(self._implication)])
        return left

    def _conjunction(self) -> Formula:
        return self._chain("&", self._until, conjunction)

    def _chain(
        self, sign: str, inner: Callable[[], Formula], combine: Callable[[Iterable[Formula]], Formula]
    ) -> Formula:
        operands = [inner()]
        while self._take(sign):
            operands.append(inner())
        return operands[0] if len(operands) == 1 else combine(operands)

    def _until(self) -> Formula:
        left = self._unary()
        operator = self._take(*BINARY)
        if operator is None:
            return left
        return Temporal(operator, (left, self._nested(self._until)))  # type: ignore[arg-type]

    def _unary(self) -> Formula:
        operator = self._take("!", *UNARY)
        if operator is not None:
            operand = self._nested(self._unary)
            return negation(operand) if operator == "!" else Temporal(operator, (operand,))  # type: ignore[arg-type]
        return self._atom()

    def _nested(self, inner: Callable[[], Formula]) -> Formula:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise FormulaError(f"more than {_DEEPEST} levels of nesting", self.text, self.tokens[self.index][2])
        formula = inner()
        self.depth -= 1
        return formula

    def _atom(self) -> Formula:
        kind, text, position = self.tokens[self.index]
        self.index += 1
        if kind == "name":
            if self.known is not None and text not in self.known:
                listed = ", ".join(self.known) or "none"
                hint = nearest(text, self.known)
                hint = f"{hint} Known: {listed}" if hint.startswith("; did") else f"; known: {listed}"
                raise FormulaError(f"unknown proposition {text!r}{hint}", self.text, position)
            return Proposition(text)
        if kind == "sign" and text in ("true", "false"):
            return TRUE if text == "true" else FALSE
        if kind == "sign" and text == "(":
            formula = self._nested(self._equivalence)
            if self._take(")") is None:
                raise FormulaError(
                    f"expected ')' for the '(' at {position}, got {self._shown()}",
                    self.text,
                    self.tokens[self.index][2],
                )
            return formula
        self.index -= 1
        wanted = "a proposition, '!', '('" + (" or a temporal operator" if self.temporal else "")
        raise FormulaError(f"expected {wanted}, got {self._shown()}", self.text, position)

    def _shown(self) -> str:
        kind, text, _ = self.tokens[self.index]
        return "the end of the formula" if kind == "end" else repr(text)
