"""Chat messages in the OpenAI format: what one is, how it is checked, and what stands in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Message = dict[str, Any]
"""One chat message in the OpenAI format: `role`, `content`, and `tool_calls`, `tool_call_id` or `name` where they apply."""

ROLES = ("system", "developer", "user", "assistant", "tool")
"""Who a chat message can be from."""


def check_message(message: object, *, where: str) -> None:
    """Raise a ValueError that says what is wrong with a chat message and where it stands."""
    if type(message) is not dict and not isinstance(message, Mapping):  # the first test is the quick one
        raise ValueError(f"{where} must be a chat message (a dict with role and content), got {message!r:.80}")
    role = message.get("role")
    if role not in ROLES:
        raise ValueError(f"{where} has role {role!r}, expected one of {', '.join(ROLES)}")
    content = message.get("content")
    if content is not None and not isinstance(content, (str, list)):
        raise ValueError(
            f"{where} has content of type {type(content).__name__}, expected a string, a list of parts or None"
        )
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise ValueError(f"{where} has tool_calls of type {type(calls).__name__}, expected a list or None")


def message_text(message: Message) -> str:
    """The text of a chat message: its content, or its text parts joined; empty where there is none."""
    content = message.get("content")
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if isinstance(part, Mapping) and part.get("type") == "text")


def call_arguments(call: Mapping[str, Any]) -> tuple[str, Any]:
    """Name and parsed arguments of one tool call in the OpenAI format.

    Returns:
        The name, and the arguments as a JSON value. Arguments that are already a dict pass unchanged.

    Raises:
        ValueError: the call has no name, or its arguments are not JSON.
    """
    function = call.get("function", call)
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str):
        raise ValueError(f"tool call has no name: {call!r:.120}")
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"arguments of tool call {name!r} are not JSON: {error}") from error
    return name, arguments


def call_message(name: str, arguments: Mapping[str, Any], *, identity: str = "call_1") -> Message:
    """An assistant message with one tool call in the OpenAI format.

    Args:
        name: of the tool.
        arguments: JSON values by name.
        identity: of the call, which the tool's answer names.
    """
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": identity, "type": "function", "function": function}],
    }
