"""The true calls of a task, read from its reference: plain calls, BFCL possible answers, or calls written as text.

A reference that cannot be read is a `ScoringFailure` and never a low score: it says nothing about the policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Literal

from rewardlab.parsing.json_values import read_json
from rewardlab.parsing.python_calls import looks_like_calls
from rewardlab.parsing.tool_calls import read_calls
from rewardlab.rewards.base import ScoringFailure
from rewardlab.rewards.verifiers.tool_values import Equal, acceptable

ReferenceFormat = Literal["auto", "calls", "bfcl"]

_FLOATS = ("float", "number", "double")
_EXPECTED = (
    'expected a list of {"name", "parameters"} or {"name", "arguments"}, OpenAI tool_calls, BFCL possible answers, '
    "or calls as text"
)


@dataclass(frozen=True, slots=True)
class TrueCall:
    """One call of a reference.

    Args:
        name: the tool.
        required: parameter -> its value, or the list of acceptable values where `alternatives` is set.
        optional: parameters that may be left out -> their acceptable values.
        alternatives: whether the values are lists of acceptable ones (BFCL).
    """

    name: str
    required: dict[str, Any]
    optional: dict[str, Any] = field(default_factory=dict)
    alternatives: bool = False

    def accepts(self, given: Any, true: Any, equal: Equal) -> bool:
        """Whether a given value is right where the reference has `true`."""
        return acceptable(given, true, equal) if self.alternatives else equal(given, true)


def read_reference(
    reference: Any, reference_format: ReferenceFormat = "auto", tools: Sequence[Mapping[str, Any]] = ()
) -> tuple[TrueCall, ...]:
    """The true calls; none where the right thing is to call no tool.

    Args:
        reference: a list of calls, each `{"name", "parameters"}`, `{"name", "arguments"}`, an OpenAI tool call, a BFCL
            possible answer `{tool: {parameter: [acceptable, ...]}}`, or a Python call as text; one such call; a text that
            holds calls in any syntax of `rewardlab.parsing` (with `<response>` and no call: a task without a call); or an
            object with the calls under `tool_calls` and an answer under `response`. Lists of lists (turns) are joined.
        reference_format: `calls` or `bfcl` to take the one reading only; `auto` looks at the shape of each call.
        tools: tool descriptions; they name arguments given by position, and say where a float is meant.

    Raises:
        ScoringFailure: there is no reference, or it is none of these.
    """
    if reference is None:
        raise ScoringFailure(f"the task has no reference; {_EXPECTED}; an empty list where no call is right")
    return tuple(_true_call(entry, reference_format, tools) for entry in _entries(reference, tools))


def _entries(reference: Any, tools: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The reference as a flat list of single calls, each still in its own form."""
    if isinstance(reference, str):
        return _from_text(reference, tools)
    if isinstance(reference, Mapping):
        if isinstance(reference.get("tool_calls", 0), (list, tuple, NoneType)):
            return _entries(reference["tool_calls"] or [], tools)
        return [] if isinstance(reference.get("response"), str) and "name" not in reference else [reference]
    if isinstance(reference, (list, tuple)):
        flat: list[Any] = []
        for entry in reference:
            flat.extend(_entries(entry, tools) if isinstance(entry, (list, tuple, str)) else [entry])
        return flat
    raise ScoringFailure(f"reference {reference!r:.80} is a {type(reference).__name__}; {_EXPECTED}")


def _from_text(text: str, tools: Sequence[Mapping[str, Any]]) -> list[Any]:
    read = read_calls(text, "bfcl" if looks_like_calls(text) else "auto", tools=tools)
    if read.errors:
        raise ScoringFailure(f"the calls in the reference text cannot be read: {read.errors[0]}")
    if not read.calls and "<response>" not in read.content:
        raise ScoringFailure(f"reference text {text!r:.80} holds neither calls nor a <response>; {_EXPECTED}")
    return [{"name": name, "arguments": arguments} for name, arguments in read.calls]


def _true_call(entry: Any, reference_format: ReferenceFormat, tools: Sequence[Mapping[str, Any]]) -> TrueCall:
    if not isinstance(entry, Mapping):
        raise ScoringFailure(f"reference holds {entry!r:.80} where a call should stand; {_EXPECTED}")
    # a lone {"parameters": ...} is a call that lost its name rather than a tool of that name
    nameless = reference_format == "auto" and ("parameters" in entry or "arguments" in entry)
    answer = reference_format != "calls" and not nameless and _is_possible_answer(entry)
    if reference_format == "bfcl" and not answer:
        raise ScoringFailure(
            f"reference call {dict(entry)!r:.120} is no possible answer; "
            'expected {tool: {parameter: [acceptable, ...]}}, or set reference_format="auto"'
        )
    return _from_possible_answer(entry, tools) if answer else _from_call(entry)


def _is_possible_answer(entry: Mapping[str, Any]) -> bool:
    if len(entry) != 1:
        return False
    parameters = next(iter(entry.values()))
    if "function" in entry and isinstance(parameters, Mapping) and isinstance(parameters.get("name"), str):
        return False  # an OpenAI call without its `type`
    return isinstance(parameters, Mapping) and all(isinstance(options, list) for options in parameters.values())


def _from_possible_answer(entry: Mapping[str, Any], tools: Sequence[Mapping[str, Any]]) -> TrueCall:
    ((name, parameters),) = entry.items()
    types = _declared_types(name, tools)
    required: dict[str, Any] = {}
    optional: dict[str, Any] = {}
    for parameter, options in parameters.items():
        if types.get(parameter) in _FLOATS:
            options = [float(option) if type(option) is int else option for option in options]
        # no acceptable value at all could never be right: the data means the empty list
        (optional if "" in options else required)[parameter] = options or [[]]
    return TrueCall(name, required, optional, alternatives=True)


def _from_call(entry: Mapping[str, Any]) -> TrueCall:
    function = entry.get("function", entry)
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"]:
        raise ScoringFailure(f"reference call {dict(entry)!r:.120} has no name; {_EXPECTED}")
    name = function["name"]
    present = [key for key in ("parameters", "arguments") if key in function]
    if len(present) > 1:
        raise ScoringFailure(f"reference call {name!r} has both parameters and arguments; keep one of them")
    arguments = function[present[0]] if present else {}
    if isinstance(arguments, str):
        try:
            arguments = read_json(arguments) if arguments.strip() else {}
        except ValueError as error:
            raise ScoringFailure(f"arguments of reference call {name!r} cannot be read: {error}") from None
    if not isinstance(arguments, Mapping):
        raise ScoringFailure(f"{present[0]} of reference call {name!r} must be an object, got {arguments!r:.80}")
    return TrueCall(name, dict(arguments))


def _declared_types(name: str, tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    for tool in tools:
        function = tool.get("function", tool)
        if isinstance(function, Mapping) and function.get("name") == name:
            parameters = function.get("parameters")
            properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
            if isinstance(properties, Mapping):
                return {key: entry.get("type") for key, entry in properties.items() if isinstance(entry, Mapping)}
    return {}
