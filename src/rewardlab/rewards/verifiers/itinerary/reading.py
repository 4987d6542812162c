"""Itineraries out of JSON, Python literals and the loose strings of TravelPlanner (Xie et al. 2024, arXiv 2402.01622).

An entry may be an object with fields of its own (`{"name": ..., "city": ..., "from": "10:00", "to": "12:00"}`) or a string
("Old Fort", "Old Fort, Rome; Cost: 14"). In a string, what follows the last comma is the city.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rewardlab.parsing.json_values import UnreadableJSON
from rewardlab.rewards.verifiers.itinerary.amounts import DAY, plain_name, read_amount, read_clock
from rewardlab.rewards.verifiers.itinerary.plan import Day, Itinerary, Leg, Stop, StopKind, UnreadableItinerary
from rewardlab.rewards.verifiers.json_text import read_json

MOST_CHARACTERS = 100_000
MOST_DAYS = 100
MOST_ENTRIES = 300
"""Journeys, stops and lodgings of a whole trip; more are a flood, not a plan."""

_NUMBER_KEYS = ("day", "days", "number")
_CITY_KEYS = ("city", "cities", "current_city")
_LEG_KEYS = ("travel", "transportation", "transport", "legs")
_VISIT_KEYS = ("visits", "visit", "places", "attraction", "attractions", "activities")
_MEAL_KEYS = ("breakfast", "lunch", "dinner", "meals")
_LODGING_KEYS = ("lodging", "accommodation", "hotel")
_REFUSAL_KEYS = ("impossible", "refusal")

_COST = re.compile(r"[;,]?\s*\bcost\s*:\s*([^;]*)", re.I)
_FROM_TO = re.compile(r"\bfrom\s+(.+?)\s+to\s+(.+?)\s*(?=[,;]|$)", re.I)
_CITY_PAIR = re.compile(r"^(?:from\s+)?(.+?)\s+to\s+(.+)$", re.I)
_FLIGHT = re.compile(r"flight\s+number\s*:\s*([\w-]+)", re.I)
_TIME = {
    "departs": re.compile(r"departure\s+time\s*:\s*([\d:.]+)", re.I),
    "arrives": re.compile(r"arrival\s+time\s*:\s*([\d:.]+)", re.I),
}
_LITERAL = re.compile(r"[\[{]")


def read_itinerary(source: Any) -> Itinerary:
    """See `Itinerary.parse`."""
    value = _value(source) if isinstance(source, str) else source
    if isinstance(value, Mapping):
        for key in _REFUSAL_KEYS:
            if value.get(key):
                return Itinerary(refusal=str(value[key])[:500])
        nested = next((value[key] for key in ("days", "itinerary", "plan") if isinstance(value.get(key), list)), None)
        value = [value] if nested is None and _is_day(value) else nested
    if not isinstance(value, (list, tuple)) or not value:
        raise UnreadableItinerary('no list of days was found; write {"days": [...]} with one object for each day')
    if len(value) > MOST_DAYS:
        raise UnreadableItinerary(f"there are {len(value)} days, and at most {MOST_DAYS} are read")
    days = [_day(entry, place) for place, entry in enumerate(value)]
    while days and days[-1] is None:
        days.pop()
    if not days:
        raise UnreadableItinerary("every day is empty")
    itinerary = Itinerary(days=tuple(day or Day() for day in days))
    entries = sum(len(day.legs) + len(day.stops) + 1 for day in itinerary.days)
    if entries > MOST_ENTRIES:
        raise UnreadableItinerary(f"there are {entries} entries in all, and at most {MOST_ENTRIES} are read")
    return itinerary


def _is_day(value: Mapping[str, Any]) -> bool:
    return any(key in value for key in (*_LEG_KEYS, *_VISIT_KEYS, *_LODGING_KEYS, *_MEAL_KEYS))


def _value(text: str) -> Any:
    """The last JSON value of a text that could be an itinerary; where there is none, its Python literal."""
    if len(text) > MOST_CHARACTERS:
        raise UnreadableItinerary(f"the answer has {len(text)} characters, and at most {MOST_CHARACTERS} are read")
    reason = "there is no object or list of days in it"
    try:
        value = read_json(text, where="last", max_characters=MOST_CHARACTERS)
        if _shaped(value):
            return value
    except UnreadableJSON as error:
        reason = str(error)
    opening = _LITERAL.search(text)
    end = max(text.rfind("]"), text.rfind("}"))
    if opening is not None and end > opening.start() and "'" in text:
        try:
            value = ast.literal_eval(text[opening.start() : end + 1])
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = None  # no literal either: the message about JSON is the more useful
        if _shaped(value):
            return value
    raise UnreadableItinerary(f"the answer holds no readable itinerary: {reason}")


def _shaped(value: Any) -> bool:
    """Whether a value could be an itinerary at all."""
    if isinstance(value, Mapping):
        return _is_day(value) or any(key in value for key in ("days", "itinerary", "plan", *_REFUSAL_KEYS))
    return isinstance(value, list) and any(isinstance(entry, Mapping) and entry for entry in value)


def _day(entry: Any, place: int) -> Day | None:
    """One day, or None where it is written as nothing."""
    if entry is None or entry == {} or entry == []:
        return None
    if not isinstance(entry, Mapping):
        raise UnreadableItinerary(f"day {place + 1} must be an object, got {entry!r:.60}")
    fields = {str(key).strip().lower(): value for key, value in entry.items()}
    written = _first(fields, _NUMBER_KEYS)
    number = read_amount(written)
    if not _nothing(written) and (number is None or number != int(number)):
        raise UnreadableItinerary(f"day {place + 1} is numbered {written!r:.40}, expected a whole number")
    meals = [stop for key in _MEAL_KEYS if key in fields for stop in _stops(fields[key], "meal", key, place)]
    visits = [stop for key in _VISIT_KEYS if key in fields for stop in _stops(fields[key], "visit", key, place)]
    lodgings = [stop for key in _LODGING_KEYS if key in fields for stop in _stops(fields[key], "lodging", key, place)]
    if len(lodgings) > 1:
        raise UnreadableItinerary(f"day {place + 1} has {len(lodgings)} lodgings, and a night is spent in one")
    return Day(
        number=None if number is None else int(number),
        cities=_cities(_first(fields, _CITY_KEYS)),
        legs=tuple(leg for key in _LEG_KEYS if key in fields for leg in _legs(fields[key], key, place)),
        stops=(*visits, *meals),
        lodging=lodgings[0] if lodgings else None,
    )


def _first(fields: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((fields[key] for key in keys if fields.get(key) is not None), None)


def _cities(value: Any) -> tuple[str, ...]:
    if isinstance(value, (list, tuple)):
        return tuple(plain_name(city) for city in value if isinstance(city, str) and city.strip())
    if not isinstance(value, str) or _nothing(value):
        return ()
    pair = _CITY_PAIR.match(value.strip())
    return (plain_name(pair[1]), plain_name(pair[2])) if pair else (plain_name(value),)


def _nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip() in ("", "-", "--", "none", "None"))


def _entries(value: Any, where: str, place: int) -> Iterator[tuple[str, Any]]:
    """The entries of one field: a list, one object, or a string with semicolons between them."""
    if _nothing(value) or value == {}:
        return
    if isinstance(value, str):
        pieces: list[str] = []
        for piece in value.split(";"):
            if pieces and re.match(r"\s*cost\s*:", piece, re.I):
                pieces[-1] += f"; {piece.strip()}"
            elif not _nothing(piece):
                pieces.append(piece.strip())
        value = pieces
    elif isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise UnreadableItinerary(f"day {place + 1}, {where}: expected a name, an object or a list, got {value!r:.60}")
    several = len(value) > 1
    for number, entry in enumerate(value):
        if not _nothing(entry):
            yield (f"{where}[{number}]" if several else where), entry


def _stops(value: Any, kind: StopKind, key: str, place: int) -> Iterator[Stop]:
    for where, entry in _entries(value, key, place):
        if isinstance(entry, Mapping):
            name = entry.get("name")
            if not isinstance(name, str) or not name.strip():
                raise UnreadableItinerary(f"day {place + 1}, {where}: an entry needs a name, got {dict(entry)!r:.60}")
            city = entry.get("city")
            yield Stop(
                kind=kind,
                name=plain_name(name),
                city=plain_name(city) if isinstance(city, str) and city.strip() else None,
                starts=_clock(entry, ("from", "starts"), place, where),
                ends=_clock(entry, ("to", "ends", "until"), place, where),
                price=_price(entry, place, where),
                where=where,
                stated=dict(entry),
            )
        elif isinstance(entry, str):
            cost = _COST.search(entry)
            name, comma, city = (entry[: cost.start()] if cost else entry).strip(" ;").rpartition(",")
            if not comma:
                name, city = city, ""
            if not name.strip():
                raise UnreadableItinerary(f"day {place + 1}, {where}: there is no name in {entry!r:.60}")
            price = (
                read_amount(cost[1]) if cost and " for " not in cost[1] else None
            )  # "321 for 3 nights" is no night's
            stated = {"name": plain_name(name), **({} if price is None else {"price": price})}
            yield Stop(
                kind=kind,
                name=plain_name(name),
                city=plain_name(city) or None,
                price=price,
                where=where,
                stated=stated,
            )
        else:
            raise UnreadableItinerary(f"day {place + 1}, {where}: expected a name or an object, got {entry!r:.60}")


def _legs(value: Any, key: str, place: int) -> Iterator[Leg]:
    for where, entry in _entries(value, key, place):
        if isinstance(entry, Mapping):
            identity = _first(entry, ("id", "number", "flight_number"))
            departs = _clock(entry, ("departs", "departure"), place, where)
            arrives = _clock(entry, ("arrives", "arrival"), place, where)
            yield Leg(
                identity=plain_name(str(identity)) if identity is not None else None,
                mode=_text(entry.get("mode")),
                origin=_text(_first(entry, ("from", "origin"))),
                destination=_text(_first(entry, ("to", "destination"))),
                departs=departs,
                arrives=_after(departs, arrives),
                price=_price(entry, place, where),
                where=where,
                stated=dict(entry),
            )
        elif isinstance(entry, str):
            yield _written_leg(entry, where)
        else:
            raise UnreadableItinerary(f"day {place + 1}, {where}: expected an id or an object, got {entry!r:.60}")


def _written_leg(text: str, where: str) -> Leg:
    """A journey in words, or a bare number of a flight or train."""
    cost, number, ends = _COST.search(text), _FLIGHT.search(text), _FROM_TO.search(text)
    bare = re.fullmatch(r"[A-Za-z]{1,3}-?\d+", text.strip())
    if bare:
        return Leg(identity=bare[0], where=where, stated={"id": bare[0]})
    times = {name: read_clock(found[1]) for name, pattern in _TIME.items() if (found := pattern.search(text))}
    price = read_amount(cost[1]) if cost else None
    mode = "flight" if number else plain_name(re.split(r"[,;]", text, maxsplit=1)[0])
    stated: dict[str, Any] = {"mode": mode}
    if number:
        stated["id"] = number[1]
    for name, pattern in _TIME.items():
        if found := pattern.search(text):
            stated[name] = found[1]
    if price is not None:
        stated["price"] = price
    return Leg(
        identity=number[1] if number else None,
        mode=mode,
        origin=plain_name(ends[1]) if ends else None,
        destination=plain_name(ends[2]) if ends else None,
        departs=times.get("departs"),
        arrives=_after(times.get("departs"), times.get("arrives")),
        price=price,
        where=where,
        stated=stated,
    )


def _after(departs: int | None, arrives: int | None) -> int | None:
    """An arrival that is written before its departure is on the next day."""
    if departs is None or arrives is None or arrives >= departs:
        return arrives
    return arrives + DAY


def _price(entry: Mapping[str, Any], place: int, where: str) -> float | None:
    """A stated price, with the same rule as for times."""
    value = _first(entry, ("price", "cost"))
    if _nothing(value):
        return None
    price = read_amount(value)
    if price is None or price < 0:
        raise UnreadableItinerary(f"day {place + 1}, {where}: {value!r:.40} is not a price; write a number, as in 120")
    return price


def _text(value: Any) -> str | None:
    return plain_name(value) if isinstance(value, str) and value.strip() else None


def _clock(entry: Mapping[str, Any], keys: Sequence[str], place: int, where: str) -> int | None:
    """A stated time; one that is stated and cannot be read is the writer's fault."""
    value = _first(entry, keys)
    if _nothing(value):
        return None
    minutes = read_clock(value)
    if minutes is None:
        raise UnreadableItinerary(f"day {place + 1}, {where}: {value!r:.40} is not a time; write it like 09:05")
    return minutes
