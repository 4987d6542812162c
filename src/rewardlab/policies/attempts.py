"""One attempt while it grows: what arrived, what the policy wrote, and how it became a trajectory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rewardlab.environments.batched import Answer, Slot
from rewardlab.policies.engines.sampling import derive_seed
from rewardlab.policies.speaking import Conversation, Utterance
from rewardlab.types import Message, Task, Tokens, Trajectory


@dataclass(slots=True, eq=False)
class Attempt:
    """One trajectory while it grows.

    Args:
        task: what is attempted.
        group: which attempts it is compared with.
        environment_seed: of its environment.
        conversation: what the speaker remembers.
        slot: where its environment is.
        started: when it began, on the monotonic clock.
    """

    task: Task
    group: str
    environment_seed: int
    conversation: Conversation
    slot: Slot | None = None
    started: float = 0.0
    observations: list[list[Message]] = field(default_factory=list)
    actions: list[Message] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)
    cut: bool = False
    terminated: bool = False
    truncated: bool = False

    @property
    def live(self) -> bool:
        """Whether it goes on."""
        return not (self.terminated or self.truncated or "failed" in self.info)

    def fail(self, reason: str) -> None:
        """End it as failed."""
        self.info["failed"] = reason

    def stop_at(self, limit: str) -> None:
        """End it at a limit."""
        self.truncated = True
        self.info["limit"] = limit

    def open(self, answer: Answer) -> None:
        """Take in the messages that open the conversation."""
        if answer.step is None:
            self.fail(str(answer.failure))
            return
        messages = answer.step.observation
        self.observations.append(messages)
        self.conversation.messages = list(messages)
        self.conversation.tools = answer.tools or self.task.tools

    def said(self, utterance: Utterance, seconds: float) -> None:
        """Take in an action."""
        if utterance.failure is not None:
            self.fail(utterance.failure)
            return
        self.actions.append(utterance.message)
        self.texts.append(utterance.text)
        if utterance.logprobs is not None:
            self.info.setdefault("logprobs", []).append(utterance.logprobs)
        self.rewards.append(float("nan"))
        self.observations.append([])
        self.seconds.append(seconds)
        self.cut = utterance.cut

    def answered(self, answer: Answer, turns: int) -> None:
        """Take in what the environment answered, and stop where that was the last action."""
        self.seconds[-1] += answer.seconds
        if answer.step is None:
            self.fail(str(answer.failure))
            return
        step = answer.step
        self.observations[-1] = list(step.observation)
        self.rewards[-1] = float(step.reward)
        self.info.update(step.info)
        self.terminated, self.truncated = bool(step.terminated), bool(step.truncated)
        if self.live and self.cut:
            self.stop_at("tokens")
        elif self.live and len(self.actions) >= turns:
            self.stop_at("turns")

    def trajectory(self, keeps_tokens: bool) -> Trajectory:
        """What became of it."""
        conversation = self.conversation
        tokens = None
        if keeps_tokens:
            tokens = Tokens(
                ids=np.array(conversation.ids, dtype=np.int64),
                step=np.array(conversation.step, dtype=np.int32),
                logprobs=np.array(conversation.logprobs, dtype=np.float32),
            )
        return Trajectory(
            observations=self.observations or [[]],
            actions=self.actions,
            rewards=np.array(self.rewards, dtype=np.float64),
            terminated=self.terminated,
            truncated=self.truncated,
            task=self.task,
            group=self.group,
            tokens=tokens,
            seconds=np.array(self.seconds, dtype=np.float64),
            info={**self.info, "texts": self.texts},
        )


def attempts_at(tasks: Iterable[Task], group_size: int, seed: int) -> Iterator[Attempt]:
    """The attempts of a rollout: each occurrence of a task is a group, whose members share the environment's seed."""
    occurrences: dict[str, int] = {}
    for place, task in enumerate(tasks):
        if not isinstance(task, Task):
            raise TypeError(f"task {place} is a {type(task).__name__}, expected a Task(id=..., prompt=...)")
        occurrence = occurrences.get(task.id, 0)
        occurrences[task.id] = occurrence + 1
        for member in range(group_size):
            yield Attempt(
                task=task,
                group=f"{task.id}/{occurrence}",
                environment_seed=derive_seed(seed, 0, place) % 2**31,
                conversation=Conversation(seed=derive_seed(seed, 1, place, member), messages=[], tools=()),
            )
