"""Credit from the outcome of whole trajectories: every action gets its trajectory's advantage over a baseline.

The rules for failed, equal and single members are those of `rewardlab.functional.advantages`: one for all three baselines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch

from rewardlab.functional.advantages import RelativeAdvantages, Scale, Single, batch_mean, group_relative, leave_one_out
from rewardlab.training.credit.base import Advantages, broadcast, check_scores, group_ids
from rewardlab.types import Scores, Trajectory


@dataclass(frozen=True, kw_only=True)
class _OverGroups:
    """What the baselines that compare inside a group share: their options, and how the formula is applied.

    The options are described where they are chosen, at the public classes.
    """

    scale: Scale
    epsilon: float = 1e-4
    ddof: int = 1
    single: Single = "exclude"

    needs_groups: ClassVar[bool] = True
    _relative: ClassVar[Callable[..., RelativeAdvantages]]

    def __post_init__(self) -> None:
        _check_deviation(self.epsilon, self.ddof)

    def __call__(self, trajectories: Sequence[Trajectory], scores: Scores) -> Advantages:
        """Assign credit."""
        check_scores(trajectories, scores)
        groups = group_ids(trajectories)
        relative = self._relative(
            torch.from_numpy(scores.values),
            torch.from_numpy(groups),
            torch.from_numpy(scores.scored),
            scale=self.scale,
            epsilon=self.epsilon,
            ddof=self.ddof,
            single=self.single,
        )
        return from_relative(trajectories, scores, groups, relative)


@dataclass(frozen=True, kw_only=True)
class Group(_OverGroups):
    """The baseline is the mean of the trajectory's group, as in GRPO (Shao et al. 2024, arXiv 2402.03300, section 4.1.2).

    Args:
        scale: divide by the group's standard deviation ("std"), the batch's ("batch"), or not at all ("none", Dr. GRPO).
        epsilon: added to the standard deviation.
        ddof: 1 divides the sum of squares by n - 1, 0 by n.
        single: "exclude" the only scored member of a group, or keep it with advantage "zero".
    """

    scale: Scale = "std"
    _relative = staticmethod(group_relative)


@dataclass(frozen=True, kw_only=True)
class LeaveOneOut(_OverGroups):
    """The baseline is the mean of the *other* members of the group, as in RLOO (Ahmadian et al. 2024, arXiv 2402.14740).

    Args:
        scale: as in `Group`; the standard deviation is that of the whole group, which keeps advantages bounded.
        epsilon: added to the standard deviation.
        ddof: 1 divides the sum of squares by n - 1, 0 by n.
        single: "exclude" the only scored member of a group, or keep it with advantage "zero".
    """

    scale: Scale = "none"
    _relative = staticmethod(leave_one_out)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The baseline is the mean of the whole batch, as in REINFORCE; it needs no groups.

    Args:
        scale: divide by the batch's standard deviation ("std"), or not ("none").
        epsilon: added to the standard deviation.
        ddof: 1 divides the sum of squares by n - 1, 0 by n.
        single: "exclude" the only scored trajectory of a batch, or keep it with advantage "zero".
    """

    scale: Literal["std", "none"] = "none"
    epsilon: float = 1e-4
    ddof: int = 1
    single: Single = "exclude"

    needs_groups: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_deviation(self.epsilon, self.ddof)

    def __call__(self, trajectories: Sequence[Trajectory], scores: Scores) -> Advantages:
        """Assign credit."""
        check_scores(trajectories, scores)
        relative = batch_mean(
            torch.from_numpy(scores.values),
            torch.from_numpy(scores.scored),
            scale=self.scale,
            epsilon=self.epsilon,
            ddof=self.ddof,
            single=self.single,
        )
        return from_relative(trajectories, scores, np.zeros(len(trajectories), dtype=np.int64), relative)


def from_relative(
    trajectories: Sequence[Trajectory], scores: Scores, groups: np.ndarray, relative: RelativeAdvantages
) -> Advantages:
    """Outcome advantages as step advantages, with the counts of groups that could not be compared."""
    included = relative.included.numpy()
    return Advantages(
        values=broadcast(trajectories, relative.advantages.numpy(), included),
        included=included,
        statistics={
            "groups": float(np.unique(groups[scores.scored]).size),
            "zero_variance_groups": float(np.unique(groups[relative.zero_variance.numpy()]).size),
            "single_member_groups": float(np.unique(groups[relative.single.numpy()]).size),
        },
    )


def _check_deviation(epsilon: float, ddof: int) -> None:
    if not 0.0 <= epsilon < math.inf:
        raise ValueError(f"epsilon is added to a deviation, so it must be finite and not negative, got {epsilon}")
    if ddof not in (0, 1):
        raise ValueError(f"ddof must be 0 (divide by n) or 1 (divide by n - 1), got {ddof}")
