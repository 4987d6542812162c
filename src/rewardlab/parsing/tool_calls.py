"""Tool calls read out of sampled text, and written into it, in the syntaxes that models use.

| syntax   | what it looks like                                                                          |
|----------|---------------------------------------------------------------------------------------------|
| `hermes` | `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, a block for each call (Qwen, Hermes) |
| `toolrl` | one `<tool_call>` block with a line `{"name": ..., "parameters": {...}}` for each call          |
| `llama3` | the whole message is `{"name": ..., "parameters": {...}}`; several with `;` or new lines between   |
| `bfcl`   | the whole message is `[name(parameter=value), ...]`, Python call syntax                        |
| `auto`   | whichever of these the text uses; `arguments` and `parameters` mean the same                  |
| `none`   | no call is read: a policy's text stays as it was sampled, for rewards that look at its layout   |

A named syntax is strict: the other key, two values in a Hermes block or a second ToolRL block are errors. A thought
(`<think>...</think>`) is never searched for calls, so a call that is only quoted there is not made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from rewardlab.parsing.json_values import UnreadableJSON, read_json, read_json_sequence, write_json
from rewardlab.parsing.python_calls import TAGS, UnreadableCall, looks_like_calls, read_python_calls, write_python_calls
from rewardlab.types import Message, call_arguments

Syntax = Literal["auto", "hermes", "toolrl", "llama3", "bfcl", "none"]
SYNTAXES: tuple[str, ...] = ("auto", "hermes", "toolrl", "llama3", "bfcl", "none")
MAX_CALLS = 128
"""Most calls that are read from one message."""

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_PYTHON_TAG = "<|python_tag|>"
_LLAMA_ENDS = ("<|eom_id|>", "<|eot_id|>")


class Call(NamedTuple):
    """One tool call: its name and its arguments."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    """What a sampled text says and which tools it calls.

    Args:
        content: the text outside the calls, thought included. A block that could not be read stays in it as it was written.
        tool_calls: the calls that could be read, in order, in the OpenAI format (`arguments` is a JSON string).
        errors: what could not be read and why; empty for a well-formed text.
    """

    content: str
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def message(self) -> Message:
        """The assistant message in the OpenAI format; without `tool_calls` where there are none."""
        message: Message = {"role": "assistant", "content": self.content}
        if self.tool_calls:
            message["tool_calls"] = self.tool_calls
        return message


@dataclass(frozen=True, slots=True)
class ReadCalls:
    """As `ParsedMessage`, with the arguments as values, for those who compare them."""

    content: str
    calls: list[Call] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def parse_tool_calls(text: str, syntax: Syntax = "auto", *, tools: Sequence[Mapping[str, Any]] = ()) -> ParsedMessage:
    """Read the tool calls of one sampled assistant text. Never raises on any text.

    Args:
        text: what the policy wrote, without end-of-turn tokens.
        syntax: one of `SYNTAXES`; see the table at the top of this module.
        tools: tool descriptions in the OpenAI format; they name the arguments that `bfcl` calls give by position.

    Returns:
        The message. Calls are numbered `call_0`, `call_1`, ... in order, so the same text always gives the same message.

    Raises:
        ValueError: `syntax` is not known.
    """
    read = read_calls(text, syntax, tools=tools)
    return ParsedMessage(read.content, openai_calls(read.calls), read.errors)


def openai_calls(calls: Sequence[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Names and arguments as OpenAI `tool_calls`."""
    return [
        {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": write_json(arguments)}}
        for index, (name, arguments) in enumerate(calls)
    ]


def render_tool_calls(tool_calls: Sequence[Mapping[str, Any]], syntax: Syntax = "hermes") -> str:
    """Write OpenAI `tool_calls` as text; the inverse of `parse_tool_calls`, but for the call ids.

    Args:
        tool_calls: calls in the OpenAI format; arguments as a JSON string or as a dict.
        syntax: any of `SYNTAXES` but `auto` and `none`.

    Returns:
        The text; empty for no calls (`[]` in the `bfcl` syntax).

    Raises:
        ValueError: unknown syntax; a call without a name or without an object of arguments; a name that the `bfcl` syntax
            cannot hold; arguments that are not JSON, or that would close the tags they stand in.
    """
    calls = [as_call(call) for call in tool_calls]
    if syntax == "bfcl":
        return write_python_calls(calls)
    if syntax not in ("hermes", "toolrl", "llama3"):
        raise ValueError(f"syntax to write must be hermes, toolrl, llama3 or bfcl, got {syntax!r}")
    key = "arguments" if syntax == "hermes" else "parameters"
    # "<" only ever stands inside JSON strings, where its escape means the same: a tag in an argument must not end the block
    lines = [TAGS.sub(r"\\u003c\1", write_json({"name": name, key: arguments})) for name, arguments in calls]
    if syntax == "llama3":
        return "; ".join(lines)
    if syntax == "toolrl":
        return f"{_OPEN}\n" + "\n".join(lines) + f"\n{_CLOSE}" if lines else ""
    return "\n".join(f"{_OPEN}\n{line}\n{_CLOSE}" for line in lines)


def as_call(call: Mapping[str, Any]) -> Call:
    """Name and arguments of one OpenAI tool call, arguments read strictly.

    Raises:
        ValueError: no name, or arguments that are not a JSON object.
    """
    function = call.get("function", call)
    arguments = function.get("arguments") if isinstance(function, Mapping) else None
    if isinstance(arguments, str) and arguments.strip():
        name, _ = call_arguments({"name": function.get("name")})
        arguments = read_json(arguments)
    else:
        name, arguments = call_arguments(call)
    if not isinstance(arguments, dict):
        raise ValueError(f"arguments of tool call {name!r:.80} must be an object, got {arguments!r:.80}")
    return Call(name, arguments)


def split_thought(text: str) -> tuple[str, str]:
    """Split a text after its thought.

    A thought opens with `<think>` at the start of the text (or before it, when a template put the tag into the prompt) and
    closes with the `</think>` that balances it; where tags quoted inside leave none, with the last `</think>`. A thought
    that never closes reaches to the end of the text.

    Returns:
        The thought with its tags, and what follows it; they join to the text.
    """
    opened = text.lstrip().startswith("<think>")
    if "</think>" not in text:
        return (text, "") if opened else ("", text)
    depth, position = (0 if opened else 1), 0
    while True:
        closing = text.find("</think>", position)
        if closing < 0:
            end = text.rfind("</think>") + len("</think>")
            return text[:end], text[end:]
        depth += text.count("<think>", position, closing) - 1
        position = closing + len("</think>")
        if depth <= 0:
            return text[:position], text[position:]


def read_calls(text: str, syntax: Syntax = "auto", *, tools: Sequence[Mapping[str, Any]] = ()) -> ReadCalls:
    """As `parse_tool_calls`, with arguments as values instead of JSON strings."""
    if syntax not in SYNTAXES:
        raise ValueError(f"syntax must be one of {', '.join(SYNTAXES)}, got {syntax!r}")
    if syntax == "none":
        return ReadCalls(text)
    thought, rest = split_thought(text)
    if syntax == "auto":
        syntax = _detect(rest)
    if syntax == "llama3":
        read = _read_llama(rest)
    elif syntax == "bfcl":
        read = _read_bfcl(rest, tools)
    else:
        read = _read_blocks(rest, syntax)
    if len(read.calls) > MAX_CALLS:
        read = ReadCalls(rest, [], [f"{len(read.calls)} tool calls in one message, at most {MAX_CALLS} are read"])
    if not thought:
        return read
    return ReadCalls(thought + read.content, read.calls, read.errors)


def _detect(rest: str) -> Syntax:
    stripped = rest.strip()
    if stripped.startswith("[") and looks_like_calls(stripped):
        return "bfcl"
    if stripped.startswith(_PYTHON_TAG) or (stripped.startswith("{") and _OPEN not in stripped):
        return "llama3"
    return "auto"


def _read_blocks(rest: str, syntax: Syntax) -> ReadCalls:
    """Blocks between call tags: each holds one object (hermes), lines of objects (toolrl), or either or a list (auto)."""
    if _OPEN not in rest and _CLOSE not in rest:
        return ReadCalls(rest)
    if syntax == "toolrl" and rest.count(_OPEN) > 1:
        return ReadCalls(rest, [], [f"{rest.count(_OPEN)} <tool_call> blocks, expected one with a line for each call"])
    calls: list[Call] = []
    errors: list[str] = []
    content: list[str] = []
    position = 0
    while (start := rest.find(_OPEN, position)) >= 0:
        content.append(rest[position:start])
        end = rest.find(_CLOSE, start)
        if end < 0:
            errors.append("<tool_call> is never closed")
            content.append(rest[start:])
            position = len(rest)
            break
        try:
            calls.extend(_read_block(rest[start + len(_OPEN) : end], syntax))
        except (UnreadableJSON, UnreadableCall) as error:
            errors.append(str(error))
            content.append(rest[start : end + len(_CLOSE)])
        position = end + len(_CLOSE)
    content.append(rest[position:])
    if _CLOSE in rest[position:]:
        errors.append("</tool_call> without <tool_call> before it")
    remaining = "".join(content)
    return ReadCalls(remaining.strip() if calls else remaining, calls, errors)


def _read_block(block: str, syntax: Syntax) -> list[Call]:
    if not block.strip():
        raise UnreadableCall("empty <tool_call> block")
    if syntax == "hermes":
        return [_call(read_json(block), ("arguments",))]
    if syntax == "toolrl":  # blank lines are skipped: they carry no meaning, and models write them
        return [_call(read_json(line), ("parameters",)) for line in block.split("\n") if line.strip()]
    keys = ("arguments", "parameters")
    try:
        value = read_json(block)
    except UnreadableJSON:
        return [_call(read_json(line), keys) for line in block.split("\n") if line.strip()]
    return [_call(entry, keys) for entry in (value if isinstance(value, list) else [value])]


def _read_llama(rest: str) -> ReadCalls:
    stripped = rest.strip()
    for ending in _LLAMA_ENDS:
        stripped = stripped.removesuffix(ending).rstrip()
    tagged = stripped.startswith(_PYTHON_TAG)
    stripped = stripped.removeprefix(_PYTHON_TAG).strip()
    if not tagged and not stripped.startswith("{"):
        return ReadCalls(rest)
    try:
        values = read_json_sequence(stripped)
        if not tagged and not any(isinstance(value, dict) and "name" in value for value in values):
            return ReadCalls(rest)  # an answer that happens to be JSON
        return ReadCalls("", [_call(value, ("parameters", "arguments")) for value in values])
    except (UnreadableJSON, UnreadableCall) as error:
        return ReadCalls(rest, [], [str(error)])


def _read_bfcl(rest: str, tools: Sequence[Mapping[str, Any]]) -> ReadCalls:
    stripped = rest.strip()
    if stripped.replace(" ", "") == "[]":
        return ReadCalls("")
    if not looks_like_calls(stripped):
        return ReadCalls(rest)
    try:
        calls = read_python_calls(stripped, _positions(tools) if tools else None)
    except UnreadableCall as error:
        return ReadCalls(rest, [], [str(error)])
    return ReadCalls("", [Call(name, arguments) for name, arguments in calls])


def _positions(tools: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Parameter names of each tool in the order of its description."""
    found: dict[str, list[str]] = {}
    for tool in tools:
        function = tool.get("function", tool)
        parameters = function.get("parameters") if isinstance(function, Mapping) else None
        properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
        if isinstance(properties, Mapping) and isinstance(function.get("name"), str):
            found[function["name"]] = list(properties)
    return found


def _call(value: Any, keys: tuple[str, ...]) -> Call:
    """One call object: `name`, and an object under one of the keys. Other keys (`id`, `type`) are passed over."""
    if not isinstance(value, dict):
        raise UnreadableCall(f"a tool call must be an object, got {type(value).__name__}")
    name = value.get("name")
    if not isinstance(name, str) or not name:
        raise UnreadableCall(f"a tool call must have a name, got {name!r:.60}")
    present = [key for key in keys if key in value]
    if len(present) != 1:
        both = "both of" if present else "no"
        raise UnreadableCall(
            f"tool call {name!r:.60} has {both} {' and '.join(keys) if present else ' or '.join(keys)}"
        )
    arguments = value[present[0]]
    if not isinstance(arguments, dict):
        raise UnreadableCall(
            f"{present[0]} of tool call {name!r:.60} must be an object, got {type(arguments).__name__}"
        )
    return Call(name, arguments)
