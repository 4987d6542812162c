"""The kinesthetic combination of parts that only make sense together, so that one good part cannot hide a bad one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
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
    Parts that are all rewards of single transitions are combined transition by transition, and the value of a trajectory is
    the sum; other parts are combined by their values.

    Where one part is negative, the value falls as the *others* improve. As the only guide to a task that can keep a policy
    from ever coming near; `rewardlab.audit.reward_map` shows where it happens.

    Args:
        parts: the rewards by name, each in [-1, 1].
        weights: positive exponents, 1 where not given.
        sign: "all" is positive only where every part is >= 0 (two wrongs stay wrong); "product" multiplies the signs.
        normalise: what becomes of values outside [-1, 1], which make the mean incomparable: "warn" keeps them, "clip" limits
            them, "error" makes the scoring fail.
    """

    parts: dict[str, Reward]
    weights: dict[str, float] = field(default_factory=dict)
    sign: Literal["all", "product"] = "all"
    normalise: Literal["warn", "clip", "error"] = "warn"

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

    def in_range(self, columns: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """The values of the parts as one array, with what `normalise` says done to those outside [-1, 1].

        Args:
            columns: float64[...] for each part, all of one shape.

        Returns:
            float64[part, ...].

        Raises:
            ValueError: `normalise` is "error", and a value is outside.
        """
        for name, column in columns.items():
            low, high = (np.nanmin(column), np.nanmax(column)) if np.isfinite(column).any() else (0.0, 0.0)
            if (low < -1.0 or high > 1.0) and self.normalise != "clip":
                message = (
                    f"{self.label}: part {name!r} has values in [{low:.4g}, {high:.4g}], expected [-1, 1]; "
                    "scale it, or set normalise='clip'"
                )
                if self.normalise == "error":
                    raise ValueError(message)
                told: set[str] = self.__dict__.setdefault("_told", set())
                if name not in told:  # once for each part and reward, since one that steps would say it at every step
                    told.add(name)
                    warnings.warn(message, stacklevel=2)
        stacked = np.stack(list(columns.values()))
        return np.clip(stacked, -1.0, 1.0) if self.normalise == "clip" else stacked

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        from rewardlab.rewards.shaping.by_transition import is_by_transition

        parts = score_children(self.parts, trajectories, progress)
        states = np.stack([scores.status for scores in parts.values()])
        weights = np.array([self.weights.get(name, 1.0) for name in parts])
        status = np.where((states == Status.SCORED).any(axis=0), np.int8(Status.SCORED), np.int8(Status.ABSTAINED))
        status[(states == Status.FAILED).any(axis=0)] = Status.FAILED
        try:
            steps = self._steps(parts, weights, len(trajectories))
            if steps is not None and all(is_by_transition(part) for part in self.parts.values()):
                values = np.array([np.nan if one is None else one.sum() for one in steps])
            else:
                values = self._combined({name: scores.values for name, scores in parts.items()}, weights)
        except ValueError as error:
            return Scores.blank(len(trajectories), Status.FAILED, str(error))
        return Scores(
            values=values,
            status=status,
            notes=join_notes(parts, status),
            steps=steps,
            parts=parts,
            confidence=join_confidence(list(parts.values())),
        )

    def _combined(
        self, columns: Mapping[str, NDArray[np.float64]], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return kinesthetic_mean(self.in_range(columns), weights, sign=self.sign)

    def _steps(
        self, parts: Mapping[str, Scores], weights: NDArray[np.float64], count: int
    ) -> list[NDArray[np.float64] | None] | None:
        """Where every part values single steps, so does the combination, step by step."""
        if any(part.steps is None for part in parts.values()):
            return None
        rows: list[dict[str, NDArray[np.float64]] | None] = []
        for index in range(count):
            columns = {name: part.steps[index] for name, part in parts.items() if part.steps is not None}
            rows.append(None if any(one is None for one in columns.values()) else columns)  # type: ignore[arg-type]
        found = [row for row in rows if row is not None]
        if not found:
            return [None] * count
        joined = self._combined({name: np.concatenate([row[name] for row in found]) for name in parts}, weights)
        ends = np.cumsum([len(next(iter(row.values()))) for row in found])
        pieces = iter(np.split(joined, ends[:-1]))
        return [None if row is None else next(pieces) for row in rows]


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
    return np.where(present.any(axis=0), direction * size + 0.0, np.nan)  # + 0.0: no negative zeros


def kinesthetic(*parts: Reward, weights: Sequence[float] | None = None, **options: Any) -> Kinesthetic:
    """Signed geometric mean of parts that only make sense together; see `Kinesthetic`."""
    names = unique_names(parts)
    named = {} if weights is None else dict(zip(names, weights, strict=True))
    return Kinesthetic(parts=dict(zip(names, parts, strict=True)), weights=named, **options)
