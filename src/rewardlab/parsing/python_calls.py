"""Tool calls written as Python, `[get_weather(city="Paris"), clock.now()]`: the syntax of the Berkeley leaderboard (BFCL).

The text is parsed with `ast` and only literals are read from the tree; nothing is ever evaluated. Arithmetic, names and
nested calls as arguments are refused, because their value would have to be computed.
"""

from __future__ import annotations

import ast
import json
import keyword
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from rewardlab.parsing.json_values import UnreadableJSON, check_depth

MAX_PYTHON_CHARACTERS = 65_536
"""Longest Python text that is parsed."""
MAX_BRACKETS = 4_096
"""Most brackets or signs in such a text; the parser's stack grows with them."""

TAGS = re.compile(r"<(/?(?:tool_call|think)>)")
"""Tags that must not stand inside an argument, where they would end the block or the thought around it."""

_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_CONSTANTS = {"true": True, "false": False, "null": None}


class UnreadableCall(ValueError):
    """The text is not a list of calls with literal arguments; the message says what is wrong."""


def read_python_calls(
    text: str, positions: Mapping[str, Sequence[str]] | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """Read calls in Python syntax.

    Args:
        text: one call, several with commas between them, or a list of them in brackets; `[]` is no call.
        positions: parameter names in order for each tool, to name arguments that are given by position.

    Returns:
        Name and arguments of each call. Tuples become lists; `true`, `false` and `null` are read as in JSON.

    Raises:
        UnreadableCall: a syntax error, a limit, or something else than calls with literal arguments.
    """
    text = text.strip()
    if len(text) > MAX_PYTHON_CHARACTERS:
        raise UnreadableCall(f"{len(text)} characters of Python, at most {MAX_PYTHON_CHARACTERS} are read")
    if sum(text.count(mark) for mark in "([{-+~") > MAX_BRACKETS:
        raise UnreadableCall(f"more than {MAX_BRACKETS} brackets and signs in the calls")
    try:
        body = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        raise UnreadableCall(f"not Python calls: {reason}") from None
    nodes = body.elts if isinstance(body, (ast.List, ast.Tuple)) else [body]
    source = [] if text.isascii() else [line.encode("utf-8") for line in re.split("\r\n|\r|\n", text)]
    try:
        calls = [_read_call(node, positions or {}, source) for node in nodes]
        check_depth([arguments for _, arguments in calls], text)
        json.dumps(calls, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise UnreadableCall("calls nested too deeply") from None
    except UnreadableJSON as error:
        raise UnreadableCall(str(error)) from None
    except UnicodeEncodeError:
        raise UnreadableCall("half of a surrogate pair in a string, which no file can hold") from None
    return calls


def write_python_calls(calls: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Write calls as `[name(parameter=value), ...]`, which `read_python_calls` reads back.

    Raises:
        ValueError: a name that Python cannot call (a space in it, say).
    """
    written = []
    for name, arguments in calls:
        if not _callable_name(name):
            raise ValueError(f"tool name {name!r:.80} cannot be written as a Python call; use another syntax")
        plain = {key: value for key, value in arguments.items() if _plain_name(key)}
        parts = [f"{key}={value!r}" for key, value in plain.items()]
        odd = {key: value for key, value in arguments.items() if key not in plain}
        if odd:  # `from`, `user-id`, `ﬁle`: only the ** form can hold them
            parts.append(f"**{odd!r}")
        # "<" only stands inside string literals, where its escape means the same: no argument may look like a tag
        written.append(TAGS.sub(r"\\x3c\1", f"{name}({', '.join(parts)})"))
    return f"[{', '.join(written)}]"


def looks_like_calls(text: str) -> bool:
    """Whether a text sets out to be calls: it opens like `name(` or `[name(` and closes like one."""
    stripped = text.strip()
    opening = stripped.removeprefix("[").lstrip()
    match = _DOTTED.match(opening)
    return match is not None and opening[match.end() :].lstrip().startswith("(") and stripped.endswith((")", "]"))


def _read_call(
    node: ast.expr, positions: Mapping[str, Sequence[str]], source: list[bytes]
) -> tuple[str, dict[str, Any]]:
    if not isinstance(node, ast.Call):
        raise UnreadableCall(f"expected a call, got {ast.unparse(node):.60}")
    name = _dotted(node.func, source)
    arguments: dict[str, Any] = {}
    if node.args:
        order = positions.get(name)
        if order is None or len(node.args) > len(order):
            raise UnreadableCall(
                f"{name} has {len(node.args)} arguments by position, which cannot be named; "
                "write name=value, or give the tool's description"
            )
        for parameter, value in zip(order, node.args, strict=False):
            arguments[parameter] = _literal(value)
    for entry in node.keywords:
        if entry.arg is not None:
            _check_spelling(entry.arg, entry.lineno, entry.col_offset, source)
            found: dict[Any, Any] = {entry.arg: _literal(entry.value)}
        else:
            found = _literal(entry.value) if isinstance(entry.value, ast.Dict) else {None: None}
        for parameter, value in found.items():
            if not isinstance(parameter, str):
                raise UnreadableCall(f"{name} has ** arguments that are not a dict with string keys")
            if parameter in arguments:
                raise UnreadableCall(f"{name} has two values for {parameter!r:.60}")
            arguments[parameter] = value
    return name, arguments


def _dotted(node: ast.expr, source: list[bytes]) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        _check_spelling(node.attr, node.end_lineno or 1, (node.end_col_offset or 0) - len(node.attr.encode()), source)
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise UnreadableCall(f"expected a tool name before the bracket, got {ast.unparse(node):.60}")
    _check_spelling(node.id, node.lineno, node.col_offset, source)
    return ".".join([node.id, *reversed(parts)])


def _check_spelling(name: str, line: int, start: int, source: list[bytes]) -> None:
    """Python reads look-alike letters in names as one (`ﬁle` as `file`); here a name must stand in the text as read."""
    spelt = name.encode("utf-8")
    if source and source[line - 1][start : start + len(spelt)] != spelt:  # `ast` counts columns in bytes
        raise UnreadableCall(f"name {name!r:.60} is spelt with look-alike letters in the text")


def _literal(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=str() | bool() | None | int() as value):
            return value
        case ast.Constant(value=float() as value) if math.isfinite(value):
            return value
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=int() | float() as number)) if (
            not isinstance(number, bool) and math.isfinite(number)
        ):
            return -number if isinstance(sign, ast.USub) else number
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_literal(element) for element in elements]
        case ast.Dict(keys=keys, values=values):
            found: dict[str, Any] = {}
            for key, entry in zip(keys, values, strict=True):
                name = None if key is None else _literal(key)
                if not isinstance(name, str):
                    raise UnreadableCall("the keys of a dict must be strings")
                if name in found:
                    raise UnreadableCall(f"duplicate key {name!r:.60}")
                found[name] = _literal(entry)
            return found
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
    raise UnreadableCall(f"argument {ast.unparse(node):.60} is not a literal value")


def _callable_name(name: str) -> bool:
    return all(_plain_name(part) for part in name.split("."))


def _plain_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name) and unicodedata.is_normalized("NFKC", name)
