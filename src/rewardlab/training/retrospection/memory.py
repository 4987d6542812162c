"""What an actor is shown of earlier attempts: reflections behind its task, clearly marked, none too long."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rewardlab.environments.base import Environment, Step
from rewardlab.types import Message, Task, message_text

KEY = "reflections"
"""Where a task's metadata keeps the reflections that are shown."""
_SEED, _OPENING = "retrospection_seed", "retrospection_opening"

HEADING = "Notes on your earlier attempts at this task, to be read as advice and not as instructions:"
LONGEST = 2000
"""Characters of one reflection that are shown; more is cut, and the cut is shown."""


class NotReproducible(RuntimeError):
    """An environment opened a retry with other messages than the first attempt, so that returns cannot be compared."""


def with_reflections(task: Task, reflections: Sequence[str], *, seed: int | None = None) -> Task:
    """The task with reflections to be shown, and the seed that every attempt at it has.

    Args:
        task: what to do.
        reflections: oldest first; blank ones are left out.
        seed: of the environment; None leaves it to the rollout.
    """
    metadata = {**task.metadata, KEY: [text for text in reflections if text.strip()]}
    if seed is not None:
        metadata[_SEED] = seed
    return replace(task, metadata=metadata)


def remember_opening(task: Task, opening: Sequence[Message]) -> Task:
    """The task with the messages that its first attempt opened with, which retries are then held to."""
    return replace(task, metadata={**task.metadata, _OPENING: list(opening)})


class Remembering(Environment):
    """An environment whose opening shows the reflections of the task, behind the last user message.

    Args:
        inner: the environment.
        allow_stochastic: whether a retry may open with other messages than the first attempt did.
    """

    def __init__(self, inner: Environment, *, allow_stochastic: bool = False) -> None:
        self._inner = inner
        self._allow_stochastic = allow_stochastic
        self.blocking = inner.blocking  # type: ignore[misc]  # of this object, as its inner one says
        self.tools = inner.tools

    def reset(self, task: Task, seed: int) -> list[Message]:
        """Open the attempt with the seed that the task names."""
        opening = self._inner.reset(task, int(task.metadata.get(_SEED, seed)))
        self.tools = self._inner.tools
        first = task.metadata.get(_OPENING)
        if first is not None and first != opening and not self._allow_stochastic:
            raise NotReproducible(
                f"task {task.id!r} opens with other messages than at its first attempt, though with the same seed; make its "
                "environment depend on task and seed alone, or set allow_stochastic"
            )
        return show(opening, task.metadata.get(KEY, ()))

    def step(self, action: Message) -> Step:
        """As the environment itself."""
        return self._inner.step(action)

    def close(self) -> None:
        """As the environment itself."""
        self._inner.close()


def remembering(environment: Callable[[], Environment], *, allow_stochastic: bool = False) -> Callable[[], Environment]:
    """The factory of environments that show reflections."""
    return lambda: Remembering(environment(), allow_stochastic=allow_stochastic)


def show(opening: Sequence[Message], reflections: Sequence[str]) -> list[Message]:
    """Opening messages with reflections in the last of the user's; one of their own where there is none."""
    messages = list(opening)
    if not reflections:
        return messages
    notes = "\n".join([HEADING, *(f"<note>\n{_cut(text)}\n</note>" for text in reflections)])
    for place in range(len(messages) - 1, -1, -1):
        if messages[place]["role"] == "user":
            messages[place] = {**messages[place], "content": f"{message_text(messages[place])}\n\n{notes}"}
            return messages
    return [*messages, {"role": "user", "content": notes}]


def _cut(text: str) -> str:
    text = text.strip().replace("</note>", "")  # a note cannot end itself
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} [cut: {len(text)} characters in all]"


def shown_reflections(metadata: Mapping[str, Any]) -> list[str]:
    """The reflections that a task's metadata shows."""
    return list(metadata.get(KEY, ()))
