"""Weights for actions that take time of their own, and how likely it is that an action of some length is ever finished.

Yang et al., "Reinforcement Learning for Machine Learning Engineering Agents" (arXiv 2509.01684) weight the policy gradient
of an action by how long it took, because an action that is cut short is never learned from. Whether there is anything to
correct depends on what becomes of work that is unfinished when learning begins: where actors simply go on, finished actions
are distributed as the policy chose them, and duration weights add a bias instead of removing one. `completion_weights` and
`cutoff_weights` are right wherever unfinished work is dropped. Everything here is numpy, on one number per action.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def duration_weights(seconds: ArrayLike, *, clip: float | None = None, floor: float = 0.0) -> Floats:
    """Duration over mean duration; the mean of the weights is 1.

    Args:
        seconds: float[action], how long each took.
        clip: the largest weight; durations are cut at the length for which that is so, and the mean stays 1. None for no
            limit.
        floor: shorter actions count as this long.

    Returns:
        float64[action].

    Raises:
        ValueError: a duration is missing, not finite, or not positive, or an option is impossible.
    """
    taken = check_seconds(seconds)
    if floor < 0 or not np.isfinite(floor):
        raise ValueError(f"floor must be a number of seconds of at least 0, got {floor}")
    if clip is not None and not clip >= 1:
        raise ValueError(f"clip must be at least 1, the mean of the weights, got {clip}")
    taken = np.maximum(taken, floor)
    return _mean_one(taken if clip is None else _capped(taken, clip))


def completion_weights(completion: ArrayLike, *, clip: float | None = None) -> Floats:
    """One over the probability that an action is finished, brought to mean 1: importance weights against lost work.

    Args:
        completion: float[action], in (0, 1]; see `completion_probability`.
        clip: the largest inverse probability; None for no limit.

    Returns:
        float64[action].

    Raises:
        ValueError: a probability is outside (0, 1].
    """
    chances = np.asarray(completion, dtype=np.float64)
    wrong = np.flatnonzero(~((chances > 0) & (chances <= 1)))
    if wrong.size:
        raise ValueError(f"completion probabilities must be in (0, 1], got {chances[wrong[0]]} at action {wrong[0]}")
    if clip is not None and not clip >= 1:
        raise ValueError(f"clip must be at least 1, the smallest inverse probability, got {clip}")
    return _mean_one(np.minimum(1 / chances, np.inf if clip is None else clip))


def cutoff_weights(available: ArrayLike, longest: float) -> Floats:
    """Equal weights for actions that were started when even the longest could still be finished, 0 for the others.

    Among those, what is finished is an unbiased sample of what was chosen. The weights have mean 1, or are all 0.

    Args:
        available: float[action], seconds from the start of the action to the end of its window.
        longest: the longest that any action can take.

    Returns:
        float64[action].

    Raises:
        ValueError: `longest` is not positive.
    """
    if not longest > 0:
        raise ValueError(f"longest must be a positive number of seconds, got {longest}")
    kept = (np.asarray(available, dtype=np.float64) >= longest).astype(np.float64)
    return _mean_one(kept) if kept.any() else kept


def completion_probability(seconds: ArrayLike, available: ArrayLike) -> Floats:
    """How likely an action of some length is finished, from how much time there was when actions were started.

    An action chosen independently of when it starts is finished if the time left is at least its length, so the share of
    *all* starts, finished or not, with so much time left estimates it; lengths of unfinished actions need not be known.

    Args:
        seconds: float[action], lengths that are asked about.
        available: float[start], seconds from each start to the end of its window; infinite where work is never cut off.

    Returns:
        float64[action], in [0, 1].

    Raises:
        ValueError: there are no starts.
    """
    left = np.sort(np.asarray(available, dtype=np.float64))
    if not left.size:
        raise ValueError("available must have at least one start")
    enough = left.size - np.searchsorted(left, np.asarray(seconds, dtype=np.float64), side="left")
    return enough / left.size


def completion_by_bin(seconds: ArrayLike, finished: ArrayLike, edges: ArrayLike) -> Floats:
    """Share of started actions that were finished, by length, where the lengths of unfinished ones are known.

    Args:
        seconds: float[start], how long each started action takes, or would have taken.
        finished: bool[start].
        edges: float[bin + 1], bounds of the bins.

    Returns:
        float64[bin]; NaN for a bin without starts.
    """
    taken, done = np.asarray(seconds, dtype=np.float64), np.asarray(finished, dtype=np.float64)
    bounds = np.asarray(edges, dtype=np.float64)
    started = np.histogram(taken, bounds)[0]
    ended = np.histogram(taken, bounds, weights=done)[0]
    return np.divide(ended, started, out=np.full(started.shape, np.nan), where=started > 0)


def effective_sample_size(weights: ArrayLike) -> float:
    """How many equally weighted samples some weights are worth: (sum w)^2 / sum w^2; 0 where all are 0."""
    given = np.asarray(weights, dtype=np.float64)
    squares = float((given**2).sum())
    return float(given.sum()) ** 2 / squares if squares else 0.0


def check_seconds(seconds: ArrayLike) -> Floats:
    """Durations as float64[action], all finite and positive.

    Raises:
        ValueError: one is not; the message names its index.
    """
    taken = np.asarray(seconds, dtype=np.float64)
    wrong = np.flatnonzero(~(np.isfinite(taken) & (taken > 0)))
    if wrong.size:
        raise ValueError(
            f"seconds must be finite and positive, got {taken[wrong[0]]} at action {wrong[0]}; "
            "a clock that goes back, or an action that was never timed, cannot be weighted"
        )
    return taken


def _capped(taken: Floats, clip: float) -> Floats:
    """Durations cut at a length c such that c is `clip` times their mean after the cut, or as they are."""
    ordered = np.sort(taken)[::-1]
    below = np.cumsum(ordered[::-1])[::-1] - ordered  # what is left when the 1, 2, ... longest are cut
    for count in range(taken.size):
        longest = ordered[count]  # the longest of those that are not cut
        mean = (below[count] + longest * (count + 1)) / taken.size  # if all longer ones were cut to this length
        if longest <= clip * mean:
            if count == 0:
                return taken
            room = taken.size - clip * count
            cap = clip * (below[count] + longest) / room if room > 0 else ordered[count - 1]
            return np.minimum(taken, np.clip(cap, longest, ordered[count - 1]))
    return np.full(taken.shape, ordered[-1]) if taken.size else taken  # a clip of 1 leaves no differences


def _mean_one(weights: Floats) -> Floats:
    return weights / weights.mean() if weights.size else weights
