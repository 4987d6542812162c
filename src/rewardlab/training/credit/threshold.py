"""Credit by a threshold: attempts that are good enough are imitated, and the rest are left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rewardlab.training.credit.base import Advantages, broadcast, check_scores
from rewardlab.types import Message, Scores, Trajectory, group_indices, message_text


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """Weight 1 for every scored attempt whose score is at least this, as in rejection-sampling fine-tuning.

    Args:
        at_least: the score.
        most: the most attempts of each group that are kept, the best first; None for all.
        distinct: of attempts at one task that say the same, only the first is kept.
    """

    at_least: float = 1.0
    most: int | None = None
    distinct: bool = True

    needs_groups: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if math.isnan(self.at_least):
            raise ValueError("at_least must be a number that scores can be compared with, got nan")
        if self.most is not None and self.most < 1:
            raise ValueError(f"most must be at least 1, or None for all, got {self.most}")

    def __call__(self, trajectories: Sequence[Trajectory], scores: Scores) -> Advantages:
        """Assign credit."""
        check_scores(trajectories, scores)
        included = np.zeros(len(trajectories), dtype=np.bool_)
        for members in group_indices(trajectories):
            good = [
                index for index in members.tolist() if scores.scored[index] and scores.values[index] >= self.at_least
            ]
            good.sort(key=lambda index: -scores.values[index])
            if self.distinct:
                said = {_said(trajectories[index]): index for index in reversed(good)}
                good = [index for index in good if said[_said(trajectories[index])] == index]
            included[good[: self.most]] = True
        return Advantages(
            values=broadcast(trajectories, included.astype(np.float64), included),
            included=included,
            statistics={"kept": float(included.mean()) if included.size else float("nan")},
        )


def _said(trajectory: Trajectory) -> str:
    """What the policy said, as one text."""
    return repr([_content(action) for action in trajectory.actions])


def _content(action: Message) -> object:
    if not isinstance(action, dict):
        return action
    return message_text(action), [call.get("function") for call in action.get("tool_calls") or ()]
