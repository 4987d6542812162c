"""The days of a trip as data, whoever wrote them down and how; `Itinerary.parse` reads them (see `reading`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

StopKind = Literal["visit", "meal", "lodging"]


class UnreadableItinerary(ValueError):
    """What was written is no itinerary; the message says what is wrong, and where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A place to see, to eat or to sleep at.

    Args:
        kind: which of the three.
        name: as written.
        city: as written, or None.
        starts: minutes after midnight of its day, or None (likewise `ends`).
        price: as stated, or None.
        where: the field of the day that it stands in, such as `visits[1]` or `lunch`.
        stated: everything that was written of it, by key.
    """

    kind: StopKind
    name: str
    city: str | None = None
    starts: int | None = None
    ends: int | None = None
    price: float | None = None
    where: str = ""
    stated: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """A journey from one city to another.

    Args:
        identity: number of the flight or train, or None (a car).
        mode: how, as written ("flight", "taxi"), or None.
        origin: where it begins, or None (likewise `destination`).
        departs: minutes after midnight of its day, or None. `arrives` is more than a day where it arrives later.
        price: as stated, or None.
        where: the field of the day that it stands in.
        stated: everything that was written of it, by key.
    """

    identity: str | None = None
    mode: str | None = None
    origin: str | None = None
    destination: str | None = None
    departs: int | None = None
    arrives: int | None = None
    price: float | None = None
    where: str = ""
    stated: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What to call it in a note."""
        return self.identity or f"{self.mode or 'journey'} {self.origin or '?'} to {self.destination or '?'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day.

    Args:
        number: as written, or None.
        cities: that the day is spent in, in order, as written; empty where none is.
        legs: journeys, in order.
        stops: visits and meals, in order.
        lodging: where the night after it is spent, or None.
    """

    number: int | None = None
    cities: tuple[str, ...] = ()
    legs: tuple[Leg, ...] = ()
    stops: tuple[Stop, ...] = ()
    lodging: Stop | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing happens on it."""
        return not (self.legs or self.stops or self.lodging)


@dataclass(frozen=True, slots=True, kw_only=True)
class Itinerary:
    """A trip, day by day.

    Args:
        days: in order; days that were written as nothing at all (padding) are left out at the end.
        refusal: why no trip was planned, where the answer says that none is possible; None otherwise.
    """

    days: tuple[Day, ...] = ()
    refusal: str | None = None

    @classmethod
    def parse(cls, source: Any) -> Itinerary:
        """Read an itinerary.

        Args:
            source: JSON or a Python literal, as text (the last such value in it counts) or as values: a list of days, or a
                mapping with `days`, or `{"impossible": "why"}`. A day is a mapping; its keys may be those of the travel desk
                (`day`, `city`, `travel`, `visits`, `lodging`), or those of TravelPlanner (`days`, `current_city`,
                `transportation`, `breakfast`, `attraction`, `lunch`, `dinner`, `accommodation`).

        Raises:
            UnreadableItinerary: it is none; the message says why.
        """
        from rewardlab.rewards.verifiers.itinerary.reading import read_itinerary

        return read_itinerary(source)

    def entities(self) -> Iterator[tuple[int, Leg | Stop]]:
        """Every journey, stop and lodging with the number of its day (from 1), in order; local rides are left out."""
        for number, day in enumerate(self.days, start=1):
            for leg in day.legs:
                if leg.identity is not None or leg.destination is not None:
                    yield number, leg
            for stop in day.stops:
                yield number, stop
            if day.lodging is not None:
                yield number, day.lodging
