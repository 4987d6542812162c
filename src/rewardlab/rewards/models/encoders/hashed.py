"""Steps of a chat as counts of hashed words: no weights, no vocabulary, and thousands of steps a second.

What a small amount of real data can teach is often no more than which words and tools go with success. This encoder is for
that, and the baseline that anything larger has to beat.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from rewardlab.rewards.models.base import Batch, Encoded
from rewardlab.rewards.models.encoders.arrays import StepEncoder, pooled
from rewardlab.types import Message, Trajectory, message_text

_WORD = re.compile(r"[a-z]+|\d")
_TROUBLE = re.compile(r"\b(error|invalid|not found|cannot|failed|nothing happen)", re.IGNORECASE)


class HashedTextEncoder(StepEncoder):
    """Words and tool calls of every step, and of what came just before it, hashed into a fixed number of places.

    A step's features are those of its own message (words, tool names, names of arguments) and of what arrived before it
    (words, whether it reads like an error), each scaled to length 1. Nobody's name and no number of the step is among them.

    Args:
        places: how many a message's words are hashed into.
        history: whether the mean over all earlier steps stands beside a step's own features.
        after: whether what came back for the action is read too: the answer of a tool says much about the call.

    Raises:
        ValueError: `places` is not positive.
    """

    kind = "rewardlab.rewards.models.encoders.hashed:HashedTextEncoder"
    frozen = True

    def __init__(self, places: int = 1024, *, history: bool = False, after: bool = False) -> None:
        super().__init__()
        if places < 1:
            raise ValueError(f"places must be at least 1, got {places}")
        self._options = {"places": places, "history": history, "after": after}
        self.places, self.history, self.after = places, history, after
        self.width = (3 if after else 2) * places * (2 if history else 1)

    def prepare(self, trajectories: Sequence[Trajectory]) -> list[Any]:
        """One float32[step, width] array for each trajectory."""
        return [self._steps(one, index) for index, one in enumerate(trajectories)]

    def forward(self, batch: Batch) -> Encoded:
        """The counts of each step, and their mean."""
        steps, mask = batch["inputs"], batch["mask"]
        return Encoded(response=pooled(steps, mask, "mean"), steps=steps, step_mask=mask)

    def _steps(self, trajectory: Trajectory, index: int) -> np.ndarray:
        if not trajectory.is_chat or not len(trajectory):
            raise ValueError(f"trajectory {index} is not a chat with an action; words are read from messages")
        rows = np.zeros((len(trajectory), (3 if self.after else 2) * self.places), dtype=np.float32)
        for step, action in enumerate(trajectory.actions):
            self._count(rows[step, : self.places], [action], "said")
            arrived = trajectory.observations[step]
            # of the opening only the last message: instructions are the same for all
            self._count(rows[step, self.places : 2 * self.places], arrived if step else arrived[-1:], "heard")
            if self.after:
                self._count(rows[step, 2 * self.places :], trajectory.observations[step + 1], "answer")
        if not self.history:
            return rows
        earlier = np.zeros_like(rows)
        earlier[1:] = np.cumsum(rows, axis=0)[:-1] / np.arange(1, len(rows))[:, None]
        return np.concatenate([rows, earlier], axis=1)

    def _count(self, row: np.ndarray, messages: Sequence[Message], what: str) -> None:
        for message in messages:
            text = message_text(message)
            for word in _WORD.findall(text.lower()):
                row[zlib.crc32(word.encode()) % self.places] += 1.0
            if what != "said" and _TROUBLE.search(text):
                row[zlib.crc32(b"?trouble") % self.places] += 3.0
            for call in message.get("tool_calls") or ():
                function = call.get("function", call) if isinstance(call, dict) else {}
                for word in (f"?call {function.get('name')}", *_WORD.findall(str(function.get("arguments")).lower())):
                    row[zlib.crc32(word.encode()) % self.places] += 1.0
        length = float(np.linalg.norm(row))
        if length > 0:
            row /= length
