"""What a credit rule is, and what it returns. Only numpy is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rewardlab.types import Scores, Trajectory, group_indices

Source = Literal["outcome", "scores", "environment"]
"""Where the values of steps come from: the whole score on the last step, `Scores.steps`, or `Trajectory.rewards`."""

Column = list[NDArray[np.float64]]


@dataclass(slots=True, kw_only=True)
class Advantages:
    """How much better each action of each trajectory was than what was to be expected.

    Args:
        values: for each trajectory float64[action]; ignored where the trajectory is not included.
        included: bool[trajectory]; whether it may take part in an update. Failed and abstained ones never do.
        statistics: counts and means that are worth logging: `groups`, `zero_variance_groups`, `single_member_groups`; any
            other is logged as `credit/NAME`.
        tokens: for each trajectory float64[written token], used in place of `values[step]`; None where all tokens of an
            action share its advantage.
        targets: what a value head should have said: for each trajectory float64[action] (of the state before each action),
            or float64[written token] where `tokens` is given; None where no value head learns.
        baselines: what it did say, like `targets`; None where that is not known.
        decay: by how much a reward that an objective adds at a step (or at a token, where `tokens` is given) reaches back
            to the one before it: discount times smoothing.
    """

    values: Column
    included: NDArray[np.bool_]
    statistics: dict[str, float] = field(default_factory=dict)
    tokens: Column | None = None
    targets: Column | None = None
    baselines: Column | None = None
    decay: float = 1.0

    def __post_init__(self) -> None:
        self.included = np.asarray(self.included, dtype=np.bool_)
        if self.included.shape != (len(self.values),):
            raise ValueError(
                f"included must have one entry for each of {len(self.values)} trajectories, got {self.included.shape}"
            )
        self.values = self._column("values", "advantages", self.values)
        for name in ("tokens", "targets", "baselines"):
            given = getattr(self, name)
            if given is not None:
                setattr(self, name, self._column(name, name, given))

    def _column(self, name: str, what: str, rows: Column) -> Column:
        if len(rows) != len(self.included):
            raise ValueError(f"{name} must have {len(self.included)} rows, one for each trajectory, got {len(rows)}")
        rows = [np.asarray(row, dtype=np.float64) for row in rows]
        kind = "action" if name == "values" or self.tokens is None else "written token"
        for index, row in enumerate(rows):
            if row.ndim != 1:
                raise ValueError(f"{name}[{index}] must be float[{kind}], got shape {row.shape}")
            if self.included[index] and not np.isfinite(row).all():
                raise ValueError(
                    f"trajectory {index} is included, but its {what} are not finite: {row[~np.isfinite(row)][0]}; "
                    "exclude what could not be scored"
                )
        return rows

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
    """A rule that assigns credit.

    It may also have `observe(trajectories, scores)`, which the loop calls after each update, and `bind(policy)`, which it
    calls once before the first step.
    """

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


def step_values(trajectories: Sequence[Trajectory], scores: Scores, source: Source) -> Column:
    """What each step of each trajectory was worth.

    Args:
        trajectories: N of them.
        scores: of them.
        source: "outcome": the score on the last step and 0 before it; "scores": `Scores.steps`; "environment": the
            environment's own rewards, where steps without one (NaN) count as 0.

    Returns:
        For each trajectory float64[action]; zeros where it was not scored.

    Raises:
        ValueError: a scored trajectory has no step values, another number of them than actions, or one that is not finite;
            the message names it.
    """
    check_scores(trajectories, scores)
    column = []
    for index, trajectory in enumerate(trajectories):
        values = np.zeros(len(trajectory))
        if scores.scored[index]:
            if source == "outcome":
                values[-1:] = scores.values[index]
            elif source == "environment":
                values = np.where(np.isnan(trajectory.rewards), 0.0, trajectory.rewards)
            elif source == "scores":
                values = _steps_of(index, trajectory, scores)
            else:
                raise ValueError(f'source must be "outcome", "scores" or "environment", got {source!r}')
        column.append(values)
    return column


def _steps_of(index: int, trajectory: Trajectory, scores: Scores) -> NDArray[np.float64]:
    where = f"trajectory {index}" + ("" if trajectory.task is None else f" (task {trajectory.task.id!r})")
    found = None if scores.steps is None else scores.steps[index]
    if found is None:
        raise ValueError(
            f"{where} has no step values: its reward gives a score for the whole alone; use a reward that fills "
            'Scores.steps, or source="outcome" or "environment"'
        )
    values = np.asarray(found, dtype=np.float64)
    if values.shape != (len(trajectory),):
        raise ValueError(
            f"{where} has {len(trajectory)} actions but step values of shape {values.shape}; give one for each"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{where} has a step value that is not finite: {values[~np.isfinite(values)][0]}")
    return values
