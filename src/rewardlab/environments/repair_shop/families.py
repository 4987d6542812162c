"""The functions that programs of the shop are made of: families of short functions with constants that vary.

A family's name and constants are its *logic*; the theme gives files, functions and variables their names, so that the same
logic reads differently from task to task. Programs are told apart by logic, never by names.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

THEMES: dict[str, str] = {
    "prices": "price", "grades": "grade", "hours": "hour", "steps": "step", "scores": "score", "weights": "weight",
    "heights": "height", "orders": "order", "votes": "vote", "miles": "mile", "pages": "page", "levels": "level",
}  # fmt: skip
"""Plural and singular of what a file is about."""

Arguments = Callable[[random.Random, Mapping[str, int]], list[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One kind of function.

    Args:
        verb: first word of the function's name.
        source: its text; `ITEMS`, `ITEM` and `NAME` become words of the theme, single capitals become constants.
        constants: for each capital letter, the values that it may have.
        arguments: draws the arguments of a test, mostly near the constants, where mistakes show.
    """

    verb: str
    source: str
    constants: Mapping[str, range]
    arguments: Arguments


def _values(low: str = "A", high: str = "A") -> Arguments:
    def draw(rng: random.Random, constants: Mapping[str, int]) -> list[Any]:
        bounds = constants[low] - 3, constants[high] + 3
        return [[rng.randint(*bounds) for _ in range(rng.choice((0, 1, 3, 4, 5, 6)))]]

    return draw


def _number(rng: random.Random, constants: Mapping[str, int]) -> list[Any]:
    near = rng.choice(list(constants.values()))
    return [max(0, near + rng.choice((-3, -2, -1, 0, 0, 1, 2, 3, 5, 8, 13)))]


def _digits(rng: random.Random, constants: Mapping[str, int]) -> list[Any]:
    return [rng.choice((0, rng.randint(1, 9), rng.randint(10, 99), rng.randint(100, 9999)))]


def _price_and_count(rng: random.Random, constants: Mapping[str, int]) -> list[Any]:
    return [rng.randint(1, 30), max(1, constants["A"] + rng.choice((-2, -1, 0, 0, 1, 3)))]


def _text(rng: random.Random, constants: Mapping[str, int]) -> list[Any]:
    length = max(0, constants["A"] + rng.choice((-2, -1, 0, 0, 1, 3)))
    return ["".join(rng.choice("abcdelmnorst") for _ in range(length))]


def _search(rng: random.Random, constants: Mapping[str, int]) -> list[Any]:
    wanted = constants["A"]
    return [[rng.choice((wanted, wanted - 1, wanted + 1, 2 * wanted)) for _ in range(rng.randint(0, 5))]]


FAMILIES: dict[str, Family] = {
    "total": Family(
        verb="total",
        constants={"A": range(3, 15), "B": range(0, 4)},
        arguments=_values(),
        source='''def NAME(ITEMS):
    """The sum of the ITEMS above A, and B for each of them."""
    total = 0
    for ITEM in ITEMS:
        if ITEM > A:
            total += ITEM + B
    return total
''',
    ),
    "count": Family(
        verb="count",
        constants={"A": range(2, 8), "B": range(9, 15)},
        arguments=_values("A", "B"),
        source='''def NAME(ITEMS):
    """How many ITEMS are at least A and below B."""
    found = 0
    for ITEM in ITEMS:
        if ITEM >= A and ITEM < B:
            found += 1
    return found
''',
    ),
    "clamp": Family(
        verb="clamp",
        constants={"A": range(2, 9), "B": range(11, 20)},
        arguments=_number,
        source='''def NAME(ITEM):
    """The ITEM, but at least A and at most B."""
    if ITEM < A:
        return A
    if ITEM > B:
        return B
    return ITEM
''',
    ),
    "jump": Family(
        verb="jump",
        constants={"A": range(1, 9), "B": range(0, 6)},
        arguments=_values(),
        source='''def NAME(ITEMS):
    """The largest rise from one of the ITEMS to the next, and at least B; A is added to rises."""
    best = B
    for place in range(1, len(ITEMS)):
        rise = ITEMS[place] - ITEMS[place - 1] + A
        if rise > best:
            best = rise
    return best
''',
    ),
    "charge": Family(
        verb="charge",
        constants={"A": range(3, 13), "B": range(2, 7)},
        arguments=_price_and_count,
        source='''def NAME(ITEM, count):
    """The ITEM times the count; from A pieces on, B less for each piece."""
    charge = ITEM * count
    if count >= A:
        charge -= B * count
    return charge
''',
    ),
    "running": Family(
        verb="running",
        constants={"A": range(1, 15), "B": range(2, 5)},
        arguments=_values(),
        source='''def NAME(ITEMS):
    """The running sums of the ITEMS, begun at A, each times B."""
    total = A
    sums = []
    for ITEM in ITEMS:
        total += ITEM
        sums.append(total * B)
    return sums
''',
    ),
    "find": Family(
        verb="find",
        constants={"A": range(3, 18)},
        arguments=_search,
        source='''def NAME(ITEMS):
    """The place of the first of the ITEMS that is A, or -1."""
    for place in range(len(ITEMS)):
        if ITEMS[place] == A:
            return place
    return -1
''',
    ),
    "rank": Family(
        verb="rank",
        constants={"A": range(3, 9), "B": range(10, 18)},
        arguments=_number,
        source='''def NAME(ITEM):
    """'high' from B on, 'middle' from A on, else 'low'."""
    if ITEM >= B:
        return "high"
    if ITEM >= A:
        return "middle"
    return "low"
''',
    ),
    "label": Family(
        verb="label",
        constants={"A": range(3, 12), "B": range(1, 3)},
        arguments=_text,
        source='''def NAME(text):
    """The text, or its first A characters and B dots where it is longer."""
    if len(text) > A:
        return text[:A] + "." * B
    return text
''',
    ),
    "digits": Family(
        verb="digits",
        constants={"A": range(2, 6), "B": range(0, 9)},
        arguments=_digits,
        source='''def NAME(ITEM):
    """A times the sum of the digits of the ITEM, and B."""
    total = 0
    while ITEM > 0:
        total += ITEM % 10
        ITEM //= 10
    return A * total + B
''',
    ),
    "weigh": Family(
        verb="weigh",
        constants={"A": range(1, 8), "B": range(2, 9)},
        arguments=_values(),
        source='''def NAME(ITEMS):
    """The sum of the ITEMS, each times its place (from A on), less B for each."""
    total = 0
    for place in range(len(ITEMS)):
        total += ITEMS[place] * (place + A)
        total -= B
    return total
''',
    ),
    "trim": Family(
        verb="trim",
        constants={"A": range(2, 9), "B": range(10, 18)},
        arguments=_values("A", "B"),
        source='''def NAME(ITEMS):
    """The ITEMS that are not A, in order, those above B as B."""
    kept = []
    for ITEM in ITEMS:
        if ITEM != A:
            kept.append(min(ITEM, B))
    return kept
''',
    ),
}
"""The kinds of functions, by name."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function with its constants and names.

    Args:
        family: its kind.
        constants: their values.
        name: what it is called.
        source: its text.
    """

    family: str
    constants: tuple[tuple[str, int], ...]
    name: str
    source: str

    @property
    def logic(self) -> str:
        """What it computes, whatever it is called; train and test never share it."""
        return f"{self.family}/{'/'.join(str(value) for _, value in self.constants)}"

    def arguments(self, rng: random.Random) -> list[Any]:
        """Arguments for a test."""
        return FAMILIES[self.family].arguments(rng, dict(self.constants))


def draw_function(family: str, theme: str, rng: random.Random) -> Function:
    """A function of a family, about a theme, with constants drawn."""
    kind = FAMILIES[family]
    constants = {letter: rng.choice(values) for letter, values in kind.constants.items()}
    name = f"{kind.verb}_{theme}"
    words = {"NAME": name, "ITEMS": theme, "ITEM": THEMES[theme], **{key: str(one) for key, one in constants.items()}}
    return Function(family, tuple(constants.items()), name, _worded(kind.source, words))


def _worded(source: str, words: Mapping[str, str]) -> str:
    import re

    return re.sub(r"\b(NAME|ITEMS?|[AB])\b", lambda found: words[found[0]], source)
