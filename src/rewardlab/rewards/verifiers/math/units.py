"""Units after a number: which ones are known, what they measure, and what they are worth.

A unit decides a comparison only where both sides name a known one: then values are converted, and different dimensions
differ. Where one side has no unit, or one that is not in this table ("apples"), the numbers alone are compared.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Unit:
    """What a unit measures, and its worth in the base unit of that dimension."""

    dimension: str
    worth: Fraction = Fraction(1)


_TABLE: dict[str, list[tuple[str, str]]] = {
    "length": [
        ("1", "m meter metre"),
        ("1000", "km kilometer kilometre"),
        ("1/100", "cm centimeter centimetre"),
        ("1/1000", "mm millimeter millimetre"),
        ("0.0254", "in inch inche"),
        ("0.3048", "ft foot feet"),
        ("0.9144", "yd yard"),
        ("1609.344", "mi mile"),
    ],
    "mass": [
        ("1", "g gram"),
        ("1000", "kg kilogram kilo"),
        ("1/1000", "mg milligram"),
        ("453.59237", "lb pound"),
        ("28.349523125", "oz ounce"),
    ],
    "time": [
        ("1", "s sec second"),
        ("60", "min minute"),
        ("3600", "h hr hour"),
        ("86400", "day"),
        ("604800", "wk week"),
    ],
    "month": [("1", "month"), ("12", "yr year"), ("120", "decade")],
    "volume": [("1", "l liter litre"), ("1/1000", "ml milliliter millilitre")],
    "dollar": [("1", "dollar usd $ buck"), ("1/100", "cent ¢ penny pennie dime")],
    "euro": [("1", "euro eur €")],
    "sterling": [("1", "gbp £")],
    "rupee": [("1", "rupee inr ₹ rs")],
    "yen": [("1", "yen jpy ¥")],
    "angle": [("1", "degree deg °")],
    "before noon": [("1", "am a.m")],
    "after noon": [("1", "pm p.m")],
    "degree celsius": [("1", "°c")],
    "degree fahrenheit": [("1", "°f")],
}
_WORTH = {
    word: (dimension, Fraction(worth))
    for dimension, rows in _TABLE.items()
    for worth, words in rows
    for word in words.split()
}
_WORTH["dime"] = ("dollar", Fraction(1, 10))
_PHRASES = {"mph": "mile/hour", "kmph": "km/hour", "kph": "km/hour", "kmh": "km/hour", "mps": "m/s"}
_POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
_PER = re.compile(r"\s*/\s*|\s+per\s+|\s+an?\s+")
_PIECE = re.compile(r"([^\s^0-9²³]+)\s*(?:\^\s*\{?\s*([23])\s*\}?|([²³]))?")

MULTIPLES = {
    "dozen": Fraction(12),
    "hundred": Fraction(100),
    "thousand": Fraction(10**3),
    "million": Fraction(10**6),
    "billion": Fraction(10**9),
    "trillion": Fraction(10**12),
}
"""Number words that multiply the number before them."""

SINGLE_LETTERS = frozenset("mgshlLVWNJ")
"""Letters that may be a unit after a number, and are otherwise variables."""

DEGREE = Unit("angle")
DOLLAR = Unit("dollar")
CURRENCIES = {"$": DOLLAR, "€": Unit("euro"), "£": Unit("sterling"), "¥": Unit("yen"), "₹": Unit("rupee")}


@functools.lru_cache(maxsize=1024)
def known_unit(phrase: str) -> Unit | None:
    """The unit that a phrase names, such as "cm", "square feet", "km/h" or "miles per hour"; None where it is not known."""
    words = phrase.strip().strip(".").casefold()
    if len(words) > 40:
        return None
    words = _PHRASES.get(words, words)
    upper, *lower = _PER.split(words)
    if len(lower) > 1:
        return None
    first = _simple(upper)
    if first is None or not lower:
        return first
    second = _simple(lower[0])
    return None if second is None else Unit(f"{first.dimension}/{second.dimension}", first.worth / second.worth)


def _simple(words: str) -> Unit | None:
    power = 1
    found: tuple[str, Fraction] | None = None
    for word in words.replace("-", " ").split():
        if word in _POWERS:
            power = _POWERS[word]
            continue
        piece = _PIECE.fullmatch(word)
        if piece is None or found is not None:
            return None
        name = piece[1].strip(".")
        found = _WORTH.get(name) or _WORTH.get(name.removesuffix("s"))
        if found is None:
            return None
        if piece[2] or piece[3]:
            power = 2 if (piece[2] or piece[3]) in "2²" else 3
    if found is None:
        return None
    dimension, worth = found
    return Unit(dimension, worth) if power == 1 else Unit(f"{dimension}^{power}", worth**power)
