"""One question, one answer: the environment of tasks whose prompt is everything that the policy gets to see."""

from __future__ import annotations

from rewardlab.environments.base import Environment, Step
from rewardlab.types import Message, Task


class SingleTurn(Environment):
    """Shows the prompt of a task and ends with the first reply, whatever it is."""

    def __init__(self) -> None:
        self._waiting = False

    def reset(self, task: Task, seed: int) -> list[Message]:
        """Show the prompt; `seed` plays no part, as nothing here is left to chance."""
        if not task.prompt:
            raise ValueError(
                f"task {task.id!r} has no prompt, and SingleTurn shows nothing else; "
                'give it prompt=[{"role": "user", "content": ...}]'
            )
        self._waiting = True
        return list(task.prompt)

    def step(self, action: Message) -> Step:
        """End the attempt."""
        if not self._waiting:
            raise RuntimeError(
                "the attempt has ended (SingleTurn takes one reply), or was never begun; call reset first"
            )
        self._waiting = False
        return Step(terminated=True)
