"""When two argument values of tool calls count as equal. Four rules with a name; any function of two values will do as well.

| rule     | 1 and 1.0 | 1 and true | 1 and "1" | "NYC" and "nyc" | lists       |
|----------|-----------|------------|-----------|-----------------|-------------|
| `json`   | equal     | not        | not       | not             | in order    |
| `python` | equal     | equal      | not       | not             | in order    |
| `loose`  | equal     | not        | equal     | equal           | in order    |
| `bfcl`   | 1 for 1.0 | not        | not       | equal           | in order    |
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from rewardlab.registry import Registry

Equal = Callable[[Any, Any], bool]
"""Takes the value that was given and the true one."""

_HERE = "rewardlab.rewards.verifiers.tool_values"
COMPARISONS = Registry(
    "comparison",
    {rule: f"{_HERE}:{rule}_equal" for rule in ("json", "python", "loose", "bfcl")},
    group="rewardlab.comparisons",
)
"""Every comparison that the option `compare` can name; `module:function` names any other."""

_BFCL_IGNORED = re.compile(r"[ ,./\-_*^]")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


def json_equal(given: Any, true: Any) -> bool:
    """Equality of JSON values: numbers by value, `true` is no number, strings letter by letter, objects in any key order."""
    return _equal(given, true, _same_plain)


def python_equal(given: Any, true: Any) -> bool:
    """Python's `==` on the parsed JSON, as the ToolRL repository compares: `true` equals 1."""
    return bool(given == true)


def loose_equal(given: Any, true: Any) -> bool:
    """As `json_equal`, but forgiving on spelling.

    Strings are compared after Unicode compatibility normalisation, without regard to case and with runs of white space as
    one blank; a number or a bool equals the text that spells it.
    """
    return _equal(given, true, _same_loose)


def bfcl_equal(given: Any, true: Any) -> bool:
    """The leaderboard's rule: strings without case, blanks and `,./-_*^`, and with one kind of quote; an integer may stand
    for the float of the same value, but not the other way round.

    Source: the abstract-syntax-tree checker of the Berkeley Function-Calling Leaderboard. It applies the string rule to
    parameters, list items and dict values; here it holds at every depth, and so does the rule for integers.
    """
    return _equal(given, true, _same_bfcl)


def acceptable(given: Any, options: list[Any], equal: Equal) -> bool:
    """Whether a value is among the acceptable ones of a BFCL possible answer."""
    return any(_fits(given, option, equal) for option in options)


def _fits(given: Any, option: Any, equal: Equal) -> bool:
    """An acceptable object holds acceptable values for each of its keys; a list may hold such objects."""
    if isinstance(option, dict):
        if not isinstance(given, dict) or any(key not in option for key in given):
            return False
        for key, inner in option.items():
            inner_options = inner if isinstance(inner, list) else [inner]
            if key in given:
                if not acceptable(given[key], inner_options, equal):
                    return False
            elif "" not in inner_options:
                return False
        return True
    if isinstance(option, list) and any(isinstance(entry, dict) for entry in option):
        return (
            isinstance(given, list)
            and len(given) == len(option)
            and all(_fits(entry, true, equal) for entry, true in zip(given, option, strict=True))
        )
    return equal(given, option)


def _equal(given: Any, true: Any, same: Equal) -> bool:
    if isinstance(true, Mapping):
        return (
            isinstance(given, Mapping)
            and given.keys() == true.keys()
            and all(_equal(given[key], entry, same) for key, entry in true.items())
        )
    if isinstance(true, (list, tuple)):
        return (
            isinstance(given, (list, tuple))
            and len(given) == len(true)
            and all(_equal(entry, other, same) for entry, other in zip(given, true, strict=True))
        )
    return not isinstance(given, (Mapping, list, tuple)) and same(given, true)


def _same_plain(given: Any, true: Any) -> bool:
    return isinstance(given, bool) == isinstance(true, bool) and bool(given == true)


def _same_loose(given: Any, true: Any) -> bool:
    if isinstance(given, str) and isinstance(true, str):
        if given == true:
            return True
        given, true = _plain_text(given), _plain_text(true)
        return given == true
    if isinstance(given, str) or isinstance(true, str):
        text, value = (given, true) if isinstance(given, str) else (true, given)
        text = _plain_text(text)
        if isinstance(value, bool):
            return text == ("true" if value else "false")
        # a text as long as this spells no number that a float can hold exactly
        return (
            isinstance(value, (int, float))
            and len(text) <= 40
            and bool(_NUMBER.fullmatch(text))
            and float(text) == value
        )
    return _same_plain(given, true)


def _same_bfcl(given: Any, true: Any) -> bool:
    if isinstance(given, str) and isinstance(true, str):
        return given == true or _bfcl_text(given) == _bfcl_text(true)
    if isinstance(given, float) and isinstance(true, int):
        return False
    return _same_plain(given, true)


def _plain_text(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _bfcl_text(text: str) -> str:
    return _BFCL_IGNORED.sub("", text).lower().replace("'", '"')
