"""Returns and advantages over the steps of a trajectory, for batches of trajectories at once.

The recurrences run in log2(steps) tensor operations and not in one per step: `x[t] = input[t] + decay[t] * x[t + 1]` is an
associative scan, here by doubling the stride.
"""

from __future__ import annotations

import torch
from torch import Tensor


def discounted_returns(rewards: Tensor, *, discount: float = 1.0, mask: Tensor | None = None) -> Tensor:
    """Discounted sum of the rewards from each step on: `G[t] = r[t] + discount * G[t + 1]`.

    Source: Sutton and Barto 2018, equation 3.9.

    Args:
        rewards: float[..., step].
        discount: in [0, 1].
        mask: bool[..., step], False for padding after the last step (its rewards count as 0), or None.

    Returns:
        float[..., step]; 0 where the mask is False.

    Raises:
        ValueError: shapes differ, or the discount is outside [0, 1].
    """
    if rewards.ndim < 1 or not rewards.is_floating_point():
        raise ValueError(f"rewards must be float[..., step], got {rewards.dtype} of shape {tuple(rewards.shape)}")
    if mask is not None and mask.shape != rewards.shape:
        raise ValueError(f"mask must have the shape of rewards, {tuple(rewards.shape)}, got {tuple(mask.shape)}")
    _check_share("discount", discount)
    if mask is None:
        return _reverse_scan(rewards, torch.full_like(rewards, discount))
    kept = torch.where(mask, rewards, 0.0)
    return torch.where(mask, _reverse_scan(kept, torch.full_like(rewards, discount)), 0.0)


def generalised_advantage_estimation(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    ended: Tensor,
    *,
    discount: float = 0.99,
    smoothing: float = 0.95,
) -> Tensor:
    """Advantages as an exponentially smoothed sum of temporal differences.

    `delta[t] = r[t] + discount * next_value[t] * (1 - terminated[t]) - value[t]`, and
    `A[t] = delta[t] + discount * smoothing * (1 - ended[t]) * A[t + 1]`. A truncated step bootstraps from its next value; a
    terminated one does not; neither lets advantages of the following trajectory through.

    Source: Schulman et al. 2016, "High-Dimensional Continuous Control Using Generalized Advantage Estimation"
    (arXiv 1506.02438), equations 11 to 16.

    Args:
        rewards: float[..., step].
        values: float[..., step], estimated value of the observation before each action.
        next_values: float[..., step], estimated value of the observation after it (of the true one at a truncation).
        terminated: bool[..., step].
        ended: bool[..., step], terminated or truncated: the next step belongs to another trajectory.
        discount: in [0, 1].
        smoothing: lambda, in [0, 1].

    Returns:
        float[..., step].

    Raises:
        ValueError: shapes differ, an end is missing for a termination, or a number is outside [0, 1].
    """
    for name, column in (
        ("values", values),
        ("next_values", next_values),
        ("terminated", terminated),
        ("ended", ended),
    ):
        if column.shape != rewards.shape:
            raise ValueError(
                f"{name} must have the shape of rewards, {tuple(rewards.shape)}, got {tuple(column.shape)}"
            )
    if (terminated & ~ended).any():
        raise ValueError("a step is terminated but not ended; pass ended = terminated | truncated")
    _check_share("discount", discount)
    _check_share("smoothing", smoothing)
    delta = rewards + discount * torch.where(terminated, 0.0, next_values) - values
    return _reverse_scan(delta, torch.full_like(delta, discount * smoothing).masked_fill(ended, 0.0))


def _reverse_scan(inputs: Tensor, decay: Tensor) -> Tensor:
    """`x[t] = inputs[t] + decay[t] * x[t + 1]` along the last axis, with `x` 0 past the end."""
    total, factor = inputs, decay
    steps = inputs.shape[-1]
    stride = 1
    while stride < steps:
        total = total + factor * torch.nn.functional.pad(total[..., stride:], (0, stride))
        factor = factor * torch.nn.functional.pad(factor[..., stride:], (0, stride))
        stride *= 2
    return total


def _check_share(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must be in [0, 1], got {value}")
