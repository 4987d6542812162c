"""The grammar of expressions: sums, products, powers, fractions, roots and functions, plain and LaTeX, into trees."""

from __future__ import annotations

from fractions import Fraction

from rewardlab.rewards.verifiers.math.lexing import MAX_NESTING, Hopeless, Token, Unreadable, word_set
from rewardlab.rewards.verifiers.math.trees import MINUS_ONE, Tree, divided, negated, number
from rewardlab.rewards.verifiers.math.units import DOLLAR, Unit, known_unit

_OPENING = {"(": ")", "[": "]", "{set": "}set", "{": "}"}
_FUNCTIONS = word_set("sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log exp")
_GREEK = word_set(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi varphi"
    " chi psi omega Gamma Delta Theta Lambda Sigma Phi Psi Omega ell hbar"
)
_CONSTANTS = {"pi": "pi", "infty": "oo"}
END = Token("end of text", "")
"""What stands behind the last token."""


class ExpressionParser:
    """A recursive-descent parser over tokens.

    Args:
        found: the tokens.
        sign: how plus-or-minus signs are read: 1 or -1.
    """

    def __init__(self, found: list[Token], sign: int) -> None:
        self.tokens = found
        self.position = 0
        self.sign = sign
        self.depth = 0
        self.unit: Unit | None = None
        self.bar = 0

    # ---- tokens

    def peek(self) -> Token:
        """The next token, without taking it."""
        return self.tokens[self.position] if self.position < len(self.tokens) else END

    def next(self) -> Token:
        """Take the next token."""
        token = self.peek()
        self.position += 1
        return token

    def at(self, *values: str) -> bool:
        """Whether the next token is one of these operators or commands."""
        token = self.peek()
        return token.value in values and token.kind in ("o", "c")

    def take(self, value: str) -> bool:
        """Take the next token if it is this one."""
        if self.at(value):
            self.position += 1
            return True
        return False

    def expect(self, value: str) -> None:
        """Take this token; anything else is unreadable."""
        if not self.take(value):
            raise Unreadable(f"expected {value!r}, found {self.peek().value!r}")

    # ---- expressions

    def enter(self) -> None:
        """Go one level deeper; too deep is unreadable."""
        self.depth += 1
        if self.depth > 4 * MAX_NESTING:
            raise Hopeless("nested too deeply")

    def leave(self) -> None:
        """Come back up."""
        self.depth -= 1

    def expression(self) -> Tree:
        """A sum."""
        self.enter()
        terms = [self.term()]
        while self.at("+", "-", "pm", "mp"):
            sign = self.signed(self.next().value)
            term = self.term()
            terms.append(term if sign > 0 else negated(term))
        self.leave()
        return terms[0] if len(terms) == 1 else ("add", tuple(terms))

    def signed(self, operator: str) -> int:
        """The sign that an operator gives to what follows."""
        return {"+": 1, "-": -1, "pm": self.sign, "mp": -self.sign}[operator]

    def term(self) -> Tree:
        """A product, possibly without signs between its factors."""
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
                token, before = self.peek(), self.position - 1
                factor = self.factor()
                if token.kind == "n" and self.tokens[before].value != "!":
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
        """A factor, possibly after a minus sign."""
        if self.take("-"):
            return negated(self.factor())
        return self.factor()

    def starts_factor(self) -> bool:
        """Whether the next token may begin a factor that is multiplied without a sign."""
        kind, value, _ = self.peek()
        if kind == "n":
            return True
        if kind == "w":
            return len(value) <= 3 and known_unit(value if len(value) > 1 else "?") is None
        if kind == "o":
            return value in ("(", "[", "{", "floor(", "ceil(") or (value == "|" and not self.bar)
        return kind == "c" and value not in (
            *(
                "and",
                "or",
                "in",
                "cup",
                "pm",
                "mp",
                "circ",
                "&",
                "\\\\",
                "}",
                "to",
                "mod",
                "pmod",
                "rightarrow",
                "quad",
            ),
        )

    def factor(self) -> Tree:
        """A primary with its powers, degree signs and factorials."""
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
        """A number, letter, command, or something in brackets."""
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
        """A variable, the call of a function such as f(x), or a product of letters."""
        if len(value) > 3:
            raise Unreadable(f"the word {value!r}")
        if len(value) > 1:  # a product of letters: what follows, such as a power, belongs to the last one
            self.tokens[self.position : self.position] = [Token("w", letter) for letter in value[1:]]
            return _symbol(value[0])
        if self.take("_"):
            return ("sym", f"{value}_{self.subscript()}")
        if value in "fghFG" and self.at("(") and not self.peek().spaced:
            self.position += 1
            inside = self.expression()
            self.expect(")")
            return ("fn", value, (inside,))
        return _symbol(value)

    def subscript(self) -> str:
        """The text of a subscript."""
        if not self.take("{"):
            return self.next().value
        text = ""
        while not self.take("}"):
            token = self.next()
            if token is END:
                raise Hopeless("braces do not match")
            text += token.value
        return text

    def command(self, name: str) -> Tree:
        """What a LaTeX command stands for."""
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
        """A root with its index."""
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
        """A function with its power, base and argument."""
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
        while (
            self.starts_factor()
            and not (self.peek().kind == "c" and self.peek().value in _FUNCTIONS)
            and not self.at("(")
        ):
            factors.append(self.factor())
        return factors[0] if len(factors) == 1 else ("mul", tuple(factors))


def _symbol(letter: str) -> Tree:
    return ("const", letter) if letter in ("e", "i") else ("sym", letter)


def _mixed(whole: Tree, part: Tree, token: Token) -> Tree | None:
    r"""The sum that a mixed number such as 2\frac{1}{2} stands for; None where it is a product."""
    if token.value != "frac" or whole[0] != "num" or whole[1].denominator != 1:
        return None
    value = quotient(part)
    if value is None:
        return None
    if not 0 <= value < 1:
        raise Unreadable("a whole number before an improper fraction")
    return number(whole[1] + value)


def quotient(tree: Tree) -> Fraction | None:
    """The value of integer over integer; None for any other tree."""
    if tree[0] == "mul" and len(tree[1]) == 2:
        upper, lower = tree[1]
        if upper[0] == "num" and lower[0] == "pow" and lower[1][0] == "num" and lower[2] is MINUS_ONE and lower[1][1]:
            return upper[1] / lower[1][1]
    return None
