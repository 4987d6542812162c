"""Plain numbers without LaTeX, with their currency, per cent sign, unit or other words: the commonest answers by far."""

from __future__ import annotations

import re
from fractions import Fraction

from rewardlab.rewards.verifiers.math.forms import Scalar
from rewardlab.rewards.verifiers.math.lexing import MATH_WORDS
from rewardlab.rewards.verifiers.math.units import CURRENCIES, MULTIPLES, SINGLE_LETTERS, known_unit

_NUMBER = re.compile(
    r"""(?P<sign>[-+]?)\s?(?P<currency>\\?\$|[€£¥₹])?\s?(?P<inner>-?)
    (?:(?:(?P<mixed>[0-9]++)\s++)?(?P<upper>[0-9]++)\s?/\s?(?P<lower>[0-9]++)
       |(?P<whole>[0-9]{1,3}(?:,[0-9]{3})++(?![0-9])|[0-9]++)?(?P<decimals>\.[0-9]++)?(?:[eE](?P<exponent>[-+]?[0-9]{1,3}))?)
    (?:\s?(?P<percent>\\?%|percent\b|per\ cent\b))?""",
    re.VERBOSE,
)
_TRAILING = re.compile(r"(?P<gap>[\s~-]*+)(?P<words>[A-Za-z°][A-Za-z .'’/-]*+(?:\^?\{?[23²³]\}?)?)\.?")


def plain_number(text: str) -> Scalar | None:
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
    if len(words) > 8 or any(word.lower().strip(".") in MATH_WORDS - {"in"} for word in words):
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


def letter_unit(answer: Scalar) -> Fraction | None:
    """The number in "5m", where the letter may be a unit; None for anything else."""
    tree = answer.tree
    if tree[0] == "mul" and len(tree[1]) == 2 and tree[1][0][0] == "num":
        letter = tree[1][1]
        if letter[0] == "sym" and letter[1] in SINGLE_LETTERS:
            return tree[1][0][1]
    return None
