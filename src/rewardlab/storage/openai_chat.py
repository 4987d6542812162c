"""OpenAI chat logs: fine-tuning files, and logged requests with their responses.

    {"messages": [...], "tools": [...]}                                             a whole conversation
    {"request": {"messages": [...]}, "response": {"choices": [...]}}                a logged call; one trajectory per choice
    {"body": {"messages": [...]}, "response": {"body": {"choices": [...]}}}         the same, as the batch service writes it

In a whole conversation every assistant message is an action, but one with `"weight": 0`, which a fine-tuning file marks as
not to be learned; it is kept, and counts as an action all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rewardlab.storage.foreign import Row, chat, hash_of, is_messages, normal_messages
from rewardlab.storage.problems import BadRow
from rewardlab.types import Message, Trajectory

LAYOUT = '{"messages": [...]}, or {"request": {"messages": [...]}, "response": {"choices": [...]}}'
"""What a row looks like, for messages."""

_TAKEN = frozenset(
    ("messages", "tools", "functions", "id", "custom_id", "request", "response", "body", "reference", "group")
)


def recognises(row: Row) -> bool:
    """Whether a row is an OpenAI chat log."""
    return is_messages(row.get("messages")) or _choices(row) is not None


def trajectories(row: Row, source: str, line: int) -> Iterator[Trajectory]:
    """Read one row; a response with several choices gives several trajectories of one group."""
    request = _request(row)
    identity = row.get("id") or row.get("custom_id")
    tools = _tools(request)
    info = {key: value for key, value in row.items() if key not in _TAKEN}
    choices = _choices(row)
    if choices is None:
        raw = row.get("messages")
        if not isinstance(raw, list):
            raise BadRow(f"'messages' must be a list, got {raw!r:.60}")
        messages = normal_messages(raw, "messages")
        prompt, answer = _split(messages)
        group = row.get("group")
        yield chat(
            prompt,
            answer,
            identity=identity,
            tools=tools,
            reference=row.get("reference"),
            group=str(group) if group is not None else None,
            info=info,
        )
        return
    raw = request.get("messages")
    prompt = normal_messages(raw, "messages") if isinstance(raw, list) else []
    if identity is None:
        identity = hash_of(prompt) if prompt else _response(row).get("id")
    for index, choice in enumerate(choices):
        message = choice.get("message") if isinstance(choice, Mapping) else None
        if not isinstance(message, Mapping):
            raise BadRow(f"choices[{index}] has no message, got {choice!r:.60}")
        answer = normal_messages([{"role": "assistant", **message}], f"choices[{index}].message")
        finished = choice.get("finish_reason")
        details = {**info, "finish_reason": finished, "model": _response(row).get("model", request.get("model"))}
        yield chat(
            prompt,
            answer,
            identity=identity,
            tools=tools,
            reference=row.get("reference"),
            group=f"{identity}" if len(choices) > 1 else None,
            info=details,
            terminated=finished != "length",
            truncated=finished == "length",
        )


def _split(messages: list[Message]) -> tuple[list[Message], list[Message]]:
    """The prompt ends where the first assistant message begins."""
    for position, message in enumerate(messages):
        if message["role"] == "assistant":
            return messages[:position], messages[position:]
    return messages, []


def _request(row: Row) -> Mapping[str, Any]:
    for name in ("request", "body"):
        value = row.get(name)
        if isinstance(value, Mapping):
            inner = value.get("body")
            return inner if isinstance(inner, Mapping) else value
    return row


def _response(row: Row) -> Mapping[str, Any]:
    response = row.get("response", row)
    if isinstance(response, Mapping) and isinstance(response.get("body"), Mapping):
        response = response["body"]
    return response if isinstance(response, Mapping) else {}


def _choices(row: Row) -> list[Any] | None:
    choices = _response(row).get("choices")
    return choices if isinstance(choices, list) and choices else None


def _tools(request: Mapping[str, Any]) -> Any:
    tools = request.get("tools")
    if tools is None and isinstance(request.get("functions"), list):
        return [{"type": "function", "function": function} for function in request["functions"]]
    return tools
