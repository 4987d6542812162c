"""The kinds of questions, and which of the two task sets each belongs to.

In every kind a later call needs what an earlier one gave, so an answer cannot be had by guessing the last call. The split
looks at the *key* of a question (its kind, names and numbers, whatever its wording and tables): a hash of the key names the
task set, so that train and test can never meet.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rewardlab.environments.base import Split
from rewardlab.environments.tool_desk import scripts
from rewardlab.environments.tool_desk.tables import ITEMS, PEOPLE, Ranges

Slots = dict[str, Any]
"""What a question is about: names and numbers."""

TEST_SHARE = 5
"""One key in so many belongs to the test split."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of question.

    Args:
        name: what it is called in `kinds=` and in the metadata of tasks.
        calls: how many calls its script makes.
        tables: which tables it reads.
        wordings: the question with `{slot}` marks; the first is the plainest.
        draw: names and numbers of one question.
        script: how it is answered, from the same slots.
    """

    name: str
    calls: int
    tables: tuple[str, ...]
    wordings: tuple[str, ...]
    draw: Callable[[Ranges, random.Random], Slots]
    script: Callable[..., scripts.Script]


def question_key(kind: str, slots: Slots) -> str:
    """What makes two questions the same, whatever their wording: the kind with its names and numbers."""
    return "/".join([kind, *(f"{name}={slots[name]}" for name in sorted(slots))])


def split_of(key: str) -> Split:
    """The split that a question belongs to, in every seed and at every level."""
    return "test" if int(hashlib.sha256(key.encode()).hexdigest(), 16) % TEST_SHARE == 0 else "train"


# ---- slots ------------------------------------------------------------------------------------------------------------


def _person(ranges: Ranges, rng: random.Random) -> Slots:
    return {"person": rng.choice(PEOPLE[: ranges.people])}


def _item(ranges: Ranges, rng: random.Random) -> Slots:
    return {"item": rng.choice(ITEMS[: ranges.items])}


def _measure(ranges: Ranges, rng: random.Random) -> Slots:
    column = rng.choice(("weight", "length"))
    units = ("cm", "mm") if column == "length" else ("g", "oz") if ranges.imperial else ("g",)
    return {"column": column, "unit": rng.choice(units)}


# ---- kinds ------------------------------------------------------------------------------------------


def _with(*draws: Callable[[Ranges, random.Random], Slots]) -> Callable[[Ranges, random.Random], Slots]:
    """Slots of several kinds at once."""

    def draw(ranges: Ranges, rng: random.Random) -> Slots:
        slots: Slots = {}
        for each in draws:
            slots.update(each(ranges, rng))
        return slots

    return draw


def _column(*columns: str) -> Callable[[Ranges, random.Random], Slots]:
    return lambda ranges, rng: {"column": rng.choice(columns)}


def _unit(*units: str) -> Callable[[Ranges, random.Random], Slots]:
    return lambda ranges, rng: {"unit": rng.choice(units)}


def _number(ranges: Ranges, rng: random.Random) -> Slots:
    return {"number": rng.randint(2, ranges.numbers)}


def _days(ranges: Ranges, rng: random.Random) -> Slots:
    return {"days": rng.randint(2, 2 * ranges.numbers)}


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "item_fact",
            2,
            ("orders", "items"),
            (
                "What is the {column} of {person}'s item?",
                "{person} ordered something. What is its {column}?",
                "Tell me the {column} of what {person} ordered.",
            ),
            _with(_person, _column("price", "stock")),
            scripts.item_fact,
        ),
        Kind(
            "buyer_fact",
            2,
            ("orders", "people"),
            (
                "What is the {column} of the buyer of {item}?",
                "Somebody ordered {item}. What is the {column} of that person?",
                "Tell me the {column} of whoever ordered {item}.",
            ),
            _with(_item, _column("city", "age")),
            scripts.buyer_fact,
        ),
        Kind(
            "total",
            2,
            ("items",),
            (
                "What is the price of {number} {item}?",
                "How much do {number} {item} cost together?",
                "Tell me what I pay for {number} {item}.",
            ),
            _with(_item, _number),
            scripts.total,
        ),
        Kind(
            "measured",
            2,
            ("items",),
            (
                "What is the {column} of {item} in {unit}?",
                "Give me the {column} of {item}, in {unit}.",
                "In {unit}, what {column} do {item} have?",
            ),
            _with(_item, _measure),
            scripts.measured,
        ),
        Kind(
            "due",
            2,
            ("orders",),
            (
                "What date is {days} days after {person}'s order?",
                "{person}'s order is due after {days} days. On what date?",
                "On which date are {days} days gone since {person} ordered?",
            ),
            _with(_person, _days),
            scripts.due,
        ),
        Kind(
            "item_total",
            3,
            ("orders", "items"),
            (
                "What is the price of {number} of {person}'s item?",
                "How much do {number} pieces of what {person} ordered cost together?",
                "I want {number} of the item that {person} ordered. What do I pay?",
            ),
            _with(_person, _number),
            scripts.item_total,
        ),
        Kind(
            "item_measured",
            3,
            ("orders", "items"),
            (
                "What is the {column} of {person}'s item in {unit}?",
                "{person} ordered something. What is its {column} in {unit}?",
                "In {unit}, what is the {column} of one piece of what {person} ordered?",
            ),
            _with(_person, _measure),
            scripts.item_measured,
        ),
        Kind(
            "buyer_due",
            3,
            ("orders",),
            (
                "What date is {days} days after the order of {item}?",
                "The order of {item} is due after {days} days. On what date?",
                "On which date are {days} days gone since somebody ordered {item}?",
            ),
            _with(_item, _days),
            scripts.buyer_due,
        ),
        Kind(
            "distance",
            3,
            ("people", "cities"),
            (
                "What is the distance of {person}'s city in {unit}?",
                "How far away is the city where {person} lives, in {unit}?",
                "In {unit}, how far is it to {person}'s city?",
            ),
            _with(_person, _unit("m", "mi", "ft")),
            scripts.distance,
        ),
        Kind(
            "order_total",
            4,
            ("orders", "items"),
            (
                "What is the price of {person}'s whole order?",
                "{person} ordered several pieces of one item. What do they cost together?",
                "Tell me the total price of everything that {person} ordered.",
            ),
            _person,
            scripts.order_total,
        ),
        Kind(
            "arrival",
            4,
            ("orders", "people", "cities"),
            (
                "On what date does {person}'s order arrive in {person}'s city?",
                "{person}'s order takes the days of {person}'s city. On what date does it arrive?",
                "On which date does {person} receive the order, given the days to the city?",
            ),
            _person,
            scripts.arrival,
        ),
        Kind(
            "clerk_city",
            4,
            ("orders", "shifts", "people"),
            (
                "What is the city of the clerk on the weekday {days} days after {person}'s order?",
                "Take the weekday {days} days after {person} ordered. In what city does its clerk live?",
                "Where does the clerk live who works on the weekday {days} days after {person}'s order?",
            ),
            _with(_person, _days),
            scripts.clerk_city,
        ),
        Kind(
            "order_measured",
            5,
            ("orders", "items"),
            (
                "What is the {column} of {person}'s whole order in {unit}?",
                "{person} ordered several pieces of one item. What is their {column} together, in {unit}?",
                "In {unit}, what is the total {column} of everything that {person} ordered?",
            ),
            _with(_person, _measure),
            scripts.order_measured,
        ),
        Kind(
            "buyer_arrival",
            5,
            ("orders", "people", "cities"),
            (
                "On what date does the order of {item} arrive in the buyer's city?",
                "Somebody ordered {item}. It takes the days of that person's city. On what date does it arrive?",
                "On which date does the buyer of {item} receive them, given the days to the city?",
            ),
            _item,
            scripts.buyer_arrival,
        ),
    )
}
"""Every kind of question by name, from two calls to five."""
