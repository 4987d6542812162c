"""JSON out of untrusted text, read strictly: limits on size and depth, no duplicate keys, no NaN or infinity.

The standard reader keeps the last of two equal keys and accepts NaN; both let a sampled text mean one thing to a checker and
another to the tool that runs it, so both are refused here.
"""

from __future__ import annotations

import json
import math
from typing import Any

MAX_CHARACTERS = 262_144
"""Longest JSON text that is read."""
MAX_DEPTH = 64
"""Deepest nesting of lists and objects that is read; a flat object has depth 1."""


class UnreadableJSON(ValueError):
    """The text is not JSON as this module reads it; the message says what is wrong."""


def read_json(text: str) -> Any:
    """Read one JSON value.

    Args:
        text: the whole text; white space around the value is allowed, anything else is not.

    Returns:
        The value as dicts, lists, strings, numbers, bools and None.

    Raises:
        UnreadableJSON: a syntax error, a limit, a duplicate key, NaN, a number that overflows to infinity, or half of a
            surrogate pair.
    """
    return _read(text, separator=None)[0]


def read_json_sequence(text: str, *, separator: str = ";") -> list[Any]:
    """Read JSON values one after the other, with white space or separators between them, as strictly as `read_json`.

    Raises:
        UnreadableJSON: as `read_json`; also where no value stands in the text.
    """
    return _read(text, separator)


def _read(text: str, separator: str | None) -> list[Any]:
    if len(text) > MAX_CHARACTERS:
        raise UnreadableJSON(f"{len(text)} characters of JSON, at most {MAX_CHARACTERS} are read")
    values: list[Any] = []
    position = _skip(text, 0, None)
    try:
        while not values or (separator is not None and position < len(text)):
            value, position = _DECODER.raw_decode(text, position)
            values.append(value)
            position = _skip(text, position, separator)
    except json.JSONDecodeError as error:
        raise UnreadableJSON(f"not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise UnreadableJSON(f"JSON nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:  # a duplicate key, NaN, or an integer of thousands of digits
        raise UnreadableJSON(f"not strict JSON: {error}") from None
    if position < len(text):
        raise UnreadableJSON(f"not JSON: more text after the value, at character {position}")
    check_depth(values, text)
    if "\\u" in text or not text.isascii():
        try:
            json.dumps(values, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise UnreadableJSON("half of a surrogate pair in a string, which no file can hold") from None
    return values


def _skip(text: str, position: int, separator: str | None) -> int:
    """The position after JSON's white space, and after separators."""
    while position < len(text) and (text[position] in " \t\n\r" or text[position] == separator):
        position += 1
    return position


def write_json(value: Any) -> str:
    """One line of JSON that `read_json` reads back; letters outside ASCII stay as they are.

    Raises:
        ValueError: NaN or infinity, which JSON does not have.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def check_depth(values: list[Any], text: str) -> None:
    """Refuse values nested deeper than `MAX_DEPTH`; `text` is their source, whose brackets bound the depth from above."""
    if text.count("[") + text.count("{") + text.count("(") <= MAX_DEPTH:
        return
    level = values
    for _ in range(MAX_DEPTH + 1):
        level = [outer for outer in level if isinstance(outer, (dict, list))]
        if not level:
            return
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
    raise UnreadableJSON(f"values nested deeper than {MAX_DEPTH} levels")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"duplicate key {key!r:.60}")
            seen.add(key)
    return found


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"number {digits:.40} is too large")
    return number


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)
