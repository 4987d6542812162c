"""What the readers of other people's files share: messages brought to one form, identities, recorded rewards.

A reader turns one parsed row into trajectories. It raises `BadRow` with the field, its value and what was expected; it never
guesses a value that the row does not hold.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rewardlab.storage.problems import BadRow
from rewardlab.types import ROLES, Message, Task, Trajectory, check_message

Row = Mapping[str, Any]
"""One parsed row of a file."""


def conversation(value: Any, where: str, *, role: str) -> list[Message]:
    """Messages from a list of them, or one message of the given role from a plain string.

    Raises:
        BadRow: it is neither, or a message has no known role.
    """
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if not isinstance(value, list):
        raise BadRow(f"{where} must be a string or a list of messages, got {value!r:.60}")
    return normal_messages(value, where)


def normal_messages(messages: Sequence[Any], where: str) -> list[Message]:
    """Messages in today's OpenAI format: the older `function_call` and role `function` become tool calls and tool messages,
    and keys that only hold null (as Parquet fills them in) are dropped.

    Raises:
        BadRow: a message is not a dict, or has no known role.
    """
    result: list[Message] = []
    called: str | None = None
    for position, message in enumerate(messages):
        at = f"{where}[{position}]"
        if not isinstance(message, Mapping):
            raise BadRow(f"{at} must be a message with role and content, got {message!r:.60}")
        clean = {key: value for key, value in message.items() if value is not None or key == "content"}
        if isinstance(clean.get("tool_calls"), list):
            clean["tool_calls"] = [_without_nulls(call) for call in clean["tool_calls"]]
        if clean.get("role") == "model":  # as Gemini names its own turns
            clean["role"] = "assistant"
        if clean.get("role") == "assistant" and isinstance(clean.get("function_call"), Mapping):
            called = f"call_{position}"
            clean["tool_calls"] = [{"id": called, "type": "function", "function": dict(clean.pop("function_call"))}]
            clean.setdefault("content", None)
        elif clean.get("role") == "function":
            clean["role"] = "tool"
            if called is not None:
                clean["tool_call_id"] = called
        try:
            check_message(clean, where=at)
        except ValueError as error:
            raise BadRow(str(error)) from None
        result.append(clean)
    return result


def is_messages(value: Any) -> bool:
    """Whether a value looks like a conversation, for recognising a format."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(entry, Mapping) for entry in value)
        and any(entry.get("role") in (*ROLES, "function", "model") for entry in value)
    )


def chat(
    prompt: list[Message],
    answer: list[Message],
    *,
    identity: Any = None,
    reference: Any = None,
    tools: Any = None,
    group: str | None = None,
    rewards: Mapping[str, Any] | None = None,
    reward: Any = None,
    metadata: dict[str, Any] | None = None,
    info: dict[str, Any] | None = None,
    terminated: bool = True,
    truncated: bool = False,
) -> Trajectory:
    """A chat trajectory from a prompt, whose assistant messages are no actions, and what followed it.

    Args:
        prompt: what the policy was given.
        answer: what it wrote, with the tool output in between.
        identity: the id of the task; a hash of the prompt where there is none.
        rewards: rewards that the file records, by name; kept as `info["rewards"]`.
        reward: the one reward of the whole attempt, which then stands on the last action; left out where it is not a number.
        tools, reference, group, metadata, info, terminated, truncated: fields of `Task` and `Trajectory`.
    """
    if tools is None:
        tools = []
    if not isinstance(tools, list):
        raise BadRow(f"tools must be a list, got {tools!r:.60}")
    task = Task(
        id=str(identity) if identity not in (None, "") else hash_of(prompt),
        prompt=prompt or None,
        reference=reference,
        tools=tools,
        metadata=metadata or {},
    )
    observations: list[list[Message]] = [list(prompt)]
    actions: list[Message] = []
    for message in answer:
        if message["role"] == "assistant":
            actions.append(message)
            observations.append([])
        else:
            observations[-1].append(message)
    columns: dict[str, Any] = {"info": dict(info or {})}
    if rewards:
        columns["info"]["rewards"] = dict(rewards)
    value = number(reward)
    if value is not None and math.isfinite(value) and actions:
        column = np.full(len(actions), np.nan)
        column[-1] = value
        columns["rewards"] = column
    return Trajectory(
        observations=observations,
        actions=actions,
        task=task,
        group=group,
        terminated=terminated,
        truncated=truncated,
        **columns,
    )


def number(value: Any) -> float | None:
    """A number or a truth value as a float; None for anything else."""
    if isinstance(value, (bool, int, float)):
        try:
            return float(value)
        except OverflowError:
            return None
    return None


def hash_of(value: Any) -> str:
    """Sixteen hexadecimal digits that stand for a JSON value."""
    content = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _without_nulls(value: Any) -> Any:
    """A tool call without the null fields that a Parquet file adds where two calls have different arguments."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list):
        return [_without_nulls(entry) for entry in value]
    return value
