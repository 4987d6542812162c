"""Losses that look at single responses of a comparison: classification by "was preferred", and prospect theory (KTO).

Neither needs a difference of two values, so both serve judgements that never stood in a pair as well.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def order_consistency(first: Tensor, second: Tensor, label: Tensor | float = 1.0) -> Tensor:
    """Cross-entropy of classifying each response by whether it was preferred, added up over both responses of a pair.

    With label 1 that is `-log sigmoid(a) - log sigmoid(-b)`, which is never below the loss of Bradley and Terry,
    `-log sigmoid(a - b)`, as `sigmoid(a) sigmoid(-b) <= sigmoid(a - b)`.

    Source: Sun, Shen and Ton 2025, "Rethinking Reward Modeling in Preference-based Large Language Model Alignment" (ICLR
    2025, arXiv 2411.04991), section 4: a reward that orders as the true one does is all that optimisation needs.

    Args:
        first, second: float[row], values of the two responses, read as log-odds of being preferred.
        label: float[row] or one number in [0, 1], the probability that the first is better.

    Returns:
        float[row].

    Raises:
        ValueError: shapes differ, or a label lies outside [0, 1].
    """
    if first.shape != second.shape:
        raise ValueError(f"first and second must have one shape, got {tuple(first.shape)} and {tuple(second.shape)}")
    share = torch.as_tensor(label, dtype=first.dtype, device=first.device)
    if share.ndim and share.shape != first.shape:
        raise ValueError(f"label must have shape {tuple(first.shape)}, got {tuple(share.shape)}")
    if bool(((share < 0) | (share > 1)).any()):
        raise ValueError(f"label must be in [0, 1], got {label}")
    won = -logsigmoid(first) - logsigmoid(-second)
    lost = -logsigmoid(-first) - logsigmoid(second)
    return share * won + (1.0 - share) * lost


def prospect(
    values: Tensor,
    desirable: Tensor,
    reference: Tensor | float,
    *,
    beta: float = 0.1,
    weights: tuple[float, float] = (1.0, 1.0),
) -> Tensor:
    """What a response falls short of in prospect theory: gains and losses from a reference point, both levelling off.

    `w_d (1 - sigmoid(beta (x - z)))` for desirable responses, `w_u (1 - sigmoid(beta (z - x)))` for the others.

    Source: Ethayarajh et al. 2024, "KTO: Model Alignment as Prospect Theoretic Optimization" (arXiv 2402.01306), equation 7;
    there x is the log-ratio of the policy to its reference, and z the divergence between them.

    Args:
        values: float[row], log-ratios or rewards x.
        desirable: bool[row], or float[row] in [0, 1], the probability that the response is.
        reference: the point z, one number or float[row]; it should carry no gradient.
        beta: how soon gains and losses level off; positive.
        weights: of desirable and of other responses.

    Returns:
        float[row].

    Raises:
        ValueError: shapes differ, or beta is not positive.
    """
    if desirable.shape != values.shape:
        raise ValueError(f"desirable must have shape {tuple(values.shape)}, got {tuple(desirable.shape)}")
    if not 0 < beta < math.inf:
        raise ValueError(f"beta must be positive and finite, got {beta}")
    share = desirable.to(values.dtype)
    gain = torch.sigmoid(beta * (values - reference))
    return share * weights[0] * (1.0 - gain) + (1.0 - share) * weights[1] * gain
