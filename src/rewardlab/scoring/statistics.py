"""Means with 95% intervals, for samples that come in groups.

Attempts at one task are not independent, so what is resampled is the group (a cluster), never the sample: an interval that
takes 8 attempts at each of 100 tasks for 800 independent ones is far too narrow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2_000
MOST_CLUSTERS_RESAMPLED = 5_000
_CHUNK = 2_000_000  # numbers drawn at once


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its 95% interval.

    Args:
        value: the mean; NaN where nothing was scored.
        low: lower end of the interval; NaN where there are fewer than two clusters.
        high: upper end.
        method: how the interval was found: "t", "bootstrap over groups", "sandwich over groups" or "none".
    """

    value: float
    low: float
    high: float
    method: str

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "-"
        if math.isnan(self.low):
            return f"{self.value:.4f}"
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def clustered_mean(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> Mean:
    """Mean of all samples, with an interval over clusters.

    Student's t where every cluster holds one sample; a percentile bootstrap that draws whole clusters (2,000 times, with a
    fixed seed, so that the same file gives the same numbers) where there are up to 5,000 of them; and beyond that the
    linearised ("sandwich") variance of a ratio with t, which the bootstrap approaches.

    Args:
        sums: float64[cluster], sum of the scored values of each cluster.
        counts: float64[cluster], how many were scored; clusters with none are left out.
    """
    there = counts > 0
    sums, counts = sums[there], counts[there]
    clusters = sums.size
    if not clusters:
        return Mean(math.nan, math.nan, math.nan, "none")
    mean = float(sums.sum() / counts.sum())
    if clusters < 2:
        return Mean(mean, math.nan, math.nan, "none")
    single = bool((counts == 1).all())
    if single or clusters > MOST_CLUSTERS_RESAMPLED:
        residuals = sums - mean * counts
        variance = clusters / (clusters - 1) * float(residuals @ residuals) / float(counts.sum()) ** 2
        half = t_quantile(0.975, clusters - 1) * math.sqrt(variance)
        return Mean(mean, mean - half, mean + half, "t" if single else "sandwich over groups")
    generator = np.random.default_rng(0)
    means = np.empty(RESAMPLES)
    rows = max(1, _CHUNK // clusters)
    for start in range(0, RESAMPLES, rows):
        drawn = generator.integers(0, clusters, size=(min(rows, RESAMPLES - start), clusters))
        means[start : start + len(drawn)] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Mean(mean, float(low), float(high), "bootstrap over groups")


def t_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t distribution.

    The distribution function for whole degrees of freedom is a finite sum (Abramowitz and Stegun 26.7.3 and 26.7.4),
    inverted by bisection; above 1,000 degrees the first two terms of the expansion in 1 / degrees are exact to 1e-7.

    Args:
        probability: in [0.5, 1).
        degrees: degrees of freedom, at least 1.
    """
    if degrees < 1 or not 0.5 <= probability < 1.0:
        raise ValueError(
            f"expected degrees of at least 1 and a probability in [0.5, 1), got {degrees} and {probability}"
        )
    normal = NormalDist().inv_cdf(probability)
    if degrees > 1000:
        first = (normal**3 + normal) / (4 * degrees)
        second = (5 * normal**5 + 16 * normal**3 + 3 * normal) / (96 * degrees**2)
        return normal + first + second
    low, high = 0.0, math.pi / 2  # of the angle whose tangent is t / sqrt(degrees)
    for _ in range(80):
        middle = (low + high) / 2
        if 0.5 + _central_mass(middle, degrees) / 2 < probability:
            low = middle
        else:
            high = middle
    return math.tan((low + high) / 2) * math.sqrt(degrees)


def _central_mass(angle: float, degrees: int) -> float:
    """Probability that |t| stays below sqrt(degrees) * tan(angle)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    if degrees == 1:
        return 2 * angle / math.pi
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = term
    for step in range(3 if odd else 2, degrees - 1, 2):
        term *= cosine * cosine * (step - 1) / step
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
