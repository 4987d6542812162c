"""The grammar of answers: lists, sets, tuples, intervals, matrices and relations around expressions with their units."""

from __future__ import annotations

from fractions import Fraction

from rewardlab.rewards.verifiers.math.expressions import END, ExpressionParser, quotient
from rewardlab.rewards.verifiers.math.forms import Answer, Matrix, Relation, Scalar, Sequence, Union, Words
from rewardlab.rewards.verifiers.math.lexing import Token, Unreadable, words_of
from rewardlab.rewards.verifiers.math.plain_numbers import plain_number
from rewardlab.rewards.verifiers.math.trees import MINUS_ONE, Tree, number
from rewardlab.rewards.verifiers.math.units import DEGREE, MULTIPLES, Unit, known_unit

_RELATIONS = ("=", "<", ">", "<=", ">=", "!=")
_MATRICES = ("pmatrix", "bmatrix", "matrix", "Bmatrix", "array", "smallmatrix")
MAX_TOKENS = 400


def parse(found: list[Token]) -> Answer:
    """What the tokens of an answer say.

    Raises:
        Unreadable: they are outside the grammar.
    """
    if not any(token.kind == "c" and token.value in ("pm", "mp") for token in found):
        return _Parser(found, 1).whole()
    plus, minus = (_Parser(list(found), sign).whole() for sign in (1, -1))
    if isinstance(plus, Sequence) and isinstance(minus, Sequence) and plus.opening in ("", "{set"):
        items: list[Answer] = []
        for first, second in zip(plus.items, minus.items, strict=True):
            alike = isinstance(first, Scalar) and isinstance(second, Scalar) and first.tree == second.tree
            items += [first] if alike else [first, second]
        return Sequence(plus.opening, plus.closing, items)
    return Sequence("", "", [plus, minus])


class _Parser(ExpressionParser):
    """One pass over the tokens of an answer."""

    def whole(self) -> Answer:
        answer = self.list_until()
        if self.peek() is not END:
            raise Unreadable(f"unexpected {self.peek().value!r}")
        return answer

    def list_until(self) -> Answer:
        """Answers parted by commas, semicolons, "and" or "or"; one answer alone is itself."""
        items = [self.item()]
        while self.at(",", ";", "and", "or"):
            while self.at(",", ";", "and", "or"):
                self.position += 1
            if self.peek() is END and len(items) > 1:
                break
            items.append(self.item())
        return items[0] if len(items) == 1 else Sequence("", "", items)

    def item(self) -> Answer:
        sides = [self.union()]
        operators: list[str] = []
        while self.at(*_RELATIONS, "in"):
            operators.append(self.next().value)
            sides.append(self.union())
        if not operators:
            return sides[0]
        if operators[-1] == "in":
            return sides[-1]
        if operators[-1] == "=" and not isinstance(sides[-1], Scalar):
            return sides[-1]  # A = {1, 2}
        return Relation(sides, operators)

    def union(self) -> Answer:
        parts = [self.operand()]
        while self.take("cup"):
            parts.append(self.operand())
        return parts[0] if len(parts) == 1 else Union(parts)

    def operand(self) -> Answer:
        """A container, a matrix, words, or an expression with its unit."""
        token = self.peek()
        if token.kind == "begin":
            return self.matrix()
        if token.kind == "t":
            following = self.tokens[self.position + 1] if self.position + 1 < len(self.tokens) else END
            self.position += 1
            if following is END or following.value in (",", "and", "or", ";"):
                return _from_words(token.value)
            if following.value in ("=", "in"):
                return Scalar(("sym", "text " + words_of(token.value)))
            raise Unreadable("words inside an expression")
        if token.kind == "o" and token.value in ("(", "[", "{set", "{"):
            start = self.position
            container = self.container()
            if container is not None:
                return container
            self.position = start
        elif token.kind == "c" and token.value == "emptyset":
            self.position += 1
            return Sequence("{set", "}set", [])
        elif token.kind == "c" and token.value == "mathbb":
            raise Unreadable("a named set")
        self.unit = None
        tree = self.expression()
        return self.finished(tree)

    def container(self) -> Answer | None:
        """A tuple, interval, set or bracketed matrix; None where the bracket only groups."""
        self.enter()
        opening = self.next().value
        if opening == "{set" and self.take("}set"):
            self.leave()
            return Sequence("{set", "}set", [])
        inside = self.list_until()
        closing = self.next().value
        self.leave()
        if closing not in (")", "]", "}set", "}"):
            raise Unreadable(f"a bracket is closed by {closing!r}")
        if isinstance(inside, Sequence) and not inside.opening:
            if opening == "{":
                opening, closing = "{set", "}set"
            if (opening == "{set") != (closing == "}set"):
                raise Unreadable("brackets do not match")
            return Sequence(opening, closing, inside.items)
        if isinstance(inside, Matrix) or (opening == "{" and not isinstance(inside, Scalar)):
            return inside
        if opening == "{set":
            return Sequence(opening, closing, [inside])
        return None

    def matrix(self) -> Answer:
        name = self.next().value
        if name not in _MATRICES:
            raise Unreadable(f"the environment {name!r}")
        if name == "array" and self.take("{"):
            while not self.take("}"):
                if self.next() is END:
                    raise Unreadable("an array without its columns")
        rows: list[list[Answer]] = [[]]
        while True:
            if self.peek().kind == "end":
                break
            if self.take("\\\\"):
                rows.append([])
            elif not self.take("&"):
                if self.peek() is END:
                    raise Unreadable("a matrix without its end")
                rows[-1].append(self.item())
        self.position += 1
        return Matrix([row for row in rows if row])

    def finished(self, tree: Tree) -> Answer:
        """An expression with the unit or per cent sign that follows it."""
        if tree[0] == "sym" and tree[1].startswith("text "):
            return _from_words(tree[1][5:])
        unit = self.unit
        percent = self.take("%")
        if tree[0] == "fn" and tree[1] == "deg":
            tree, unit = tree[2][0], DEGREE
        token = self.peek()
        if token.kind == "t" or (token.kind == "w" and len(token.value) > 1):
            words = []
            while self.peek().kind in ("t", "w") or self.at("/", "circ"):
                words.append(self.next().value)
            phrase = " ".join(words)
            if self.take("^"):
                braced = self.take("{")
                phrase += "^" + self.next().value
                if braced:
                    self.expect("}")
            if phrase.casefold() in ("percent", "per cent", "%"):
                percent = True
            elif phrase.casefold() in MULTIPLES:
                tree = ("mul", (tree, number(MULTIPLES[phrase.casefold()])))
            else:
                unit = known_unit(phrase) or unit
        return scalar(tree, percent, unit)


def scalar(tree: Tree, percent: bool = False, unit: Unit | None = None) -> Scalar:
    """An expression as an answer; a written decimal, also times a power of ten, keeps its number of digits."""
    bare, sign = tree, 1
    if bare[0] == "mul" and bare[1][0] is MINUS_ONE and len(bare[1]) == 2:
        bare, sign = bare[1][1], -1
    if bare[0] == "num":
        places, digits = _written(bare)
        return Scalar(("num", sign * bare[1]), sign * bare[1], places, digits, percent, unit)
    if bare[0] == "mul" and len(bare[1]) == 2:
        value = quotient(bare)
        if value is not None:
            return Scalar(("num", sign * value), sign * value, None, 0, percent, unit)
        mantissa, power = bare[1]
        if mantissa[0] == "num" and power[0] == "pow" and power[1] == ("num", Fraction(10)) and power[2][0] == "num":
            exponent = power[2][1]
            if exponent.denominator == 1 and abs(exponent) <= 999:
                value = sign * mantissa[1] * Fraction(10) ** int(exponent)
                places, digits = _written(mantissa)
                return Scalar(("num", value), value, places and places - int(exponent), digits, percent, unit)
    return Scalar(tree, None, None, 0, percent, unit)


def _written(tree: Tree) -> tuple[int | None, int]:
    """Decimal places and significant digits of a number as it was written; None and 0 where it has no point."""
    if len(tree) < 3:
        return None, 0
    return tree[2], len(str(abs(tree[1].numerator) * 10 ** tree[2] // tree[1].denominator))


def _from_words(text: str) -> Answer:
    inside = plain_number(text)
    return inside if inside is not None else Words(words_of(text))
