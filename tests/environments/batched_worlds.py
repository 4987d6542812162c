"""Environments that break in every way, importable by worker processes."""

from __future__ import annotations

import os
import threading
import time

from rewardlab.environments.base import Environment, Step
from rewardlab.types import Task, message_text

FOREVER = threading.Event()


def task(name: str) -> Task:
    return Task(id=name, prompt=[{"role": "user", "content": "go"}])


def say(text: str) -> dict:
    return {"role": "assistant", "content": text}


class Counter(Environment):
    """Adds up the numbers that it is told; other words break it."""

    made = 0
    closed = 0

    def __init__(self) -> None:
        type(self).made += 1
        self.attempts = 0

    def reset(self, task, seed):
        self.sum, self.attempts = seed, self.attempts + 1
        if task.id == "broken":
            raise OSError("no such table")
        return list(task.prompt)

    def step(self, action):
        word = message_text(action)
        if word == "hang":
            FOREVER.wait(60)
        if word == "loop":
            while not FOREVER.is_set():
                pass
        if word == "die":
            os._exit(7)
        if word == "raise":
            raise KeyError("lamp")
        if word == "lambda":
            return Step(info={"function": lambda: None})
        if word.startswith("wait"):
            time.sleep(float(word.split()[1]))
        else:
            self.sum += int(word)
        return Step(
            observation=[{"role": "user", "content": str(self.sum)}],
            reward=float(self.sum),
            info={"attempts": self.attempts, "process": os.getpid()},
        )

    def close(self):
        type(self).closed += 1


class Together(Counter):
    """Steps only when four do."""

    blocking = True
    barrier = threading.Barrier(4)

    def step(self, action):
        self.barrier.wait(timeout=20)
        return super().step(action)


class Unimportable(Counter):
    """Raises where it is looked up in another process."""

    def __reduce__(self):
        raise TypeError("not this one")


class Exploding:
    """A factory that a worker process cannot take in."""

    def __reduce__(self):
        return (os._exit, (3,))

    def __call__(self):
        return Counter()
