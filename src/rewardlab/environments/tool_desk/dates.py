"""Dates of the desk's one year, 2027, written like `14 Mar`: short, and plain to read for people and small models."""

from __future__ import annotations

import re
from datetime import date, timedelta

YEAR = 2027
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_EARLY = ("january", "february", "march", "april", "may", "june")
_LATE = ("july", "august", "september", "october", "november", "december")
_DATE = re.compile(
    r"(?:(?P<day>\d{1,2})\.? (?P<month>[a-z]{3,9})|(?P<month_first>[a-z]{3,9}) (?P<day_second>\d{1,2}))(?:,? 2027)?"
    r"(?: \((?:mon|tue|wed|thu|fri|sat|sun)\))?",
    re.IGNORECASE,
)


def read_date(text: str) -> date | None:
    """The day that a text such as `14 Mar`, `March 14` or `14 Mar (Sun)` names, or None where it names none."""
    found = _DATE.fullmatch(" ".join(text.split()))
    if found is None:
        return None
    month = (found["month"] or found["month_first"]).lower()
    numbers = [index for index, name in enumerate(_EARLY + _LATE, start=1) if month in (name, name[:3])]
    try:
        return date(YEAR, numbers[0], int(found["day"] or found["day_second"])) if numbers else None
    except ValueError:  # 31 Feb
        return None


def write_date(day: date) -> str:
    """A day as the desk writes it: `14 Mar`."""
    return f"{day.day} {MONTHS[day.month - 1]}"


def later(day: date, days: int) -> date:
    """The day so many days later (earlier, for a negative number); it may fall outside the desk's year."""
    return day + timedelta(days=days)


def weekday(day: date) -> str:
    """`Mon` to `Sun`."""
    return WEEKDAYS[day.weekday()]
