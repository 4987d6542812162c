r"""Answer text into what it says: a number or expression, a list, a set or interval, a relation, a matrix, or words.

A small recursive-descent parser of our own for the plain and LaTeX notation of final answers. It evaluates nothing and
knows a fixed grammar only; whatever lies outside is `Unread`, which is no verdict: the symbolic path may still read it.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from fractions import Fraction

from rewardlab.rewards.verifiers.math.algebra import MINUS_ONE, Tree, divided, negated, number, symbols
from rewardlab.rewards.verifiers.math.lexing import MAX_ANSWER, Token, Unreadable, tokens, unwrapped
from rewardlab.rewards.verifiers.math.units import CURRENCIES, DEGREE, DOLLAR, MULTIPLES, SINGLE_LETTERS, Unit, known_unit


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
    """An answer in words, lower-case, without punctuation around it."""

    text: str


@dataclass(slots=True, eq=False)
class Unread:
    """A text outside the grammar of this reader."""

    reason: str


Answer = Scalar | Sequence | Union | Relation | Matrix | Words | Unread

_NUMBER = re.compile(
    r"""(?P<sign>[-+]?)\s?(?P<currency>\\?\$|[€£¥₹])?\s?(?P<inner>-?)
    (?:(?:(?P<mixed>[0-9]++)\s++)?(?P<upper>[0-9]++)\s?/\s?(?P<lower>[0-9]++)
       |(?P<whole>[0-9]{1,3}(?:,[0-9]{3})++(?![0-9])|[0-9]++)?(?P<decimals>\.[0-9]++)?(?:[eE](?P<exponent>[-+]?[0-9]{1,3}))?)
    (?:\s?(?P<percent>\\?%|percent\b|per\ cent\b))?""",
    re.VERBOSE,
)
_TRAILING = re.compile(r"(?P<gap>[\s~-]*+)(?P<words>[A-Za-z°][A-Za-z .'’/-]*+(?:\^?\{?[23²³]\}?)?)\.?")
_WORDS = re.compile(r"[A-Za-z][A-Za-z\s.,;:'’\"!?()-]*+")
_LONG_WORD = re.compile(r"[A-Za-z]{4,}")
_NAMED = re.compile(r"[A-Za-z][A-Za-z]+(?:[ ][A-Za-z]+)*+\s*+=(?!=)")
_CLOCK = re.compile(r"([0-9]{1,2}:[0-5][0-9](?::[0-5][0-9])?)\s?([ap]m)?", re.IGNORECASE)
_NUMBER_INSIDE = re.compile(r"(?<![\w.,/^])-?\$?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?![\w/^]|[.,][0-9])")
_MATH_WORDS = frozenset(
    "and or pi sqrt sin cos tan cot sec csc log ln exp times over to inf infinity infty plus minus frac theta in".split()
)
_SHORT_WORDS = frozenset("yes no on off odd all any one two six ten red".split())
_EDGES = " \t\n.,;:!?\"'()[]*_`"


@functools.lru_cache(maxsize=4096)
def read(text: str) -> Answer:
    """What an answer says."""
    if len(text) > MAX_ANSWER:
        return Unread(f"it is longer than {MAX_ANSWER} characters")
    text = unwrapped(text)
    if not text:
        return Unread("it is empty")
    plain = _plain_number(text)
    if plain is not None:
        return plain
    clock = _CLOCK.fullmatch(text)
    if clock:
        return Words(clock[1].lstrip("0") + (clock[2] or "").lower())
    named = _NAMED.match(text)
    if named and "\\" not in text[: named.end()]:  # "Total cost = 18"
        return read(text[named.end() :])
    if _WORDS.fullmatch(text) and _is_prose(text):
        return Words(words_of(text))
    try:
        found = tokens(text)
        if len(found) > _MAX_TOKENS:
            raise Unreadable(f"more than {_MAX_TOKENS} tokens")
        return _parse(found)
    except (Unreadable, RecursionError) as error:
        if "\\" not in text and _LONG_WORD.search(text):
            inside = _NUMBER_INSIDE.findall(text)
            if len(inside) == 1:  # words that hold exactly one number stand for that number
                value = _plain_number(inside[0])
                if value is not None:
                    return value
            if not inside and not any(sign in text for sign in "=<>^"):
                return Words(words_of(text))
        return Unread(str(error))


def words_of(text: str) -> str:
    """Words as they are compared: lower-case, single blanks, no punctuation around them."""
    return " ".join(text.casefold().split()).strip(_EDGES)


def _is_prose(text: str) -> bool:
    words = [word.strip(_EDGES).lower() for word in text.split()]
    if len(words) == 1 and words[0] in _SHORT_WORDS:
        return True
    if any(word in _MATH_WORDS for word in words) and all(len(word) < 2 or word in _MATH_WORDS for word in words):
        return False
    return any(len(word) > 3 and word not in _MATH_WORDS for word in words) or (
        len(words) > 1 and sum(len(word) > 1 for word in words) > 1 and "," not in text
    )


# ---- plain numbers, with what may follow them ---------------------------------------------------------------------------


def _plain_number(text: str) -> Scalar | None:
    """A number without any LaTeX but a dollar or per cent sign, possibly with a unit or other words behind it."""
    if text.isascii() and text.isdigit():
        value = Fraction(int(text))
        return Scalar(("num", value), value)
    match = _NUMBER.match(text)
    if match is None:
        return None
    whole, decimals, upper = match["whole"], match["decimals"], match["upper"]
    if whole is None and decimals is None and upper is None:
        return None
    negative = (match["sign"] == "-") != (match["inner"] == "-")
    places: int | None = None
    digits = 0
    if upper is not None:
        if not int(match["lower"]):
            return None
        value = Fraction(int(upper), int(match["lower"]))
        if match["mixed"]:
            if value >= 1:
                return None
            value += int(match["mixed"])
    else:
        written = (whole or "").replace(",", "") + (decimals or "")
        exponent = int(match["exponent"] or 0)
        value = Fraction(written) * (Fraction(10) ** exponent)
        if decimals is not None or match["exponent"]:
            places = len(decimals or ".") - 1 - exponent
            digits = len(written.replace(".", "").lstrip("0"))
    result = Scalar(("num", value), value, places, digits, percent=match["percent"] is not None)
    if match["currency"]:
        result.unit = CURRENCIES[match["currency"].lstrip("\\")]
    if match.end() < len(text) and not _apply_trailing(result, text, match.end()):
        return None
    if negative:
        assert result.value is not None
        result.value = -result.value
        result.tree = ("num", result.value)
    return result


def _apply_trailing(result: Scalar, text: str, end: int) -> bool:
    """Take the words after a number as its unit; False where they are no such words."""
    match = _TRAILING.fullmatch(text, end)
    if match is None or (len(match["words"]) == 1 and not (match["gap"] and match["words"] in SINGLE_LETTERS)):
        return False
    words = match["words"].split()
    if len(words) > 8 or any(word.lower().strip(".") in _MATH_WORDS - {"in"} for word in words):
        return False
    if not match["gap"] and len(words[0]) < 4 and known_unit(match["words"]) is None:
        return False  # 5ab is a product
    if words[0].lower() in MULTIPLES:
        assert result.value is not None
        result.value *= MULTIPLES[words[0].lower()]
        result.tree = ("num", result.value)
        result.decimals = None
        words = words[1:]
    if words:
        result.unit = known_unit(" ".join(words)) or known_unit(words[0]) or result.unit
    return True


# ---- everything else ----------------------------------------------------------------------------------------------------


def _parse(found: list[Token]) -> Answer:
    if any(token.kind == "c" and token.value in ("pm", "mp") for token in found):
        both = [_Parser(list(found), sign).whole() for sign in (1, -1)]
        if all(isinstance(answer, Sequence) for answer in both):
            opening, closing = both[0].opening, both[0].closing  # type: ignore[union-attr]
            return Sequence(opening, closing, [item for answer in both for item in answer.items])  # type: ignore[union-attr]
        return Sequence("", "", list(both))
    return _Parser(found, 1).whole()


_OPENING = {"(": ")", "[": "]", "{set": "}set", "{": "}"}
_RELATIONS = ("=", "<", ">", "<=", ">=", "!=")
_FUNCTIONS = frozenset("sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log exp".split())
_GREEK = frozenset(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi varphi"
    " chi psi omega Gamma Delta Theta Lambda Sigma Phi Psi Omega ell hbar".split()
)
_CONSTANTS = {"pi": "pi", "infty": "oo"}
_MATRICES = ("pmatrix", "bmatrix", "matrix", "Bmatrix", "array", "smallmatrix")
_MAX_DEPTH = 60
_MAX_TOKENS = 400
_END = Token("end of text", "")


class _Parser:
    """One pass over the tokens. `sign` says how plus-or-minus signs are read."""

    def __init__(self, found: list[Token], sign: int) -> None:
        self.tokens = found
        self.position = 0
        self.sign = sign
        self.depth = 0
        self.unit: Unit | None = None
        self.bar = 0

    # ---- tokens

    def peek(self) -> Token:
        return self.tokens[self.position] if self.position < len(self.tokens) else _END

    def next(self) -> Token:
        token = self.peek()
        self.position += 1
        return token

    def at(self, *values: str) -> bool:
        token = self.peek()
        return token.value in values and token.kind in ("o", "c")

    def take(self, value: str) -> bool:
        if self.at(value):
            self.position += 1
            return True
        return False

    def expect(self, value: str) -> None:
        if not self.take(value):
            raise Unreadable(f"expected {value!r}, found {self.peek().value!r}")

    # ---- answers

    def whole(self) -> Answer:
        answer = self.list_until()
        if self.peek() is not _END:
            raise Unreadable(f"unexpected {self.peek().value!r}")
        return answer

    def list_until(self) -> Answer:
        """Answers parted by commas, semicolons, "and" or "or"; one answer alone is itself."""
        items = [self.item()]
        while self.at(",", ";", "and", "or"):
            while self.at(",", ";", "and", "or"):
                self.position += 1
            if self.peek() is _END and len(items) > 1:
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
            following = self.tokens[self.position + 1] if self.position + 1 < len(self.tokens) else _END
            self.position += 1
            if following is _END or following.value in (",", "and", "or", ";"):
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
                if self.next() is _END:
                    raise Unreadable("an array without its columns")
        rows: list[list[Answer]] = [[]]
        while True:
            if self.peek().kind == "end":
                break
            if self.take("\\\\"):
                rows.append([])
            elif not self.take("&"):
                if self.peek() is _END:
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

    # ---- expressions

    def enter(self) -> None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise Unreadable("nested too deeply")

    def leave(self) -> None:
        self.depth -= 1

    def expression(self) -> Tree:
        self.enter()
        terms = [self.term()]
        while self.at("+", "-", "pm", "mp"):
            sign = self.signed(self.next().value)
            term = self.term()
            terms.append(term if sign > 0 else negated(term))
        self.leave()
        return terms[0] if len(terms) == 1 else ("add", tuple(terms))

    def signed(self, operator: str) -> int:
        return {"+": 1, "-": -1, "pm": self.sign, "mp": -self.sign}[operator]

    def term(self) -> Tree:
        if self.at("+", "-", "pm", "mp"):
            self.enter()
            sign = self.signed(self.next().value)
            inner = self.term()
            self.leave()
            return inner if sign > 0 else negated(inner)
        factors = [self.factor()]
        while True:
            if self.take("*"):
                factors.append(self.signed_factor())
            elif self.take("/") or self.take(":"):
                factors.append(("pow", self.signed_factor(), MINUS_ONE))
            elif self.starts_factor():
                previous = factors[-1]
                token = self.peek()
                factor = self.factor()
                if token.kind == "n":
                    raise Unreadable("two numbers side by side")
                mixed = _mixed(previous, factor, token) if len(factors) == 1 else None
                if mixed is not None:
                    factors[-1] = mixed
                else:
                    factors.append(factor)
            else:
                break
        return factors[0] if len(factors) == 1 else ("mul", tuple(factors))

    def signed_factor(self) -> Tree:
        if self.take("-"):
            return negated(self.factor())
        return self.factor()

    def starts_factor(self) -> bool:
        kind, value, _ = self.peek()
        if kind == "n":
            return True
        if kind == "w":
            return len(value) <= 3 and known_unit(value if len(value) > 1 else "?") is None
        if kind == "o":
            return value in ("(", "[", "{", "floor(", "ceil(") or (value == "|" and not self.bar)
        return kind == "c" and value not in (
            *("and", "or", "in", "cup", "pm", "mp", "circ", "&", "\\\\", "}", "to", "mod", "pmod", "rightarrow", "quad"),
        )

    def factor(self) -> Tree:
        self.enter()
        base = self.primary()
        while True:
            if self.take("^"):
                if self.at("circ"):
                    self.position += 1
                    base = ("fn", "deg", (base,))
                    continue
                exponent = self.exponent()
                base = ("fn", "deg", (base,)) if exponent is None else ("pow", base, exponent)
            elif self.at("circ"):
                self.position += 1
                base = ("fn", "deg", (base,))
            elif self.at("!"):
                self.position += 1
                base = ("fn", "factorial", (base,))
            else:
                break
        self.leave()
        return base

    def exponent(self) -> Tree | None:
        """What stands after ^; None for a degree sign."""
        if self.take("{"):
            if self.take("circ"):
                self.expect("}")
                return None
            if self.peek().value in ("'", "prime"):
                raise Unreadable("a prime")
            tree = self.expression()
            self.expect("}")
            return tree
        if self.take("-"):
            return negated(self.primary())
        return self.primary()

    def argument(self) -> Tree:
        r"""What \frac or \sqrt takes: braces, or the single next sign (a digit of a number)."""
        if self.take("{"):
            tree = self.expression()
            self.expect("}")
            return tree
        token = self.peek()
        if token.kind == "n" and len(token.value) > 1 and token.value.isdigit():
            self.tokens[self.position] = Token("n", token.value[1:])
            return number(int(token.value[0]))
        return self.primary()

    def primary(self) -> Tree:
        kind, value, _ = self.next()
        if kind == "n":
            if self.at("_"):
                raise Unreadable("a number in another base")
            parts = value.partition(".")
            return ("num", Fraction(value), len(parts[2])) if parts[1] else ("num", Fraction(value))
        if kind == "w":
            return self.letters(value)
        if kind == "c":
            return self.command(value)
        if kind == "o" and value in ("(", "[", "{"):
            tree = self.expression()
            self.expect(_OPENING[value])
            return tree
        if kind == "o" and value in ("floor(", "ceil("):
            tree = self.expression()
            self.expect(value[:-1] + ")")
            return ("fn", value[:-1], (tree,))
        if kind == "o" and value == "|":
            self.bar += 1
            tree = self.expression()
            self.bar -= 1
            self.expect("|")
            return ("fn", "abs", (tree,))
        if kind == "o" and value == "$":
            self.unit = DOLLAR
            return self.primary()
        raise Unreadable(f"unexpected {value!r}")

    def letters(self, value: str) -> Tree:
        if len(value) > 3:
            raise Unreadable(f"the word {value!r}")
        if len(value) > 1:
            return ("mul", tuple(_symbol(letter) for letter in value))
        if self.take("_"):
            return ("sym", f"{value}_{self.subscript()}")
        if value in "fghFG" and self.at("(") and not self.peek().spaced:
            self.position += 1
            inside = self.expression()
            self.expect(")")
            return ("fn", value, (inside,))
        return _symbol(value)

    def subscript(self) -> str:
        if not self.take("{"):
            return self.next().value
        text = ""
        while not self.take("}"):
            token = self.next()
            if token is _END:
                raise Unreadable("braces do not match")
            text += token.value
        return text

    def command(self, name: str) -> Tree:
        if name == "frac":
            upper = self.argument()
            return divided(upper, self.argument())
        if name == "sqrt":
            return self.root()
        if name == "binom":
            upper = self.argument()
            return ("fn", "binom", (upper, self.argument()))
        if name in _CONSTANTS:
            return ("const", _CONSTANTS[name])
        if name in _GREEK:
            return ("sym", f"{name}_{self.subscript()}" if self.take("_") else name)
        if name in _FUNCTIONS:
            return self.function(name)
        raise Unreadable(f"the command {name!r}")

    def root(self) -> Tree:
        index: Tree = number(2)
        if self.take("["):
            index = self.expression()
            self.expect("]")
        if self.at("("):
            self.position += 1
            inside = self.expression()
            self.expect(")")
        else:
            inside = self.argument()
        return ("pow", inside, divided(number(1), index))

    def function(self, name: str) -> Tree:
        power: Tree | None = None
        base: Tree | None = None
        while self.at("^", "_"):
            if self.next().value == "^":
                power = self.exponent()
            else:
                base = self.argument()
        if power is not None and power == ("num", Fraction(-1)) and name in ("sin", "cos", "tan"):
            name, power = "arc" + name, None
        inside = self.function_argument()
        if name == "exp":
            tree: Tree = ("pow", ("const", "e"), inside)
        elif name == "log":
            tree = ("fn", "log", (inside, base or number(10)))
        else:
            tree = ("fn", name, (inside,))
        return tree if power is None else ("pow", tree, power)

    def function_argument(self) -> Tree:
        r"""Brackets, or the factors that follow: \sin 2x is the sine of 2x, \sin x \cos x a product."""
        if self.at("(", "[", "{", "|"):
            return self.primary()
        factors = [self.signed_factor()]
        while self.starts_factor() and not (self.peek().kind == "c" and self.peek().value in _FUNCTIONS) and not self.at("("):
            factors.append(self.factor())
        return factors[0] if len(factors) == 1 else ("mul", tuple(factors))


def _symbol(letter: str) -> Tree:
    return ("const", letter) if letter in ("e", "i") else ("sym", letter)


def _from_words(text: str) -> Answer:
    inside = _plain_number(text)
    return inside if inside is not None else Words(words_of(text))


def _mixed(whole: Tree, part: Tree, token: Token) -> Tree | None:
    r"""The sum that a mixed number such as 2\frac{1}{2} stands for; None where it is a product."""
    if token.value != "frac" or whole[0] != "num" or whole[1].denominator != 1:
        return None
    value = _quotient(part)
    if value is None:
        return None
    if not 0 <= value < 1:
        raise Unreadable("a whole number before an improper fraction")
    return number(whole[1] + value)


def _quotient(tree: Tree) -> Fraction | None:
    """The value of integer over integer; None for any other tree."""
    if tree[0] == "mul" and len(tree[1]) == 2:
        upper, lower = tree[1]
        if upper[0] == "num" and lower[0] == "pow" and lower[1][0] == "num" and lower[2] is MINUS_ONE and lower[1][1]:
            return upper[1] / lower[1][1]
    return None


def scalar(tree: Tree, percent: bool = False, unit: Unit | None = None) -> Scalar:
    """An expression as an answer; a written decimal, also times a power of ten, keeps its number of digits."""
    bare, sign = tree, 1
    if bare[0] == "mul" and bare[1][0] is MINUS_ONE and len(bare[1]) == 2:
        bare, sign = bare[1][1], -1
    if bare[0] == "num":
        places, digits = _written(bare)
        return Scalar(("num", sign * bare[1]), sign * bare[1], places, digits, percent, unit)
    if bare[0] == "mul" and len(bare[1]) == 2:
        value = _quotient(bare)
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


def letter_unit(answer: Scalar) -> Fraction | None:
    """The number in "5m", where the letter may be a unit; None for anything else."""
    tree = answer.tree
    if tree[0] == "mul" and len(tree[1]) == 2 and tree[1][0][0] == "num":
        letter = tree[1][1]
        if letter[0] == "sym" and letter[1] in SINGLE_LETTERS:
            return tree[1][0][1]
    return None


def has_symbols(answer: Answer) -> bool:
    """Whether an answer holds variables."""
    return isinstance(answer, Scalar) and bool(symbols(answer.tree))
