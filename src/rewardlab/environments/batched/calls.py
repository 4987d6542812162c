"""One call of an environment, what came of it, and the border at which whatever an environment raises becomes a reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from rewardlab.environments.base import Environment, Step
from rewardlab.types import Message, Task, check_message

_Result = TypeVar("_Result")
Factory = Callable[[], Environment]


@dataclass(slots=True, eq=False)
class Slot:
    """The place of one environment in a pool.

    Args:
        worker: the process that holds it, where processes do.
        environment: the environment, where this process holds it and it was made.
        task, seed, actions: the present attempt so far, from which a lost environment can be brought back.
        spent: whether it raised or hung, so that it is never used again.
    """

    worker: int = 0
    environment: Environment | None = None
    task: Task | None = None
    seed: int = 0
    actions: list[Message] = field(default_factory=list)
    spent: bool = False


@dataclass(slots=True, kw_only=True)
class Answer:
    """What came of a call.

    Args:
        step: what arrived, or None where the call failed; for a reset its observation holds the opening messages.
        tools: what a policy is shown, known after a reset.
        blocking: whether the environment says that it waits for others.
        failure: why there is no step, or None.
        seconds: how long the call took.
    """

    step: Step | None = None
    tools: Sequence[dict[str, Any]] = ()
    blocking: bool = False
    failure: str | None = None
    seconds: float = 0.0


@dataclass(slots=True, eq=False, kw_only=True)
class Call:
    """A call that was handed in: a step where there is an action, else the beginning of an attempt.

    Args:
        slot: which environment is called.
        action: what the policy wrote, or None to begin.
        task, seed: what to begin.
        replay: actions that follow the beginning, to bring back an environment that was lost.
        limit: most seconds of the call, or None.
        answer: what came of it; None while it is under way.
    """

    slot: Slot
    action: Message | None = None
    task: Task | None = None
    seed: int = 0
    replay: Sequence[Message] = ()
    limit: float | None = None
    answer: Answer | None = None

    @property
    def name(self) -> str:
        """What is called, for messages."""
        return "reset" if self.action is None else "step"

    def settle(self, answer: Answer) -> None:
        """Take what came of it, and keep the slot's history up to date."""
        slot = self.slot
        if answer.failure is not None:
            slot.spent = True
        elif self.action is not None:
            slot.actions.append(self.action)
        else:
            slot.task, slot.seed, slot.actions = self.task, self.seed, list(self.replay)
        self.answer = answer

    def fail(self, reason: str, seconds: float = 0.0) -> None:
        """Settle a call that nothing came of."""
        self.settle(Answer(failure=reason, seconds=seconds))

    def too_long(self) -> str:
        """The reason of a call that ran over its limit."""
        return (
            f"the environment's {self.name} took longer than {self.limit:g} s (Limits.step_seconds), and was given up; "
            "allow more if that is how long it takes"
        )


def begin(
    environment: Environment | None, factory: Factory, task: Task, seed: int
) -> tuple[Environment | None, Answer]:
    """Begin an attempt, in a new environment where there is none yet.

    Returns:
        The environment, None where it could not be made, and what came of it.
    """
    began = time.perf_counter()
    if environment is None:
        environment, reason = caught(factory)
        if environment is None:
            return None, Answer(failure=f"the environment could not be made: {reason}")
    messages, reason = caught(_reset, environment, task, seed)
    seconds = time.perf_counter() - began
    if messages is None:
        return environment, Answer(failure=f"the environment's reset raised: {reason}", seconds=seconds)
    return environment, Answer(
        step=Step(observation=messages), tools=environment.tools, blocking=environment.blocking, seconds=seconds
    )


def act(environment: Environment, action: Message) -> Answer:
    """Let an environment answer an action."""
    began = time.perf_counter()
    step, reason = caught(_step, environment, action)
    failure = None if step is not None else f"the environment's step raised: {reason}"
    return Answer(step=step, failure=failure, seconds=time.perf_counter() - began)


def caught(work: Callable[..., _Result], *arguments: Any) -> tuple[_Result | None, str | None]:
    """Run code that is not ours; what it raises becomes a reason."""
    try:
        return work(*arguments), None
    except Exception as error:  # noqa: BLE001  # the border to code that is not ours: the trajectory keeps the reason
        return None, f"{type(error).__name__}: {error}"


def _reset(environment: Environment, task: Task, seed: int) -> list[Message]:
    messages = environment.reset(task, seed)
    for place, message in enumerate(messages):
        check_message(message, where=f"message {place} of what the environment's reset returned")
    if not messages:
        raise ValueError("the environment's reset returned no messages, expected at least one")
    return list(messages)


def _step(environment: Environment, action: Message) -> Step:
    step = environment.step(action)
    if not isinstance(step, Step):
        raise TypeError(f"the environment's step returned a {type(step).__name__}, expected a Step")
    for place, message in enumerate(step.observation):
        check_message(message, where=f"message {place} of the environment's answer")
    if np.isinf(float(step.reward)):
        raise ValueError(f"the environment's reward must be finite, or NaN where it gives none; got {step.reward}")
    return step
