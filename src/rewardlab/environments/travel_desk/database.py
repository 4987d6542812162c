"""What the travel desk's world offers: made from a number, and the same answer for the same question for ever.

Nothing is stored. Each answer is drawn from a chance of its own, which the number of the world and the question decide, so a
database of all cities and days costs nothing, and an agent that asks twice hears the same twice.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from rewardlab.environments.travel_desk.levels import LEVELS, Level
from rewardlab.environments.travel_desk.tables import CITIES, COLOURS, HOUSES, KINDS, SIGHTS, WEEKDAYS

Rows = list[dict[str, Any]]

FIRST, LAST = date(2024, 1, 8), date(2024, 12, 20)
"""The days on which trips may begin."""
MOST_NIGHTS = 14
_BY_RAIL = 700
"""Trains go between cities that are no further apart, in km."""


@dataclass(frozen=True)
class Database:
    """One world.

    Args:
        world: its number.
        level: `small` or `full`.

    Raises:
        ValueError: there is no such level.
    """

    world: int = 0
    level: str = "small"
    cities: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {self.level!r}")
        object.__setattr__(self, "cities", tuple(CITIES)[: self._size.cities])

    @property
    def _size(self) -> Level:
        return LEVELS[self.level]

    def _chance(self, *question: object) -> random.Random:
        return random.Random("/".join(map(str, ("travel_desk", self.world, self.level, *question))))

    # ---- what there is ----------------------------------------------------------------------------------------------

    def hotel_names(self, city: str) -> list[str]:
        """Every hotel of a city, booked out or not."""
        if not self._size.detailed:
            return [f"{colour} Inn" for colour in COLOURS[: self._size.hotels]]
        chance = self._chance("hotel names", city)
        colours = chance.sample(COLOURS, self._size.hotels)
        return [f"{colour} {chance.choice(HOUSES)}" for colour in colours]

    def place_names(self, city: str) -> list[str]:
        """Every place of a city, closed or not."""
        return [place["name"] for place in self._places(city)]

    def flight_ids(self, origin: str, destination: str) -> list[str]:
        """Numbers that flights between two cities have at the small level: the same four one way, four others back."""
        first = 1 if origin < destination else 5
        return [f"F{number}" for number in range(first, first + 4)]

    def distance(self, origin: str, destination: str) -> int:
        """Kilometres between two cities."""
        return round(math.dist(CITIES[origin], CITIES[destination]))

    # ---- what is offered --------------------------------------------------------------------------------------------

    def flights(self, origin: str, destination: str, day: date) -> Rows:
        """Flights of a day, by departure."""
        chance = self._chance("flights", origin, destination, day)
        if not self._size.detailed:
            numbers = sorted(chance.sample(self.flight_ids(origin, destination), 2))
            return [{"id": number, "from": origin, "to": destination} for number in numbers]
        if chance.random() < 0.05:
            return []
        kilometres = self.distance(origin, destination)
        minutes, price = 45 + kilometres / 11, 30 + 0.09 * kilometres
        return self._journeys(chance, "F", origin, destination, day, minutes, price, chance.randint(2, 4))

    def trains(self, origin: str, destination: str, day: date) -> Rows:
        """Trains of a day, by departure; none where the way is too long."""
        chance = self._chance("trains", origin, destination, day)
        kilometres = self.distance(origin, destination)
        if kilometres > _BY_RAIL or not self._size.detailed:
            return []
        return self._journeys(
            chance, "T", origin, destination, day, kilometres / 2.2, 0.1 * kilometres, chance.randint(2, 3)
        )

    def hotels(self, city: str, day: date, nights: int = 1) -> Rows:
        """Hotels that are free for all these nights."""
        if not self._size.detailed:
            free = self._chance("hotels", city, day).sample(self.hotel_names(city), 2)
            return [{"name": name} for name in sorted(free)]
        found = []
        for hotel in self._hotels(city):
            taken = (
                self._chance("night", city, hotel["name"], day + timedelta(days=night)).random() < 0.15
                for night in range(nights)
            )
            if not any(taken):
                found.append({**hotel, "date": str(day), "nights": nights})
        return found

    def places(self, city: str, day: date) -> Rows:
        """Places of a city: at the small level those that are open on the day, else all of them with their hours."""
        if not self._size.detailed:
            return [{"name": name} for name in sorted(self._chance("places", city, day).sample(SIGHTS, 4))]
        return [dict(place) for place in self._places(city)]

    # ---- how it is drawn --------------------------------------------------------------------------------------------

    @lru_cache(maxsize=64)  # noqa: B019  # worlds are few and small
    def _hotels(self, city: str) -> Rows:
        chance = self._chance("hotels", city)
        rows = []
        for name in self.hotel_names(city):
            rating = chance.randint(2, 5)
            rows.append(
                {
                    "name": name,
                    "city": city,
                    "price": chance.randint(30, 60) + 20 * rating,
                    "rating": rating,
                    "min_nights": chance.choice((1, 1, 1, 2, 3)),
                    "sleeps": chance.choice((1, 2, 2, 3, 4)),
                }
            )
        return rows

    @lru_cache(maxsize=64)  # noqa: B019
    def _places(self, city: str) -> Rows:
        if not self._size.detailed:
            return [{"name": name} for name in SIGHTS]
        chance = self._chance("places", city)
        pool = [(name, kind) for kind, names in KINDS.items() for name in names]
        rows = []
        for name, kind in chance.sample(pool, self._size.places):
            opens = chance.choice((8, 9, 10, 11))
            rows.append(
                {
                    "name": name,
                    "city": city,
                    "kind": kind,
                    "price": chance.choice((0, 0, 5, 8, 12, 18)),
                    "opens": f"{opens:02d}:00",
                    "closes": f"{chance.choice((16, 17, 18, 20)):02d}:00",
                    "closed": chance.choice((*WEEKDAYS, "", "", "", "")),
                }
            )
        return rows

    def _journeys(
        self,
        chance: random.Random,
        letter: str,
        origin: str,
        destination: str,
        day: date,
        minutes: float,
        price: float,
        count: int,
    ) -> Rows:
        took = 5 * round(minutes / 5)
        starts = sorted(5 * number for number in chance.sample(range(6 * 12, 20 * 12), count))
        numbers = chance.sample(range(100, 1000), count)
        return [
            {
                "id": f"{letter}{number}",
                "from": origin,
                "to": destination,
                "date": str(day),
                "departs": _clock(start),
                "arrives": _clock(start + took),
                "price": round(price * chance.uniform(0.7, 1.6)),
            }
            for start, number in zip(starts, numbers, strict=True)
            if start + took < 24 * 60
        ]


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
