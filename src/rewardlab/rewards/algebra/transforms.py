"""Rewards that change the values of one other reward, and leave its outcomes as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rewardlab.rewards.algebra.combine import overflow
from rewardlab.rewards.base import Reward
from rewardlab.rewards.spec import register
from rewardlab.types import Scores, Trajectory


@register("clip")
@dataclass(frozen=True, kw_only=True)
class Clip(Reward):
    """A reward limited to [low, high].

    Args:
        reward: what is limited.
        low: lowest value, or None for no limit.
        high: highest value, or None for no limit.
    """

    reward: Reward
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low is None and self.high is None:
            raise ValueError("Clip: give option 'low', option 'high', or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"Clip: option 'low' must not be above 'high', got {self.low} and {self.high}")

    def children(self) -> dict[str, Reward]:  # noqa: D102 - documented on Reward
        return {self.reward.label.replace(".", "_"): self.reward}

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        ((name, child),) = self.children().items()
        inner = child._score(trajectories, progress)
        return replace(inner, values=np.clip(inner.values, self.low, self.high), parts={name: inner})


@register("scheduled")
@dataclass(frozen=True, kw_only=True)
class Scheduled(Reward):
    """A reward times a weight that depends on the progress of training. The part keeps its unscaled values.

    Args:
        reward: what is scaled.
        schedule: function of the progress in [0, 1]; `rewardlab.Linear` can be written to a spec, a lambda cannot.
    """

    reward: Reward
    schedule: Callable[[float], float]

    def children(self) -> dict[str, Reward]:  # noqa: D102
        return {self.reward.label.replace(".", "_"): self.reward}

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        if progress is None:
            raise ValueError(
                f"{self.label}: a scheduled reward needs the progress of training; call reward(trajectories, progress=1.0) "
                "for its weight at the end"
            )
        ((name, child),) = self.children().items()
        inner = child._score(trajectories, progress)
        weight = float(self.schedule(progress))
        if not np.isfinite(weight):
            raise ValueError(
                f"{self.label}: the schedule gave {weight} at progress {progress}, expected a finite number"
            )
        with np.errstate(over="ignore"):
            values = inner.values * weight
        status = inner.status.copy()
        extra = overflow(values, status)
        notes = inner.notes
        if extra:
            notes = [extra.get(index) or inner.note(index) for index in range(len(inner))]
        steps = None
        if inner.steps is not None:
            steps = [None if entry is None else entry * weight for entry in inner.steps]
        return replace(inner, values=values, status=status, notes=notes, steps=steps, parts={name: inner})
