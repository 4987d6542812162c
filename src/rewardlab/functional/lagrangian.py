"""Multipliers of constraints on rates: from logits to weights, their gradient, and one step of Adam. Pure numpy, any batch.

The multipliers of direct behaviour specification (Roy et al. 2022, arXiv 2112.12228, section 4) are a softmax over one logit
for the reward and one for each constraint, so that no constraint can drown the reward without limit. The usual kind,
unnormalised, is `max(0, z)` beside a reward of weight 1. Leading dimensions are runs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

START = 0.02
"""Where logits start, as in the paper's code."""


class Multipliers(NamedTuple):
    """Logits of reward and constraints with Adam's moments.

    Args:
        logits: float64[..., 1 + K]; the first is the reward's, which stays where it is when not normalised.
        first, second: Adam's running moments of the same shape.
        steps: updates made.
    """

    logits: Floats
    first: Floats
    second: Floats
    steps: int


def start_multipliers(count: int, shape: tuple[int, ...] = ()) -> Multipliers:
    """Equal logits for `count` constraints in runs of the given shape."""
    zeros = np.zeros((*shape, 1 + count))
    return Multipliers(zeros + START, zeros, zeros, 0)


def multipliers(logits: Floats, *, normalise: bool = True, active: NDArray[np.bool_] | None = None) -> Floats:
    """What reward and constraints weigh, before signs.

    Args:
        logits: float64[..., 1 + K].
        normalise: a softmax; else `max(0, z)`, and 1 for the reward.
        active: bool[..., K], constraints that take part; None for all.

    Returns:
        float64[..., 1 + K], not negative.
    """
    taking_part = np.ones(logits.shape, dtype=bool)
    if active is not None:
        taking_part[..., 1:] = active
    if not normalise:
        found = np.maximum(logits, 0.0) * taking_part
        found[..., 0] = 1.0
        return found
    found = np.exp(logits - logits.max(-1, keepdims=True)) * taking_part
    return np.asarray(found / found.sum(-1, keepdims=True))


def multiplier_gradient(
    logits: Floats,
    violations: Floats,
    *,
    normalise: bool = True,
    active: NDArray[np.bool_] | None = None,
) -> Floats:
    """Gradient by the logits of the weighted sum of violations, which the multipliers ascend.

    A constraint whose violation is NaN (no step of the window says anything about it) keeps its logit.

    Args:
        logits: float64[..., 1 + K].
        violations: float64[..., K], rate minus threshold for an upper bound, threshold minus rate for a lower one.
        normalise: see `multipliers`.
        active: see `multipliers`.

    Returns:
        float64[..., 1 + K].
    """
    if violations.shape != (*logits.shape[:-1], logits.shape[-1] - 1):
        raise ValueError(
            f"violations have shape {violations.shape}, expected {(*logits.shape[:-1], logits.shape[-1] - 1)}: one for "
            "each constraint, none for the reward"
        )
    known = np.ones(logits.shape, dtype=bool)
    known[..., 1:] = np.isfinite(violations)
    each = np.zeros(logits.shape)
    each[..., 1:] = np.where(known[..., 1:], violations, 0.0)
    if not normalise:
        if active is not None:
            each[..., 1:] *= active
        return each  # of z, not of max(0, z): a multiplier at 0 must be able to rise
    weights = multipliers(logits, active=active)
    gradient: Floats = weights * (each - (weights * each).sum(-1, keepdims=True))
    return np.where(known, gradient, 0.0)


def multiplier_step(
    state: Multipliers,
    violations: Floats,
    *,
    learning_rate: float,
    normalise: bool = True,
    active: NDArray[np.bool_] | None = None,
    betas: tuple[float, float] = (0.9, 0.999),
) -> Multipliers:
    """One ascent step of Adam on the multipliers; unnormalised logits stay at 0 or above.

    Args:
        state: logits and moments.
        violations: float64[..., K]; NaN keeps that constraint's logit.
        learning_rate: of Adam (.03 in the paper, a hundred times the policy's).
        normalise: see `multipliers`.
        active: see `multipliers`.
        betas: of Adam.
    """
    gradient = multiplier_gradient(state.logits, violations, normalise=normalise, active=active)
    known = np.ones(gradient.shape, dtype=bool)
    known[..., 1:] = np.isfinite(violations)
    steps = state.steps + 1
    first = np.where(known, betas[0] * state.first + (1 - betas[0]) * gradient, state.first)
    second = np.where(known, betas[1] * state.second + (1 - betas[1]) * gradient**2, state.second)
    move = (first / (1 - betas[0] ** steps)) / (np.sqrt(second / (1 - betas[1] ** steps)) + 1e-8)
    logits = state.logits + learning_rate * np.where(known, move, 0.0)
    if not normalise:
        logits = np.maximum(logits, 0.0)
    return Multipliers(logits, first, second, steps)


def signed_weights(weights: Floats, signs: NDArray[np.int64], *, bootstrap: int | None = None) -> Floats:
    """What reward and indicators are multiplied by.

    Args:
        weights: float64[..., 1 + K] of `multipliers`.
        signs: int[K], -1 for an upper bound (the behaviour costs), +1 for a lower one (it pays).
        bootstrap: the constraint that lends its weight to the reward: the reward weighs the larger of the two.

    Returns:
        float64[..., 1 + K].
    """
    signed = np.concatenate([weights[..., :1], weights[..., 1:] * signs], axis=-1)
    if bootstrap is not None:
        signed[..., 0] = np.maximum(weights[..., 0], weights[..., 1 + bootstrap])
    return signed


def violations_of(rates: Floats, thresholds: Floats, signs: NDArray[np.int64]) -> Floats:
    """By how much rates break their thresholds; negative where they keep them, NaN where a rate is not known.

    Args:
        rates: float64[..., K].
        thresholds: float64[K] or [..., K].
        signs: int[K], -1 for an upper bound, +1 for a lower one.
    """
    return -signs * (rates - thresholds)


def rate_interval(rates: Floats) -> tuple[float, float]:
    """95% interval of a rate by batch means: windows are the units, because the steps inside one depend on each other.

    Args:
        rates: float64[window]; NaN ones are left out. With fewer than four known ones the interval is all of [0, 1].

    Returns:
        Its ends, within [0, 1]; Student's quantile by the expansion of Cornish and Fisher.
    """
    known = rates[np.isfinite(rates)]
    if known.size < 4:
        return 0.0, 1.0
    z, freedom = 1.959963984540054, known.size - 1
    quantile = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    half = quantile * float(known.std(ddof=1)) / known.size**0.5
    return max(0.0, float(known.mean()) - half), min(1.0, float(known.mean()) + half)
