"""Contrastive losses: two views of a thing should be nearer to each other than to the views of other things."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, normalize


def info_nce(first: Tensor, second: Tensor, *, temperature: float = 0.05) -> Tensor:
    """`-log softmax_j(cos(first_i, second_j) / temperature)` at j = i: find one's own second view among those of all rows.

    Source: Gao et al. 2021, "SimCSE" (arXiv 2104.08821), equation 1, where the views are two passes with dropout.

    Args:
        first, second: float[row, width], two views of each row.
        temperature: positive; small ones look hard at the nearest rows.

    Returns:
        float[row].

    Raises:
        ValueError: shapes differ, there is only one row, or the temperature is not positive.
    """
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(
            f"first and second must have one shape [row, width], got {tuple(first.shape)} and {tuple(second.shape)}"
        )
    if first.shape[0] < 2:
        raise ValueError("a contrastive loss needs at least 2 rows in a batch to tell them apart, got 1")
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    alike = normalize(first, dim=1) @ normalize(second, dim=1).T
    return -log_softmax(alike / temperature, dim=1).diagonal()


def difference_views(features: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Differences of the features of pairs in both directions, over which preferences can be contrasted.

    Source: Wang et al. 2024, "Secrets of RLHF part II" (arXiv 2401.06080), section 3.1.

    Args:
        features: float[item, width].
        first, second: int64[row], the items of each pair.

    Returns:
        float[2 row, width]: first minus second, then second minus first.
    """
    gap = features[first] - features[second]
    return torch.cat([gap, -gap])
