"""A trajectory as one JSON object, and back: the schema of rewardlab's own files.

A chat is stored as one flat list `messages` in the OpenAI format, so that other tools can read it; `action_positions` says
which of them the policy wrote. Arrays (control) are stored as `observations` and `actions`. A prompt that the conversation
begins with is stored once, as `prompt_length`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rewardlab.storage.encoding import Unwritable, decode, encode, encode_array
from rewardlab.storage.problems import BadRow
from rewardlab.types import Task, Tokens, Trajectory

_NUMBERS = frozenset((float, int))
_NUMBERS_AND_NULL = _NUMBERS | {type(None)}

SCHEMA = "rewardlab.trajectory/1"
"""Name and version of the layout; a reader refuses a version that it does not know."""


def to_record(trajectory: Trajectory) -> dict[str, Any]:
    """A trajectory as an object of strict JSON values.

    Raises:
        Unwritable: it holds something that JSON cannot; the message names the keys that lead there.
    """
    record: dict[str, Any] = {"schema": SCHEMA}
    flat = flat_messages(trajectory)
    record["task"] = (
        None if trajectory.task is None else _task_record(trajectory.task, None if flat is None else flat[0])
    )
    record["group"] = encode(trajectory.group)
    if flat is None:
        record["observations"] = encode_at("observations", trajectory.observations)
        record["actions"] = encode_at("actions", trajectory.actions)
    else:
        record["messages"] = encode_at("messages", flat[0])
        record["action_positions"] = flat[1]
    record["rewards"] = _write_numbers(trajectory.rewards)
    record["terminated"] = bool(trajectory.terminated)
    record["truncated"] = bool(trajectory.truncated)
    if trajectory.tokens is not None:
        tokens = trajectory.tokens
        record["tokens"] = {
            "ids": encode_array(_narrow(tokens.ids)),
            "step": encode_array(_narrow(tokens.step)),
            "logprobs": encode_array(tokens.logprobs),
        }
    if trajectory.seconds is not None:
        record["seconds"] = _write_numbers(trajectory.seconds)
    record["info"] = encode_at("info", trajectory.info)
    return record


def from_record(record: Mapping[str, Any], *, tagged: bool = True) -> Trajectory:
    """Undo `to_record`.

    Args:
        record: a parsed line.
        tagged: whether tagged values may stand in it; False where the text is known to hold none, which saves a walk.

    Raises:
        BadRow: a field is missing or has the wrong type; the message names it, its value and what was expected.
        ValueError: the fields do not make up a trajectory.
    """
    schema = record.get("schema")
    if schema != SCHEMA:
        raise BadRow(f"schema is {schema!r:.60}, expected {SCHEMA!r}; a newer rewardlab may have written this file")
    # one flat walk when needed; a `prompt_length` and `action_positions` are plain either way
    fields = {key: decode(value) for key, value in record.items()} if tagged else record
    columns: dict[str, Any] = {
        "rewards": read_numbers(fields, "rewards"),
        "seconds": read_numbers(fields, "seconds"),
        "terminated": _expect(fields, "terminated", bool, False),
        "truncated": _expect(fields, "truncated", bool, False),
        "group": _expect(fields, "group", str, None),
        "info": _expect(fields, "info", dict, None) or {},
        "tokens": _read_tokens(fields.get("tokens")),
    }
    messages = _expect(fields, "messages", list, None)
    columns["task"] = _read_task(fields.get("task"), messages)
    if messages is not None:
        observations, actions = split_messages(messages, _expect(fields, "action_positions", list, None))
        return Trajectory(observations=observations, actions=actions, **columns)
    for name in ("observations", "actions"):
        allowed = (
            (list, np.ndarray, dict) if name == "observations" else (list, np.ndarray)
        )  # a dict: one array for each key
        if not isinstance(fields.get(name), allowed):
            raise BadRow(
                f"{name!r} must be a list or an array, got {fields.get(name)!r:.60}; or give 'messages' for a chat"
            )
    return Trajectory(observations=fields["observations"], actions=fields["actions"], **columns)


def flat_messages(trajectory: Trajectory) -> tuple[list[Any], list[int]] | None:
    """A chat as one list and the positions of the actions in it; None for arrays and whatever else is no list of dicts."""
    observations, actions = trajectory.observations, trajectory.actions
    if isinstance(actions, np.ndarray) or isinstance(observations, (np.ndarray, Mapping)):
        return None
    if not isinstance(observations[0], list):
        return None
    flat: list[Any] = []
    positions: list[int] = []
    for step, arrived in enumerate(observations):
        if not isinstance(arrived, list):
            return None
        flat += arrived
        if step < len(actions):
            positions.append(len(flat))
            flat.append(actions[step])
    for message in flat:
        if not isinstance(message, dict):
            return None
    return flat, positions


def split_messages(messages: list[Any], positions: list[Any] | None) -> tuple[list[list[Any]], list[Any]]:
    """Undo `flat_messages`.

    Raises:
        BadRow: the positions do not rise, or point outside the conversation.
    """
    if positions is None:
        raise BadRow("'action_positions' is missing: the positions in 'messages' of what the policy wrote")
    observations: list[list[Any]] = []
    actions: list[Any] = []
    start = 0
    for position in positions:
        if type(position) is not int or not start <= position < len(messages):
            raise BadRow(
                f"'action_positions' must rise and stay below {len(messages)}, the number of messages, got {positions!r:.80}"
            )
        observations.append(messages[start:position])
        actions.append(messages[position])
        start = position + 1
    observations.append(messages[start:])
    for index, message in enumerate(messages):
        if type(message) is not dict:
            raise BadRow(f"messages[{index}] must be a dict with role and content, got {message!r:.60}")
    return observations, actions


def encode_at(name: str, value: Any) -> Any:
    """Encode one field; an error says which field it was."""
    try:
        return encode(value)
    except Unwritable as error:
        raise error.under(name) from None


def read_numbers(fields: Mapping[str, Any], name: str) -> np.ndarray | None:
    """A list of numbers in which null stands for NaN, as float64[step]; None where the field is missing.

    Raises:
        BadRow: it is something else.
    """
    values = fields.get(name)
    if values is None:
        return None
    if type(values) is list:
        kinds = set(map(type, values))
        if kinds <= _NUMBERS:
            return np.array(values, dtype=np.float64)
        if kinds <= _NUMBERS_AND_NULL:
            return np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    elif isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        return values.astype(np.float64)
    raise BadRow(f"{name!r} must be a list of numbers, with null where there is none, got {values!r:.80}")


def _write_numbers(values: np.ndarray) -> list[Any]:
    numbers = values.tolist()
    if math.isfinite(sum(numbers)):  # no NaN and no infinity among them
        return numbers
    return [None if value != value else encode(value) for value in numbers]


def _task_record(task: Task, messages: list[Any] | None) -> dict[str, Any]:
    record: dict[str, Any] = {"id": encode(task.id)}
    prompt = task.prompt
    if prompt and messages is not None and _identical(prompt, messages[: len(prompt)]):
        record["prompt_length"] = len(prompt)
    else:
        record["prompt"] = encode_at("task.prompt", prompt)
    record["reference"] = encode_at("task.reference", task.reference)
    record["tools"] = encode_at("task.tools", task.tools)
    record["metadata"] = encode_at("task.metadata", task.metadata)
    return record


def _read_task(record: Any, messages: list[Any] | None) -> Task | None:
    if record is None:
        return None
    if not isinstance(record, dict):
        raise BadRow(f"'task' must be an object, got {record!r:.60}")
    length = record.get("prompt_length")
    if length is None:
        prompt = _expect(record, "prompt", list, None)
    elif messages is None or type(length) is not int or not 0 <= length <= len(messages):
        raise BadRow(f"'task.prompt_length' must be at most the number of messages, got {length!r:.40}")
    else:
        prompt = messages[:length]
    return Task(
        id=record.get("id"),  # type: ignore[arg-type]  # Task itself says what is wrong with it
        prompt=prompt,
        reference=record.get("reference"),
        tools=_expect(record, "tools", list, None) or [],
        metadata=_expect(record, "metadata", dict, None) or {},
    )


def _read_tokens(record: Any) -> Tokens | None:
    if record is None:
        return None
    if not isinstance(record, dict) or not record.keys() >= {"ids", "step", "logprobs"}:
        raise BadRow(f"'tokens' must hold ids, step and logprobs, got {record!r:.80}")
    columns = {}
    for name, kinds in (("ids", "iu"), ("step", "i"), ("logprobs", "fi")):
        column = np.asarray(record[name])
        if column.size and column.dtype.kind not in kinds:
            raise BadRow(f"'tokens.{name}' must be a list or an array of numbers, got {record[name]!r:.80}")
        columns[name] = column
    return Tokens(**columns)


def _narrow(integers: np.ndarray) -> np.ndarray:
    """The same integers in the smallest of int8, int16, int32 and int64 that holds them; `Tokens` widens them again."""
    if not integers.size:
        return integers.astype(np.int8)
    low, high = int(integers.min()), int(integers.max())
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return integers.astype(kind)
    return integers


def _expect(fields: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        expected = {bool: "true or false", str: "a string", list: "a list", dict: "an object"}[kind]
        raise BadRow(f"{name!r} must be {expected}, got {value!r:.60}")
    return value


def _identical(left: Any, right: Any) -> bool:
    """Equality that also tells 1, 1.0 and True apart, so that nothing is lost by storing only one of the two."""
    if left is right:
        return True
    kind = type(left)
    if kind is not type(right):
        return False
    if kind is dict:
        return (
            len(left) == len(right)
            and list(left) == list(right)
            and all(_identical(left[key], right[key]) for key in left)
        )
    if kind is list or kind is tuple:
        return len(left) == len(right) and all(map(_identical, left, right))
    if kind is str or kind is int or kind is bool:
        return bool(left == right)
    return False  # floats (0.0 and -0.0), arrays and the rest: stored twice rather than compared with care
