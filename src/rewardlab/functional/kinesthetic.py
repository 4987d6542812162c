"""The kinesthetic combination as a differentiable function, for networks whose heads are its parts."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def signed_geometric_mean(
    parts: Tensor,
    weights: Tensor | None = None,
    *,
    sign: Literal["all", "product"] = "all",
    epsilon: float = 1e-6,
) -> Tensor:
    """`sign * prod (|r_i| + epsilon) ** (w_i / sum w)` over the first axis, less what epsilon alone would give.

    Without the epsilon the gradient at a part of 0 is infinite. The epsilon is taken off again, so that a part of 0 gives
    nearly 0, and the sign jumps where the value is nearly 0.

    Source: Moschopoulos et al. 2023, Lucy-SKG (arXiv 2305.15801), the kinesthetic reward combination.

    Args:
        parts: float[part, ...], in [-1, 1].
        weights: float[part], positive; all equal where not given.
        sign: "all" is positive only where every part is >= 0; "product" multiplies the signs.
        epsilon: positive; gradients are at most of the order of its inverse.

    Returns:
        float[...]; NaN where a part is NaN.

    Raises:
        ValueError: weights that are not one positive number for each part, or an epsilon that is not positive.
    """
    if not epsilon > 0:
        raise ValueError(f"epsilon must be positive, got {epsilon}")
    own = parts.new_ones(len(parts)) if weights is None else weights
    if own.shape != (len(parts),) or not bool((own > 0).all()):
        raise ValueError(f"weights must be {len(parts)} positive numbers, got {own.tolist()}")
    shares = (own / own.sum()).view(-1, *(1,) * (parts.dim() - 1))
    size = (shares * (parts.abs() + epsilon).log()).sum(0).exp() - epsilon
    if sign == "product":
        return size * torch.sign(parts).prod(0)
    return torch.where((parts < 0).any(0), -size, size)
