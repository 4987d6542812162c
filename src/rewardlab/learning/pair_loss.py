"""What becomes of comparisons of doubtful strength: turned round, left out, softened, or asked to differ by a margin.

Wang et al. 2024, "Secrets of RLHF in Large Language Models Part II: Reward Modeling" (arXiv 2401.06080), section 2.
Everything is written into the data as labels, strengths and weights, so that any reward model can be fitted to the result.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.learning.data import PreferenceData
from rewardlab.learning.preference_strength import Floats, StrengthReport


@dataclass(frozen=True, kw_only=True)
class PairLoss:
    """What becomes of comparisons of doubtful strength: `apply` repairs the data, `loss` is what to fit to the result.

    Flips come first; a flipped pair has the opposite strength, so that no margin is negative because of its flip.
    Softening then mixes the label with its opposite, which is label smoothing pair by pair.

    Args:
        flip: share of the pairs, the weakest, that are turned round; or bool[row].
        drop: share of the pairs, the weakest, that are left out; or bool[row].
        smoothing: how much of the label goes to the other side, in [0, 1]: one number, float[row], or a function of the
            strengths (after flipping), such as `soften_below_zero()`.
        margin: one number, float[row], or "strength": the strength itself where it is positive.
        margin_clip: largest margin; the authors advise a small range.
        weights: float[row], or None.
    """

    flip: float | ArrayLike | None = None
    drop: float | ArrayLike | None = None
    smoothing: float | ArrayLike | Callable[[Floats], ArrayLike] | None = None
    margin: float | ArrayLike | str | None = None
    margin_clip: float | None = None
    weights: ArrayLike | None = None

    def apply(self, data: PreferenceData, report: StrengthReport | None = None) -> PreferenceData:
        """The repaired comparisons, each marked `repaired` in its metadata; already repaired ones come back as they are.

        Args:
            data: the comparisons.
            report: their strengths, in the same order; needed for whatever depends on them.

        Raises:
            ValueError: an option out of its range, a strength that is needed and not there, or comparisons that were
                repaired in another way before.
        """
        tag = self.tag()
        if data.metadata is not None and (marks := {row.get("repaired") for row in data.metadata}) != {None}:
            if marks == {tag}:
                return data
            raise ValueError(
                f"these comparisons were repaired already ({sorted(map(str, marks))[0]!r}), and this would be {tag!r}: a "
                "second repair would undo the first; start from the original comparisons"
            )
        if report is not None and len(report) != len(data):
            raise ValueError(f"the report has {len(report)} strengths for {len(data)} comparisons")
        mean = None if report is None else report.mean.copy()
        label = data.label.copy()
        flipped = self._weakest("flip", self.flip, len(data), mean)
        label[flipped] = 1.0 - label[flipped]
        if mean is not None:
            mean[flipped] = -mean[flipped]
        margin = self._margin(len(data), mean, report)
        soft = self._soft(len(data), mean)
        label = (1.0 - soft) * label + soft * (1.0 - label)
        told = data.metadata or [{} for _ in range(len(data))]
        weight = data.weight
        if self.weights is not None:
            given = _column("weights", self.weights, len(data))
            if (given < 0).any():
                raise ValueError(f"weights must not be negative, got {given.min()} in row {int(given.argmin())}")
            weight = given if weight is None else weight * given
        repaired = replace(
            data,
            label=label,
            strength=data.strength if margin is None else margin,
            weight=weight,
            metadata=[{**row, "repaired": tag} for row in told],
        )
        dropped = self._weakest("drop", self.drop, len(data), None if report is None else report.mean)
        return repaired.select(~dropped) if dropped.any() else repaired

    def tag(self) -> str:
        """What marks comparisons that this has repaired: its options."""
        return ", ".join(
            f"{name}={_short(value)}"
            for name in self.__dataclass_fields__
            if (value := getattr(self, name)) is not None
        )

    def loss(self) -> Any:
        """The loss to fit to what `apply` gives: Bradley and Terry's, with the strengths as margins where there are any."""
        from rewardlab.learning.losses import BradleyTerryLoss

        return BradleyTerryLoss() if self.margin is None else BradleyTerryLoss(margin="strength")

    def _weakest(self, name: str, which: Any, count: int, mean: Floats | None) -> NDArray[np.bool_]:
        mask = np.zeros(count, dtype=np.bool_)
        if which is None:
            return mask
        if np.ndim(which):
            given = np.asarray(which)
            if given.shape != (count,) or given.dtype != np.bool_:
                raise ValueError(f"{name} must be a share or bool[{count}], got {given.dtype}{list(given.shape)}")
            return given.copy()
        share = float(which)
        if not 0 <= share < 1:
            raise ValueError(f"{name} must be a share in [0, 1), got {share}")
        if mean is None:
            raise ValueError(
                f"{name}={share} takes the weakest comparisons, which needs their strengths: give a report"
            )
        mask[np.argsort(mean, kind="stable")[: round(share * count)]] = True
        return mask

    def _soft(self, count: int, mean: Floats | None) -> Floats:
        smoothing = self.smoothing
        if callable(smoothing):
            if mean is None:
                raise ValueError("smoothing is a function of the strengths, which are not there: give a report")
            smoothing = smoothing(mean)
        soft = _column("smoothing", 0.0 if smoothing is None else smoothing, count)
        wrong = np.flatnonzero(~((soft >= 0) & (soft <= 1)))
        if wrong.size:
            raise ValueError(f"smoothing must lie in [0, 1], got {soft[wrong[0]]} for pair {wrong[0]}")
        return soft

    def _margin(self, count: int, mean: Floats | None, report: StrengthReport | None) -> Floats | None:
        if self.margin is None:
            return None
        if isinstance(self.margin, str):
            if self.margin != "strength":
                raise ValueError(f"margin must be a number, float[row] or 'strength', got {self.margin!r}")
            if mean is None:
                raise ValueError("margin='strength' needs the strengths: give a report")
            margin = np.maximum(mean, 0.0)
        else:
            margin = _column("margin", self.margin, count)
            if (margin < 0).any():
                raise ValueError(
                    f"a margin must not be negative, got {margin.min()} for pair {int(margin.argmin())}; flip it instead"
                )
        if self.margin_clip is not None:
            if self.margin_clip <= 0:
                raise ValueError(f"margin_clip must be positive, got {self.margin_clip}")
            margin = np.minimum(margin, self.margin_clip)
        if report is not None and not isinstance(self.margin, str):
            largest = float(np.quantile(np.abs(report.differences), 0.95))
            if margin.max() > largest:
                warnings.warn(
                    f"the largest margin is {margin.max():.3g}, above 95% of all differences of the voters ({largest:.3g}): "
                    "such a loss hardly falls; use margin_clip",
                    stacklevel=4,
                )
        return margin


def soften_below_zero(weak: float = 0.5, strong: float = 0.0) -> Callable[[Floats], Floats]:
    """Smoothing that treats pairs of negative strength differently.

    Args:
        weak: for pairs of negative strength; 0.5 drops their direction, more turns it round.
        strong: for the others.
    """

    def soft(mean: Floats) -> Floats:
        return np.where(mean < 0, weak, strong)

    soft.__name__ = f"soften_below_zero({weak}, {strong})"
    return soft


def _column(name: str, given: Any, count: int) -> Floats:
    column = np.asarray(given, dtype=np.float64)
    if column.ndim == 0:
        column = np.full(count, float(column))
    if column.shape != (count,) or not np.isfinite(column).all():
        raise ValueError(
            f"{name} must be finite, one number or one for each of {count} comparisons, got {column.shape}"
        )
    return column


def _short(value: Any) -> str:
    if callable(value):
        return str(getattr(value, "__name__", value))
    if np.ndim(value):
        content = np.ascontiguousarray(np.asarray(value, dtype=np.float64)).tobytes()
        return f"[{np.size(value)}: {hashlib.sha256(content).hexdigest()[:8]}]"
    return str(value)
