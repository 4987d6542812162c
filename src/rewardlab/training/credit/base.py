"""What a credit rule is, and what it returns. Only numpy is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rewardlab.types import Scores, Trajectory, group_indices


@dataclass(slots=True, kw_only=True)
class Advantages:
    """How much better each action of each trajectory was than what was to be expected.

    Args:
        values: for each trajectory float64[action]; ignored where the trajectory is not included.
        included: bool[trajectory]; whether it may take part in an update. Failed and abstained ones never do.
        statistics: counts that are worth logging: `groups`, `zero_variance_groups`, `single_member_groups`.
    """

    values: list[NDArray[np.float64]]
    included: NDArray[np.bool_]
    statistics: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.included = np.asarray(self.included, dtype=np.bool_)
        if self.included.shape != (len(self.values),):
            raise ValueError(
                f"included must have one entry for each of {len(self.values)} trajectories, got {self.included.shape}"
            )
        self.values = [np.asarray(row, dtype=np.float64) for row in self.values]
        for index, row in enumerate(self.values):
            if row.ndim != 1:
                raise ValueError(f"values[{index}] must be float[action], got shape {row.shape}")
            if self.included[index] and not np.isfinite(row).all():
                raise ValueError(
                    f"trajectory {index} is included, but its advantages are not finite: {row[~np.isfinite(row)][0]}; "
                    "exclude what could not be scored"
                )

    def __len__(self) -> int:
        return len(self.values)

    def abs_mean(self) -> float:
        """Mean magnitude over the included trajectories (each trajectory counts once); NaN when there are none."""
        rows = [
            np.abs(row).mean()
            for row, included in zip(self.values, self.included, strict=True)
            if included and row.size
        ]
        return float(np.mean(rows)) if rows else float("nan")


@runtime_checkable
class Credit(Protocol):
    """A rule that assigns credit. It may also have `observe(trajectories, scores)`, which the loop then calls."""

    needs_groups: bool
    """Whether it compares trajectories of one task, so that a group size of 1 makes no sense."""

    def __call__(self, trajectories: Sequence[Trajectory], scores: Scores) -> Advantages:
        """Assign credit to every action of every trajectory."""


def group_ids(trajectories: Sequence[Trajectory]) -> NDArray[np.int64]:
    """int64[trajectory]: the same number for members of one group; a trajectory without a group is its own."""
    numbers = np.empty(len(trajectories), dtype=np.int64)
    for number, members in enumerate(group_indices(trajectories)):
        numbers[members] = number
    return numbers


def check_scores(trajectories: Sequence[Trajectory], scores: Scores) -> None:
    """Raise where there is not one score for each trajectory."""
    if len(scores) != len(trajectories):
        raise ValueError(
            f"there are {len(scores)} scores for {len(trajectories)} trajectories; a reward returns one for each, "
            "failed ones included"
        )


def broadcast(
    trajectories: Sequence[Trajectory], outcomes: NDArray[np.float64], included: NDArray[np.bool_]
) -> list[NDArray[np.float64]]:
    """Give every action of a trajectory the advantage of the whole; 0 where the trajectory is not included."""
    return [
        np.full(len(trajectory), outcome if inside else 0.0)
        for trajectory, outcome, inside in zip(trajectories, outcomes, included, strict=True)
    ]
