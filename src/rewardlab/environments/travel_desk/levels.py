"""How large the travel desk's world is at each level."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level.

    Args:
        cities: how many there are (likewise `hotels` and `places` in each).
        days: lengths of trips that are asked for.
        most_cities: most destinations of one trip.
        show_tools: whether policies are shown the descriptions of the tools.
        system: what the system message says.
        detailed: whether there are hours, prices, parties and budgets, or names alone.
    """

    cities: int
    hotels: int
    places: int
    days: tuple[int, ...]
    most_cities: int
    show_tools: bool
    system: str
    detailed: bool


_FULL = """\
You are a travel agent. Search with the tools, then answer with one JSON object and nothing else:
{"days": [{"day": 1, "travel": [{"id": ..., "from": ..., "to": ..., "departs": "HH:MM", "arrives": "HH:MM", "price": ...}],
  "visits": [{"name": ..., "city": ..., "from": "HH:MM", "to": "HH:MM", "price": ...}],
  "lodging": {"name": ..., "city": ..., "price": ...}}, ...]}
Use only what the tools answered. Give the hours of every visit. Leave 60 minutes between a journey and what comes before or
after it. Every night but the last has a lodging in the city where the day ends. Prices of journeys and visits are for each
traveller, those of lodgings for the night. If no trip meets the request, answer {"impossible": "why"}."""

LEVELS = {
    "small": Level(
        cities=6,
        hotels=6,
        places=8,
        days=(1, 2, 3),
        most_cities=1,
        show_tools=False,
        system="Plan the trip.",
        detailed=False,
    ),
    "full": Level(
        cities=10,
        hotels=8,
        places=10,
        days=(2, 3, 4, 5),
        most_cities=2,
        show_tools=True,
        system=_FULL,
        detailed=True,
    ),
}
"""`small`: names alone and short trips, for a tiny model trained from scratch. `full`: for real models."""
