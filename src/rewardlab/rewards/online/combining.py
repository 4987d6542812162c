"""How each reward of the algebra combines the values of its parts at one transition.

Each maker looks at the reward once and returns a function of the parts' values, float64[N] each, and of the progress. NaN
stands for a part that failed, and makes the whole fail wherever that part decides. A reward of your own that combines
others needs no entry here: it defines `combine_transitions(values, progress)`, with `values` a dict of float64[N] by part.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from rewardlab.rewards.algebra import Cascade, Clip, Ensemble, Gate, Product, Scheduled, Sum
from rewardlab.rewards.algebra.mix import Component, RewardMix
from rewardlab.rewards.algebra.squash import Squash
from rewardlab.rewards.base import Reward
from rewardlab.rewards.online.nodes import CannotStep, Combine, Floats
from rewardlab.rewards.shaping import Kinesthetic


def _sum(reward: Sum) -> Combine:
    terms = [
        (place, weight)
        for place, name in enumerate(reward.parts)
        if (weight := reward.weights.get(name, 1.0)) != 0.0  # a part of weight 0 is logged only
    ]
    bias = reward.bias

    def combine(values: list[Floats], progress: float | None) -> Floats:
        if not terms:
            return np.full(len(values[0]), bias)
        place, weight = terms[0]
        total = values[place] * weight
        for place, weight in terms[1:]:
            total += values[place] if weight == 1.0 else values[place] * weight
        if bias:
            total += bias
        return total

    return combine


def _product(reward: Product) -> Combine:
    def combine(values: list[Floats], progress: float | None) -> Floats:
        total = values[0].copy()
        for value in values[1:]:
            total *= value
        return total

    return combine


def _clip(reward: Clip) -> Combine:
    low, high = reward.low, reward.high

    def combine(values: list[Floats], progress: float | None) -> Floats:
        (value,) = values
        if low is not None:
            value = np.maximum(value, low)
        return value if high is None else np.minimum(value, high)

    return combine


def _scheduled(reward: Scheduled) -> Combine:
    def combine(values: list[Floats], progress: float | None) -> Floats:
        if progress is None:
            raise ValueError(
                f"{reward.label}: a scheduled reward needs the progress of training; set `.progress` of the wrapper to a "
                "number in [0, 1] as training goes on, or give the wrapper `total_steps`"
            )
        weight = float(reward.schedule(progress))
        if not np.isfinite(weight):
            raise ValueError(f"{reward.label}: the schedule gave {weight} at progress {progress}")
        return values[0] * weight

    return combine


def _gate(reward: Gate) -> Combine:
    threshold, otherwise = reward.threshold, reward.otherwise

    def combine(values: list[Floats], progress: float | None) -> Floats:
        gate, inner = values
        # a gate that failed is neither open nor shut
        return np.where(gate >= threshold, inner, np.where(np.isnan(gate), np.nan, otherwise))

    return combine


def _cascade(reward: Cascade) -> Combine:
    count = len(reward.checks)
    thresholds = reward.threshold if isinstance(reward.threshold, tuple) else (reward.threshold,) * count
    by = reward.combine

    def combine(values: list[Floats], progress: float | None) -> Floats:
        stacked = np.stack(values)
        if by == "mean":
            result: Floats = stacked.mean(axis=0)
        elif by == "product":
            result = stacked.prod(axis=0)
        else:
            result = stacked[-1]
        for value, threshold in zip(values[::-1], thresholds[::-1], strict=True):
            result = np.where(value >= threshold, result, value)  # NaN passes nothing, and stays
        return result

    return combine


def _ensemble(reward: Ensemble) -> Combine:
    least = reward.least

    def combine(values: list[Floats], progress: float | None) -> Floats:
        columns = np.stack(values)
        present = np.isfinite(columns).sum(axis=0)
        enough = present >= (len(values) if least is None else least)
        result = np.full(columns.shape[1], np.nan)
        if enough.any():
            chosen = np.where(np.isfinite(columns[:, enough]), columns[:, enough], np.nan)
            result[enough] = reward._reduce(chosen, np.nanstd(chosen, axis=0))
        return result

    return combine


def _kinesthetic(reward: Kinesthetic) -> Combine:
    weights = np.array([reward.weights.get(name, 1.0) for name in reward.parts])
    exponents = (weights / weights.sum()).tolist()
    by_product = reward.sign == "product"
    names = tuple(reward.parts)
    in_range = getattr(reward, "in_range", None)
    every = (
        100 if getattr(reward, "normalise", "warn") == "warn" else 1
    )  # a warning, told once, need not be looked for often
    steps = itertools.count()

    def combine(values: list[Floats], progress: float | None) -> Floats:
        sizes = [np.abs(value) for value in values]
        if in_range is not None and next(steps) % every == 0 and any(np.maximum.reduce(size) > 1.0 for size in sizes):
            values = list(in_range(dict(zip(names, values, strict=True))))
            sizes = [np.abs(value) for value in values]
        size = sizes[0] ** exponents[0]
        for one, exponent in zip(sizes[1:], exponents[1:], strict=True):
            size *= one**exponent
        if by_product:
            for value in values:
                size = np.copysign(size, size * value)
            return size
        lowest = values[0]
        for value in values[1:]:
            lowest = np.minimum(lowest, value)
        return np.where(lowest < 0, -size, size)

    return combine


def _squash(reward: Squash) -> Combine:
    def combine(values: list[Floats], progress: float | None) -> Floats:
        (value,) = values
        if reward.by == "sigmoid":
            place = np.clip((value - reward.centre) / reward.width, -700.0, 700.0)
            result = 1.0 / (1.0 + np.exp(-place))
        elif reward.by == "cosine":
            result = np.clip((1.0 + value) / 2.0, 0.0, 1.0)
        elif reward.low is None or reward.high is None or not reward.high > reward.low:
            result = np.where(np.isfinite(value), 0.5, np.nan)
        else:
            result = np.clip((value - reward.low) / (reward.high - reward.low), 0.0, 1.0)
        if reward.threshold is not None:
            result = np.where(np.isnan(result), np.nan, result >= reward.threshold)
        return result

    return combine


def _component(reward: Component) -> Combine:
    if reward.mask is not None:
        raise CannotStep(
            f"{reward.label!r} cannot be stepped: its option 'mask' looks at a whole trajectory, which is not there yet; "
            "use a Gate on a function of transitions"
        )

    def combine(values: list[Floats], progress: float | None) -> Floats:
        value = values[0] if reward.clip is None else np.clip(values[0], *reward.clip)
        return value * reward.scale

    return combine


def _mix(reward: RewardMix) -> Combine:
    weights = np.array([reward.weights[name] for name in reward.parts])[:, None]
    whole = float(np.abs(weights).sum())

    def combine(values: list[Floats], progress: float | None) -> Floats:
        columns = np.stack(values)
        there = np.isfinite(columns)
        present = (np.abs(weights) * there).sum(axis=0)
        total = (weights * np.where(there, columns, 0.0)).sum(axis=0)
        return np.divide(total * whole, present, out=np.full(len(total), np.nan), where=present > 0)

    return combine


MAKERS: dict[type[Reward], Callable[[Any], Combine]] = {
    Sum: _sum,
    Product: _product,
    Clip: _clip,
    Scheduled: _scheduled,
    Gate: _gate,
    Cascade: _cascade,
    Ensemble: _ensemble,
    Kinesthetic: _kinesthetic,
    Squash: _squash,
    Component: _component,
    RewardMix: _mix,
}
"""Class of a combination -> what makes its function of values."""
