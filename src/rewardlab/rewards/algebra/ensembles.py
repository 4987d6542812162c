"""Several rewards that answer the same question, reduced to one answer, with their disagreement as confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rewardlab.rewards.algebra.combine import check_parts, join_notes, score_children, unique_names
from rewardlab.rewards.base import Reward
from rewardlab.rewards.spec import register
from rewardlab.types import Scores, Status, Trajectory

Reduce = Literal["mean", "median", "min", "max", "quantile", "mean_minus_std"]


@register("ensemble")
@dataclass(frozen=True, kw_only=True)
class Ensemble(Reward):
    """One value from several members. The confidence is 1 / (1 + standard deviation of the members).

    The pessimistic reductions ("min", a low quantile, "mean_minus_std") are what keeps a policy from climbing where only one
    member is fooled (Coste et al. 2023, "Reward model ensembles help mitigate overoptimization").

    Args:
        members: the rewards by name.
        reduce: "mean", "median", "min", "max", "quantile" or "mean_minus_std".
        quantile: which quantile, in [0, 1], for reduce="quantile" (linear interpolation).
        k: how many standard deviations (of the population of members) are taken off the mean for "mean_minus_std".
        least: how many members must have scored a sample; fewer make it failed (or abstained, where none failed). None: all
            members that did not abstain.
    """

    members: dict[str, Reward]
    reduce: Reduce = "mean"
    quantile: float = 0.25
    k: float = 1.0
    least: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parts(self, self.members)
        if not 0.0 <= self.quantile <= 1.0:
            raise ValueError(f"Ensemble: option 'quantile' must be in [0, 1], got {self.quantile}")
        if self.least is not None and not 1 <= self.least <= len(self.members):
            raise ValueError(f"Ensemble: option 'least' must be in [1, {len(self.members)}], got {self.least}")

    def children(self) -> dict[str, Reward]:  # noqa: D102 - documented on Reward
        return dict(self.members)

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        parts = score_children(self.members, trajectories, progress)
        states = np.stack([scores.status for scores in parts.values()])
        scored = states == Status.SCORED
        columns = np.stack([scores.values for scores in parts.values()])  # NaN unless scored
        present = scored.sum(axis=0)
        if self.least is None:
            status = np.where(present > 0, np.int8(Status.SCORED), np.int8(Status.ABSTAINED))
            status[(states == Status.FAILED).any(axis=0)] = Status.FAILED
        else:
            lost = np.where((states == Status.FAILED).any(axis=0), np.int8(Status.FAILED), np.int8(Status.ABSTAINED))
            status = np.where(present >= self.least, np.int8(Status.SCORED), lost)
        values = np.full(len(trajectories), np.nan)
        confidence = np.full(len(trajectories), np.nan)
        usable = np.flatnonzero(status == Status.SCORED)
        if usable.size:
            chosen = columns[:, usable]
            deviation = np.nanstd(chosen, axis=0)
            values[usable] = self._reduce(chosen, deviation)
            confidence[usable] = 1.0 / (1.0 + deviation)
        return Scores(values=values, status=status, notes=join_notes(parts, status), parts=parts, confidence=confidence)

    def _reduce(self, columns: np.ndarray, deviation: np.ndarray) -> Any:
        match self.reduce:
            case "mean":
                return np.nanmean(columns, axis=0)
            case "median":
                return np.nanmedian(columns, axis=0)
            case "min":
                return np.nanmin(columns, axis=0)
            case "max":
                return np.nanmax(columns, axis=0)
            case "quantile":
                return np.nanquantile(columns, self.quantile, axis=0)
            case "mean_minus_std":
                return np.nanmean(columns, axis=0) - self.k * deviation


def ensemble(*members: Reward, reduce: Reduce = "mean", **options: Any) -> Ensemble:
    """Several rewards reduced to one; see `Ensemble`."""
    return Ensemble(members=dict(zip(unique_names(members), members, strict=True)), reduce=reduce, **options)
