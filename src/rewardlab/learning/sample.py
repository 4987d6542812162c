"""Comparisons that are made up, to try a fit on: what is preferred is known, and some labels are wrong by chance."""

from __future__ import annotations

import numpy as np

from rewardlab.learning.data import PreferenceData
from rewardlab.types import Trajectory

TOPICS = (
    "the weather",
    "a recipe",
    "my garden",
    "a train to the coast",
    "an old radio",
    "the moon",
    "a letter",
    "chess",
)
HELPFUL = ("for example", "step by step", "here is how", "because", "in short", "you can check it")
HOLLOW = ("as you know", "it depends", "maybe", "who can tell", "i cannot say", "whatever you like")
PLAIN = ("first", "then", "the next part", "with some care", "as usual", "after that", "on the other side", "at last")


def sample_preferences(count: int, *, seed: int = 0) -> PreferenceData:
    """Pairs of made-up answers to made-up questions.

    An answer is a handful of phrases; each helpful one is worth 1, each hollow one -1, and length is worth nothing. The
    label is drawn by the Bradley-Terry model on the difference, so that no model can be right always.

    Args:
        count: how many pairs, two to each question.
        seed: of all draws.
    """
    draw = np.random.default_rng([seed, count])
    items: list[Trajectory] = []
    worth = np.zeros(2 * count)
    for row in range(count):
        prompt = f"please tell me about {draw.choice(TOPICS)} number {row // 2}"
        for side in range(2):
            chosen = [draw.choice(words, size=int(draw.integers(0, 4))) for words in (HELPFUL, HOLLOW, PLAIN)]
            worth[2 * row + side] = len(chosen[0]) - len(chosen[1])
            phrases = np.concatenate([*chosen, ["well"]])
            items.append(Trajectory.from_text(prompt, ", ".join(draw.permutation(phrases).tolist())))
    first = 2 * np.arange(count)
    better = draw.random(count) < 1 / (1 + np.exp(worth[first + 1] - worth[first]))
    return PreferenceData(items=items, first=first, second=first + 1, label=better.astype(np.float64))
