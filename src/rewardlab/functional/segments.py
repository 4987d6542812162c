"""Ragged batches as flat arrays: the steps of all trajectories one after another, with the length of each trajectory.

Everything is a few passes over flat arrays, so that nothing loops over trajectories in Python, and nothing is padded: one
long trajectory among many short ones costs only its own length. Plain numpy, in double precision, as credit is computed
where the trajectories are. Whoever calls several functions on one batch lays it out once, with `ragged` and `token_runs`.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Ragged:
    """Where the steps of a ragged batch stand; what is derived from the lengths is computed when it is first asked for.

    Args:
        lengths: int64[trajectory], steps of each; 0 is allowed.
    """

    def __init__(self, lengths: Integers) -> None:
        self.lengths = lengths
        self.ends: Integers = np.cumsum(lengths)
        self.starts: Integers = self.ends - lengths

    @property
    def size(self) -> int:
        """Steps of all trajectories together."""
        return int(self.ends[-1]) if self.ends.size else 0

    @cached_property
    def longest(self) -> int:
        """Steps of the longest trajectory."""
        return int(self.lengths.max()) if self.lengths.size else 0

    @cached_property
    def some(self) -> NDArray[np.bool_]:
        """bool[trajectory]: which have any steps."""
        return self.lengths > 0

    @cached_property
    def last(self) -> Integers:
        """int64[trajectory with steps]: where the last step of each stands."""
        return (self.ends - 1)[self.some]

    @cached_property
    def owner(self) -> Integers:
        """int64[step]: the trajectory of each step."""
        return np.repeat(np.arange(self.lengths.size), self.lengths)

    @cached_property
    def position(self) -> Integers:
        """int64[step]: how many steps of its trajectory come before."""
        return np.arange(self.size) - np.repeat(self.starts, self.lengths)

    @cached_property
    def from_the_end(self) -> tuple[Integers, Integers, Integers]:
        """Steps sorted by how many follow them: the place of each step there, and where each such run begins and ends."""
        order = np.argsort(-self.lengths, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(order.size)
        # trajectories with more than k steps, k = 0, 1, ...: how many steps have exactly k behind them
        counts = np.bincount(self.lengths, minlength=self.longest + 1)[::-1].cumsum()[::-1][1:]
        ends = np.cumsum(counts)
        remaining = np.repeat(self.ends - 1, self.lengths) - np.arange(self.size)
        return (ends - counts)[remaining] + np.repeat(rank, self.lengths), ends - counts, ends


Lengths = NDArray[np.integer] | Ragged
"""Lengths of trajectories, or a batch that was laid out already."""


def ragged(lengths: Lengths) -> Ragged:
    """Lay out a ragged batch; one that is laid out is returned as it is.

    Args:
        lengths: int[trajectory], none negative.

    Raises:
        ValueError: lengths are not a row of whole numbers from 0 on.
    """
    if isinstance(lengths, Ragged):
        return lengths
    counts = np.asarray(lengths)
    if counts.ndim != 1 or not (counts.dtype.kind in "iu" or counts.size == 0) or (counts < 0).any():
        raise ValueError(f"lengths must be int[trajectory], none below 0, got {counts.dtype} of shape {counts.shape}")
    return Ragged(counts.astype(np.int64))


def segment_sums(values: Floats, layout: Ragged) -> Floats:
    """float64[trajectory]: the sum of each trajectory's steps; 0 for one without steps."""
    sums = np.zeros(layout.lengths.size)
    if layout.size:
        sums[layout.some] = np.add.reduceat(values, layout.starts[layout.some])
    return sums


def bin_sums(numbers: Integers, values: NDArray[np.number], bins: int = 0) -> Floats:
    """float64[bin]: the sum of the values with each number."""
    return np.asarray(np.bincount(numbers, weights=values, minlength=bins), dtype=np.float64)


def reverse_scan(values: Floats, decay: float, layout: Ragged) -> Floats:
    """`x[t] = values[t] + decay * x[t + 1]` inside each trajectory: a pass for each step, over all trajectories at once."""
    if decay == 0.0 or not layout.size:
        return np.array(values, dtype=np.float64)
    places, starts, ends = layout.from_the_end
    sorted_values = np.empty(layout.size)
    sorted_values[places] = values
    bounds = list(zip(starts.tolist(), ends.tolist(), strict=True))
    for (before, _), (start, end) in pairwise(bounds):
        sorted_values[start:end] += decay * sorted_values[before : before + end - start]
    return sorted_values[places]


def split(values: Floats, layout: Ragged) -> list[Floats]:
    """The flat values as one array for each trajectory (views, not copies)."""
    return [values[start:end] for start, end in zip(layout.starts.tolist(), layout.ends.tolist(), strict=True)]


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


class TokenRuns:
    """Runs of tokens that belong to one step, or to none.

    Args:
        first: int64[run], the first token of each.
        place: int64[run], the flat step that its tokens belong to, or -1.
        tokens: how many tokens there are.
        layout: of the steps.
    """

    def __init__(self, first: Integers, place: Integers, tokens: int, layout: Ragged) -> None:
        self.first, self.place, self.tokens, self.layout = first, place, tokens, layout


def token_runs(token_steps: NDArray[np.integer], token_lengths: NDArray[np.integer], lengths: Lengths) -> TokenRuns:
    """Find the runs of tokens of each step in a batch whose tokens stand one after another.

    Args:
        token_steps: int[token], -1 or the index of an action inside its trajectory (`Tokens.step`, joined).
        token_lengths: int[trajectory], tokens of each.
        lengths: int[trajectory], steps of each.

    Raises:
        ValueError: shapes differ, or a token names a step that its trajectory does not have.
    """
    layout, tokens = ragged(lengths), np.asarray(token_lengths, dtype=np.int64)
    if tokens.shape != layout.lengths.shape or int(tokens.sum()) != token_steps.size:
        raise ValueError(
            f"token_lengths must have one entry for each of {layout.lengths.size} trajectories and add up to the "
            f"{token_steps.size} tokens, got shape {tokens.shape} with sum {int(tokens.sum())}"
        )
    ends = np.cumsum(tokens)
    fresh = np.ones(token_steps.size, dtype=np.bool_)
    np.not_equal(token_steps[1:], token_steps[:-1], out=fresh[1:])
    fresh[(ends - tokens)[tokens > 0]] = True
    first = np.flatnonzero(fresh)
    own = token_steps[first].astype(np.int64)
    runs = np.diff(np.searchsorted(first, ends), prepend=0)  # of each trajectory
    wrong = np.flatnonzero((own >= np.repeat(layout.lengths, runs)) | (own < -1))
    if wrong.size:
        guilty = int(np.searchsorted(ends, first[wrong[0]], side="right"))
        raise ValueError(
            f"a token of trajectory {guilty} names step {own[wrong[0]]}, but it has {layout.lengths[guilty]} steps"
        )
    return TokenRuns(first, np.where(own >= 0, np.repeat(layout.starts, runs) + own, -1), token_steps.size, layout)


def check_flat(name: str, values: Floats, layout: Ragged) -> None:
    """Raise where there is not one finite value for each step of the batch."""
    if values.shape != (layout.size,):
        raise ValueError(
            f"{name} must be float[step] with {layout.size} entries, the sum of the lengths, got shape {values.shape}"
        )
    finite = np.isfinite(values)
    if not finite.all():
        step = int(np.flatnonzero(~finite)[0])
        raise ValueError(
            f"{name} must be finite, got {values[step]} at step {layout.position[step]} of trajectory {layout.owner[step]}"
        )
