"""JSON in a model's text: where it stands, how much of it agrees with a reference, and when two values are equal.

Reading itself is that of `rewardlab.parsing.json_values`, strict where Python's own reader is not, since a reward that lets
NaN, numbers beyond the range of a double or a key named twice pass teaches them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

from rewardlab.parsing import json_values
from rewardlab.parsing.json_values import NestedTooDeep, UnreadableJSON, check_depth, check_size, decode

Where = Literal["whole", "fenced", "last"]
"""`whole`: the completion is JSON and nothing else. `fenced`: the last fenced block that is marked `json`, or not
marked, holds it. `last`: the last complete object or array anywhere in the text."""


def read_json(text: str, *, where: Where = "whole", max_characters: int = 1_000_000, max_depth: int = 64) -> Any:
    """The JSON value in a text.

    Args:
        text: what the model wrote.
        where: see `Where`.
        max_characters: a longer text is refused unread.
        max_depth: how many objects and arrays may stand inside one another.

    Raises:
        UnreadableJSON: there is none, it is malformed, or it breaks a limit; the message says which and where.
    """
    check_size(text, max_characters)
    if where == "last":
        return _last_value(text, max_depth)
    if where == "fenced":
        block = last_fence(text)
        if block is None:
            raise UnreadableJSON("there is no fenced block marked json")
        text = block
    # an answer is compared and not written, so it may hold what no file can
    return json_values.read_json(text.strip(), max_characters=max_characters, max_depth=max_depth, half_surrogates=True)


def last_fence(text: str) -> str | None:
    """The inside of the last closed block of three backticks that is marked `json`, or not marked; None else."""
    found = None
    opened: tuple[int, str] | None = None
    for fence in re.finditer(r"^[ \t]*```[ \t]*([^\n`]*)$", text, re.MULTILINE):
        mark = fence.group(1).strip().lower()
        if opened is None:
            opened = (fence.end(), mark)
        elif not mark:
            if opened[1] in ("", "json"):
                found = text[opened[0] : fence.start()]
            opened = None
    return found


_OPENINGS = re.compile(r"""\{[ \t\r\n]*["}]|\[[ \t\r\n]*["\[\]{tfn0-9-]""")


def _last_value(text: str, max_depth: int) -> Any:
    """The last complete object or array. Each broken start costs what was read of it, and the sum of that is limited,
    so that a text of thousands of opening brackets is not read thousands of times.
    """
    budget = 16 * len(text) + 1_000
    position, found, problem = 0, None, "there is no JSON object or array"
    while (opening := _OPENINGS.search(text, position)) is not None:
        start = opening.start()
        try:
            value, position = decode(text, start, max_depth)
            check_depth([value], text[start:position], max_depth)
            found = (value,)
            continue
        except UnreadableJSON as error:
            problem = str(error)
            if position > start:  # it was read to its end, so no part of it is read again
                continue
            if error.position is not None:  # the error counted the lines up to its place, too
                budget -= error.position - start + 1 + error.position // 200
            else:
                budget -= 4_000 if isinstance(error, NestedTooDeep) else len(text) - start
        if budget < 0:
            raise UnreadableJSON("too many broken beginnings of objects and arrays")
        position = start + 1
    if found is None:
        raise UnreadableJSON(problem)
    return found[0]


def canonical(value: Any) -> Any:
    """A hashable stand-in for a JSON value: equal for equal JSON values (1 and 1.0 are, 1 and true are not)."""
    if isinstance(value, bool) or value is None:
        return ("constant", value)
    if isinstance(value, dict):
        return ("object", frozenset((key, canonical(entry)) for key, entry in value.items()))
    if isinstance(value, (list, tuple)):
        return ("array", tuple(canonical(entry) for entry in value))
    return value


def leaves(value: Any) -> int:
    """How many values without parts (scalars, empty objects and arrays) a JSON value has."""
    if isinstance(value, dict):
        return sum(map(leaves, value.values())) or 1
    if isinstance(value, list):
        return sum(map(leaves, value)) or 1
    return 1


def sort_key(value: Any) -> str:
    """A text by which JSON values can be sorted, whatever their types."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def matched_leaves(given: Any, wanted: Any, *, ordered: bool, equal: Any) -> int:
    """How many leaves of `given` stand in `wanted` in the same place.

    Args:
        given: what the model wrote.
        wanted: the reference.
        ordered: whether arrays are compared place by place. Otherwise equal entries are paired first, and the rest in
            sorted order.
        equal: says whether two scalars agree.
    """
    if isinstance(given, dict) and isinstance(wanted, dict):
        if not wanted and not given:
            return 1
        return sum(
            matched_leaves(given[key], wanted[key], ordered=ordered, equal=equal)
            for key in given.keys() & wanted.keys()
        )
    if isinstance(given, list) and isinstance(wanted, list):
        if not wanted and not given:
            return 1
        pairs: Iterator[tuple[Any, Any]] = zip(given, wanted, strict=False)
        settled = 0
        if not ordered:
            settled, given, wanted = _pair_equal(given, wanted)
            pairs = zip(sorted(given, key=sort_key), sorted(wanted, key=sort_key), strict=False)
        return settled + sum(matched_leaves(left, right, ordered=ordered, equal=equal) for left, right in pairs)
    if isinstance(given, (dict, list)) or isinstance(wanted, (dict, list)):
        return 0
    return int(equal(given, wanted))


def _pair_equal(given: list[Any], wanted: list[Any]) -> tuple[int, list[Any], list[Any]]:
    """Take equal entries out of both lists; the number of leaves that they had, and what is left of each."""
    open_places: dict[Any, list[int]] = {}
    for place, entry in enumerate(wanted):
        open_places.setdefault(canonical(entry), []).append(place)
    settled, rest, taken = 0, [], set()
    for entry in given:
        places = open_places.get(canonical(entry))
        if places:
            taken.add(places.pop())
            settled += leaves(entry)
        else:
            rest.append(entry)
    return settled, rest, [entry for place, entry in enumerate(wanted) if place not in taken]
