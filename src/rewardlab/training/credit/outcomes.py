"""The episode's part of rules that mix it with steps: one advantage for each trajectory, by the formulas of `baselines`."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from rewardlab.functional.advantages import RelativeAdvantages, group_relative, leave_one_out
from rewardlab.training.credit.steps import Single, Steps

Episode = Literal["group", "leave_one_out", "batch", "none"]
EPISODES = ("group", "leave_one_out", "batch", "none")
EpisodeScale = Literal["std", "none"]


def episode_advantages(
    steps: Steps, values: NDArray[np.float64], episode: Episode, scale: EpisodeScale, single: Single
) -> NDArray[np.float64]:
    """float64[step]: the advantage of each trajectory's value, on all its steps; single members are settled on the way.

    Args:
        steps: of the usable trajectories.
        values: float64[trajectory], what is compared.
        episode: over the group's mean, over the mean of the other members, over the batch's mean, or 0.
        scale: divide by a standard deviation ("std": the group's, or the batch's with `episode="batch"`), or not ("none").
        single: what becomes of the only usable member of a group.
    """
    if episode == "none":
        return np.zeros(steps.layout.size)
    groups = steps.groups if episode != "batch" else np.zeros_like(steps.groups)
    formula = leave_one_out if episode == "leave_one_out" else group_relative
    found: RelativeAdvantages = formula(
        torch.from_numpy(values),
        torch.from_numpy(groups),
        torch.ones(values.size, dtype=torch.bool),
        scale=scale,
        single=single,
    )
    steps.excluded |= ~found.included.numpy()
    advantages: NDArray[np.float64] = found.advantages.numpy()[steps.layout.owner]
    return advantages
