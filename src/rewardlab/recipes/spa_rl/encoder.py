"""What estimators read of the corridor: which symbol was shown and which action was done, as one of so many pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rewardlab.rewards.models.base import Batch, Encoded
from rewardlab.rewards.models.encoders.arrays import StepEncoder, pooled
from rewardlab.types import Trajectory


class PairEncoder(StepEncoder):
    """Every step as a one-hot vector of its pair of observation and action, both of them one-hot vectors themselves.

    Args:
        observations, actions: how many there are.
    """

    kind = "rewardlab.recipes.spa_rl.encoder:PairEncoder"
    frozen = True

    def __init__(self, observations: int, actions: int) -> None:
        super().__init__()
        self._options = {"observations": observations, "actions": actions}
        self.width = observations * actions

    def prepare(self, trajectories: Sequence[Trajectory]) -> list[Any]:
        """One float32[step, pair] array for each trajectory."""
        return [
            np.einsum("to,ta->toa", np.asarray(one.observations)[: len(one)], one.actions).reshape(len(one), self.width)
            for one in trajectories
        ]

    def forward(self, batch: Batch) -> Encoded:
        """The pairs of each step, and their mean."""
        steps, mask = batch["inputs"], batch["mask"]
        return Encoded(response=pooled(steps, mask, "mean"), steps=steps, step_mask=mask)
