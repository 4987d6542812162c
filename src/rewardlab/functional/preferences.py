"""Losses for comparisons of two, from the log-odds that the first of each pair is preferred.

All of them take log-odds and not two values, so that they serve a scalar reward (the difference of its values) as well as a
model that only compares. They give one loss per row; a caller takes the mean that it wants. Everything goes through
`logsigmoid`, so that log-odds of any size have a finite loss and a gradient: the often seen `log(sigmoid(x) + 1e-5)` has no
gradient left on just those pairs that are most wrong.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry(
    logits: Tensor,
    label: Tensor | float = 1.0,
    *,
    margin: Tensor | float = 0.0,
    smoothing: Tensor | float = 0.0,
    mask: Tensor | None = None,
    weight: Tensor | float | None = None,
) -> Tensor:
    """Negative log-likelihood of comparisons under the Bradley-Terry model.

    With p = `label (1 - smoothing) + (1 - label) smoothing`, log-odds x and margin m, the loss is
    `-p log sigmoid(x - m) - (1 - p) log sigmoid(-x - m)`: a margin asks whichever side is preferred to win by that much.

    Source: Bradley and Terry 1952; the margin is Touvron et al. 2023, "Llama 2" (arXiv 2307.09288), equation 2; soft labels,
    smoothing and margins together are Wang et al. 2024, "Secrets of RLHF part II" (arXiv 2401.06080), section 2.

    Args:
        logits: float[row], log-odds that the first is preferred.
        label: float[row] or one number in [0, 1], the probability that the first is better; 0.5 is a tie.
        margin: float[row] or one number, not negative for the usual meaning.
        smoothing: float[row] or one number in [0, 1], the probability that a label is wrong.
        mask: bool[row]; rows where it is False have loss 0 and no gradient, whatever stands in them.
        weight: float[row] or one number by which the loss is multiplied; None for 1.

    Returns:
        float[row].

    Raises:
        ValueError: shapes differ, or a label or a smoothing lies outside [0, 1].
    """
    _check_rows(logits, label=label, margin=margin, smoothing=smoothing, mask=mask, weight=weight)
    _check_share("label", label, mask, "margin is the place for how much better")
    _check_share("smoothing", smoothing, mask, "it is the probability that a label is wrong")
    if mask is not None:
        logits, label, margin, smoothing = (_blank(one, mask) for one in (logits, label, margin, smoothing))
    chance = label * (1.0 - smoothing) + (1.0 - label) * smoothing
    loss = -(chance * logsigmoid(logits - margin) + (1.0 - chance) * logsigmoid(-logits - margin))
    return _finish(loss, mask, weight)


def hinge(
    logits: Tensor,
    label: Tensor | float = 1.0,
    *,
    margin: Tensor | float = 1.0,
    mask: Tensor | None = None,
    weight: Tensor | float | None = None,
) -> Tensor:
    """How far the preferred side falls short of winning by a margin: `p max(0, m - x) + (1 - p) max(0, m + x)`.

    Source: Joachims 2002, "Optimizing Search Engines using Clickthrough Data", with soft labels.

    Args:
        logits: float[row], log-odds (or any score) that the first is preferred.
        label: float[row] or one number in [0, 1], the probability that the first is better.
        margin: float[row] or one number.
        mask: bool[row]; rows where it is False have loss 0.
        weight: float[row] or one number by which the loss is multiplied; None for 1.

    Returns:
        float[row].

    Raises:
        ValueError: shapes differ, or a label lies outside [0, 1].
    """
    _check_rows(logits, label=label, margin=margin, mask=mask, weight=weight)
    _check_share("label", label, mask, "margin is the place for how much better")
    if mask is not None:
        logits, label, margin = (_blank(one, mask) for one in (logits, label, margin))
    loss = label * torch.relu(margin - logits) + (1.0 - label) * torch.relu(margin + logits)
    return _finish(loss, mask, weight)


def centring(first: Tensor, second: Tensor) -> Tensor:
    """Square of the sum of both values, which holds the free constant of a Bradley-Terry model at zero.

    Source: Eisenstein et al. 2023, "Helping or Herding?" (arXiv 2312.09244), section 2.

    Args:
        first, second: float[row], values of the two responses.

    Returns:
        float[row], to be added to a loss with a small weight (0.01 in the paper).

    Raises:
        ValueError: shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"first and second must have one shape, got {tuple(first.shape)} and {tuple(second.shape)}")
    return (first + second) ** 2


def _check_rows(logits: Tensor, **columns: Tensor | float | None) -> None:
    if logits.ndim != 1:
        raise ValueError(f"logits must be one-dimensional, one per pair, got shape {tuple(logits.shape)}")
    for name, column in columns.items():
        if isinstance(column, Tensor) and column.ndim and column.shape != logits.shape:
            raise ValueError(
                f"{name} must have one entry per row, or be one number; got shape {tuple(column.shape)} for "
                f"{logits.shape[0]} rows"
            )


def _check_share(name: str, share: Tensor | float, mask: Tensor | None, hint: str) -> None:
    if isinstance(share, Tensor):
        wrong = ~((share >= 0) & (share <= 1))
        if mask is not None:
            wrong = wrong & mask
        if bool(wrong.any()):
            row = int(wrong.reshape(-1).nonzero()[0])
            raise ValueError(f"{name} must be in [0, 1], got {float(share.reshape(-1)[row]):g} in row {row}; {hint}")
    elif not 0.0 <= share <= 1.0:
        raise ValueError(f"{name} must be in [0, 1], got {share}; {hint}")


def _blank(column: Tensor | float, mask: Tensor) -> Tensor:
    """A column with 0 where the mask is False, so that what stands there reaches neither the loss nor its gradient."""
    if not isinstance(column, Tensor):
        column = torch.tensor(column, device=mask.device)
    return torch.where(mask, column, torch.zeros((), dtype=column.dtype, device=column.device))


def _finish(loss: Tensor, mask: Tensor | None, weight: Tensor | float | None) -> Tensor:
    if weight is not None:
        loss = loss * weight
    return loss if mask is None else torch.where(mask, loss, torch.zeros_like(loss))
