"""Losses for numbers that people gave to single responses: as measurements (`regression`) or as levels (`ordinal`)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

Distance = Literal["squared", "absolute", "huber"]


def regression(values: Tensor, target: Tensor, *, distance: Distance = "squared", delta: float = 1.0) -> Tensor:
    """Distance of values from ratings.

    `squared` is half the square of the error, so that its gradient is the error; `huber` is that up to `delta` and grows
    linearly beyond, so that single odd ratings pull no harder than others.

    Source: Huber 1964, "Robust Estimation of a Location Parameter".

    Args:
        values: float[row].
        target: float[row], the ratings.
        distance: "squared", "absolute" or "huber".
        delta: where "huber" turns from a square into a line.

    Returns:
        float[row].

    Raises:
        ValueError: shapes differ, the distance is unknown, or delta is not positive.
    """
    if values.shape != target.shape:
        raise ValueError(f"values and target must have one shape, got {tuple(values.shape)} and {tuple(target.shape)}")
    if delta <= 0:
        raise ValueError(f"delta must be positive, got {delta}")
    error = values - target
    if distance == "squared":
        return 0.5 * error**2
    if distance == "absolute":
        return error.abs()
    if distance == "huber":
        size = error.abs()
        return torch.where(size <= delta, 0.5 * error**2, delta * (size - 0.5 * delta))
    raise ValueError(f'distance must be "squared", "absolute" or "huber", got {distance!r}')


def ordinal(values: Tensor, level: Tensor, thresholds: Tensor) -> Tensor:
    """Negative log-likelihood of ordered levels: a cumulative-link model with a logistic link.

    `P(level <= k) = sigmoid(thresholds[k] - value)`. The difference of two sigmoids is computed as
    `sigmoid(a) sigmoid(-b) (1 - exp(b - a))`, whose logarithm stays finite where both sigmoids round to the same number.

    Source: McCullagh 1980, "Regression Models for Ordinal Data", section 2.

    Args:
        values: float[row].
        level: int64[row], from 0 to the number of thresholds.
        thresholds: float[threshold], strictly rising.

    Returns:
        float[row].

    Raises:
        ValueError: shapes differ, thresholds do not rise, or a level is out of range.
    """
    if values.ndim != 1 or values.shape != level.shape:
        raise ValueError(
            f"values and level must be one-dimensional and equally long, got {tuple(values.shape)} and "
            f"{tuple(level.shape)}"
        )
    if thresholds.ndim != 1 or not thresholds.numel() or bool((thresholds.diff() <= 0).any()):
        raise ValueError(f"thresholds must rise strictly, got {thresholds.tolist()}")
    top = thresholds.numel()
    if level.numel() and (int(level.min()) < 0 or int(level.max()) > top):
        wrong = int(((level < 0) | (level > top)).nonzero()[0])
        raise ValueError(
            f"level must be from 0 to {top}, the number of thresholds; got {int(level[wrong])} in row {wrong}"
        )
    upper = thresholds[level.clamp(max=top - 1)] - values
    lower = thresholds[(level - 1).clamp(min=0)] - values
    inside = (level > 0) & (level < top)
    gap = torch.where(inside, lower - upper, torch.full_like(values, -1.0))  # -1 stands where it is not used
    below_upper = torch.where(level < top, logsigmoid(upper), torch.zeros_like(values))
    above_lower = torch.where(level > 0, logsigmoid(-lower), torch.zeros_like(values))
    between = torch.where(inside, torch.log(-torch.expm1(gap)), torch.zeros_like(values))
    return -(below_upper + above_lower + between)
