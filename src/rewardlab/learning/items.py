"""Items: the trajectories that judgements are about, each kept once, and what tells one prompt from another.

A response that is compared ten times is one item. Two chats are the same item when all their messages are; arrays in them
(images) count with every number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.types import Task, Trajectory, message_text


class Items:
    """A list of trajectories in which equal chats stand once.

    Attributes:
        found: the trajectories, in the order in which they came.
    """

    def __init__(self) -> None:
        self.found: list[Trajectory] = []
        self._places: dict[Any, int] = {}
        self._kept: list[Any] = []  # so that an identity in `_places` is never given to another object

    def place(self, thing: Any) -> int:
        """The position of something that `as_trajectory` reads, which is added when it is new.

        Chats are the same when their messages are; of anything else, only the very same object is.

        Raises:
            ValueError: it cannot become a trajectory.
        """
        item = as_trajectory(thing)
        key = content_hash(item.messages) if item.is_chat else id(thing)
        if key not in self._places:
            self._places[key] = len(self.found)
            self.found.append(item)
            self._kept.append(thing)
        return self._places[key]


def as_trajectory(thing: Any, *, prompt: str | None = None) -> Trajectory:
    """What stands in a preference as a trajectory: one already, a text, messages, or an array.

    Args:
        thing: a `Trajectory`; a text (the answer to `prompt`); a list of chat messages; or an array, which becomes a
            trajectory of one observation and no action.
        prompt: what a text answers.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(thing, Trajectory):
        return thing
    if isinstance(thing, str):
        return Trajectory.from_text(prompt or "", thing)
    if isinstance(thing, list) and thing and isinstance(thing[0], dict):
        last = len(thing) - 1
        task = Task(id=content_hash(thing[:last]), prompt=thing[:last])
        return Trajectory.from_messages(thing, task=task, terminated=True)
    vector = thing if isinstance(thing, np.ndarray) else _as_array(thing)
    if vector is None or not vector.ndim or vector.dtype.kind not in "fiub":
        raise ValueError(f"expected a trajectory, a text, chat messages or an array, got {thing!r:.80}")
    vector = vector.astype(np.float32)
    return Trajectory(observations=vector[None], actions=np.zeros((0,), dtype=np.float32))


def has_prompt(item: Trajectory) -> bool:
    """Whether an item answers something that is known: opening messages of a chat, or a task of anything else."""
    if not item.is_chat:
        return item.task is not None
    return any(
        message["content"] if isinstance(message.get("content"), list) else message_text(message).strip()
        for message in item.observations[0]
    )


def prompt_key(item: Trajectory) -> str:
    """What identifies the prompt of an item: the opening messages of a chat, the task of anything else."""
    if item.is_chat:
        return content_hash(item.observations[0])
    if item.task is not None:
        return item.task.id
    return content_hash([np.asarray(item.observations[0]).tobytes().hex()])


def content_hash(content: Sequence[Any]) -> str:
    """Sixteen hexadecimal digits that stand for messages or other JSON values; arrays count with all their numbers."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=_told)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _told(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}{hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()}"
    return str(value)


def _as_array(thing: Any) -> NDArray[Any] | None:
    try:
        return np.asarray(thing)
    except (TypeError, ValueError):
        return None
