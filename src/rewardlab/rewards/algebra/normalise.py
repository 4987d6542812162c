"""Values brought to zero mean and unit deviation: over everything seen so far, inside each group, or over the batch.

The running kind learns only in `observe`, which the loop calls once a step; scoring reads an immutable snapshot, so that
two threads, or a resumed run, get the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.base import Reward
from rewardlab.rewards.spec import register
from rewardlab.types import Scores, Trajectory, group_indices


@dataclass(frozen=True, slots=True)
class RunningStatistics:
    """Count, mean and sum of squared deviations of a stream (Chan, Golub and LeVeque 1979, pairwise update).

    Args:
        count: how many values were seen.
        mean: their mean.
        squares: sum of squared deviations from the mean.
    """

    short_name: ClassVar[str] = "running_statistics"

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @property
    def deviation(self) -> float:
        """Standard deviation of the population seen; 0 before anything was."""
        return float(np.sqrt(self.squares / self.count)) if self.count else 0.0

    def update(self, values: NDArray[np.float64]) -> RunningStatistics:
        """The statistics with some more finite values taken in."""
        if not values.size:
            return self
        count = self.count + values.size
        gap = float(values.mean()) - self.mean
        squares = (
            self.squares + float(((values - values.mean()) ** 2).sum()) + gap**2 * self.count * values.size / count
        )
        return RunningStatistics(count, self.mean + gap * values.size / count, squares)


@register("normalise")
@dataclass(frozen=True, kw_only=True)
class Normalise(Reward):
    """A reward shifted to zero mean and scaled to unit deviation; failed and abstained samples count for nothing.

    Args:
        reward: what is normalised.
        by: "running" over all that `observe` saw, "group", or "batch".
        centre: whether the mean is taken off; False only scales.
        epsilon: added to the deviation. A group or batch whose values are all equal gets exactly 0 (the values themselves
            where `centre` is off), never a magnified rounding error.
        limit: results are limited to [-limit, limit], or None.
        count: how many values were seen (state of the running kind; written to the spec).
        mean: their mean.
        squares: sum of their squared deviations.
    """

    reward: Reward
    by: Literal["running", "group", "batch"] = "running"
    centre: bool = True
    epsilon: float = 1e-8
    limit: float | None = None
    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    _names: ClassVar[tuple[str, ...]] = ("count", "mean", "squares")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epsilon < 0:
            raise ValueError(f"Normalise: option 'epsilon' must not be negative, got {self.epsilon}")
        if self.limit is not None and self.limit <= 0:
            raise ValueError(f"Normalise: option 'limit' must be positive or None, got {self.limit}")
        object.__setattr__(self, "_statistics", RunningStatistics(self.count, self.mean, self.squares))

    def children(self) -> dict[str, Reward]:  # noqa: D102 - documented on Reward
        return {self.reward.label.replace(".", "_"): self.reward}

    @property
    def group_wise(self) -> bool:  # noqa: D102
        return self.by != "running" or self.reward.group_wise

    @property
    def statistics(self) -> RunningStatistics:
        """What the running kind has seen so far."""
        return self._statistics  # type: ignore[attr-defined]

    def observe(self, trajectories: Sequence[Trajectory], scores: Scores) -> None:
        """Take the unnormalised values of this step into the running statistics."""
        super().observe(trajectories, scores)
        if self.by == "running":
            (inner,) = scores.parts.values()
            self._replace(self.statistics.update(inner.values[inner.scored]))

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        own = {name: getattr(self.statistics, name) for name in self._names}
        return {**super().state_dict(), "": own} if self.by == "running" else super().state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: D102
        if "" in state:
            self._replace(RunningStatistics(**state[""]))
        super().load_state_dict({name: entry for name, entry in state.items() if name})

    def _replace(self, statistics: RunningStatistics) -> None:
        object.__setattr__(self, "_statistics", statistics)  # one reference, swapped whole
        for name in self._names:
            object.__setattr__(self, name, getattr(statistics, name))
        self.__dict__.pop("spec_hash", None)

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        ((name, child),) = self.children().items()
        inner = child._score(trajectories, progress)
        count = len(inner)
        if self.by == "running":
            statistics = self.statistics
            # before two values were seen there is no scale to speak of: values pass, centred on what is known
            scale = statistics.deviation if statistics.count > 1 and statistics.deviation > 0 else 1.0
            shift = statistics.mean if self.centre and statistics.count else 0.0
            values = (inner.values - shift) / (scale + self.epsilon)
        else:
            groups = group_indices(trajectories) if self.by == "group" else [np.arange(count)]
            member = np.empty(count, dtype=np.intp)
            for number, indices in enumerate(groups):
                member[indices] = number
            values = normalise_by_group(inner.values, member, centre=self.centre, epsilon=self.epsilon)
        if self.limit is not None:
            values = np.clip(values, -self.limit, self.limit)
        return replace(inner, values=values, steps=None, parts={name: inner})


def normalise_by_group(
    values: NDArray[np.float64], member: NDArray[np.intp], *, centre: bool = True, epsilon: float = 1e-8
) -> NDArray[np.float64]:
    """Normalise values inside each group.

    Args:
        values: float64[sample]; NaN counts for nothing and stays NaN.
        member: int[sample], the group's number.
        centre: whether the mean is taken off.
        epsilon: added to the deviation (of the population).

    Returns:
        float64[sample]; exactly 0 in a group whose values are all equal, or the values themselves without centring.
    """
    if not values.size:
        return values
    present = np.isfinite(values)
    clean = np.where(present, values, 0.0)
    groups = int(member.max()) + 1
    count = np.maximum(np.bincount(member, weights=present, minlength=groups), 1.0)
    mean = np.bincount(member, weights=clean, minlength=groups) / count
    apart = np.where(present, values - mean[member], 0.0)
    deviation = np.sqrt(np.bincount(member, weights=apart**2, minlength=groups) / count)
    # equality is judged on the values, since the mean of equal floats may differ from them by a rounding error
    highest, lowest = np.full(groups, -np.inf), np.full(groups, np.inf)
    np.maximum.at(highest, member[present], values[present])
    np.minimum.at(lowest, member[present], values[present])
    flat = ~(highest > lowest)
    scale = np.where(flat, 1.0, deviation + epsilon)
    result = (apart if centre else clean) / scale[member]
    if centre:
        result = np.where(flat[member], 0.0, result)
    return np.where(present, result, np.nan)


__all__ = ["Normalise", "RunningStatistics", "normalise_by_group"]
