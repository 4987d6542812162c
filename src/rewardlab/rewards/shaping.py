"""Rewards that shape others: the kinesthetic combination of parts that only make sense together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.algebra.combine import check_parts, join_confidence, join_notes, score_children, unique_names
from rewardlab.rewards.base import Reward
from rewardlab.rewards.spec import register
from rewardlab.types import Scores, Status, Trajectory


@register("kinesthetic")
@dataclass(frozen=True, kw_only=True)
class Kinesthetic(Reward):
    """Signed weighted geometric mean of parts, so that one good part cannot hide a bad one (Lucy-SKG, 2023).

    The value is `sign * prod |r_i| ** (w_i / sum w)`. A part that abstains is left out; one that fails makes the whole fail.

    Args:
        parts: the rewards by name, each best in [-1, 1].
        weights: positive exponents, 1 where not given.
        sign: "all" is positive only where every part is >= 0 (two wrongs stay wrong); "product" multiplies the signs.
    """

    parts: dict[str, Reward]
    weights: dict[str, float] = field(default_factory=dict)
    sign: Literal["all", "product"] = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parts(self, self.parts)
        for name, weight in self.weights.items():
            if name not in self.parts:
                raise ValueError(f"Kinesthetic: option 'weights' names {name!r}; the parts are {', '.join(self.parts)}")
            if not (np.isfinite(weight) and weight > 0):
                raise ValueError(
                    f"Kinesthetic: option 'weights' gives {name!r} the weight {weight}, expected a positive number"
                )

    def children(self) -> dict[str, Reward]:  # noqa: D102 - documented on Reward
        return dict(self.parts)

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        parts = score_children(self.parts, trajectories, progress)
        states = np.stack([scores.status for scores in parts.values()])
        weights = np.array([self.weights.get(name, 1.0) for name in parts])
        values = kinesthetic_mean(np.stack([scores.values for scores in parts.values()]), weights, sign=self.sign)
        status = np.where((states == Status.SCORED).any(axis=0), np.int8(Status.SCORED), np.int8(Status.ABSTAINED))
        status[(states == Status.FAILED).any(axis=0)] = Status.FAILED
        steps = self._steps(list(parts.values()), weights, len(trajectories))
        return Scores(
            values=values,
            status=status,
            notes=join_notes(parts, status),
            steps=steps,
            parts=parts,
            confidence=join_confidence(list(parts.values())),
        )

    def _steps(
        self, parts: list[Scores], weights: NDArray[np.float64], count: int
    ) -> list[NDArray[np.float64] | None] | None:
        """Where every part values single steps, so does the combination, step by step."""
        if any(part.steps is None for part in parts):
            return None
        combined: list[NDArray[np.float64] | None] = []
        for index in range(count):
            columns = [part.steps[index] for part in parts if part.steps is not None]
            if any(column is None for column in columns):
                combined.append(None)
            else:
                combined.append(kinesthetic_mean(np.stack(columns), weights, sign=self.sign))  # type: ignore[arg-type]
        return combined


def kinesthetic_mean(
    columns: NDArray[np.float64], weights: NDArray[np.float64], *, sign: Literal["all", "product"] = "all"
) -> NDArray[np.float64]:
    """Signed weighted geometric mean over the first axis.

    Args:
        columns: float[part, ...]; NaN entries are left out.
        weights: float[part], positive.
        sign: "all" or "product"; see `Kinesthetic`.

    Returns:
        float[...]; NaN where every part is.
    """
    present = np.isfinite(columns)
    shaped = weights.reshape(-1, *(1,) * (columns.ndim - 1))
    total = (shaped * present).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(present, np.log(np.abs(columns)), 0.0)
        size = np.exp((shaped * logs).sum(axis=0) / total)
    if sign == "all":
        direction = np.where((np.where(present, columns, 0.0) >= 0).all(axis=0), 1.0, -1.0)
    else:
        direction = np.where(present, np.sign(columns), 1.0).prod(axis=0)
    return np.where(present.any(axis=0), direction * size, np.nan)


def kinesthetic(*parts: Reward, weights: Sequence[float] | None = None, **options: Any) -> Kinesthetic:
    """Signed geometric mean of parts that only make sense together; see `Kinesthetic`."""
    names = unique_names(parts)
    named = {} if weights is None else dict(zip(names, weights, strict=True))
    return Kinesthetic(parts=dict(zip(names, parts, strict=True)), weights=named, **options)
