"""Losses that fit a policy to comparisons of trajectories directly, with no reward model between: DPO and its kin."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

DirectLoss = Literal["sigmoid", "ipo", "hinge"]


def direct_preference_loss(
    margins: Tensor, labels: Tensor | float = 1.0, *, beta: float = 0.1, kind: DirectLoss = "sigmoid"
) -> Tensor:
    """Loss of comparisons, from how much more the policy favours the chosen answer than its reference does.

    Source: "sigmoid" is Rafailov et al. 2023, "Direct Preference Optimization" (arXiv 2305.18290), equation 7, and with
    labels below 1 its conservative form (Mitchell 2023); "ipo" is Azar et al. 2023 (arXiv 2310.12036), equation 17; "hinge"
    is SLiC (Zhao et al. 2023, arXiv 2305.10425).

    Args:
        margins: float[pair], `log pi(c)/ref(c) - log pi(r)/ref(r)`, of the tokens that the policy wrote.
        labels: float[pair] or a number, probability in [0, 1] that the chosen answer is better.
        beta: how strongly the policy is held to its reference; positive.
        kind: see above.

    Returns:
        float[pair].

    Raises:
        ValueError: shapes differ, a label is outside [0, 1], beta is not positive, or the kind is unknown.
    """
    if isinstance(labels, Tensor) and labels.shape != margins.shape:
        raise ValueError(f"labels must have shape {tuple(margins.shape)}, got {tuple(labels.shape)}")
    if not 0 < beta < math.inf:
        raise ValueError(f"beta must be positive and finite, got {beta}")
    share = torch.as_tensor(labels, dtype=margins.dtype, device=margins.device)
    if bool(((share < 0) | (share > 1)).any()):
        raise ValueError(f"labels must be in [0, 1], got {labels}")
    if kind == "sigmoid":
        sides = [torch.nn.functional.softplus(-sign * beta * margins) for sign in (1.0, -1.0)]
    elif kind == "ipo":
        sides = [(sign * margins - 0.5 / beta).square() for sign in (1.0, -1.0)]
    elif kind == "hinge":
        sides = [torch.relu(1.0 - sign * beta * margins) for sign in (1.0, -1.0)]
    else:
        raise ValueError(f"kind must be one of {', '.join(get_args(DirectLoss))}, got {kind!r}")
    return share * sides[0] + (1.0 - share) * sides[1]


def turn_weights(step: Tensor, discount: float) -> Tensor:
    """Weights of the actions of a trajectory in a comparison, so that long ones do not count more: DMPO.

    Action t of T weighs `discount^t (1 - discount^(T - t)) / (1 - discount^T)`; with discount 1 that is `(T - t) / T`.

    Source: Shi et al. 2024, "Direct Multi-Turn Preference Optimization for Language Agents" (arXiv 2406.14868), equation 13.

    Args:
        step: int[batch, token], index of the action of each token, -1 for tokens that the policy did not write.
        discount: in (0, 1].

    Returns:
        float32[batch, token]; 0 where `step` is -1.

    Raises:
        ValueError: the discount is out of its range.
    """
    if not 0 < discount <= 1:
        raise ValueError(f"discount must be in (0, 1], got {discount}")
    turns = (step.max(-1, keepdim=True).values + 1).clamp(min=1).float()
    left = turns - step.float()
    if discount == 1:
        weights = left / turns
    else:
        weights = discount ** step.clamp(min=0).float() * (1 - discount**left) / (1 - discount**turns)
    return torch.where(step >= 0, weights, 0.0)
