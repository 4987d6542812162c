"""JSON out of untrusted text, read strictly: limits on size and depth, no duplicate keys, no NaN or infinity.

The standard reader keeps the last of two equal keys and accepts NaN; both let a sampled text mean one thing to a checker and
another to the tool that runs it, so both are refused here. This is the one reader for what a model wrote, tool calls and
answers alike; where in a text JSON stands is for its callers to say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

MAX_CHARACTERS = 262_144
"""Longest JSON text that is read, unless the caller sets another limit."""
MAX_DEPTH = 64
"""Deepest nesting of lists and objects that is read, unless the caller sets another; a flat object has depth 1."""


class UnreadableJSON(ValueError):
    """The text is not JSON as this module reads it; the message says what is wrong.

    Args:
        message: what is wrong.
        position: the character at which a syntax error stands; None for anything else.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class NestedTooDeep(UnreadableJSON):
    """Lists and objects stand deeper inside one another than the limit."""


def read_json(
    text: str, *, max_characters: int = MAX_CHARACTERS, max_depth: int = MAX_DEPTH, half_surrogates: bool = False
) -> Any:
    """Read one JSON value.

    Args:
        text: the whole text; white space around the value is allowed, anything else is not.
        max_characters: a longer text is refused unread.
        max_depth: how many lists and objects may stand inside one another.
        half_surrogates: whether half of a surrogate pair may stand in a string, which no file can hold.

    Returns:
        The value as dicts, lists, strings, numbers, bools and None.

    Raises:
        UnreadableJSON: a syntax error, a limit, a duplicate key, NaN, a number that overflows to infinity, or half of a
            surrogate pair.
    """
    return _read(text, None, max_characters, max_depth, half_surrogates)[0]


def read_json_sequence(text: str, *, separator: str = ";") -> list[Any]:
    """Read JSON values one after the other, with white space or separators between them, as strictly as `read_json`.

    Raises:
        UnreadableJSON: as `read_json`; also where no value stands in the text.
    """
    return _read(text, separator, MAX_CHARACTERS, MAX_DEPTH, half_surrogates=False)


def _read(text: str, separator: str | None, max_characters: int, max_depth: int, half_surrogates: bool) -> list[Any]:
    check_size(text, max_characters)
    values: list[Any] = []
    position = _skip(text, 0, None)
    while not values or (separator is not None and position < len(text)):
        value, position = decode(text, position, max_depth)
        values.append(value)
        position = _skip(text, position, separator)
    if position < len(text):
        raise _syntax_error(json.JSONDecodeError("more text after the value", text, position))
    check_depth(values, text, max_depth)
    if not half_surrogates and ("\\u" in text or not text.isascii()):
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


def decode(text: str, position: int, max_depth: int = MAX_DEPTH) -> tuple[Any, int]:
    """The JSON value that begins at a position, and the position after it.

    The depth of the value is for the caller to check, with `check_depth`: here the limit only stands in the message, where
    the value is nested deeper than Python can read at all.

    Raises:
        UnreadableJSON: a syntax error, a duplicate key, NaN, or a number that overflows; `NestedTooDeep` beyond all reading.
    """
    try:
        return _DECODER.raw_decode(text, position)
    except json.JSONDecodeError as error:
        raise _syntax_error(error) from None
    except RecursionError:
        raise _too_deep(max_depth) from None
    except UnreadableJSON:
        raise
    except ValueError as error:  # a whole number with more digits than Python converts
        raise UnreadableJSON(f"not strict JSON: {error}") from None


def write_json(value: Any) -> str:
    """One line of JSON that `read_json` reads back; letters outside ASCII stay as they are.

    Raises:
        ValueError: NaN or infinity, which JSON does not have.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def check_size(text: str, max_characters: int) -> None:
    """Refuse a text of more characters than the limit."""
    if len(text) > max_characters:
        raise UnreadableJSON(f"the text has {len(text)} characters, at most {max_characters} are read")


def check_depth(values: Sequence[Any], text: str, max_depth: int = MAX_DEPTH) -> None:
    """Refuse values nested deeper than the limit; `text` is their source, whose brackets bound the depth from above."""
    if text.count("[") + text.count("{") + text.count("(") <= max_depth:
        return
    level = list(values)
    for _ in range(max_depth + 1):
        level = [outer for outer in level if isinstance(outer, (dict, list))]
        if not level:
            return
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
    raise _too_deep(max_depth)


def _too_deep(max_depth: int) -> NestedTooDeep:
    return NestedTooDeep(f"nested deeper than the limit of {max_depth} levels")


def _syntax_error(error: json.JSONDecodeError) -> UnreadableJSON:
    return UnreadableJSON(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}", error.pos)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise UnreadableJSON(f"duplicate key {key[:80]!r}: it stands twice in one object, expected once")
            seen.add(key)
    return found


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise UnreadableJSON(f"the number {digits[:40]} is out of range, expected one that fits a double")
    return number


def _no_constant(word: str) -> float:
    raise UnreadableJSON(f"{word} is not JSON, expected a finite number or null")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)
