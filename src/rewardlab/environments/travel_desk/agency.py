"""The tools of the travel desk: flights, trains, hotels, places. They search, and answer with JSON rows or an error."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from functools import lru_cache

from rewardlab.environments.tools import Toolbox, ToolError
from rewardlab.environments.travel_desk.database import MOST_NIGHTS, Database, Rows
from rewardlab.registry import nearest

TOOLS = ("flights", "trains", "hotels", "places")


class Agency:
    """The tools over one database.

    Args:
        database: what they search.
        blocked: tools that find nothing, for requests that cannot be met.
        tools: which tools there are.
    """

    def __init__(self, database: Database, blocked: Collection[str] = (), tools: Collection[str] = TOOLS) -> None:
        self.database = database
        self.blocked = frozenset(blocked)
        self._tools = tuple(tools)

    def toolbox(self) -> Toolbox:
        """The tools under their names."""
        return Toolbox([getattr(self, name) for name in self._tools])

    def flights(self, origin: str, destination: str, date: str) -> Rows:
        """Find flights of one day.

        Args:
            origin: city of departure.
            destination: city of arrival.
            date: the day, as in 2024-03-05.
        """
        return self._journeys("flights", origin, destination, date)

    def trains(self, origin: str, destination: str, date: str) -> Rows:
        """Find trains of one day.

        Args:
            origin: city of departure.
            destination: city of arrival.
            date: the day, as in 2024-03-05.
        """
        return self._journeys("trains", origin, destination, date)

    def hotels(self, city: str, date: str, nights: int = 1) -> Rows:
        """Find hotels that are free for some nights.

        Args:
            city: where.
            date: the first night, as in 2024-03-05.
            nights: how many.
        """
        if not 1 <= nights <= MOST_NIGHTS:
            raise ToolError(f"nights must be from 1 to {MOST_NIGHTS}, got {nights}")
        where, day = self._city(city), _day(date)
        return [] if "hotels" in self.blocked else self.database.hotels(where, day, nights)

    def places(self, city: str, date: str) -> Rows:
        """Find places to visit.

        Args:
            city: where.
            date: the day, as in 2024-03-05.
        """
        where, day = self._city(city), _day(date)
        return [] if "places" in self.blocked else self.database.places(where, day)

    def _journeys(self, tool: str, origin: str, destination: str, written: str) -> Rows:
        start, end, day = self._city(origin), self._city(destination), _day(written)
        if start == end:
            raise ToolError(f"origin and destination are both {start}")
        if tool in self.blocked:
            return []
        return self.database.flights(start, end, day) if tool == "flights" else self.database.trains(start, end, day)

    def _city(self, name: str) -> str:
        if name not in self.database.cities:
            raise ToolError(f"there is no city {name!r:.30}{nearest(name[:30], dict.fromkeys(self.database.cities))}")
        return name


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text if len(text) == 10 else "")
    except ValueError:
        raise ToolError(f"{text!r:.30} is no date; write it like 2024-03-05") from None


@lru_cache(maxsize=256)
def shared_toolbox(database: Database, blocked: frozenset[str], tools: tuple[str, ...]) -> Toolbox:
    """One toolbox for all attempts over the same database, as it holds nothing of an attempt."""
    return Agency(database, blocked, tools).toolbox()
