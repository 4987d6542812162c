"""Small environments for rollouts, and an engine that says what it is told."""

from __future__ import annotations

import threading
import time

from rewardlab.environments.base import Environment, Step
from rewardlab.policies.engines.base import Completion
from rewardlab.types import Task, message_text

CORPUS = ["Add the numbers. What is 2 + 3? tool result error echo done 0 1 4 5 6 7 8 9"]


def task(name: str, text: str = "What is 2 + 3?") -> Task:
    return Task(id=name, prompt=[{"role": "user", "content": text}])


class Echo(Environment):
    """Answers every message with its length, for some turns."""

    turns = 3

    def reset(self, task, seed):
        self.seed, self.count = seed, 0
        return list(task.prompt)

    def step(self, action):
        self.count += 1
        ended = self.count >= self.turns
        return Step(
            observation=[{"role": "tool", "content": f"echo {len(message_text(action))}", "tool_call_id": "call_0"}],
            reward=float(self.count),
            terminated=ended,
            info={"seed": self.seed, "count": self.count},
        )


class Breaking(Echo):
    """Raises in some place for tasks whose name says so."""

    closed = 0

    def reset(self, task, seed):
        self.name = task.id
        if "reset" in task.id:
            raise OSError("no such table")
        if "empty" in task.id:
            return []
        if "role" in task.id:
            return [{"role": "wizard", "content": "x"}]
        return super().reset(task, seed)

    def step(self, action):
        if "step" in self.name and self.count == 1:
            raise KeyError("lamp")
        if "type" in self.name:
            return "hello"
        if "inf" in self.name:
            return Step(reward=float("inf"))
        return super().step(action)

    def close(self):
        Breaking.closed += 1
        if "close" in self.name:
            raise RuntimeError("cannot close")


class Waiting(Echo):
    """Waits in every step, until all are waiting."""

    blocking = True
    together = threading.Barrier(4)

    def step(self, action):
        self.together.wait(timeout=20)
        return super().step(action)


class Slow(Echo):
    def step(self, action):
        time.sleep(0.05)
        return super().step(action)


class Scripted:
    """An engine that samples given texts, tokenised as the template would write them."""

    def __init__(self, policy, texts):
        self.policy, self.texts, self.turns, self.released = policy, texts, {}, []

    def generate(self, requests, sampling):
        completions = []
        for request in requests:
            turn = self.turns[request.conversation] = self.turns.get(request.conversation, -1) + 1
            ids = [*self.policy.template.encode(self.texts[turn]), self.policy.template.end_id]
            completions.append(Completion(ids=ids, logprobs=[-0.5] * len(ids), stopped=True))
        return completions

    def refresh(self):
        pass

    def release(self, conversations):
        self.released += conversations
