"""Answer text into tokens: wrappers and LaTeX layout are removed, and spellings of one thing become one token.

Everything here is linear in the length of the text, and a text over `MAX_ANSWER` characters is no answer.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_ANSWER = 2000
"""Longest answer, in characters, that is read."""


MAX_NESTING = 60
"""Deepest nesting of brackets that is read."""


class Unreadable(Exception):
    """The text is not an answer that this reader knows; the symbolic path may still read it."""


class Hopeless(Unreadable):
    """The text is no answer to anybody: its braces do not match, or it is nested beyond all use."""


class Token(NamedTuple):
    """One token. Kinds: n number, w run of letters, c command, t text, o operator or bracket, begin, end."""

    kind: str
    value: str
    spaced: bool = False


_UNICODE = str.maketrans(
    {
        "−": "-",
        "–": "-",
        "×": "*",
        "·": "*",
        "⋅": "*",
        "∗": "*",
        "÷": "/",
        "⁄": "/",
        "∕": "/",
        "π": r"\pi ",
        "θ": r"\theta ",
        "∞": r"\infty ",
        "≤": r"\le ",
        "≥": r"\ge ",
        "≠": r"\ne ",
        "≈": r"\approx ",
        "±": r"\pm ",
        "√": r"\sqrt ",
        "∪": r"\cup ",
        "∈": r"\in ",
        "°": r"^\circ ",
        "²": "^2",
        "³": "^3",
        "½": r"\frac{1}{2}",
        "¼": r"\frac{1}{4}",
        "¾": r"\frac{3}{4}",
        "⅓": r"\frac{1}{3}",
        "⅔": r"\frac{2}{3}",
        "\u00a0": " ",
        "\u2009": " ",
        "\u202f": " ",
        "，": ",",
        "（": "(",
        "）": ")",
    }
)
_WRAPPERS = (("**", "**"), ("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("`", "`"), ("__", "__"))
_ABOUT = re.compile(r"(?:approximately|about|roughly|exactly|only|\\approx|\\simeq|~)\s*+", re.IGNORECASE)
_WRAPPING = re.compile(r"\\(?:f?boxed|text(?:bf|it|rm|normal)?|mbox|mathrm|mathbf)\s*+\{")


def word_set(words: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(words.split())


EDGES = " \t\n.,;:!?\"'()[]*_`"
"""What may stand around a word without counting."""
MATH_WORDS = word_set(
    "and or pi sqrt sin cos tan cot sec csc log ln exp times over to inf infinity infty plus minus frac theta in"
)
"""Words that are mathematics, and no unit or prose."""

STYLES = word_set("text textbf textit textrm textsf texttt textnormal mbox hbox mathrm mathsf operatorname")
_LETTER_STYLES = word_set("mathbf boldsymbol mathit mathcal vec overrightarrow bm hat bar overline")
_SKIPPED = word_set(
    "displaystyle textstyle left right big Big bigg Bigg bigl bigr Bigl Bigr middle limits quad qquad thinspace rm bf it"
    " nolimits hfill"
)
_SKIPPED_SIGNS = frozenset(",;:! ")
_SAME = {
    "dfrac": "frac",
    "tfrac": "frac",
    "cfrac": "frac",
    "times": "*",
    "cdot": "*",
    "ast": "*",
    "div": "/",
    "le": "<=",
    "leq": "<=",
    "leqslant": "<=",
    "ge": ">=",
    "geq": ">=",
    "geqslant": ">=",
    "lt": "<",
    "gt": ">",
    "ne": "!=",
    "neq": "!=",
    "lbrace": "{set",
    "rbrace": "}set",
    "{": "{set",
    "}": "}set",
    "lbrack": "[",
    "rbrack": "]",
    "langle": "(",
    "rangle": ")",
    "lparen": "(",
    "rparen": ")",
    "lvert": "|",
    "rvert": "|",
    "vert": "|",
    "mid": "|",
    "lfloor": "floor(",
    "rfloor": "floor)",
    "lceil": "ceil(",
    "rceil": "ceil)",
    "%": "%",
    "$": "$",
    "degree": "circ",
    "tbinom": "binom",
    "dbinom": "binom",
    "varnothing": "emptyset",
    "lor": "or",
    "land": "and",
    "implies": "=>",
    "approx": "=",
    "simeq": "=",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "lg": "log",
    "infin": "infty",
}
_WORD_COMMANDS = word_set(
    "sin cos tan cot sec csc arcsin arccos arctan asin acos atan sinh cosh tanh log ln exp sqrt pi and or infty theta"
)
_PAIRS = {"<=": "<=", ">=": ">=", "!=": "!=", "==": "=", "**": "^", "=<": "<=", "=>": ">="}

_TOKEN = re.compile(
    r"""(?P<space>\s++)
    |(?P<n>[0-9]++(?:\.[0-9]++)?|\.[0-9]++)
    |\\(?P<c>[a-zA-Z]++\*?|\\|[^a-zA-Z])
    |(?P<w>[a-zA-Z]++)
    |(?P<pair><=|>=|!=|==|=<|\*\*)
    |(?P<o>.)""",
    re.VERBOSE | re.DOTALL,
)
_THOUSANDS = re.compile(r"(?<![0-9.,])([0-9]{1,3})((?:(?:\{,\}|\\,|,\\!|\\!,|\\ |,)[0-9]{3})++)(?![0-9]|,[0-9])")
_TIGHT_THOUSANDS = re.compile(r"(?<![0-9.,])([0-9]{1,3})((?:(?:\{,\}|\\,|,\\!|\\!,)[0-9]{3})++)(?![0-9])")
_REPEATING = re.compile(r"([0-9]*+)\.([0-9]*+)\\(?:overline|bar)\s?\{([0-9]{1,50})\}")
_NOT_DIGIT = re.compile(r"[^0-9]++")


def unwrapped(text: str) -> str:
    r"""An answer without what stands around it: blanks, $ $, \( \), ** **, \boxed{ }, \text{ }, "about", a full stop."""
    text = text.strip()
    while text:
        before = text
        while text and text[-1] in ".,;:" and not text.endswith((r"\,", r"\;", r"\:")):
            text = text[:-1].rstrip()
        for opening, closing in _WRAPPERS:
            if text.startswith(opening) and text.endswith(closing) and len(text) > len(opening) + len(closing):
                inside = text[len(opening) : -len(closing)]
                if opening not in inside and closing not in inside:
                    text = inside.strip()
                    break
        boxed = _WRAPPING.match(text)
        if boxed and closing_brace(text, boxed.end() - 1) == len(text) - 1:
            text = text[boxed.end() : -1].strip()
        elif text.startswith("{") and closing_brace(text, 0) == len(text) - 1 and "," not in text:
            text = text[1:-1].strip()
        about = _ABOUT.match(text)
        if about:
            text = text[about.end() :]
        if text == before:
            break
    return text


def closing_brace(text: str, opening: int) -> int:
    """The index of the brace that closes the one at `opening`; -1 where none does."""
    depth = 0
    for match in _BRACE.finditer(text, opening):
        sign = match[0]
        if sign == "{":
            depth += 1
        elif sign == "}":
            depth -= 1
            if depth == 0:
                return match.start()
    return -1


_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def plain(text: str) -> str:
    """A spelling of an answer in which layout does not count, for telling equal strings at once."""
    text = unwrapped(text)
    if "\\" in text:
        text = _LAYOUT.sub("", text).replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac")
    return _BLANK.sub("", text).casefold()


_LAYOUT = re.compile(r"\\(?:left|right|displaystyle)(?![a-zA-Z])|\\[,;:! ]")
_BLANK = re.compile(r"(?<![0-9a-zA-Z])\s++|\s++(?![0-9a-zA-Z])")


def _joined(match: re.Match[str]) -> str:
    return match[1] + _NOT_DIGIT.sub("", match[2])


def _as_fraction(match: re.Match[str]) -> str:
    """A repeating decimal such as 0.1\\overline{6} as a fraction."""
    whole, fixed, repeated = match[1] or "0", match[2], match[3]
    lower = 10 ** len(fixed) * (10 ** len(repeated) - 1)
    return f"(\\frac{{{int(whole + fixed + repeated) - int(whole + fixed)}}}{{{lower}}})"


def tokens(text: str) -> list[Token]:
    """The tokens of an unwrapped answer.

    Raises:
        Unreadable: a command stands where it cannot.
        Hopeless: it is too long, nested too deeply, or its braces do not match.
    """
    if len(text) > MAX_ANSWER:
        raise Hopeless(f"longer than {MAX_ANSWER} characters")
    if not text.isascii():
        text = text.translate(_UNICODE)
    # A comma between digits is a thousands separator, but in (1,234) it parts two numbers, unless blanks part the others.
    separators = _THOUSANDS if not _BRACKETED.search(text) or _PARTED.search(text) else _TIGHT_THOUSANDS
    text = separators.sub(_joined, text)
    if "{" in text:
        text = _REPEATING.sub(_as_fraction, text)
    found: list[Token] = []
    position, spaced = 0, False
    while position < len(text):
        match = _TOKEN.match(text, position)
        assert match is not None  # the last alternative takes any character
        position = match.end()
        kind = match.lastgroup or "o"
        value = match[kind]
        if kind == "space":
            spaced = True
            continue
        if kind == "c":
            position = _command(value, text, position, spaced, found)
        elif kind == "w":
            name = value if value in _WORD_COMMANDS else value.lower() if value.lower() in ("and", "or") else ""
            if name:
                found.append(Token("c", _SAME.get(name, name), spaced))
            elif value.lower() in ("inf", "infinity", "infty", "oo"):
                found.append(Token("c", "infty", spaced))
            else:
                found.append(Token("w", value, spaced))
        elif kind == "pair":
            found.append(Token("o", _PAIRS[value], spaced))
        elif value != "~":
            found.append(Token(kind, value, spaced))
        spaced = value == "~"
    depth = braces = 0
    for token in found:
        depth += (token.value in _OPENS) - (token.value in _CLOSES)
        braces += (token.value == "{") - (token.value == "}")
        if depth > MAX_NESTING:
            raise Hopeless("nested too deeply")
    if braces:
        raise Hopeless("braces do not match")
    return found


_OPENS = ("(", "[", "{", "{set")
_CLOSES = (")", "]", "}", "}set")
_BRACKETED = re.compile(r"[(\[]|\\\{|\\lbrace")
_PARTED = re.compile(r",\s|;")


def _command(name: str, text: str, position: int, spaced: bool, found: list[Token]) -> int:
    """Add the tokens of one command; returns where reading goes on."""
    name = name.rstrip("*") or name
    if name in _SKIPPED or name in _SKIPPED_SIGNS:
        if name in ("left", "right") and text.startswith(".", position):
            return position + 1
        return position
    if name in STYLES or name in ("begin", "end") or name in _LETTER_STYLES:
        while position < len(text) and text[position] == " ":
            position += 1
        if position >= len(text) or text[position] != "{":
            raise Unreadable(f"\\{name} without its braces")
        end = closing_brace(text, position)
        if end < 0:
            raise Hopeless("braces do not match")
        content = text[position + 1 : end]
        if name in ("begin", "end"):
            found.append(Token(name, content.rstrip("*")))
        elif name in _LETTER_STYLES:
            if not content.strip().isalpha():
                raise Unreadable(f"\\{name} of more than a letter")
            found.append(Token("w", content.strip()[0], spaced))
        else:
            _text(content, found)
        return end + 1
    if name == "\\":
        found.append(Token("c", "\\\\"))
        return position
    same = _SAME.get(name, name)
    is_operator = not same.isalpha() or same in ("floor(", "ceil(")
    found.append(Token("o" if is_operator else "c", same, spaced))
    return position


def _text(content: str, found: list[Token]) -> None:
    word = content.strip().strip(",").strip()
    if word in _WORD_COMMANDS:
        found.append(Token("c", _SAME.get(word, word), True))
    elif word in ("", "\\"):
        if "," in content:
            found.append(Token("o", ","))
    elif word in ("%", "$", ":"):
        found.append(Token("o", word))
    elif len(word) == 1 and word.isalpha() and content == word and found and found[-1].kind != "n":
        found.append(Token("w", word, True))
    else:
        found.append(Token("t", word, True))


def words_of(text: str) -> str:
    """Words as they are compared: lower-case, single blanks, no punctuation around them."""
    return " ".join(text.casefold().split()).strip(EDGES)
