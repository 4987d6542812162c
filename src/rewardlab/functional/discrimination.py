"""How well a number tells two kinds apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def area_under_curve(values: ArrayLike, positive: ArrayLike) -> float:
    """The chance that a positive row has a larger value than a negative one, ties counting half.

    Source: Mann and Whitney 1947; the area under the receiver operating characteristic.

    Args:
        values: float[row].
        positive: bool[row].

    Returns:
        In [0, 1]; NaN without rows of both kinds.
    """
    labels = np.asarray(positive, dtype=np.bool_)
    hits, misses = int(labels.sum()), int((~labels).sum())
    if not hits or not misses:
        return float("nan")
    _, level, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[level.reshape(-1)]  # the mean rank of equal values
    return float((ranks[labels].sum() - hits * (hits + 1) / 2) / (hits * misses))
