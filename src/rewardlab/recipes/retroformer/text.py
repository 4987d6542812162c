"""The same tasks as text, so that they go through `Retrospective` and the stages of training as any others do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rewardlab.environments.base import Environment, Step
from rewardlab.policies.engines.base import Engine, Sampling
from rewardlab.policies.speaking import Conversation, Utterance
from rewardlab.recipes.retroformer.world import ACTIONS, SLOTS, World
from rewardlab.rewards.functions import reward
from rewardlab.types import Message, Task, message_text

_WORDS = re.compile(r"slot (\d) do (\d)")


def reflection_text(slot: int, action: int) -> str:
    """A reflection in words."""
    return f"slot {slot} do {action}"


class Slots(Environment):
    """A message of five digits is the attempt; the answer says what each slot shows."""

    def reset(self, task: Task, seed: int) -> list[Message]:
        """Show the task."""
        self._task = task
        return list(task.prompt or [])

    def step(self, action: Message) -> Step:
        """Show the codes, and end."""
        digits = [int(digit) for digit in re.findall(r"\d", message_text(action))][:SLOTS]
        right = self._task.reference["right"]
        share = sum(one == other for one, other in zip(digits, right, strict=False)) / SLOTS
        table = self._task.reference["table"]
        codes = [table[one % ACTIONS][other] for one, other in zip(digits, right, strict=False)]
        shown = {"role": "user", "content": f"codes {' '.join(map(str, codes))}"}
        return Step(observation=[shown], terminated=True, info={"share": share})


@reward
def share_right(info: dict[str, Any]) -> float:
    """The return: share of slots that are right."""
    return float(info["share"])


def slot_tasks(world: World, count: int, stream: int = 0) -> list[Task]:
    """Tasks as text. What the actor does by habit stands in the prompt, since it remembers nothing."""
    first = world.first(count, stream)
    return [
        Task(
            id=f"slots/{world.seed}/{stream}/{place}",
            prompt=[{"role": "user", "content": _asked(int(first.kind[place]), first.taken[place].tolist())}],
            reference={"right": first.right[place].tolist(), "table": world.table.tolist()},
        )
        for place in range(count)
    ]


def _asked(kind: int, habit: Sequence[int]) -> str:
    return f"type {kind} habit {' '.join(map(str, habit))}"


class SlotActor:
    """Does what it always does, but for what the notes in its prompt say. It cannot be trained."""

    def speaker(self, sampling: Sampling, most_tokens: int | None, engine: Engine | None = None) -> Any:
        """What writes its messages."""
        return _Speaker()


class _Speaker:
    """Speaks without tokens."""

    keeps_tokens = False

    def open(self, conversation: Conversation) -> None:
        """Nothing to prepare."""

    def room(self, conversation: Conversation) -> int | None:
        """No limit."""
        return None

    def speak(self, conversations: Sequence[Conversation]) -> list[Utterance]:
        """The habit, with all notes obeyed in their order."""
        found = []
        for one in conversations:
            text = message_text(one.messages[0])
            habit = [int(digit) for digit in re.findall(r"habit ([\d ]+)", text)[0].split()]
            for slot, action in _WORDS.findall(text.partition("Notes")[2]):
                if int(slot) < SLOTS:
                    habit[int(slot)] = int(action)
            message = {"role": "assistant", "content": " ".join(map(str, habit))}
            one.messages.append(message)
            found.append(Utterance(message=message, text=message["content"]))
        return found

    def hear(self, conversation: Conversation, arrived: Sequence[Message]) -> None:
        """Keep what arrived."""
        conversation.messages.extend(arrived)

    def close(self, conversations: Sequence[Conversation]) -> None:
        """Nothing to let go of."""
