"""How far people agree beyond chance: Krippendorff's alpha, Fleiss' kappa and Cohen's kappa. Plain numpy, without torch.

All are 1 where everybody always agrees, 0 where they agree as often as chance has it, and NaN where nothing can be said:
fewer than two judgements on everything, or only one category in all of them, so that agreement by chance is complete.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Level = Literal["nominal", "ordinal", "interval"]
Weights = Literal["linear", "quadratic"]


def krippendorff_alpha(ratings: ArrayLike, level: Level = "nominal") -> float:
    """Krippendorff's alpha: one minus the observed over the expected disagreement. Any number of judges, any gaps.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", sections C and D.

    Args:
        ratings: float[judge, unit]; NaN where a judge did not rate a unit.
        level: how far two ratings are apart: "nominal" (equal or not), "ordinal" (by how many ratings lie between), or
            "interval" (squared difference).

    Returns:
        At most 1; NaN where no unit has two ratings, or all ratings are equal.

    Raises:
        ValueError: `ratings` is not two-dimensional, or the level is unknown.
    """
    table, values = _counts(ratings)
    rated = table.sum(1)
    table = table[rated >= 2]
    rated = rated[rated >= 2].astype(np.float64)
    if not len(table):
        return float("nan")
    scaled = table / (rated - 1)[:, None]
    together = scaled.T @ table - np.diag(scaled.sum(0))  # how often two values met in one unit
    frequency = together.sum(1)
    if level == "nominal":
        distance = 1.0 - np.eye(len(values))
    elif level == "ordinal":
        upto = np.cumsum(frequency) - frequency / 2
        distance = (upto[:, None] - upto[None, :]) ** 2
    elif level == "interval":
        distance = (values[:, None] - values[None, :]) ** 2
    else:
        raise ValueError(f'level must be "nominal", "ordinal" or "interval", got {level!r}')
    expected = float(frequency @ distance @ frequency) / (frequency.sum() - 1)
    if expected <= 0:
        return float("nan")
    return float(1.0 - (together * distance).sum() / expected)


def fleiss_kappa(counts: ArrayLike) -> float:
    """Fleiss' kappa, for units that were all judged equally often.

    Source: Fleiss 1971, "Measuring Nominal Scale Agreement among Many Raters", equations 1 to 7.

    Args:
        counts: int[unit, category], how many judges put a unit into a category.

    Returns:
        At most 1; NaN where all judgements are in one category.

    Raises:
        ValueError: units were not judged equally often, or only once.
    """
    table = np.asarray(counts, np.float64)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"counts must have the shape [unit, category], got {table.shape}")
    judges = table.sum(1)
    if (judges != judges[0]).any():
        odd = int(np.flatnonzero(judges != judges[0])[0])
        raise ValueError(
            f"unit {odd} has {judges[odd]:g} judgements and unit 0 has {judges[0]:g}; Fleiss' kappa needs equally many, and "
            "krippendorff_alpha does not"
        )
    each = float(judges[0])
    if each < 2:
        raise ValueError(f"every unit needs at least 2 judgements, got {each:g}")
    observed = float((((table**2).sum(1) - each) / (each * (each - 1))).mean())
    chance = float(((table.sum(0) / table.sum()) ** 2).sum())
    return float("nan") if chance >= 1.0 else (observed - chance) / (1.0 - chance)


def cohen_kappa(first: ArrayLike, second: ArrayLike, weights: Weights | None = None) -> float:
    """Cohen's kappa of two judges; units that one of them did not judge are left out.

    Source: Cohen 1960, "A Coefficient of Agreement for Nominal Scales", and 1968, "Weighted Kappa".

    Args:
        first, second: float[unit], NaN where there is no judgement.
        weights: None counts all disagreements alike; "linear" and "quadratic" by how many categories lie between.

    Returns:
        At most 1; NaN where no unit was judged by both, or all judgements are in one category.

    Raises:
        ValueError: lengths differ, or the weights are unknown.
    """
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(f"first and second must be equally long, got shapes {one.shape} and {other.shape}")
    both = ~(np.isnan(one) | np.isnan(other))
    if not both.any():
        return float("nan")
    values, places = np.unique(np.concatenate([one[both], other[both]]), return_inverse=True)
    count = int(both.sum())
    table = np.zeros((len(values), len(values)))
    np.add.at(table, (places[:count], places[count:]), 1.0 / count)
    steps = np.abs(np.subtract.outer(np.arange(len(values)), np.arange(len(values)))).astype(np.float64)
    if weights is None:
        distance = (steps > 0).astype(np.float64)
    elif weights == "linear":
        distance = steps
    elif weights == "quadratic":
        distance = steps**2
    else:
        raise ValueError(f'weights must be None, "linear" or "quadratic", got {weights!r}')
    expected = float((np.outer(table.sum(1), table.sum(0)) * distance).sum())
    return float("nan") if expected <= 0 else float(1.0 - (table * distance).sum() / expected)


def pairwise_agreement(ratings: ArrayLike) -> float:
    """Share of equal ratings among all pairs of judges and units that both rated, with no correction for chance.

    Args:
        ratings: float[judge, unit]; NaN where a judge did not rate a unit.

    Returns:
        In [0, 1]; NaN where no unit has two ratings.
    """
    table, _ = _counts(ratings)
    rated = table.sum(1)
    pairs = float((rated * (rated - 1)).sum())
    return float((table * (table - 1)).sum() / pairs) if pairs else float("nan")


def _counts(ratings: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How often each value was given to each unit, float64[unit, value], and the values in order."""
    table = np.asarray(ratings, np.float64)
    if table.ndim != 2:
        raise ValueError(f"ratings must have the shape [judge, unit], got {table.shape}")
    judge, unit = np.nonzero(~np.isnan(table))
    values, places = np.unique(table[judge, unit], return_inverse=True)
    counts = np.zeros((table.shape[1], len(values)))
    np.add.at(counts, (unit, places), 1.0)
    return counts, values
