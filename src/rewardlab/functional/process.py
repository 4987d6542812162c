"""Losses for labels of single steps, as process reward models are trained with.

A step's label is the probability that the step is right: 1 or 0 where a person said so, a share of successful continuations
where it was estimated by sampling, NaN where nobody looked.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def step_binary(
    logits: Tensor, labels: Tensor, *, mask: Tensor | None = None, threshold: float = 0.5, weight: float = 1.0
) -> Tensor:
    """Cross-entropy of right against wrong steps, as the mean over the labelled steps of each row.

    Source: Lightman et al. 2023, "Let's Verify Step by Step" (arXiv 2305.20050); labels above a threshold of 0 are the hard
    estimation of Wang et al. 2024, "Math-Shepherd" (arXiv 2312.08935), equation 3.

    Args:
        logits: float[row, step], log-odds that a step is right.
        labels: float[row, step] in [0, 1]; NaN where nobody looked.
        mask: bool[row, step], which steps count; None for all that have a label.
        threshold: labels above it are right, the others wrong.
        weight: of wrong steps, which are few in most data, relative to right ones.

    Returns:
        float[row]; 0 for a row without labels.

    Raises:
        ValueError: shapes differ, a label lies outside [0, 1], or the weight is not positive.
    """
    counted = _check(logits, labels, mask)
    if weight <= 0:
        raise ValueError(f"weight must be positive, got {weight}")
    right = labels > threshold
    loss = torch.where(right, -logsigmoid(logits), -weight * logsigmoid(-logits))
    return _mean(loss, counted)


def step_soft(logits: Tensor, labels: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Cross-entropy against the probability that each step is right, as the mean over the labelled steps of each row.

    Source: Wang et al. 2024, "Math-Shepherd" (arXiv 2312.08935), equation 4 with the loss of equation 1.

    Args:
        logits: float[row, step], log-odds that a step is right.
        labels: float[row, step] in [0, 1]; NaN where nobody looked.
        mask: bool[row, step], which steps count; None for all that have a label.

    Returns:
        float[row]; 0 for a row without labels.

    Raises:
        ValueError: shapes differ, or a label lies outside [0, 1].
    """
    counted = _check(logits, labels, mask)
    target = torch.where(counted, labels, torch.zeros_like(labels)).to(logits.dtype)
    return _mean(-(target * logsigmoid(logits) + (1.0 - target) * logsigmoid(-logits)), counted)


def until_first_error(labels: Tensor, *, threshold: float = 0.5) -> Tensor:
    """Which steps come no later than the first wrong one: what follows an error has no clear label of its own.

    Source: Lightman et al. 2023, "Let's Verify Step by Step" (arXiv 2305.20050), section 2.6.

    Args:
        labels: float[row, step] in [0, 1]; NaN where nobody looked.
        threshold: labels above it are right.

    Returns:
        bool[row, step].
    """
    wrong = labels <= threshold  # NaN is neither right nor wrong
    return torch.cumsum(wrong, dim=1) - wrong.long() == 0


def _check(logits: Tensor, labels: Tensor, mask: Tensor | None) -> Tensor:
    if logits.ndim != 2 or logits.shape != labels.shape or (mask is not None and mask.shape != logits.shape):
        shapes = [tuple(one.shape) for one in (logits, labels, mask) if one is not None]
        raise ValueError(f"logits, labels and mask must have one shape [row, step], got {shapes}")
    counted = ~labels.isnan() if mask is None else mask & ~labels.isnan()
    wrong = counted & ~((labels >= 0) & (labels <= 1))
    if bool(wrong.any()):
        row, step = (int(place) for place in wrong.nonzero()[0])
        raise ValueError(
            f"label must be in [0, 1], got {float(labels[row, step]):g} at step {step} of row {row}; it is the probability "
            "that the step is right, and NaN where nobody looked"
        )
    return counted


def _mean(loss: Tensor, counted: Tensor) -> Tensor:
    total = torch.where(counted, loss, torch.zeros_like(loss)).sum(1)
    return total / counted.sum(1).clamp(min=1)
