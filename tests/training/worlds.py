"""A tiny policy and a single-turn task for the tests of training: say the right word."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.rewards.base import Reward
from rewardlab.types import Scores, Status, Task, Trajectory

WORDS = ("red", "blue", "green", "gold")
NOUNS = ("sky", "leaf", "rose", "sun", "sea", "moss", "wine", "ring")


def tasks(count=8):
    chosen = [(NOUNS[i % len(NOUNS)], WORDS[i % len(WORDS)]) for i in range(count)]
    return [
        Task(id=f"t{i}", prompt=[{"role": "user", "content": noun}], reference=word)
        for i, (noun, word) in enumerate(chosen)
    ]


def policy(seed=0, lora=None, hidden=32):
    corpus = [" ".join([*WORDS, *NOUNS])] * 4
    return LanguageModelPolicy.tiny(
        corpus, vocabulary_size=320, hidden=hidden, layers=2, heads=2, context=64, seed=seed, lora=lora
    )


@dataclass(frozen=True, kw_only=True)
class SaysIt(Reward):
    """1 where the answer begins with the reference; a part beside it says how short the answer was."""

    shortness: float = 0.1

    def _score(self, trajectories, progress):
        right = [float(entry.completion.startswith(entry.reference)) for entry in trajectories]
        short = [1.0 / (1 + len(entry.completion)) for entry in trajectories]
        values = np.array(right) + self.shortness * np.array(short)
        return Scores(values=values, parts={"right": Scores(values=right), "short": Scores(values=short)})


@dataclass(frozen=True, kw_only=True)
class Fails(Reward):
    """Fails on the first `share` of a batch."""

    share: float = 1.0

    def _score(self, trajectories, progress):
        count = len(trajectories)
        failed = np.arange(count) < self.share * count
        return Scores(
            values=np.where(failed, np.nan, np.arange(count, dtype=float)),
            status=np.where(failed, Status.FAILED, Status.SCORED),
            notes=["the judge is away" if lost else None for lost in failed],
        )


def demonstrations(count=8):
    return [
        Trajectory(
            observations=[task.prompt, []],
            actions=[{"role": "assistant", "content": task.reference}],
            terminated=True,
            task=task,
        )
        for task in tasks(count)
    ]
