"""Clock times, durations, amounts and names, as people and models write them.

Nothing here guesses: what cannot be read is None, and the caller says what that means.
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any

DAY = 24 * 60
"""Minutes of a day."""

_CLOCK = re.compile(
    r"(\d{1,2})[:.](\d{2})(?::\d{2})?\s*(am|pm|a\.m\.|p\.m\.)?\s*(?:\(?\+\s*(\d)(?:\s*days?)?\)?)?", re.I
)
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(days?|d|hours?|hrs?|h|minutes?|mins?|min|m)\b", re.I)
_UNITS = {"d": DAY, "h": 60, "m": 1}
_STATE = re.compile(r"\s*\([^()]*\)\s*$")


def read_clock(value: Any) -> int | None:
    """Minutes after midnight of "9:05", "09:05", "9:05 pm" or "00:40+1" (which is 24 h 40 min); None for anything else."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    match = _CLOCK.fullmatch(value.strip())
    if match is None:
        return None
    hours, minutes = int(match[1]), int(match[2])
    if match[3]:
        if not 1 <= hours <= 12:
            return None
        hours = hours % 12 + (12 if match[3].lower().startswith("p") else 0)
    if hours > 24 or minutes > 59 or (hours == 24 and minutes):
        return None
    return hours * 60 + minutes + DAY * int(match[4] or 0)


def write_clock(minutes: int) -> str:
    """The time of day, with "+1" where it is on the next day."""
    days, rest = divmod(minutes, DAY)
    return f"{rest // 60:02d}:{rest % 60:02d}" + (f"+{days}" if days else "")


def read_amount(value: Any) -> float | None:
    """The first number of "1,144 km", "$1,400.50" or "321 for 3 nights", or a number itself; None where there is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value) if abs(value) < 1e15 and math.isfinite(value) else None
    if not isinstance(value, str) or len(value) > 200:
        return None
    match = _NUMBER.search(value)
    if match is None or len(match[0]) > 30:
        return None
    return float(match[0].replace(",", ""))


def read_duration(value: Any) -> int | None:
    """Minutes of "2 hours 24 minutes", "1 day 3 hours" or "10 h 5 min"; None where no unit is written."""
    if not isinstance(value, str) or len(value) > 60:
        return None
    parts = _DURATION.findall(value)
    return round(sum(float(number) * _UNITS[unit[0].lower()] for number, unit in parts)) if parts else None


def plain_name(value: str) -> str:
    """A name by which things are found: one spelling of each letter, single spaces."""
    return " ".join(unicodedata.normalize("NFC", value).split())


def folded(value: str) -> str:
    """What is left of a name without case, accents and punctuation: equal for near matches, which are reported as such."""
    bare = unicodedata.normalize("NFKD", value.casefold())
    return "".join(letter for letter in bare if letter.isalnum())


def plain_city(value: str) -> str:
    """A city without the state in brackets behind it, in one case: "San Antonio(Texas)" is "san antonio"."""
    return plain_name(_STATE.sub("", value)).casefold()
