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
"""Deepest nesting of lists and objects that is read."""


class UnreadableJSON(ValueError):
    """The text is not JSON as this module reads it; the message says what is wrong."""


def read_json(text: str, *, max_characters: int = MAX_CHARACTERS, max_depth: int = MAX_DEPTH) -> Any:
    """Read one JSON value.

    Args:
        text: the whole text; white space around the value is allowed, anything else is not.
        max_characters: longest text that is looked at.
        max_depth: deepest nesting of lists and objects that is accepted; a flat object has depth 1.

    Returns:
        The value as dicts, lists, strings, numbers, bools and None.

    Raises:
        UnreadableJSON: a syntax error, a limit, a duplicate key, NaN, a number that overflows to infinity, or half of a
            surrogate pair.
    """
    if len(text) > max_characters:
        raise UnreadableJSON(f"{len(text)} characters of JSON, at most {max_characters} are read")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise UnreadableJSON(f"not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise UnreadableJSON(f"JSON nested deeper than {max_depth} levels") from None
    except ValueError as error:  # a duplicate key, NaN, or an integer of thousands of digits
        raise UnreadableJSON(f"not strict JSON: {error}") from None
    check_depth(value, text, max_depth)
    if "\\u" in text or not text.isascii():
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise UnreadableJSON("half of a surrogate pair in a string, which no file can hold") from None
    return value


def write_json(value: Any) -> str:
    """One line of JSON that `read_json` reads back; letters outside ASCII stay as they are.

    Raises:
        ValueError: NaN or infinity, which JSON does not have.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def check_depth(value: Any, text: str, max_depth: int) -> None:
    """Refuse a value nested too deeply; `text` is its source, whose brackets bound the depth from above."""
    if text.count("[") + text.count("{") + text.count("(") <= max_depth:
        return
    level: list[Any] = [value]
    for _ in range(max_depth + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise UnreadableJSON(f"values nested deeper than {max_depth} levels")


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
