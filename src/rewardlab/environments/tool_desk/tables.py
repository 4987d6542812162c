"""The small tables behind the desk, drawn anew for every task, so that no answer can be learnt by heart.

Five tables hang together: a person ordered an item and lives in a city; a city has a distance and a delivery time; a weekday
has a clerk. The tables travel in `Task.metadata["tables"]`, and so a stored task can be played again without its generator.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from rewardlab.environments.tool_desk.dates import WEEKDAYS, YEAR, write_date

Tables = dict[str, dict[str, dict[str, Any]]]
"""Table name -> row name -> column -> cell; a cell is a string or a whole number."""

# fmt: off
PEOPLE = (
    "Ann", "Ben", "Cem", "Dora", "Eli", "Finn", "Gus", "Hana", "Ivo", "Jana",
    "Kim", "Leo", "Mia", "Nils", "Olga", "Paul", "Rosa", "Sam", "Tom", "Uma",
    "Vera", "Will", "Xenia", "Yuri", "Zoe", "Adam", "Bea", "Carl", "Dina", "Emil",
    "Fay", "Greta", "Hugo", "Iris", "Jon", "Kira", "Lars", "Mona", "Ned", "Otto",
)
ITEMS = (
    "lamps", "chairs", "desks", "pens", "cups", "ropes", "bolts", "tiles", "doors", "clocks",
    "drums", "forks", "gloves", "hats", "jars", "keys", "mugs", "nails", "ovens", "pans",
    "rugs", "saws", "tents", "vases", "wires", "axes", "bags", "coats", "dolls", "fans",
    "gears", "hoses", "irons", "kites", "locks", "masks", "nets", "pipes", "rings", "shelves",
)
CITIES = (
    "Rome", "Oslo", "Lima", "Cairo", "Paris", "Delhi", "Quito", "Seoul", "Tunis", "Bern",
    "Accra", "Dakar", "Hanoi", "Kyiv", "Lagos", "Minsk", "Osaka", "Prague", "Riga", "Sofia",
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Ranges:
    """How large a world is drawn.

    Args:
        people: how many names there are to draw from (likewise `items`, `cities`).
        numbers: the largest price, number ordered, weight and length.
        imperial: whether weights and lengths may stand in lb and ft.
        tables: which tables there are.
    """

    people: int = 20
    items: int = 20
    cities: int = 20
    numbers: int = 9
    imperial: bool = False
    tables: tuple[str, ...] = ("orders", "items", "people")


COLUMNS: dict[str, tuple[str, ...]] = {
    "orders": ("item", "count", "date"),
    "items": ("price", "stock", "weight", "length"),
    "people": ("city", "age"),
    "cities": ("distance", "days"),
    "shifts": ("clerk",),
}
"""The columns of every table."""


def draw_tables(
    ranges: Ranges, size: int, rng: random.Random, *, person: str | None = None, item: str | None = None
) -> Tables:
    """Draw the tables of one task.

    Args:
        ranges: what to draw from.
        size: rows of the tables of people and items; every person ordered one item, and no two the same.
        rng: the source of chance.
        person: who must be among them (likewise `item`).
    """
    people = _some(PEOPLE[: ranges.people], size, rng, person)
    items = _some(ITEMS[: ranges.items], size, rng, item)
    cities = CITIES[: ranges.cities]
    ordered = rng.sample(items, size)
    mass, length = (("kg", "lb"), ("m", "ft")) if ranges.imperial else (("kg",), ("m",))

    def number(smallest: int = 2) -> int:
        return rng.randint(smallest, ranges.numbers)

    tables: Tables = {
        "orders": {
            name: {"item": item, "count": number(), "date": write_date(_some_day(rng))}
            for name, item in zip(people, ordered, strict=True)
        },
        "items": {
            name: {
                "price": number(),
                "stock": rng.randint(10, 60),
                "weight": f"{number()} {rng.choice(mass)}",
                "length": f"{number()} {rng.choice(length)}",
            }
            for name in items
        },
        "people": {name: {"city": rng.choice(cities), "age": rng.randint(20, 70)} for name in people},
        "cities": {name: {"distance": f"{rng.randint(10, 99)} km", "days": rng.randint(2, 20)} for name in cities},
        "shifts": {name: {"clerk": rng.choice(people)} for name in WEEKDAYS},
    }
    return {name: tables[name] for name in ranges.tables}


def _some(pool: Sequence[str], count: int, rng: random.Random, needed: str | None) -> list[str]:
    """So many different names of a pool in random order, with the needed one among them."""
    chosen = rng.sample([name for name in pool if name != needed], count if needed is None else count - 1)
    if needed is not None:
        chosen.insert(rng.randint(0, len(chosen)), needed)
    return chosen


def _some_day(rng: random.Random) -> date:
    """A day from January to November, so that deliveries stay within the year."""
    return date(YEAR, 1, 1) + timedelta(days=rng.randrange(330))
