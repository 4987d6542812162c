"""NeMo Gym rollouts: a request in the form of OpenAI's Responses API, the items of the response, and a reward.

    {"responses_create_params": {"input": [...], "tools": [...]}, "response": {"output": [...]}, "reward": 1.0, ...}

The shorter keys `request` and `response: [...]` are read as well. Items become chat messages: a run of function calls, with
the message before it, is one action; a function's output is a tool message; reasoning is kept as `reasoning_content` of the
action that follows it. Whatever stands in the request's input, even assistant items, is prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rewardlab.storage.foreign import Row, chat, hash_of, number
from rewardlab.storage.problems import BadRow
from rewardlab.types import Message, Trajectory, check_message

LAYOUT = '{"responses_create_params" (or "request"): {"input": ...}, "response": {"output": [...]}, "reward": number}'
"""What a row looks like, for messages."""

_REFERENCE_KEYS = ("expected_answer", "ground_truth", "reference_solution", "answer")
_TAKEN = frozenset(("responses_create_params", "request", "response", "reward", "reward_components", "extra"))


def recognises(row: Row) -> bool:
    """Whether a row is a NeMo Gym rollout."""
    request = _request(row)
    return isinstance(request, Mapping) and "input" in request and _output(row) is not None


def trajectories(row: Row, source: str, line: int) -> Iterator[Trajectory]:
    """Read one row."""
    request, output = _request(row), _output(row)
    if not isinstance(request, Mapping) or output is None:
        raise BadRow(f"expected {LAYOUT}, got the fields {', '.join(map(str, row))}")
    prompt = _prompt(request)
    reward = row.get("reward")
    if reward is not None and number(reward) is None:
        raise BadRow(f"'reward' must be a number or null, got {reward!r:.60}")
    extra = row["extra"] if isinstance(row.get("extra"), Mapping) else {}
    info = {**{key: value for key, value in row.items() if key not in _TAKEN}, **extra}
    rewards = {"reward": number(reward)}
    components = row.get("reward_components")
    if isinstance(components, Mapping):
        rewards.update({str(key): number(value) for key, value in components.items()})
    index = info.get("_ng_task_index")
    identity = hash_of(prompt)
    # the position in a file tells tasks apart only together with that file: other environments number theirs alike
    group = None if index is None else f"{info.get('environment', '')}/{info.get('file', '')}/{index}"
    truncated = info.get("truncated") is True
    yield chat(
        prompt,
        messages_from_items(output, "response"),
        identity=identity,
        tools=[_tool(tool) for tool in request.get("tools") or () if isinstance(tool, Mapping)],
        reference=next((info[key] for key in _REFERENCE_KEYS if info.get(key) is not None), None),
        group=group,
        rewards=rewards,
        reward=reward,
        info=info,
        terminated=not truncated,
        truncated=truncated,
    )


def messages_from_items(items: list[Any], where: str) -> list[Message]:
    """Items of the Responses API as chat messages.

    Raises:
        BadRow: an item is not an object, or a message has no known role.
    """
    messages: list[Message] = []
    current: Message | None = None  # the action that is being put together
    for position, item in enumerate(items):
        at = f"{where}[{position}]"
        if not isinstance(item, Mapping):
            raise BadRow(f"{at} must be an object, got {item!r:.60}")
        kind = item.get("type", "message")
        if kind == "function_call_output" or (kind == "message" and item.get("role") != "assistant"):
            current = None
            messages.append(_arrived(item, at))
            continue
        begun = current is not None and (current["content"] is not None or "tool_calls" in current)
        if current is None or (begun and kind in ("message", "reasoning")):
            current = {"role": "assistant", "content": None}
            messages.append(current)
        if kind == "message":
            current["content"] = _content(item.get("content"), at)
        elif kind == "reasoning":
            if text := _reasoning(item):  # a service may keep the text to itself
                current["reasoning_content"] = text
        elif kind == "function_call":
            call = {"name": item.get("name"), "arguments": item.get("arguments")}
            current.setdefault("tool_calls", []).append(
                {"id": item.get("call_id"), "type": "function", "function": call}
            )
        else:  # a built-in tool of the service, such as web_search_call: kept as it is
            current.setdefault("items", []).append(dict(item))
    for position, message in enumerate(messages):
        try:
            check_message(message, where=f"{where}, message {position}")
        except ValueError as error:
            raise BadRow(str(error)) from None
    return messages


def _request(row: Row) -> Any:
    return row.get("responses_create_params", row.get("request"))


def _output(row: Row) -> list[Any] | None:
    response = row.get("response")
    if isinstance(response, Mapping):
        response = response.get("output")
    return response if isinstance(response, list) else None


def _prompt(request: Mapping[str, Any]) -> list[Message]:
    given = request.get("input")
    if isinstance(given, str):
        messages: list[Message] = [{"role": "user", "content": given}]
    elif isinstance(given, list):
        messages = messages_from_items(given, "input")
    else:
        raise BadRow(f"'input' must be a string or a list of items, got {given!r:.60}")
    if isinstance(request.get("instructions"), str):
        messages.insert(0, {"role": "system", "content": request["instructions"]})
    return messages


def _arrived(item: Mapping[str, Any], where: str) -> Message:
    if item.get("type") == "function_call_output":
        output = item.get("output")
        content = output if isinstance(output, str) else _content(output, where)
        return {"role": "tool", "tool_call_id": item.get("call_id"), "content": content}
    return {"role": item.get("role"), "content": _content(item.get("content"), where)}


def _content(content: Any, where: str) -> Any:
    """Text, or a list of parts in the chat format; a list that holds nothing but text becomes that text."""
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadRow(f"{where} has content of type {type(content).__name__}, expected a string or a list of parts")
    parts: list[Any] = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind in ("output_text", "input_text", "text") and isinstance(part.get("text"), str):
            parts.append({"type": "text", "text": part["text"]})
        elif kind == "refusal" and isinstance(part.get("refusal"), str):
            parts.append({"type": "text", "text": part["refusal"]})
        elif kind == "input_image":
            image = {"url": part.get("image_url"), "detail": part.get("detail") or "auto"}
            parts.append({"type": "image_url", "image_url": image})
        else:
            parts.append(part)
    if parts and all(isinstance(part, Mapping) and part.get("type") == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts or ""


def _reasoning(item: Mapping[str, Any]) -> str:
    parts = [part for name in ("content", "summary") if isinstance(item.get(name), list) for part in item[name]]
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return "".join(text for text in texts if isinstance(text, str))


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool.get("type") == "function" and "function" not in tool:
        return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}
    return dict(tool)
