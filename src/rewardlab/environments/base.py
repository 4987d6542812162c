"""What an environment is: something that answers an agent's messages, one attempt at a time.

The contract is two methods. An environment says what happened and not how good it was: scoring is the reward's work, so
`Step.reward` is NaN unless the world itself pays (a game's points, say).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from rewardlab.types import Message, Task, Trajectory

Split = Literal["train", "test"]
"""The two task sets of an embedded world; they never share a question."""


@dataclass(slots=True, kw_only=True)
class Step:
    """What came back for one action.

    Args:
        observation: the messages that arrived (tool output, a user's reply); empty when nothing did.
        reward: what the environment itself paid for the action; NaN where it pays nothing.
        terminated: the environment ended the attempt (a final answer was given, the game is over).
        truncated: a limit of the environment ended it.
        info: anything else worth keeping with the trajectory; JSON values.
    """

    observation: list[Message] = field(default_factory=list)
    reward: float = float("nan")
    terminated: bool = False
    truncated: bool = False
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether no further action is expected."""
        return self.terminated or self.truncated


class Environment(ABC):
    """Where an agent acts. One object serves one attempt at a time; rollouts take a *factory* and make as many as they need.

    Subclasses define `reset` and `step`. A guessing game, complete:

        class Guess(Environment):
            def reset(self, task: Task, seed: int) -> list[Message]:
                self.secret = random.Random(seed).randint(1, 100)
                return list(task.prompt)

            def step(self, action: Message) -> Step:
                text = message_text(action).strip()
                if not text.isdecimal():
                    return Step(observation=[{"role": "user", "content": "Write one whole number."}])
                if int(text) == self.secret:
                    return Step(terminated=True, info={"found": True})
                hint = "higher" if int(text) < self.secret else "lower"
                return Step(observation=[{"role": "user", "content": hint}])

    The factory of this one is the class itself; one with options is `functools.partial(Guess, largest=1000)`.

    An environment answers whatever a policy writes, however wrong, with messages or by ending the attempt. It raises
    only for what its *caller* did wrong (a task of another world, a step after the end). What else escapes from it is
    kept by rollouts as the reason why that trajectory failed.
    """

    tools: Sequence[dict[str, Any]] = ()
    """Descriptions, in the OpenAI format, of the tools that a policy is shown; empty where it is shown none."""

    blocking: ClassVar[bool] = False
    """Whether `step` waits outside the interpreter (network, child processes), so that rollouts should use threads."""

    @abstractmethod
    def reset(self, task: Task, seed: int) -> list[Message]:
        """Begin an attempt.

        Args:
            task: what to do.
            seed: the only source of chance: the same task, seed and actions give the same observations.

        Returns:
            All messages that open the conversation (system and user).

        Raises:
            ValueError: the task does not belong to this environment.
        """

    @abstractmethod
    def step(self, action: Message) -> Step:
        """Answer one assistant message.

        Args:
            action: the message that the policy wrote; its content and tool calls may be anything at all.

        Raises:
            RuntimeError: the attempt has ended, or `reset` was never called.
        """

    def close(self) -> None:  # noqa: B027  # most environments hold nothing
        """Let go of what the environment holds (processes, connections). It is not used again."""


@runtime_checkable
class TaskSource(Protocol):
    """A world that brings its own tasks. Environments that have these two methods can be trained on without a data set."""

    def tasks(self, split: Split, count: int, seed: int = 0) -> list[Task]:
        """Make tasks: the same arguments give the same ones, a larger `count` only adds to them, and no task of one split
        is in the other, whatever the seeds.
        """

    def demonstrations(self, tasks: Sequence[Task]) -> list[Trajectory]:
        """Solve tasks by a script that acts in the real environment, one trajectory each, in the order of the tasks."""


def check_split(split: Split, count: int) -> None:
    """Refuse a split that there is not, or a number of tasks that there cannot be.

    Raises:
        ValueError: it says which.
    """
    if split not in get_args(Split):
        raise ValueError(f"split must be {' or '.join(get_args(Split))}, got {split!r}")
    if count < 0:
        raise ValueError(f"count must not be negative, got {count}")


def numbered_tasks(split: Split, count: int, make: Callable[[int], Task]) -> list[Task]:
    """The first tasks of a split, as a `TaskSource` gives them.

    Args:
        split: `train` or `test`.
        count: how many.
        make: the task with a number, counted from 0.

    Raises:
        ValueError: another split, or a count below 0.
    """
    check_split(split, count)
    return [make(number) for number in range(count)]


def play(
    environment: Environment,
    task: Task,
    act: Callable[[list[Message]], Message],
    *,
    seed: int = 0,
    max_steps: int = 100,
) -> Trajectory:
    """Let a plain function act in an environment once: for scripts, tests and trying a new environment by hand.

    Args:
        environment: where to act; it is reset first, and left open.
        task: what to do.
        act: the conversation so far in, the next assistant message out.
        seed: seed of the attempt.
        max_steps: how many actions before the trajectory is truncated.

    Returns:
        The trajectory, without tokens.
    """
    observations = [environment.reset(task, seed)]
    conversation = list(observations[0])
    actions: list[Message] = []
    rewards: list[float] = []
    info: dict[str, Any] = {}
    step = Step()
    while not step.ended and len(actions) < max_steps:
        action = act(conversation)
        step = environment.step(action)
        actions.append(action)
        observations.append(step.observation)
        rewards.append(step.reward)
        conversation = [*conversation, action, *step.observation]
        info.update(step.info)
    return Trajectory(
        observations=observations,
        actions=actions,
        rewards=np.asarray(rewards, dtype=np.float64),
        terminated=step.terminated,
        truncated=step.truncated or not step.ended,
        task=task,
        info=info,
    )
