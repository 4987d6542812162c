"""Whether stated probabilities come true: reliability curve, expected calibration error, Brier score. Plain numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class ReliabilityCurve(NamedTuple):
    """Probabilities in bins, beside how often they came true; bins that hold nothing are left out.

    Args:
        stated: float64[bin], mean probability.
        found: float64[bin], mean label.
        rows: int64[bin], how many rows stand in each.
        lower, upper: float64[bin], the ends of the bins.
    """

    stated: NDArray[np.float64]
    found: NDArray[np.float64]
    rows: NDArray[np.int64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


def reliability_curve(
    probability: ArrayLike, label: ArrayLike, *, bins: int = 10, equal_counts: bool = False
) -> ReliabilityCurve:
    """Mean label against mean probability, in bins of the probability.

    Source: Niculescu-Mizil and Caruana 2005, "Predicting Good Probabilities with Supervised Learning", section 4.

    Args:
        probability: float[row] in [0, 1].
        label: float[row] in [0, 1], what happened; soft labels count as shares.
        bins: how many.
        equal_counts: whether bins hold equally many rows, in place of being equally wide.

    Raises:
        ValueError: lengths differ, numbers lie outside [0, 1], or there are no bins.
    """
    stated, found = _check(probability, label)
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    edges = np.linspace(0.0, 1.0, bins + 1)
    if equal_counts and len(stated):
        edges = np.unique(np.quantile(stated, edges))
        edges[0], edges[-1] = 0.0, 1.0
        if len(edges) < 2:
            edges = np.asarray([0.0, 1.0])
    place = np.clip(np.searchsorted(edges, stated, side="right") - 1, 0, len(edges) - 2)
    count = np.bincount(place, minlength=len(edges) - 1)
    kept = count > 0
    size = count[kept]
    return ReliabilityCurve(
        stated=np.bincount(place, stated, minlength=len(edges) - 1)[kept] / size,
        found=np.bincount(place, found, minlength=len(edges) - 1)[kept] / size,
        rows=size,
        lower=edges[:-1][kept],
        upper=edges[1:][kept],
    )


def expected_calibration_error(
    probability: ArrayLike, label: ArrayLike, *, bins: int = 10, equal_counts: bool = False
) -> float:
    """Mean distance of stated probabilities from what happened, over bins weighted by their rows.

    It is biased upwards where bins hold few rows: even true probabilities differ from shares of a few.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv 1706.04599), equation 3.

    Args:
        probability: float[row] in [0, 1].
        label: float[row] in [0, 1].
        bins: how many.
        equal_counts: whether bins hold equally many rows, in place of being equally wide.

    Returns:
        In [0, 1]; NaN for no rows.
    """
    curve = reliability_curve(probability, label, bins=bins, equal_counts=equal_counts)
    total = int(curve.rows.sum())
    return float((np.abs(curve.stated - curve.found) * curve.rows).sum() / total) if total else float("nan")


def brier_score(probability: ArrayLike, label: ArrayLike) -> float:
    """Mean squared distance of probabilities from labels; always saying 0.5 gives 0.25 where labels are 0 and 1.

    Source: Brier 1950, "Verification of Forecasts Expressed in Terms of Probability", for two outcomes.

    Args:
        probability: float[row] in [0, 1].
        label: float[row] in [0, 1].

    Returns:
        In [0, 1]; NaN for no rows.
    """
    stated, found = _check(probability, label)
    return float(((stated - found) ** 2).mean()) if len(stated) else float("nan")


def _check(probability: ArrayLike, label: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    stated, found = np.asarray(probability, np.float64), np.asarray(label, np.float64)
    if stated.ndim != 1 or stated.shape != found.shape:
        raise ValueError(f"probability and label must be equally long, got shapes {stated.shape} and {found.shape}")
    for name, column in (("probability", stated), ("label", found)):
        wrong = np.flatnonzero(~((column >= 0) & (column <= 1)))
        if wrong.size:
            raise ValueError(
                f"{name} must be in [0, 1], got {column[wrong[0]]} in row {wrong[0]}; log-odds need a sigmoid"
            )
    return stated, found
