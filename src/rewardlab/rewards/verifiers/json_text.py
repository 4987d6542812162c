"""JSON out of a model's text: where it stands, and a strict reader with limits.

Strict where Python's own reader is not, since a reward that lets these pass teaches them: NaN, Infinity and numbers
beyond the range of a double are refused, and so are objects that name a key twice. Size and depth are limited before
anything is parsed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Literal

Where = Literal["whole", "fenced", "last"]
"""`whole`: the completion is JSON and nothing else. `fenced`: the last fenced block that is marked `json`, or not
marked, holds
it. `last`: the last complete object or array anywhere in the text."""


class JSONProblem(ValueError):
    """Why a text is not acceptable JSON."""


def read_json(text: str, *, where: Where = "whole", max_characters: int = 1_000_000, max_depth: int = 64) -> Any:
    """The JSON value in a text.

    Args:
        text: what the model wrote.
        where: see `Where`.
        max_characters: a longer text is refused unread.
        max_depth: how many objects and arrays may stand inside one another.

    Raises:
        JSONProblem: there is none, it is malformed, or it breaks a limit; the message says which and where.
    """
    if len(text) > max_characters:
        raise JSONProblem(f"the text has {len(text)} characters, more than the limit of {max_characters}")
    if where == "whole":
        return _parse(text.strip(), max_depth)
    if where == "fenced":
        block = last_fence(text)
        if block is None:
            raise JSONProblem("there is no fenced block marked json")
        return _parse(block.strip(), max_depth)
    return _last_value(text, max_depth)


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
# A string that is never closed counts as one to the end; else the text would be read again from every quote in it.
_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)


def _parse(text: str, max_depth: int) -> Any:
    check_depth(text, max_depth)
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise JSONProblem(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise JSONProblem(f"nested deeper than the limit of {max_depth}") from None
    except JSONProblem:
        raise
    except ValueError as error:  # a whole number with more digits than Python converts
        raise JSONProblem(f"not acceptable JSON: {error}") from None


def check_depth(text: str, max_depth: int) -> None:
    """Refuse a text whose brackets, outside strings, stand deeper than `max_depth`."""
    if text.count("[") + text.count("{") <= max_depth:
        return
    depth = 0
    for part in _STRUCTURE.finditer(text):
        mark = part.group()
        if mark in "[{":
            depth += 1
            if depth > max_depth:
                raise JSONProblem(f"nested deeper than the limit of {max_depth} at character {part.start()}")
        elif mark in "]}":
            depth -= 1


def _last_value(text: str, max_depth: int) -> Any:
    """The last complete object or array. Each broken start costs what was read of it, and the sum of that is limited,
    so that a text of thousands of opening brackets is not read thousands of times.
    """
    budget = 16 * len(text) + 1_000
    position, found, problem = 0, None, "there is no JSON object or array"
    while (opening := _OPENINGS.search(text, position)) is not None:
        start = opening.start()
        try:
            value, position = _DECODER.raw_decode(text, start)
            check_depth(text[start:position], max_depth)
            found = (value,)
            continue
        except json.JSONDecodeError as error:
            budget -= error.pos - start + 1 + error.pos // 200  # the error counts the lines up to its place
            problem = f"no complete JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        except RecursionError:
            budget -= 4_000
            problem = f"nested deeper than the limit of {max_depth}"
        except ValueError as error:
            budget -= len(text) - start
            problem = str(error)
        if budget < 0:
            raise JSONProblem("too many broken beginnings of objects and arrays")
        position = max(position, start + 1)
    if found is None:
        raise JSONProblem(problem)
    return found[0]


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise JSONProblem(f"the key {key[:80]!r} stands twice in one object")
            seen.add(key)
    return made


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise JSONProblem(f"the number {digits[:40]} is out of range")
    return value


def _constant(name: str) -> Any:
    raise JSONProblem(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=_float, parse_constant=_constant)


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
