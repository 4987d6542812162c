"""Credit for self-play: the best and the worst of each group keep their score, and the rest are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rewardlab.training.credit.base import Advantages, broadcast, check_scores
from rewardlab.types import Scores, Trajectory, group_indices


@dataclass(frozen=True, kw_only=True)
class Extremes:
    """The scores themselves, without any baseline, for the best and the worst of each group.

    Scores must be means of antisymmetric ones over the group, which have mean 0 already. Groups whose scores are all equal,
    or that have a single scored member, are left out; among equals the first one stands for them.

    Args:
        keep: how many are kept at each end; None for the whole group.
    """

    keep: int | None = 1

    needs_groups: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.keep is not None and self.keep < 1:
            raise ValueError(f"keep must be at least 1, or None for the whole group, got {self.keep}")

    def __call__(self, trajectories: Sequence[Trajectory], scores: Scores) -> Advantages:
        """Assign credit."""
        check_scores(trajectories, scores)
        included = np.zeros(len(trajectories), dtype=np.bool_)
        counts = {"groups": 0.0, "zero_variance_groups": 0.0, "single_member_groups": 0.0}
        for members in group_indices(trajectories):
            known = np.asarray(members)[scores.scored[members]]
            counts["groups"] += bool(known.size)
            if known.size == 1:
                counts["single_member_groups"] += 1
            elif known.size and np.ptp(scores.values[known]) == 0:
                counts["zero_variance_groups"] += 1
            elif known.size:
                order = known[np.argsort(-scores.values[known], kind="stable")]
                kept = order if self.keep is None else np.concatenate([order[: self.keep], order[-self.keep :]])
                included[kept] = True
        values = np.where(included, scores.values, 0.0)
        return Advantages(values=broadcast(trajectories, values, included), included=included, statistics=counts)
