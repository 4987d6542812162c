"""The reward that the environment itself gave, as a part of the algebra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rewardlab.rewards.base import Reward
from rewardlab.rewards.spec import register
from rewardlab.types import Scores, Status, Trajectory


@register("environment_return")
@dataclass(frozen=True, kw_only=True)
class EnvironmentReturn(Reward):
    """Sum of the environment's own rewards, discounted; abstains where the environment gave none.

    Args:
        discount: weight of each later step relative to the one before, in [0, 1].
    """

    discount: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.discount <= 1.0:
            raise ValueError(f"EnvironmentReturn: option 'discount' must be in [0, 1], got {self.discount}")

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        values = np.full(len(trajectories), np.nan)
        status = np.full(len(trajectories), Status.ABSTAINED, dtype=np.int8)
        steps: list[np.ndarray | None] = [None] * len(trajectories)
        for index, trajectory in enumerate(trajectories):
            given = np.isfinite(trajectory.rewards)
            if given.any():
                earned = np.where(given, trajectory.rewards, 0.0)
                values[index] = float(earned @ self.discount ** np.arange(len(earned)))
                status[index], steps[index] = Status.SCORED, earned
        return Scores(values=values, status=status, steps=steps)
