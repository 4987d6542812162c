"""Rewards of turns: how an environment's increments become turn rewards of comparable size, and how dense they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rewardlab.rewards.base import Reward, ScoringFailure, Verdict, Verifier
from rewardlab.rewards.spec import register
from rewardlab.types import Scores, Trajectory

_ROUNDING = 1e-9


@register("turn_increments")
@dataclass(frozen=True, kw_only=True)
class TurnIncrements(Verifier):
    """The environment's increments as turn rewards (`Scores.steps`), whose sum is the value of the trajectory.

    Only `info[won]` says whether the goal was reached: an attempt that ended is not won for that, and one that a limit
    cut off is lost. Increments may be negative, where a score fell.

    Source: Wang and Ammanabrolu 2025, "A Practitioner's Guide to Multi-turn Agentic Reinforcement Learning" (arXiv
        2510.01132).

    Args:
        density: "dense" pays each turn its increment, "last" the sum of them at the last turn, and "sparse" 1 at the
            last turn of an attempt that is won.
        normalise: what dense increments are divided by. "sum": the positive ones' sum where the attempt was won, so that it
            gets 1, and the most possible where it was not. "won_count": the number of positive ones instead of their sum, as
            the authors' program does; the total may exceed 1. "max": the most possible. None: nothing.
        most: the most that an attempt can get; None for `info["max_score"]`.
        won: the key of `info` that says whether the goal was reached.
    """

    density: Literal["dense", "last", "sparse"] = "dense"
    normalise: Literal["sum", "won_count", "max"] | None = "sum"
    most: float | None = None
    won: str = "won"

    def verify(self, trajectory: Trajectory) -> Verdict:
        """The increments of one attempt, divided and placed."""
        if self.won not in trajectory.info:
            raise ScoringFailure(
                f"info has no {self.won!r}, which must say whether the goal was reached; set won= to its key"
            )
        won = bool(trajectory.info[self.won])
        steps = np.zeros(len(trajectory))
        if self.density == "sparse":
            steps[-1] = float(won)
        else:
            dense = self._divided(np.where(np.isnan(trajectory.rewards), 0.0, trajectory.rewards), trajectory, won)
            steps = dense
            if self.density == "last":
                steps = np.zeros(len(trajectory))
                steps[-1] = dense.sum()
        total = math.fsum(steps)
        if abs(total - 1.0) < _ROUNDING:
            total = 1.0  # thirds that add up to one are a victory
        return Verdict(value=total, steps=list(steps), parts={"won": float(won)})

    def _divided(self, increments: NDArray[np.float64], trajectory: Trajectory, won: bool) -> NDArray[np.float64]:
        if self.normalise is None:
            return increments
        if won and self.normalise != "max":
            gained = increments[increments > 0]
            divisor = float(gained.sum()) if self.normalise == "sum" else float(gained.size)
            return increments / divisor if gained.size else increments
        most = self.most if self.most is not None else trajectory.info.get("max_score")
        if not isinstance(most, (int, float)) or isinstance(most, bool) or not 0 < most < math.inf:
            raise ScoringFailure(f"the most that an attempt can get must be a positive number, got {most!r}; set most=")
        return increments / float(most)


@register("thinned")
@dataclass(frozen=True, kw_only=True)
class Thinned(Reward):
    """A reward with fewer turn rewards and the same sum: what a turn that is left out earned is paid at the next one kept.

    Args:
        reward: gives turn rewards.
        keep: the share of the turns with a reward that keep one, evenly spread; the last always does.
    """

    reward: Reward
    keep: Annotated[float, Field(ge=0, le=1)] = 0.5

    def children(self) -> dict[str, Reward]:
        """The reward that is thinned."""
        return {self.reward.label: self.reward}

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        scores = self.reward(trajectories, progress=progress)
        if scores.steps is None:
            raise ValueError(f"{self.reward.label} gives no turn rewards, so there is nothing to thin")
        steps = [None if row is None else thin(row, self.keep) for row in scores.steps]
        return replace(scores, steps=steps, parts={self.reward.label: scores})


def thin(steps: NDArray[np.float64], keep: float) -> NDArray[np.float64]:
    """Turn rewards with a share of their entries and the same sum; see `Thinned`.

    Args:
        steps: float64[turn].
        keep: in [0, 1].
    """
    if not 0 <= keep <= 1:
        raise ValueError(f"keep must be in [0, 1], got {keep}")
    paid = np.flatnonzero(steps)
    if not paid.size:
        return steps.copy()
    number = np.arange(1, paid.size + 1)
    kept = np.floor(number * keep) > np.floor((number - 1) * keep)
    kept[-1] = True
    owner = np.searchsorted(np.flatnonzero(kept), np.arange(paid.size))
    thinned = np.zeros_like(steps)
    np.add.at(thinned, paid[kept][owner], steps[paid])
    return thinned
