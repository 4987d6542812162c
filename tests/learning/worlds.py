"""Small data of every kind of judgement, whose right answer is a linear function of a vector."""

from __future__ import annotations

from typing import Any

import numpy as np

from rewardlab.learning import PreferenceData, RankingData, RatingData, as_trajectory
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Trajectory


def vectors(count: int, width: int = 4, seed: int = 0) -> tuple[list[Trajectory], np.ndarray]:
    """Items of one vector each, and their utility float64[item]."""
    numbers = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    utility = numbers.astype(np.float64) @ np.linspace(1.0, -1.0, width)
    return [as_trajectory(vector) for vector in numbers], utility


def comparisons(count: int = 64, width: int = 4, seed: int = 0) -> PreferenceData:
    """Comparisons of different items, the better one told."""
    items, utility = vectors(2 * count, width, seed)
    first, second = np.arange(count), np.arange(count) + count
    return PreferenceData(
        items=items, first=first, second=second, label=(utility[first] > utility[second]).astype(float)
    )


def rankings(count: int = 24, places: int = 3) -> RankingData:
    """Orders of some items."""
    items, utility = vectors(count * places)
    rows = np.arange(count * places).reshape(count, places)
    return RankingData(items=items, rankings=[row[np.argsort(-utility[row])] for row in rows])


def ratings(count: int = 64) -> RatingData:
    """Utilities as numbers."""
    items, utility = vectors(count)
    return RatingData(items=items, item=np.arange(count), value=utility)


def make_linear(seed: int = 0, width: int = 4) -> RewardModel:
    """A linear model of vectors, whose features are the vectors themselves."""
    return RewardModel.make({"type": "mlp", "inputs": width, "hidden": []}, {"type": "scalar", "seed": seed})


def make_deep(seed: int = 0, width: int = 4) -> RewardModel:
    """A perceptron over vectors."""
    return RewardModel.make(
        {"type": "mlp", "inputs": width, "hidden": [8], "seed": seed}, {"type": "scalar", "seed": seed}
    )


def answers(users: int = 60, each: int = 8, *, seed: int = 0) -> PreferenceData:
    """Comparisons by users of whom every other one wants the first number small, and the rest want it large."""
    draw = np.random.default_rng(seed)
    sign = np.where(np.arange(users) % 2 == 0, 1.0, -1.0)
    first, second = draw.normal(size=(2, users * each, 3))
    label = ((first - second)[:, 0] * sign.repeat(each) > 0).astype(float)
    return PreferenceData.from_arrays(first, second, label, annotators=[f"u{n}" for n in np.arange(users).repeat(each)])


def make_latent(seed: int = 0, **options: Any) -> RewardModel:
    """A linear reward whose weights depend on a vector for the user."""
    head = {"type": "latent", "latent": 2, "hidden": 16, "decoder": "linear", "pair": "difference", "seed": seed}
    return RewardModel.make({"type": "mlp", "inputs": 3, "hidden": []}, head | options)
