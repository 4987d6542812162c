"""What travellers ask of the desk: drawn, put into words, and as the reference that verifiers read."""

from __future__ import annotations

import hashlib
import random
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from rewardlab.environments.base import Split
from rewardlab.environments.travel_desk.database import FIRST, LAST, Database
from rewardlab.environments.travel_desk.levels import LEVELS
from rewardlab.environments.travel_desk.tables import KINDS

TRANSFER = 60
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One trip that is asked for; the names are those of `rewardlab.rewards.verifiers.itinerary.Request`."""

    origin: str
    destinations: tuple[str, ...]
    start: str
    days: int
    visits_per_day: int = 1
    same_lodging: bool = True
    transfer: int = 0
    timed: bool = False
    party: int = 1
    budget: int | None = None
    kinds: tuple[str, ...] = ()
    rating: int | None = None
    modes: tuple[str, ...] = ()
    possible: bool = True

    @property
    def first(self) -> date:
        """The date of the first day."""
        return date.fromisoformat(self.start)

    def reference(self) -> dict[str, Any]:
        """As JSON values, without what was not asked for."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if value not in (None, ()) and (key != "possible" or not value)
        }


def draw_wish(database: Database, days: int, rng: random.Random) -> Wish:
    """A trip of so many days; its budget is set when somebody has planned it."""
    level = LEVELS[database.level]
    start = FIRST + timedelta(days=rng.randrange((LAST - FIRST).days))
    several = level.most_cities > 1 and days >= 4 and rng.random() < 0.5
    origin, *destinations = rng.sample(database.cities, 3 if several else 2)
    if not level.detailed:
        return Wish(origin=origin, destinations=tuple(destinations), start=str(start), days=days)
    return Wish(
        origin=origin,
        destinations=tuple(destinations),
        start=str(start),
        days=days,
        transfer=TRANSFER,
        timed=True,
        party=rng.choice((1, 1, 2, 2, 3)),
        kinds=tuple(rng.sample(tuple(KINDS), rng.choice((0, 1, 1, 2)))),
        rating=rng.choice((None, None, 3, 4)),
        modes=rng.choice(((), (), (), ("flights",), ("trains",))),
    )


def split_of(wish: Wish, world: int) -> Split:
    """Which split a trip belongs to: its ends, date and length decide, so that no trip is in both."""
    key = f"{world}/{wish.origin}/{'+'.join(sorted(wish.destinations))}/{wish.start}/{wish.days}"
    return "test" if hashlib.sha256(key.encode()).digest()[0] < 64 else "train"


def worded(wish: Wish, detailed: bool) -> str:
    """The request in words."""
    day = f"{wish.first.day} {_MONTHS[wish.first.month - 1]}"
    if not detailed:
        return f"{wish.days} days in {wish.destinations[0]} from {wish.origin}, {wish.start}"
    where = " and ".join(wish.destinations)
    people = "one traveller" if wish.party == 1 else f"{wish.party} travellers"
    text = [
        f"Plan a trip of {wish.days} days from {wish.origin} to {where} and back for {people}, "
        f"starting on {day} 2024 ({wish.start}).",
        f"At least one visit on each day, nothing twice, one hotel in each city. The budget is {wish.budget} in all.",
    ]
    if wish.kinds:
        text.append(f"We want to see a {' and a '.join(wish.kinds)}.")
    if wish.rating is not None:
        text.append(f"Hotels must be rated {wish.rating} or better.")
    if wish.modes:
        text.append(f"We travel by {wish.modes[0].rstrip('s')} only.")
    return " ".join(text)
