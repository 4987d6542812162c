"""Ragged batches as flat arrays: the steps of all trajectories one after another, with the length of each trajectory.

Everything is a few passes over flat arrays, so that nothing loops over trajectories in Python, and nothing is padded: one
long trajectory among many short ones costs only its own length. Plain numpy, in double precision, as credit is computed
where the trajectories are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Ragged(NamedTuple):
    """Where the steps of a ragged batch stand.

    Args:
        lengths: int64[trajectory], steps of each; 0 is allowed.
        starts: int64[trajectory], where each begins in flat arrays.
        owner: int64[step], the trajectory of each step.
        position: int64[step], how many steps of its trajectory come before.
        remaining: int64[step], how many come after.
    """

    lengths: Integers
    starts: Integers
    owner: Integers
    position: Integers
    remaining: Integers

    @property
    def longest(self) -> int:
        """Steps of the longest trajectory."""
        return int(self.lengths.max()) if self.lengths.size else 0


def ragged(lengths: NDArray[np.integer]) -> Ragged:
    """Lay out a ragged batch.

    Args:
        lengths: int[trajectory], none negative.

    Raises:
        ValueError: lengths are not a row of whole numbers from 0 on.
    """
    counts = np.asarray(lengths)
    if counts.ndim != 1 or not (counts.dtype.kind in "iu" or counts.size == 0) or (counts < 0).any():
        raise ValueError(f"lengths must be int[trajectory], none below 0, got {counts.dtype} of shape {counts.shape}")
    counts = counts.astype(np.int64)
    ends = np.cumsum(counts)
    starts = ends - counts
    owner = np.repeat(np.arange(counts.size), counts)
    steps = np.arange(owner.size)
    return Ragged(counts, starts, owner, steps - np.repeat(starts, counts), np.repeat(ends - 1, counts) - steps)


def segment_sums(values: Floats, layout: Ragged) -> Floats:
    """float64[trajectory]: the sum of each trajectory's steps; 0 for one without steps."""
    return bin_sums(layout.owner, values, layout.lengths.size)


def bin_sums(numbers: Integers, values: NDArray[np.number], bins: int = 0) -> Floats:
    """float64[bin]: the sum of the values with each number."""
    return np.asarray(np.bincount(numbers, weights=values, minlength=bins), dtype=np.float64)


def reverse_scan(values: Floats, decay: float, layout: Ragged) -> Floats:
    """`x[t] = values[t] + decay * x[t + 1]` inside each trajectory, in log2(longest) passes, by doubling the stride."""
    total = np.array(values, dtype=np.float64)
    if decay == 0.0:
        return total
    stride, factor = 1, decay
    while stride < layout.longest:
        reaches = layout.remaining[:-stride] >= stride
        total[:-stride] += np.where(reaches, factor * total[stride:], 0.0)
        stride, factor = 2 * stride, factor * factor
    return total


def split(values: Floats, layout: Ragged) -> list[Floats]:
    """The flat values as one array for each trajectory (views, not copies)."""
    starts, ends = layout.starts.tolist(), (layout.starts + layout.lengths).tolist()
    return [values[start:end] for start, end in zip(starts, ends, strict=True)]


def dense(*keys: Integers) -> Integers:
    """int64[entry]: the same small number for entries that agree in every key; keys are not negative.

    Numbers are below a small multiple of the number of entries where that is cheap to have, and without gaps otherwise.
    """
    combined = np.asarray(keys[0], dtype=np.int64)
    for key in keys[1:]:
        width = int(key.max()) + 1 if key.size else 1
        if combined.size and int(combined.max()) >= 2**62 // width:
            combined = np.unique(combined, return_inverse=True)[1].reshape(-1)
        combined = combined * width + key
    if combined.size and int(combined.max()) > 8 * combined.size + 1024:
        combined = np.unique(combined, return_inverse=True)[1].reshape(-1)
    return combined


def check_flat(name: str, values: Floats, layout: Ragged) -> None:
    """Raise where there is not one finite value for each step of the batch."""
    if values.shape != layout.owner.shape:
        raise ValueError(
            f"{name} must be float[step] with {layout.owner.size} entries, the sum of the lengths, got shape {values.shape}"
        )
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        step = wrong[0]
        raise ValueError(
            f"{name} must be finite, got {values[step]} at step {layout.position[step]} of trajectory {layout.owner[step]}"
        )
