"""The rules of a feasible trip, each a function of a `Trip` that returns what breaks it, or None where it does not apply.

What a rule needs and nobody stated or answered (the opening hours of a place that no tool was asked about) is taken as fine:
whether it exists at all is for `Grounded` to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from rewardlab.registry import Registry
from rewardlab.rewards.verifiers.itinerary.amounts import DAY, folded, plain_city, read_amount, read_clock, write_clock
from rewardlab.rewards.verifiers.itinerary.plan import Leg, Stop
from rewardlab.rewards.verifiers.itinerary.records import Record
from rewardlab.rewards.verifiers.itinerary.trip import Trip, TripDay

_HERE = "rewardlab.rewards.verifiers.itinerary.rules"
RULES = Registry(
    "itinerary rule",
    {
        "days": f"{_HERE}:days",
        "route": f"{_HERE}:route",
        "return": f"{_HERE}:returns",
        "cities": f"{_HERE}:cities",
        "dates": f"{_HERE}:dates",
        "times": f"{_HERE}:times",
        "lodging": f"{_HERE}:lodging",
        "visits": f"{_HERE}:visits",
        "repeats": f"{_HERE}:repeats",
        "opening": f"{_HERE}:opening",
        "min_nights": f"{_HERE}:min_nights",
        "party": f"{_HERE}:party",
        "budget": f"{_HERE}:budget",
        "wishes": f"{_HERE}:wishes",
    },
    group="rewardlab.itinerary_rules",
)
"""Every rule that `ItineraryFeasible(rules=...)` can name; in this order unless it says otherwise."""

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that breaks a rule.

    Args:
        day: number of the day, from 1; None for the whole trip.
        field: where it stands, such as `visits[0]`.
        text: what is wrong.
    """

    day: int | None
    field: str
    text: str

    def __str__(self) -> str:
        return ", ".join(filter(None, (f"day {self.day}" if self.day else "", self.field))) + f": {self.text}"


Findings = list[Finding] | None
Rule = Callable[[Trip], Findings]


def days(trip: Trip) -> Findings:
    """As many days as asked for, none of them empty, numbered 1, 2, 3, ..."""
    found = []
    if len(trip.days) != trip.request.days:
        found.append(Finding(None, "days", f"there are {len(trip.days)}, and {trip.request.days} were asked for"))
    for day in trip.days:
        if day.day.number not in (None, day.number):
            found.append(Finding(day.number, "day", f"it is numbered {day.day.number}"))
        if day.day.empty:
            found.append(Finding(day.number, "", "nothing happens on it"))
    return found


def route(trip: Trip) -> Findings:
    """Every journey begins where the traveller is, no city changes without one, and all that were asked for are visited."""
    found, here, seen = [], plain_city(trip.request.origin) if trip.request.origin else None, set()
    for day in trip.days:
        for leg, goal in zip(day.legs, day.cities[1:], strict=True) if day.legs else ():
            begin = plain_city(leg.origin) if leg.origin else None
            if begin is not None and here is not None and begin != here:
                found.append(Finding(day.number, leg.where, f"{leg.label} leaves from {leg.origin}, not from {here}"))
            here = goal
            seen.add(goal)
        written = [plain_city(city) for city in day.day.cities]
        if not day.legs and written and here is not None and written[0] != here:
            found.append(Finding(day.number, "city", f"it is spent in {day.day.cities[0]}, but no journey leads there"))
        elif written and here is not None and day.legs and written[-1] != here:
            found.append(Finding(day.number, "city", f"it should end in {day.day.cities[-1]}, but ends in {here}"))
        here = day.cities[-1] if day.cities[-1] is not None else here
        seen.update(written)
    for city in trip.request.destinations:
        if plain_city(city) not in seen:
            found.append(Finding(None, "cities", f"{city} is not visited"))
    return found


def returns(trip: Trip) -> Findings:
    """The trip ends where it began, where that was asked for."""
    if not trip.request.returns or trip.request.origin is None or not trip.days:
        return None
    end = trip.days[-1].end
    if end is None or end == plain_city(trip.request.origin):
        return []
    return [Finding(len(trip.days), "", f"it ends in {end}, not in {trip.request.origin}")]


def cities(trip: Trip) -> Findings:
    """Every visit, meal and lodging is in a city of its day."""
    found = []
    for day in trip.days:
        for stop in day.stops:
            city = trip.city(stop)
            if city is not None and day.allowed and city not in day.allowed:
                found.append(
                    Finding(
                        day.number, stop.where, f"{stop.name!r} is in {city}, the day is in {', '.join(day.allowed)}"
                    )
                )
    return found


def dates(trip: Trip) -> Findings:
    """Journeys and nights are on dates for which the tools offered them, as far as they told dates."""
    found: list[Finding] = []
    known = False
    for day in trip.days:
        if day.date is None:
            return None
        bed = [] if day.day.lodging is None else [day.day.lodging]
        entities: list[Leg | Stop] = [*day.legs, *bed]
        for entity in entities:
            offers = [offer for record in trip.answers.of(entity) if (offer := _offered(record)) is not None]
            known = known or bool(offers)
            if offers and not any(first <= day.date < first + timedelta(days=nights) for first, nights in offers):
                told = f"{_label(entity)} was offered for {offers[-1][0]}, not for {day.date}"
                found.append(Finding(day.number, entity.where, told))
    return found if known else None


def _offered(record: Record) -> tuple[date, int] | None:
    """The date that a record is for, and how many days from then on."""
    said = record.fields.get("date")
    try:
        first = date.fromisoformat(said) if isinstance(said, str) else None
    except ValueError:
        return None
    nights = record.fields.get("nights", 1)
    return None if first is None else (first, nights if isinstance(nights, int) else 1)


def times(trip: Trip) -> Findings:
    """Nothing overlaps, journeys leave time before and after, and nobody is at a place before arriving in its city."""
    events = sorted((event for day in trip.days for event in _events(day)), key=lambda event: event[0])
    if not events and not trip.request.timed:
        return None
    found = []
    for day in trip.days if trip.request.timed else ():
        for stop in day.day.stops:
            if stop.starts is None or stop.ends is None:
                found.append(Finding(day.number, stop.where, f"{stop.name!r} has no hours"))
    for begin, end, number, entity in events:
        if end < begin:
            found.append(Finding(number, entity.where, f"{_label(entity)} ends before it begins"))
    for before, after in pairwise(events):
        apart = trip.request.transfer if isinstance(before[3], Leg) or isinstance(after[3], Leg) else 0
        if after[0] < before[1] + apart:
            told = f"{_label(after[3])} begins at {write_clock(after[0] % DAY)}, but {_label(before[3])} ends at "
            told += write_clock(before[1] % DAY) + (f" and {apart} minutes are needed between them" if apart else "")
            found.append(Finding(after[2], after[3].where, told))
    for day in trip.days:
        found += _too_early(trip, day)
    return found


def _events(day: TripDay) -> list[tuple[int, int, int, Leg | Stop]]:
    """What has a time on a day, as (begin, end, number of the day, what), in minutes from the start of the trip."""
    start = (day.number - 1) * DAY
    events: list[tuple[int, int, int, Leg | Stop]] = []
    for leg in day.legs:
        if leg.departs is not None:
            arrives = leg.departs if leg.arrives is None else leg.arrives
            events.append((start + leg.departs, start + arrives, day.number, leg))
    for stop in day.day.stops:
        if stop.starts is not None:
            events.append(
                (start + stop.starts, start + (stop.starts if stop.ends is None else stop.ends), day.number, stop)
            )
    return events


def _too_early(trip: Trip, day: TripDay) -> list[Finding]:
    """Stops in a city that the traveller is not in at that time, by the journeys of the day."""
    if not day.legs or any(leg.departs is None for leg in day.legs):
        return []
    found = []
    for stop in day.day.stops:
        city = trip.city(stop)
        if stop.starts is None or city is None:
            continue
        gone = sum(leg.departs <= stop.starts for leg in day.legs if leg.departs is not None)
        here = day.cities[gone]
        if here is not None and here != city:
            told = f"{stop.name!r} in {city} is at {write_clock(stop.starts)}, when the traveller is in {here}"
            found.append(Finding(day.number, stop.where, told))
    return found


def _label(entity: Leg | Stop) -> str:
    return entity.label if isinstance(entity, Leg) else repr(entity.name)


def lodging(trip: Trip) -> Findings:
    """Every night but the last is spent in one lodging, in the city where the day ends; none after the return."""
    found = []
    home = plain_city(trip.request.origin) if trip.request.origin else None
    chosen: dict[str, str] = {}
    for day in trip.days:
        bed = day.day.lodging
        last = day.number >= trip.request.days
        if bed is None:
            if not last:
                found.append(Finding(day.number, "lodging", "there is none for the night"))
            continue
        city, end = trip.city(bed), day.end
        if last and end is not None and end == home:
            found.append(Finding(day.number, bed.where, f"{bed.name!r} is taken after the return"))
        elif city is not None and end is not None and city != end:
            found.append(Finding(day.number, bed.where, f"{bed.name!r} is in {city}, but the day ends in {end}"))
        place = city or end
        if trip.request.same_lodging and place is not None and chosen.setdefault(place, bed.name) != bed.name:
            found.append(Finding(day.number, bed.where, f"{bed.name!r} is another lodging in {place}"))
    return found


def visits(trip: Trip) -> Findings:
    """At least so many visits on each day, where a number was asked for."""
    least = trip.request.visits_per_day
    if not least:
        return None
    found = []
    for day in trip.days:
        count = sum(stop.kind == "visit" for stop in day.day.stops)
        if count < least:
            found.append(Finding(day.number, "visits", f"there are {count}, and at least {least} were asked for"))
    return found


def repeats(trip: Trip) -> Findings:
    """No place is visited twice, and no meal is eaten twice in one place."""
    found, seen = [], set()
    for day in trip.days:
        for stop in day.day.stops:
            key = (folded(stop.name), trip.city(stop))
            if key in seen:
                found.append(Finding(day.number, stop.where, f"{stop.name!r} comes twice"))
            seen.add(key)
    return found


def opening(trip: Trip) -> Findings:
    """Visits are on days and at times at which the place is open, as far as tools told the hours."""
    found: list[Finding] = []
    known = False
    for day in trip.days:
        for stop in day.day.stops:
            opens, closes = (read_clock(trip.fact(stop, key)) for key in ("opens", "closes"))
            closed = trip.fact(stop, "closed")
            known = known or opens is not None or closed is not None
            names = [closed] if isinstance(closed, str) else closed if isinstance(closed, list) else []
            shut = {str(name)[:3].casefold() for name in names}
            if day.date is not None and _WEEKDAYS[day.date.weekday()] in shut:
                found.append(Finding(day.number, stop.where, f"{stop.name!r} is closed on {day.date:%A}s"))
            if opens is not None and stop.starts is not None and stop.starts < opens:
                found.append(Finding(day.number, stop.where, f"{stop.name!r} opens at {write_clock(opens)}"))
            if closes is not None and stop.ends is not None and stop.ends > closes:
                found.append(Finding(day.number, stop.where, f"{stop.name!r} closes at {write_clock(closes)}"))
    return found if known else None


def min_nights(trip: Trip) -> Findings:
    """Stays are as long as the lodging asks, as far as tools told."""
    stays: list[tuple[Stop, int, int]] = []
    for day in trip.days:
        bed = day.day.lodging
        if bed is None:
            continue
        if stays and stays[-1][0].name == bed.name and stays[-1][1] + stays[-1][2] == day.number:
            stays[-1] = (stays[-1][0], stays[-1][1], stays[-1][2] + 1)
        else:
            stays.append((bed, day.number, 1))
    known = [(bed, first, nights, read_amount(trip.fact(bed, "min_nights"))) for bed, first, nights in stays]
    if all(least is None for *_, least in known):
        return None
    return [
        Finding(first, bed.where, f"{bed.name!r} asks for {least:g} nights, the stay has {nights}")
        for bed, first, nights, least in known
        if least is not None and nights < least
    ]


def party(trip: Trip) -> Findings:
    """Lodgings have room for all, as far as tools told."""
    beds = [(day.number, day.day.lodging) for day in trip.days if day.day.lodging is not None]
    rooms = [(number, bed, read_amount(trip.fact(bed, "sleeps"))) for number, bed in beds]
    if all(room is None for *_, room in rooms):
        return None
    return [
        Finding(number, bed.where, f"{bed.name!r} sleeps {room:g}, the party has {trip.request.party}")
        for number, bed, room in rooms
        if room is not None and room < trip.request.party
    ]


def budget(trip: Trip) -> Findings:
    """What is known of the costs is within the budget: journeys, visits and meals by traveller, lodgings by night."""
    if trip.request.budget is None:
        return None
    total, priced = 0.0, 0
    for day in trip.days:
        entities: list[Leg | Stop] = [*day.legs, *day.stops]
        for entity in entities:
            price = trip.price(entity)
            if price is not None:
                shared = isinstance(entity, Stop) and entity.kind == "lodging"
                total += price * (1 if shared else trip.request.party)
                priced += 1
    if not priced:
        return None
    if total <= trip.request.budget + 0.005:
        return []
    return [Finding(None, "budget", f"the trip costs {total:g} at least, the budget is {trip.request.budget:g}")]


def wishes(trip: Trip) -> Findings:
    """Kinds of places, ratings of lodgings and ways to travel, as they were asked for and as far as tools told."""
    request = trip.request
    if not (request.kinds or request.rating is not None or request.modes):
        return None
    found = []
    seen: list[Any] = [trip.fact(stop, "kind") for day in trip.days for stop in day.day.stops]
    if None not in seen:
        had = {folded(word) for kind in seen for word in str(kind).split(",")}
        found += [Finding(None, "wishes", f"no {kind} is visited") for kind in request.kinds if folded(kind) not in had]
    for day in trip.days:
        bed = day.day.lodging
        rating = None if bed is None else read_amount(trip.fact(bed, "rating"))
        if bed is not None and rating is not None and request.rating is not None and rating < request.rating:
            found.append(Finding(day.number, bed.where, f"{bed.name!r} is rated {rating:g}, below {request.rating:g}"))
        for leg in day.legs:
            allowed = {folded(mode).rstrip("s") for mode in request.modes}
            if allowed and leg.mode is not None and folded(leg.mode).rstrip("s") not in allowed:
                found.append(
                    Finding(day.number, leg.where, f"{leg.label} is a {leg.mode}, not a {'/'.join(request.modes)}")
                )
    return found
