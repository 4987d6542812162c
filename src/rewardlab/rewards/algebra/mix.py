"""A mix of named components, each with its own weight, scale and limits, and a table that shows which of them decides.

The sum of the algebra takes a failed part for a failed whole. A mix is for the other case: several views of one answer,
of which some may be missing. What is missing is masked and counted, and the other weights are scaled up; it is never
taken for 0.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.algebra.combine import check_parts, overflow, score_children
from rewardlab.rewards.base import Reward
from rewardlab.rewards.spec import register
from rewardlab.types import Scores, Status, Trajectory, group_indices

_log = logging.getLogger(__name__)
Floats = NDArray[np.float64]

ROUNDING = 1e-9
"""A value may leave its range by so much, relatively, without a warning: a cosine of 1 is often a little more."""


@register("component")
@dataclass(frozen=True, kw_only=True)
class Component(Reward):
    """One reward of a mix.

    Args:
        reward: what is measured.
        weight: in the mix; 0 is logged only, and a negative one is allowed, and logged when the mix is built.
        scale: values are multiplied by it, so that components of different units can be compared.
        clip: the range that the reward promises; values outside are clipped, with a warning that says how many.
        mask: function of a trajectory that says where the component applies; None for everywhere.
    """

    reward: Reward
    weight: float = 1.0
    scale: float = 1.0
    clip: tuple[float, float] | None = None
    mask: Callable[[Trajectory], bool] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("weight", "scale"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"Component: option {name!r} must be a finite number, got {getattr(self, name)}")
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            raise ValueError(f"Component: option 'clip' must be (lowest, highest), got {self.clip}")

    def children(self) -> dict[str, Reward]:  # noqa: D102 - documented on Reward
        return {self.reward.label.replace(".", "_"): self.reward}

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        ((name, child),) = self.children().items()
        inner = score_children({name: child}, trajectories, progress)[name]
        values, status = inner.values.copy(), inner.status.copy()
        if self.mask is not None:
            status[[not self.mask(one) for one in trajectories]] = Status.ABSTAINED
        if self.clip is not None:
            low, high = self.clip
            slack = ROUNDING * max(1.0, abs(low), abs(high))
            outside = (status == Status.SCORED) & ((values < low - slack) | (values > high + slack))
            if outside.any():
                worst = values[outside][np.abs(values[outside]).argmax()]
                warnings.warn(
                    f"component {self.label!r}: {int(outside.sum())} of {len(values)} values lie outside the range "
                    f"[{low:g}, {high:g}] that it promises (such as {worst:g}), and are clipped",
                    stacklevel=2,
                )
            values = np.clip(values, low, high)
        values = np.where(status == Status.SCORED, values * self.scale, np.nan)
        return replace(inner, values=values, status=status, steps=None, parts={name: inner})


@register("mix")
@dataclass(frozen=True, kw_only=True)
class RewardMix(Reward):
    """The weighted sum of components, over those that have a value.

    A component that abstained, failed or is masked for a sample is left out of it, and the weights of the others are scaled
    up to the whole (by magnitude). A sample for which no component has a value is failed.

    Args:
        parts: the components by name; a plain reward counts as a component of weight 1.
    """

    parts: dict[str, Reward]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parts(self, self.parts)
        whole = {
            name: one if isinstance(one, Component) else Component(reward=one, name=name)
            for name, one in self.parts.items()
        }
        object.__setattr__(self, "parts", {name: one if one.name else one.named(name) for name, one in whole.items()})
        weights = self.weights
        if not any(weights.values()):
            raise ValueError(f"RewardMix: the weights of {', '.join(weights)} are all 0, so nothing is left to decide")
        if math.isclose(sum(weights.values()), 0.0, abs_tol=1e-12):
            _log.warning("the weights of a mix sum to 0 (%s): equal values of all components cancel out", weights)
        for name, weight in weights.items():
            if weight < 0:
                _log.warning("component %r of a mix has the weight %g: higher values of it are punished", name, weight)

    @classmethod
    def of(cls, *components: Component) -> RewardMix:
        """A mix of components that have names of their own, or those of their rewards."""
        from rewardlab.rewards.algebra.combine import unique_names

        labels = [one if one.name else one.named(one.reward.label) for one in components]
        return cls(parts=dict(zip(unique_names(labels), labels, strict=True)))

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each component."""
        return {name: one.weight for name, one in self.parts.items() if isinstance(one, Component)}

    def children(self) -> dict[str, Reward]:  # noqa: D102
        return dict(self.parts)

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        parts = score_children(self.parts, trajectories, progress)
        given, deciding = self._contributions(parts)
        status = np.where(deciding.any(axis=0), np.int8(Status.SCORED), np.int8(Status.FAILED))
        values = given.sum(axis=0)
        notes = overflow(values, status)
        for index in np.flatnonzero(~deciding.any(axis=0)).tolist():
            reasons = [f"{name}: {part.note(index) or 'masked'}" for name, part in parts.items()]
            notes[index] = f"no component has a value for this sample ({'; '.join(reasons)})"
        return Scores(
            values=np.where(status == Status.SCORED, values, np.nan),
            status=status,
            notes=[notes.get(index) for index in range(len(values))] if notes else None,
            parts=parts,
        )

    def _contributions(
        self, parts: dict[str, Scores], weights: dict[str, float] | None = None
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """What each component adds to each sample, float64[component, sample], and where it decides anything."""
        column = np.array([(weights or self.weights)[name] for name in self.parts])
        scored = np.stack([parts[name].scored for name in self.parts])
        values = np.where(scored, np.stack([parts[name].values for name in self.parts]), 0.0)
        deciding = scored & (column != 0)[:, None]
        present = np.abs(column) @ deciding
        factor = np.divide(np.abs(column).sum(), present, out=np.zeros_like(present), where=present > 0)
        with np.errstate(over="ignore", invalid="ignore"):
            return column[:, None] * values * factor, deciding

    # ---- which component decides --------------------------------------------------------------------------------------

    def table(self, scores: Scores) -> ComponentTable:
        """How the components of scores that this mix gave compare.

        Args:
            scores: what calling the mix returned.

        Raises:
            ValueError: the scores are not those of this mix.
        """
        missing = [name for name in self.parts if name not in scores.parts]
        if missing:
            raise ValueError(
                f"these scores have no part {missing[0]!r}; a table needs what this mix returned, with the parts "
                f"{', '.join(self.parts)}"
            )
        given, _ = self._contributions(scores.parts)
        used = scores.scored
        total = given[:, used].sum(axis=0)
        variance = float(total.var()) if total.size else 0.0
        rows = []
        for place, (name, weight) in enumerate(self.weights.items()):
            part, own = scores.parts[name], given[place, used]
            here = part.scored & used
            values = part.values[here]
            covariance = float(((own - own.mean()) * (total - total.mean())).mean()) if total.size else 0.0
            rows.append(
                ComponentRow(
                    name=name,
                    weight=weight,
                    mean=float(values.mean()) if values.size else math.nan,
                    std=float(values.std()) if values.size else math.nan,
                    correlation=_correlation(values, scores.values[here]),
                    share=covariance / variance if variance > 0 else 0.0,
                    masked=int(part.abstained.sum()),
                    failed=int(part.failed.sum()),
                )
            )
        return ComponentTable(rows=tuple(rows), samples=len(scores))

    def sensitivity(
        self, trajectories: Sequence[Trajectory], scores: Scores, factors: Sequence[float] = (0.0, 0.5, 2.0)
    ) -> list[dict[str, Any]]:
        """What other weights would have changed: one row for each component and factor.

        Args:
            trajectories: what was scored; their groups say who is compared with whom.
            scores: what this mix gave them.
            factors: what the weight of one component is multiplied by.

        Returns:
            Rows with `component`, `factor`, `correlation` (of ranks, with the totals as they are) and `best_changed`, the
            share of groups with another best member.
        """
        groups = [group for group in group_indices(trajectories) if len(group) > 1]
        rows: list[dict[str, Any]] = []
        for name, weight in self.weights.items():
            for factor in factors:
                weights = {**self.weights, name: weight * factor}
                if not any(weights.values()):
                    continue
                totals = np.where(scores.scored, self._contributions(scores.parts, weights)[0].sum(axis=0), np.nan)
                changed = [
                    int(np.nanargmax(scores.values[group])) != int(np.nanargmax(totals[group]))
                    for group in groups
                    if scores.scored[group].any()
                ]
                ranks = [_ranks(column[scores.scored]) for column in (scores.values, totals)]
                rows.append(
                    {
                        "component": name,
                        "factor": float(factor),
                        "correlation": _correlation(*ranks),
                        "best_changed": float(np.mean(changed)) if changed else math.nan,
                    }
                )
        return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentRow:
    """One component in a table.

    Args:
        name: of the component.
        weight: of it in the mix.
        mean, std: of its scaled values, where it has some.
        correlation: of them with the total; NaN where either never changes.
        share: of the variance of the total, so that the shares of all components add up to 1; negative for a component that
            works against the others. All 0 where the total never changes.
        masked, failed: samples without a value of it.
    """

    name: str
    weight: float
    mean: float
    std: float
    correlation: float
    share: float
    masked: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentTable:
    """The components of a mix over one batch."""

    rows: tuple[ComponentRow, ...]
    samples: int

    def dominating(self, share: float = 0.9) -> str | None:
        """The component that makes up more than this share of the variance, or None."""
        return next((row.name for row in self.rows if row.share > share), None)

    def to_json(self) -> list[dict[str, Any]]:
        """Every row as plain values."""
        return [{name: getattr(row, name) for name in row.__slots__} for row in self.rows]

    def __str__(self) -> str:
        lines = [
            f"{'component':20s} {'weight':>7s} {'mean':>7s} {'std':>7s} {'corr':>6s} {'share':>6s}  without a value"
        ]
        for row in self.rows:
            lines.append(
                f"{row.name:20.20s} {row.weight:7.3g} {row.mean:7.3f} {row.std:7.3f} {row.correlation:6.2f} {row.share:6.2f}"
                f"  {row.masked} masked, {row.failed} failed of {self.samples}"
            )
        return "\n".join(lines)


@dataclass(kw_only=True)
class TableLog:
    """A callback of training that keeps a mix's table for each step: `train(..., callbacks=[log])`.

    Args:
        mix: the reward that is trained on.
        tables: what was seen, one for each step.
    """

    mix: RewardMix
    tables: list[ComponentTable] = field(default_factory=list)

    def __call__(self, report: Any) -> None:
        """Take one step in."""
        self.tables.append(self.mix.table(report.scores))


def _correlation(first: Floats, second: Floats) -> float:
    if first.size < 2 or not (first.std() > 0 and second.std() > 0):
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: Floats) -> Floats:
    """Ranks, equal values sharing the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: Floats = ((ends - counts) + (ends - 1))[places] / 2.0
    return ranks
