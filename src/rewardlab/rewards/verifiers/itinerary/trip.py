"""Where the traveller is on each day: an itinerary put together with what was asked for and what tools had answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

from rewardlab.rewards.verifiers.itinerary.amounts import plain_city, read_amount
from rewardlab.rewards.verifiers.itinerary.plan import Day, Itinerary, Leg, Stop
from rewardlab.rewards.verifiers.itinerary.records import Answers, Record, known_leg
from rewardlab.rewards.verifiers.itinerary.request import Request


@dataclass(frozen=True, slots=True)
class TripDay:
    """One day of a trip.

    Args:
        number: from 1.
        day: as it was written.
        legs: journeys between cities, with what records say of them.
        cities: where the traveller is, in order, by the journeys; None where that is not known.
        date: its date, where the request says when the trip begins.
    """

    number: int
    day: Day
    legs: tuple[Leg, ...]
    cities: tuple[str | None, ...]
    date: date | None

    @property
    def allowed(self) -> tuple[str, ...]:
        """The cities that stops may be in: those written for the day, else those of the journeys."""
        if self.day.cities:
            return tuple(plain_city(city) for city in self.day.cities)
        return tuple(city for city in self.cities if city is not None)

    @property
    def end(self) -> str | None:
        """The city where the day ends."""
        return plain_city(self.day.cities[-1]) if self.day.cities else self.cities[-1]

    @property
    def stops(self) -> Iterator[Stop]:
        """Visits, meals and the lodging."""
        yield from self.day.stops
        if self.day.lodging is not None:
            yield self.day.lodging


@dataclass(frozen=True)
class Trip:
    """An itinerary with its request and the answers of the tools; what rules look at."""

    itinerary: Itinerary
    request: Request
    answers: Answers

    @cached_property
    def days(self) -> tuple[TripDay, ...]:
        """The days, with the places where the journeys lead."""
        return tuple(self._days())

    def record(self, entity: Leg | Stop) -> Record | None:
        """The last record of an entity, or None."""
        found = self.answers.of(entity)
        return found[-1] if found else None

    def city(self, stop: Stop) -> str | None:
        """The city of a stop: as written, else as all records of its name have it."""
        if stop.city is not None:
            return plain_city(stop.city)
        found = {record.fields.get("city") for record in self.answers.named(stop.name)}
        only = found.pop() if len(found) == 1 else None
        return plain_city(only) if isinstance(only, str) else None

    def fact(self, entity: Leg | Stop, key: str) -> Any:
        """What the tools said of an entity, or None."""
        record = self.record(entity)
        return None if record is None else record.fields.get(key)

    def price(self, entity: Leg | Stop) -> float | None:
        """What an entity costs: as the tools said, else as written."""
        said = read_amount(self.fact(entity, "price"))
        return entity.price if said is None else said

    def _days(self) -> Iterator[TripDay]:
        request = self.request
        home = plain_city(request.origin) if request.origin else None
        open_cities = [plain_city(city) for city in request.destinations]
        here = home
        for number, day in enumerate(self.itinerary.days, start=1):
            legs = tuple(
                known_leg(leg, self.answers)
                for leg in day.legs
                if leg.identity is not None or leg.destination is not None
            )
            cities: list[str | None] = [here]
            written = plain_city(day.cities[-1]) if day.cities else None
            for leg in legs:
                here = self._goal(leg, written, home, here, open_cities, last=number >= request.days)
                if here in open_cities:
                    open_cities.remove(here)
                cities.append(here)
            if not legs and written is not None:  # believed, so that one mistake is found once; `route` finds it
                here = written
                cities.append(here)
            start = request.start
            yield TripDay(number, day, legs, tuple(cities), start + timedelta(days=number - 1) if start else None)

    @staticmethod
    def _goal(
        leg: Leg, written: str | None, home: str | None, here: str | None, open_cities: list[str], *, last: bool
    ) -> str | None:
        """Where a leg leads; where nobody says, the best that it could be, as only records can prove it wrong."""
        if leg.destination is not None:
            return plain_city(leg.destination)
        if written is not None and written != here:
            return written
        if open_cities and not (last and here != home):
            return open_cities[0]
        return home
