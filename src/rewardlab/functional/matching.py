"""Which column of one table is which of another: parts of a model that have numbers, but no names, across two fits."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

MOST = 14
"""Columns that can be matched: the number of sets that are looked at is two to the power of it."""


def match_columns(reference: ArrayLike, other: ArrayLike) -> NDArray[np.int64]:
    """The order of the columns of a table in which they correlate most with those of another.

    The assignment has the largest sum of correlations, found exactly over sets of columns (Held and Karp 1962).

    Args:
        reference: float[row, column], values of some items under every part of the fit that keeps its order.
        other: float[row, column], values of the same items under the parts of the other fit.

    Returns:
        int64[column]: `other[:, order]` resembles `reference`.

    Raises:
        ValueError: shapes differ, or there are more than 14 columns.
    """
    one, two = np.asarray(reference, np.float64), np.asarray(other, np.float64)
    if one.shape != two.shape or one.ndim != 2:
        raise ValueError(f"expected as many columns for the same rows, got shapes {one.shape} and {two.shape}")
    count = one.shape[1]
    if count > MOST:
        raise ValueError(f"at most {MOST} columns are matched, since all sets of them are looked at; got {count}")
    alike = np.corrcoef(one.T, two.T)[:count, count:]
    # best[taken] = the largest sum for the first columns of the reference, with these columns of the other taken
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    for place in range(count):
        wider: dict[int, tuple[float, tuple[int, ...]]] = {}
        for taken, (total, order) in best.items():
            for column in range(count):
                if not taken >> column & 1:
                    key, value = taken | 1 << column, total + float(alike[place, column])
                    if key not in wider or value > wider[key][0]:
                        wider[key] = (value, (*order, column))
        best = wider
    return np.asarray(best[(1 << count) - 1][1], np.int64)
