"""What PPO adds to the policy losses: the loss of a value head, rewards that reach back, and a controller of the divergence.

Advantages over a learned value function are in `returns.generalised_advantage_estimation`; the clipped surrogate is in
`policy_losses`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from rewardlab.functional.returns import discounted_returns


class ValueLoss(NamedTuple):
    """What each prediction costs, and where clipping took the gradient away.

    Args:
        losses: float[...].
        clipped: bool[...].
    """

    losses: Tensor
    clipped: Tensor


def clipped_value_loss(
    values: Tensor, targets: Tensor, baselines: Tensor | None = None, *, clip: float | None = None
) -> ValueLoss:
    """Half the squared error of values, with no reward for moving away from the value before the update by more than `clip`.

    `max((v - t)^2, (v_clipped - t)^2) / 2` with `v_clipped = b + clamp(v - b, -clip, clip)`.

    Source: the implementation of Schulman et al. 2017 (arXiv 1707.06347) in OpenAI baselines, as in Huang et al. 2022, "The
    37 Implementation Details of Proximal Policy Optimization", detail 9.

    Args:
        values: float[...], predictions.
        targets: float[...], what they should have been.
        baselines: float[...], what they were before the update; needed with `clip`.
        clip: how far values may move in an update; None for no limit.

    Raises:
        ValueError: shapes differ, the limit is not positive, or baselines are missing.
    """
    for name, column in (("targets", targets), ("baselines", baselines)):
        if column is not None and column.shape != values.shape:
            raise ValueError(f"{name} must have the shape of values, {tuple(values.shape)}, got {tuple(column.shape)}")
    losses = 0.5 * (values - targets).square()
    if clip is None:
        return ValueLoss(losses, torch.zeros_like(values, dtype=torch.bool))
    if not clip > 0:
        raise ValueError(f"clip must be positive, or None for no limit, got {clip}")
    if baselines is None:
        raise ValueError(f"clip={clip} needs baselines, the values before the update, got None")
    limited = baselines + (values - baselines).clamp(-clip, clip)
    other = 0.5 * (limited - targets).square()
    return ValueLoss(torch.maximum(losses, other), (other > losses) & (limited != values))


def rewards_reaching_back(rewards: Tensor, mask: Tensor, *, decay: float, step: Tensor | None = None) -> Tensor:
    """What rewards of tokens add to advantages that reach back over tokens, or over steps, with a decay.

    Generalised advantage estimation is linear in the rewards, so rewards that come later (a price for divergence, say) can
    be added to advantages that are there: `x[t] = r[t] + decay * x[next written token]`, with `decay` the discount times the
    smoothing. Over steps, the rewards of a step's tokens are one reward, and all of its tokens get the step's `x`.

    Args:
        rewards: float[batch, token].
        mask: bool[batch, token], written tokens; others are jumped over.
        decay: in [0, 1].
        step: int[batch, token], index of the step of each written token; None for tokens as steps of their own.

    Returns:
        float[batch, token]; 0 where the mask is False.

    Raises:
        ValueError: shapes differ, or the decay is out of range.
    """
    for name, column in (("mask", mask), ("step", step)):
        if column is not None and column.shape != rewards.shape:
            raise ValueError(
                f"{name} must have the shape of rewards, {tuple(rewards.shape)}, got {tuple(column.shape)}"
            )
    place = mask.long().cumsum(-1) - 1 if step is None else step.long()
    place = place.clamp(min=0)
    size = int(place.max()) + 1 if place.numel() else 1
    sums = rewards.new_zeros(rewards.shape[0], size).scatter_add(1, place, torch.where(mask, rewards, 0.0))
    return torch.where(mask, discounted_returns(sums, discount=decay).gather(1, place), 0.0)


def adapted_kl_coefficient(
    coefficient: float, divergence: float, *, target: float, horizon: float, samples: int
) -> float:
    """The price of divergence after an update: dearer where the policy went too far, cheaper where it stayed too near.

    `coefficient * (1 + clamp(divergence / target - 1, -0.2, 0.2) * samples / horizon)`

    Source: Ziegler et al. 2019, "Fine-Tuning Language Models from Human Preferences" (arXiv 1909.08593), section 2.2.

    Args:
        coefficient: the price during the update.
        divergence: what was measured in it; a number that is not finite changes nothing.
        target: what it should be.
        horizon: samples over which the price may change by a fifth.
        samples: in this update.

    Raises:
        ValueError: target or horizon is not positive.
    """
    if not (target > 0 and horizon > 0):
        raise ValueError(f"target and horizon must be positive, got {target} and {horizon}")
    if not math.isfinite(divergence):
        return coefficient
    return coefficient * (1.0 + min(max(divergence / target - 1.0, -0.2), 0.2) * min(samples / horizon, 1.0))


def advantage_weights(advantages: Tensor, *, beta: float, limit: float = 20.0) -> Tensor:
    """Weights of imitation that grow with the advantage: `min(exp(advantage / beta), limit)`.

    Source: Peng et al. 2019, "Advantage-Weighted Regression" (arXiv 1910.00177), equation 7, and its limit in section 4.

    Args:
        advantages: float[...].
        beta: the temperature; positive.
        limit: the largest weight; positive.

    Raises:
        ValueError: a number is not positive.
    """
    if not (beta > 0 and limit > 0):
        raise ValueError(f"beta and limit must be positive, got {beta} and {limit}")
    return (advantages / beta).clamp(max=math.log(limit)).exp()
