"""Losses for orders of several responses.

Values stand best first, one row per ranking. Ties are handled as in survival analysis, where the same likelihood is called
Cox's: exactly equal places are rare in lists that people sort, and common in lists that come from ratings.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Ties = Literal["efron", "breslow"]

_ABSENT = -1e30  # far below every value, and finite, so that no gradient becomes NaN


def plackett_luce(
    values: Tensor,
    mask: Tensor | None = None,
    ties: Tensor | None = None,
    *,
    top: int | None = None,
    method: Ties = "efron",
) -> Tensor:
    """Negative log-likelihood of rankings under the Plackett-Luce model.

    Items are taken one after the other, each with probability proportional to the exponential of its value among those that
    are left: `sum_i logsumexp(values[i:]) - values[i]`. A set D of d tied items that meets the rest R (D included) costs,
    for its l-th member from 0, `log(sum_R - l/d sum_D)` (Efron) or `log sum_R` (Breslow, coarser), sums of exponentials.
    Two tied items alone give twice the gradient of a Bradley-Terry loss with label 0.5.

    Source: Plackett 1975, "The Analysis of Permutations"; ties are Efron 1977, "The Efficiency of Cox's Likelihood Function
    for Censored Data", and Breslow 1974, "Covariance Analysis of Censored Survival Data".

    Args:
        values: float[row, place], of the items, best first.
        mask: bool[row, place], where an item stands; items stand at the front. None where all places are filled.
        ties: bool[row, place - 1], whether an item is as good as the one before it; None for no ties.
        top: how many first places count; the order of the rest is taken as unknown. 1 with no ties is the loss of choosing
            the best of several. None for all.
        method: how ties are handled.

    Returns:
        float[row].

    Raises:
        ValueError: shapes differ, a row has a gap, `top` is below 1, or the method is unknown.
    """
    mask = _check(values, mask, ties, top, method)
    filled = torch.where(mask, values, torch.full_like(values, _ABSENT))
    places = values.shape[1]
    left = torch.logcumsumexp(filled.flip(1), dim=1).flip(1)  # of the items from each place on
    if ties is not None and places > 1:
        left = _with_ties(filled, left, ties & mask[:, 1:], method)
    counted = mask if top is None else mask & (torch.arange(places, device=values.device) < top)
    return torch.where(counted, left - filled, torch.zeros_like(filled)).sum(1)


def _with_ties(values: Tensor, left: Tensor, ties: Tensor, method: Ties) -> Tensor:
    """What each place is divided by, as a logarithm, when some places are shared."""
    first = torch.zeros_like(ties[:, :1])
    level = torch.cumsum(~torch.cat([~first, ties], dim=1), dim=1)  # equal for members of one tied set
    same = level[:, :, None] == level[:, None, :]
    place = torch.arange(values.shape[1], device=values.device)
    start = torch.where(same, place, values.shape[1]).min(dim=2).values
    rest = left.gather(1, start)
    if method == "breslow":
        return rest
    size = same.sum(2)
    own = torch.where(same, values[:, None, :], torch.full_like(values, _ABSENT)[:, None, :]).logsumexp(2)
    taken = (place - start).to(values.dtype) / size
    return rest + torch.log1p(-taken * torch.exp((own - rest).clamp(max=0.0)))


def _check(values: Tensor, mask: Tensor | None, ties: Tensor | None, top: int | None, method: str) -> Tensor:
    if values.ndim != 2:
        raise ValueError(f"values must have the shape [row, place], got {tuple(values.shape)}")
    if mask is None:
        mask = torch.ones_like(values, dtype=torch.bool)
    elif mask.shape != values.shape:
        raise ValueError(f"mask must have the shape of values, {tuple(values.shape)}, got {tuple(mask.shape)}")
    elif bool((mask[:, 1:] & ~mask[:, :-1]).any()):
        row = int((mask[:, 1:] & ~mask[:, :-1]).any(1).nonzero()[0])
        raise ValueError(f"row {row} has a gap: items must stand at the front of a row, and empty places after them")
    if ties is not None and ties.shape != (values.shape[0], max(values.shape[1] - 1, 0)):
        raise ValueError(
            f"ties must have one entry for every place but the first, {(values.shape[0], values.shape[1] - 1)}, got "
            f"{tuple(ties.shape)}"
        )
    if top is not None and top < 1:
        raise ValueError(f"top must be at least 1, got {top}; None counts all places")
    if method not in ("efron", "breslow"):
        raise ValueError(f'method must be "efron" or "breslow", got {method!r}')
    return mask
