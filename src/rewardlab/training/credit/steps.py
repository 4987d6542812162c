"""Step values laid out flat for `rewardlab.functional.credit`, and flat advantages as rows again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional.segments import Ragged, ragged, split
from rewardlab.training.credit.base import Advantages, Source, check_scores, group_ids, step_values
from rewardlab.types import Scores, Trajectory

SOURCES = ("scores", "environment", "outcome")
Single = Literal["exclude", "zero"]


@dataclass(slots=True, kw_only=True)
class Steps:
    """Step values of the usable trajectories of a batch, flat.

    Args:
        usable: int64[trajectory], places of the usable trajectories in the batch.
        layout: how the flat steps belong to them.
        values: float64[step].
        groups: int64[trajectory], of the usable ones.
        outcomes: float64[trajectory], their scores.
        terminated: bool[trajectory].
        excluded: bool[trajectory], which of the usable ones shall stay out of the update; a rule sets it.
    """

    usable: NDArray[np.int64]
    layout: Ragged
    values: NDArray[np.float64]
    groups: NDArray[np.int64]
    outcomes: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    excluded: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.excluded = np.zeros(self.usable.size, dtype=np.bool_)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64[trajectory]: steps of each usable trajectory."""
        return self.layout.lengths

    def group_counts(self) -> dict[str, float]:
        """How many groups there are, how many have a single usable member, and how many only equal outcomes."""
        if not self.usable.size:
            return {"groups": 0.0, "zero_variance_groups": 0.0, "single_member_groups": 0.0}
        numbers, dense = np.unique(self.groups, return_inverse=True)
        members = np.bincount(dense)
        low, high = np.full(numbers.size, np.inf), np.full(numbers.size, -np.inf)
        np.minimum.at(low, dense, self.outcomes)
        np.maximum.at(high, dense, self.outcomes)
        return {
            "groups": float(numbers.size),
            "zero_variance_groups": float(((members > 1) & (low == high)).sum()),
            "single_member_groups": float((members == 1).sum()),
        }

    def exclude_single_members(self) -> None:
        """Leave out the only usable member of a group: there is nothing to compare it with."""
        if self.usable.size:
            _, dense, members = np.unique(self.groups, return_inverse=True, return_counts=True)
            self.excluded |= members[dense] == 1


def read_steps(trajectories: Sequence[Trajectory], scores: Scores, source: Source) -> Steps:
    """Lay out the step values of a batch; what is not scored is left out.

    Args:
        trajectories: N of them.
        scores: their scores.
        source: as in `rewardlab.training.credit.base.step_values`.

    Raises:
        ValueError: a scored trajectory has no step values, another number of them than steps, or one that is not finite.
    """
    check_scores(trajectories, scores)
    usable = np.flatnonzero(scores.scored)
    chosen = [trajectories[index] for index in usable.tolist()]
    layout = ragged(np.fromiter(map(len, chosen), dtype=np.int64, count=usable.size))
    return Steps(
        usable=usable,
        layout=layout,
        values=_joined(trajectories, scores, source, usable, layout),
        groups=group_ids(trajectories)[usable],
        outcomes=scores.values[usable],
        terminated=np.fromiter((entry.terminated for entry in chosen), dtype=np.bool_, count=usable.size),
    )


def _joined(
    trajectories: Sequence[Trajectory], scores: Scores, source: Source, usable: NDArray[np.int64], layout: Ragged
) -> NDArray[np.float64]:
    """What `step_values` says of the usable trajectories, flat; that one goes row by row and names what is wrong."""
    if source == "outcome":
        values = np.zeros(layout.size)
        values[layout.last] = scores.values[usable][layout.some]
        return values
    if source == "scores" and scores.steps is not None:
        rows = [scores.steps[index] for index in usable.tolist()]
        if all(isinstance(row, np.ndarray) and row.ndim == 1 for row in rows):
            sizes = np.fromiter((row.size for row in rows if row is not None), dtype=np.int64, count=len(rows))
            values = np.concatenate(rows, dtype=np.float64) if rows else np.zeros(0)
            if (sizes == layout.lengths).all() and np.isfinite(values).all():
                return values
    if source == "environment":
        rewards = [trajectories[index].rewards for index in usable.tolist()]
        return np.nan_to_num(np.concatenate(rewards)) if rewards else np.zeros(0)
    column = step_values(trajectories, scores, source)
    return np.concatenate([column[index] for index in usable.tolist()]) if usable.size else np.zeros(0)


def to_advantages(
    trajectories: Sequence[Trajectory],
    steps: Steps,
    values: NDArray[np.float64],
    statistics: dict[str, float] | None = None,
) -> Advantages:
    """Flat advantages of the usable trajectories as those of the whole batch."""
    rows = [np.zeros(len(entry)) for entry in trajectories]
    included = np.zeros(len(trajectories), dtype=np.bool_)
    included[steps.usable] = ~steps.excluded
    for index, out, row in zip(
        steps.usable.tolist(), steps.excluded.tolist(), split(values, steps.layout), strict=True
    ):
        if not out:
            rows[index] = row
    counts = {**steps.group_counts(), **(statistics or {})}
    return Advantages(values=rows, included=included, statistics=counts)


def tail_values(trajectories: Sequence[Trajectory], steps: Steps, key: str | None) -> NDArray[np.float64] | None:
    """float64[trajectory]: what truncated trajectories say in `info[key]` that would have followed; 0 where none does.

    Raises:
        ValueError: the value of a truncated trajectory is not a finite number.
    """
    if key is None:
        return None
    tails = np.zeros(steps.usable.size)
    for place, index in enumerate(steps.usable.tolist()):
        entry = trajectories[index]
        if not entry.truncated or entry.terminated or key not in entry.info:
            continue
        value = entry.info[key]
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
            raise ValueError(
                f"info[{key!r}] of {describe(trajectories, index)} must be a finite number, got {value!r:.80}"
            )
        tails[place] = float(value)
    return tails


def describe(trajectories: Sequence[Trajectory], index: int) -> str:
    """A trajectory by its place and its task, for messages."""
    task = trajectories[index].task
    return f"trajectory {index}" + (f" (task {task.id!r})" if task is not None else "")
