"""How often some attempt out of k succeeds, without bias."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pass_at_k(attempts: ArrayLike, successes: ArrayLike, k: int) -> NDArray[np.float64]:
    """The unbiased estimate of the probability that one of k attempts succeeds (Chen et al. 2021, arXiv 2107.03374, eq. 1).

    Args:
        attempts: int[task], n attempts at each.
        successes: int[task], c of them succeeded.
        k: how many are taken.

    Returns:
        float64[task], `1 - C(n - c, k) / C(n, k)`.

    Raises:
        ValueError: k is below 1 or above the attempts at a task, or there are more successes than attempts.
    """
    count, good = np.broadcast_arrays(np.asarray(attempts, dtype=np.int64), np.asarray(successes, dtype=np.int64))
    if k < 1 or (count.size and k > count.min()):
        raise ValueError(f"k must be from 1 to the attempts at each task ({count.min() if count.size else 0}), got {k}")
    if (good < 0).any() or (good > count).any():
        raise ValueError("successes must be from 0 to the attempts")
    # the product over i of (n - c - i) / (n - i) for i < k: the chance that all k are failures
    places = np.arange(k)
    left = np.maximum(count[..., None] - good[..., None] - places, 0)
    return np.asarray(1.0 - np.prod(left / (count[..., None] - places), axis=-1), dtype=np.float64)
