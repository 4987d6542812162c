"""Credit by selection: only the best of each group are imitated, and the rest are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from rewardlab.functional.advantages import best_of_group
from rewardlab.training.credit.base import Advantages, check_scores, group_ids
from rewardlab.training.credit.baselines import from_relative
from rewardlab.types import Scores, Trajectory


@dataclass(frozen=True, kw_only=True)
class Best:
    """Weight 1 for the best of each group, and nothing for the others, as in RAFT (Dong et al. 2023, arXiv 2304.06767).

    Args:
        keep: how many of each group are kept. Members that tie for the last places share them.
        ties: groups whose values are all equal are left out ("skip"), or their members "share" the weight.
        within: compare inside each "group", or over the whole "batch" (which favours easy tasks).
    """

    keep: int = 1
    ties: Literal["skip", "share"] = "skip"
    within: Literal["group", "batch"] = "group"

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise ValueError(f"keep must be at least 1, got {self.keep}")
        if self.within not in ("group", "batch"):
            raise ValueError(f'within must be "group" or "batch", got {self.within!r}')

    @property
    def needs_groups(self) -> bool:
        """Whether trajectories of one task are compared."""
        return self.within == "group"

    def __call__(self, trajectories: Sequence[Trajectory], scores: Scores) -> Advantages:
        """Assign credit."""
        check_scores(trajectories, scores)
        groups = group_ids(trajectories)
        if self.within == "batch":
            groups = groups * 0
        relative = best_of_group(
            torch.from_numpy(scores.values),
            torch.from_numpy(groups),
            torch.from_numpy(scores.scored),
            keep=self.keep,
            ties=self.ties,
        )
        return from_relative(trajectories, scores, groups, relative)
