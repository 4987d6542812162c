"""How each kind of question is answered: generators that yield calls, are sent what each gave, and return the answer.

They read like what a person at the desk would do, and they are the only place that knows it: demonstrations, references and
deliberate slips all come from driving these.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

Call = tuple[str, dict[str, Any]]
"""Name and arguments of a call."""
Script = Generator[Call, str, str]
"""Yields calls, is sent what each gave, returns the answer."""


def item_fact(person: str, column: str) -> Script:
    """Price or stock of what somebody ordered."""
    item = yield _look_up("orders", person, "item")
    return (yield _look_up("items", item, column))


def buyer_fact(item: str, column: str) -> Script:
    """City or age of whoever ordered an item."""
    person = yield _search("orders", "item", item)
    return (yield _look_up("people", person, column))


def total(item: str, number: int) -> Script:
    """Price of several pieces of an item."""
    price = yield _look_up("items", item, "price")
    return (yield _calculate(f"{price} * {number}"))


def measured(item: str, column: str, unit: str) -> Script:
    """Weight or length of an item in another unit."""
    quantity = yield _look_up("items", item, column)
    return (yield _convert(quantity, unit))


def due(person: str, days: int) -> Script:
    """The date some days after somebody's order."""
    date = yield _look_up("orders", person, "date")
    return _day((yield _calendar(date, days)))


def item_total(person: str, number: int) -> Script:
    """Price of several pieces of what somebody ordered."""
    item = yield _look_up("orders", person, "item")
    price = yield _look_up("items", item, "price")
    return (yield _calculate(f"{price} * {number}"))


def item_measured(person: str, column: str, unit: str) -> Script:
    """Weight or length, in another unit, of one piece of what somebody ordered."""
    item = yield _look_up("orders", person, "item")
    quantity = yield _look_up("items", item, column)
    return (yield _convert(quantity, unit))


def buyer_due(item: str, days: int) -> Script:
    """The date some days after an item was ordered."""
    person = yield _search("orders", "item", item)
    date = yield _look_up("orders", person, "date")
    return _day((yield _calendar(date, days)))


def distance(person: str, unit: str) -> Script:
    """Distance, in another unit, of the city where somebody lives."""
    city = yield _look_up("people", person, "city")
    quantity = yield _look_up("cities", city, "distance")
    return (yield _convert(quantity, unit))


def order_total(person: str) -> Script:
    """Price of all pieces that somebody ordered."""
    item = yield _look_up("orders", person, "item")
    count = yield _look_up("orders", person, "count")
    price = yield _look_up("items", item, "price")
    return (yield _calculate(f"{price} * {count}"))


def arrival(person: str) -> Script:
    """When somebody's order arrives in their city."""
    date = yield _look_up("orders", person, "date")
    city = yield _look_up("people", person, "city")
    days = yield _look_up("cities", city, "days")
    return _day((yield _calendar(date, int(days))))


def clerk_city(person: str, days: int) -> Script:
    """City of the clerk on the weekday some days after somebody's order."""
    date = yield _look_up("orders", person, "date")
    due = yield _calendar(date, days)
    clerk = yield _look_up("shifts", due.partition("(")[2].rstrip(")"), "clerk")
    return (yield _look_up("people", clerk, "city"))


def order_measured(person: str, column: str, unit: str) -> Script:
    """Weight or length, in another unit, of all pieces that somebody ordered."""
    item = yield _look_up("orders", person, "item")
    count = yield _look_up("orders", person, "count")
    quantity = yield _look_up("items", item, column)
    value, given = quantity.split()
    total = yield _calculate(f"{value} * {count}")
    return (yield _convert(f"{total} {given}", unit))


def buyer_arrival(item: str) -> Script:
    """When the order of an item arrives in its buyer's city."""
    person = yield _search("orders", "item", item)
    date = yield _look_up("orders", person, "date")
    city = yield _look_up("people", person, "city")
    days = yield _look_up("cities", city, "days")
    return _day((yield _calendar(date, int(days))))


# ---- calls and what they give, in short ------------------------------------------------------------


def _look_up(table: str, row: str, column: str) -> Call:
    return "look_up", {"table": table, "row": row, "column": column}


def _search(table: str, column: str, value: str) -> Call:
    return "search", {"table": table, "column": column, "value": value}


def _calculate(expression: str) -> Call:
    return "calculate", {"expression": expression}


def _convert(quantity: str, to: str) -> Call:
    value, unit = quantity.split()
    return "convert", {"value": float(value) if "." in value else int(value), "unit": unit, "to": to}


def _calendar(date: str, days: int) -> Call:
    return "calendar", {"date": date, "days": days}


def _day(dated: str) -> str:
    """The date in what the calendar gave: `23 Mar` of `23 Mar (Tue)`."""
    return dated.partition(" (")[0]
