"""The scripted agent that plans the desk's trips, and the careless one that writes down what no tool had answered.

A script yields calls and is sent their rows; what it returns is the answer. It plans from nothing but what the tools say,
and what it cannot plan, it says is impossible.
"""

from __future__ import annotations

import json
import random
from collections.abc import Generator
from datetime import timedelta
from typing import Any

from rewardlab.environments.travel_desk.database import Database, Rows
from rewardlab.environments.travel_desk.requests import Wish
from rewardlab.rewards.verifiers.itinerary.amounts import read_clock, write_clock
from rewardlab.types import Message, call_message

Call = tuple[str, dict[str, Any]]
Answer = dict[str, Any]
Script = Generator[Call, Rows, Answer]

_MORNING, _EVENING, _VISIT = 9 * 60, 21 * 60, 90


class _Impossible(Exception):
    """Nothing that the tools offer meets the request; the message says what is missing."""


def plan(wish: Wish, rng: random.Random, *, detailed: bool) -> Script:
    """The script of a trip: searches, then the answer."""
    try:
        return (yield from (_detailed(wish) if detailed else _named(wish, rng)))
    except _Impossible as reason:
        return {"impossible": str(reason)}


def _named(wish: Wish, rng: random.Random) -> Script:
    """The small level: names alone, chosen by chance among what was answered."""
    city, last = wish.destinations[0], str(wish.first + timedelta(days=wish.days - 1))
    there = yield "flights", {"origin": wish.origin, "destination": city, "date": wish.start}
    back = yield "flights", {"origin": city, "destination": wish.origin, "date": last}
    hotels = (yield "hotels", {"city": city, "date": wish.start}) if wish.days > 1 else [{"name": ""}]
    places = yield "places", {"city": city, "date": wish.start}
    for rows, what in ((there, "flight there"), (back, "flight back"), (hotels, "hotel")):
        if not rows:
            raise _Impossible(f"no {what}")
    if len(places) < wish.days:
        raise _Impossible("not enough places")
    hotel = rng.choice(hotels)["name"]
    visits = rng.sample([row["name"] for row in places], wish.days)
    days: list[dict[str, Any]] = [{"visit": visit} for visit in visits]
    for day in days[:-1]:
        day["lodging"] = hotel
    journeys = [rng.choice(there)["id"], rng.choice(back)["id"]]
    if wish.days == 1:
        return {"days": [{"travel": journeys, **days[0]}]}
    return {"days": [{"travel": journeys[0], **days[0]}, *days[1:-1], {"travel": journeys[1], **days[-1]}]}


def _detailed(wish: Wish) -> Script:
    """The full level: the longest time in each city, the cheapest hotel that fits, what is open and was wished for."""
    cities = _cities(wish)
    journeys: list[dict[str, Any] | None] = []
    ends = [wish.origin, *cities, wish.origin]
    for number in range(wish.days):
        origin = ends[number]
        goal = ends[number + 1] if number < wish.days - 1 else wish.origin
        if origin == goal:
            journeys.append(None)
            continue
        rows: Rows = []
        for tool in wish.modes or ("flights", "trains"):
            when = str(wish.first + timedelta(days=number))
            rows += yield tool, {"origin": origin, "destination": goal, "date": when}
        if not rows:
            raise _Impossible(f"there is no way from {origin} to {goal} on day {number + 1}")
        last = number == wish.days - 1
        journeys.append(max(rows, key=lambda row: _clock(row, "departs")) if last else min(rows, key=_arrival))
    nights = cities[: wish.days - 1]
    hotels: dict[str, dict[str, Any]] = {}
    offers: dict[str, Rows] = {}
    for city in dict.fromkeys(cities):
        first = wish.first + timedelta(days=nights.index(city))
        hotels[city] = yield from _hotel(wish, city, str(first), nights.count(city))
        offers[city] = yield "places", {"city": city, "date": str(first)}
    days: list[dict[str, Any]] = []
    wanted, used = set(wish.kinds), set[tuple[str, str]]()
    for number in range(wish.days):
        city = cities[min(number, len(cities) - 1)]
        journey, last = journeys[number], number == wish.days - 1
        start, end = _MORNING, _EVENING
        if journey is not None and not last:
            start = max(start, _arrival(journey) + wish.transfer)
        if journey is not None and last:
            end = min(end, _clock(journey, "departs") - wish.transfer)
        visit = _visit(wish, number, offers[city], (start, end), wanted, used)
        day: dict[str, Any] = {"day": number + 1}
        if journey is not None:
            day["travel"] = [{key: value for key, value in journey.items() if key != "date"}]
        day["visits"] = [visit]
        if not last:
            day["lodging"] = {key: hotels[city][key] for key in ("name", "city", "price")}
        days.append(day)
    if wanted:
        raise _Impossible(f"no {sorted(wanted)[0]} can be visited")
    total = _cost(days, wish.party)
    if wish.budget is not None and total > wish.budget:
        raise _Impossible(f"the trip costs {total}")
    return {"days": days}


def _cities(wish: Wish) -> list[str]:
    """The city of each night, then that of the last day."""
    nights = wish.days - 1
    first = (nights + 1) // 2 if len(wish.destinations) > 1 else nights
    cities = [wish.destinations[0]] * first + [wish.destinations[-1]] * (nights - first)
    return cities or [wish.destinations[0]]


def _hotel(wish: Wish, city: str, first: str, nights: int) -> Generator[Call, Rows, dict[str, Any]]:
    rows = yield "hotels", {"city": city, "date": first, "nights": nights}
    fitting = [
        row
        for row in rows
        if row["sleeps"] >= wish.party and row["min_nights"] <= nights and row["rating"] >= (wish.rating or 0)
    ]
    if not fitting:
        raise _Impossible(f"no hotel in {city} fits")
    return min(fitting, key=lambda row: (row["price"], row["name"]))


def _visit(
    wish: Wish, number: int, rows: Rows, window: tuple[int, int], wanted: set[str], used: set[tuple[str, str]]
) -> dict[str, Any]:
    weekday = f"{wish.first + timedelta(days=number):%a}"
    for row in sorted(rows, key=lambda row: (row["kind"] not in wanted, row["price"], row["name"])):
        start = max(window[0], _clock(row, "opens"))
        if row["closed"] == weekday or (row["name"], row["city"]) in used:
            continue
        if start + _VISIT <= min(window[1], _clock(row, "closes")):
            used.add((row["name"], row["city"]))
            wanted.discard(row["kind"])
            hours = {"from": write_clock(start), "to": write_clock(start + _VISIT)}
            return {"name": row["name"], "city": row["city"], **hours, "price": row["price"]}
    raise _Impossible(f"no place fits into day {number + 1}")


def _cost(days: list[dict[str, Any]], party: int) -> int:
    each = sum(entry["price"] for day in days for entry in (*day.get("travel", ()), *day["visits"]))
    return int(each * party + sum(day["lodging"]["price"] for day in days if "lodging" in day))


def cost(answer: Answer, party: int) -> int:
    """What a planned trip of the full level costs in all."""
    return _cost(answer["days"], party)


def _clock(row: dict[str, Any], key: str) -> int:
    minutes = read_clock(row[key])
    assert minutes is not None  # rows are the database's own
    return minutes


def _arrival(row: dict[str, Any]) -> int:
    return _clock(row, "arrives")


class Planner:
    """Acts by the script: given the conversation so far, writes the next message.

    Args:
        wish: what was asked for.
        database: where names come from that no tool had answered.
        rng: the source of chance.
        noise: for each of journeys, hotel and places the chance that they are written down from the whole catalogue, instead
            of from what was answered.
        detailed: whether the level has hours and prices.
    """

    def __init__(
        self, wish: Wish, database: Database, rng: random.Random, *, noise: float = 0.0, detailed: bool
    ) -> None:
        self._script = plan(wish, rng, detailed=detailed)
        self._wish, self._database, self._rng, self._noise = wish, database, rng, noise
        self._made = 0
        self.slips: list[str] = []

    def __call__(self, conversation: list[Message]) -> Message:
        """The next assistant message: one call, or the answer."""
        try:
            call = self._script.send(json.loads(conversation[-1]["content"])) if self._made else next(self._script)
        except StopIteration as end:
            answer = end.value
            if "days" in answer:
                self._make_up(answer["days"])
            return {"role": "assistant", "content": json.dumps(answer)}
        self._made += 1
        return call_message(*call, identity=f"call_{self._made}")

    def _make_up(self, days: list[dict[str, Any]]) -> None:
        """Write other names in the places of some, so that the trip keeps its shape."""
        wish, rng = self._wish, self._rng
        city = wish.destinations[0]
        if rng.random() < self._noise:
            self.slips.append("travel")
            roads = [(wish.origin, city), (city, wish.origin)]
            numbers = [rng.choice(self._database.flight_ids(*road)) for road in roads]
            entries = [(day, place) for day in days for place in range(len(_listed(day.get("travel"))))]
            for (day, place), number in zip(entries, (*numbers[:1], *numbers[1:] * len(entries)), strict=False):
                _rename(day, "travel", place, number, "id")
        if rng.random() < self._noise:
            self.slips.append("lodging")
            name = rng.choice(self._database.hotel_names(city))
            for day in days:
                if "lodging" in day:
                    _rename(day, "lodging", 0, name, "name")
        if rng.random() < self._noise:
            self.slips.append("visit")
            key = "visits" if "visits" in days[0] else "visit"
            for day, name in zip(days, rng.sample(self._database.place_names(city), len(days)), strict=True):
                _rename(day, key, 0, name, "name")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _rename(day: dict[str, Any], key: str, place: int, name: str, field: str) -> None:
    """Put another name or number into one entry of a day, whatever its form."""
    value = day[key]
    if isinstance(value, str):
        day[key] = name
    elif isinstance(value, dict):
        value[field] = name
    elif isinstance(value[place], str):
        value[place] = name
    else:
        value[place][field] = name
