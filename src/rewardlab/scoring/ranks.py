"""Rank correlations, vectorised: Spearman's rho and Kendall's tau-b, both with ties."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def average_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1 up, float64[sample]; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]


def spearman(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Spearman's rho: the correlation of the ranks. NaN for fewer than two samples, or where one side is constant."""
    _check(left, right)
    if left.size < 2:
        return math.nan
    first, second = average_ranks(left), average_ranks(right)
    first, second = first - first.mean(), second - second.mean()
    scale = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / scale if scale else math.nan


def kendall(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Kendall's tau-b: concordant minus discordant pairs, corrected for ties, in O(n log^2 n).

    Knight's method (W. R. Knight, 1966): sort by the left side and then by the right; the discordant pairs are the
    inversions that are left in the right side. NaN for fewer than two samples, or where one side is constant.
    """
    _check(left, right)
    count = left.size
    if count < 2:
        return math.nan
    first = np.unique(left, return_inverse=True)[1].astype(np.int64)
    second = np.unique(right, return_inverse=True)[1].astype(np.int64)
    order = np.lexsort((second, first))
    first, second = first[order], second[order]
    pairs = count * (count - 1) // 2
    left_ties, right_ties = _tied_pairs(first), _tied_pairs(second)
    both_ties = _tied_pairs(first * (int(second.max()) + 1) + second)
    discordant = inversions(second)
    scale = math.sqrt(pairs - left_ties) * math.sqrt(pairs - right_ties)
    return (pairs - left_ties - right_ties + both_ties - 2 * discordant) / scale if scale else math.nan


def inversions(ranks: NDArray[np.int64]) -> int:
    """Number of pairs i < j with ranks[i] > ranks[j], by a merge sort that handles all blocks of one size at once.

    Args:
        ranks: int64[sample], from 0 up.
    """
    count = ranks.size
    if count < 2:
        return 0
    ranks = np.asarray(ranks, dtype=np.int64)
    span = int(ranks.max()) + 1
    positions = np.arange(count)
    values = ranks.copy()
    found = 0
    width = 1
    while width < count:
        block = positions // (2 * width)
        is_left = positions % (2 * width) < width
        # each half is sorted by now; with the number of its block in front, so are all left halves together
        keys = values + block * span
        left_keys = keys[is_left]
        before = np.searchsorted(left_keys, keys[~is_left], side="right")
        left_ends = np.minimum(
            (block[~is_left] + 1) * width, left_keys.size
        )  # left halves are whole where a right exists
        found += int((left_ends - before).sum())
        values = np.sort(keys) - block * span
        width *= 2
    return found


def _tied_pairs(values: NDArray[np.int64]) -> int:
    counts = np.unique(values, return_counts=True)[1].astype(np.int64)
    return int((counts * (counts - 1) // 2).sum())


def _check(left: NDArray[np.float64], right: NDArray[np.float64]) -> None:
    if left.ndim != 1 or left.shape != right.shape:
        raise ValueError(f"expected two columns of equal length, got shapes {left.shape} and {right.shape}")
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise ValueError("ranks need finite values; leave out samples that were not scored")
