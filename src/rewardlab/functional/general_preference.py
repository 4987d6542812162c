"""Preferences that need not be transitive: each response has an embedding, and two are compared by a skew-symmetric form.

With one block the form is `a0 b1 - a1 b0` up to sign, the turn from one vector to the other: rock, paper and scissors stand
evenly on a circle. It is antisymmetric by construction, so a response always ties with itself.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def skew_symmetric_score(first: Tensor, second: Tensor, scales: Tensor | None = None) -> Tensor:
    """`<R first, second>` with R the block diagonal of `[[0, -1], [1, 0]]`, each block times its scale.

    Source: Zhang et al. 2024, "Beyond Bradley-Terry Models: A General Preference Model" (arXiv 2410.02197), equation 5 with
    the blocks of the authors' program, so that `first = (1, 0)` beats `second = (0, 1)`.

    Args:
        first, second: float[..., 2 block], embeddings.
        scales: float[..., block], the weight of each block, such as a gate over the prompt gives; None for 1.

    Returns:
        float[...]; positive where the first is preferred. Swapping first and second gives exactly the negative.

    Raises:
        ValueError: shapes differ, or the width is odd.
    """
    if first.shape != second.shape:
        raise ValueError(f"first and second must have one shape, got {tuple(first.shape)} and {tuple(second.shape)}")
    if not first.ndim or first.shape[-1] % 2 or not first.shape[-1]:
        width = first.shape[-1] if first.ndim else 0
        raise ValueError(
            f"embeddings must have an even width, because each block takes two numbers; got {width}, use {width + 1}"
        )
    blocks = first[..., 0::2] * second[..., 1::2] - first[..., 1::2] * second[..., 0::2]
    if scales is not None:
        if scales.shape[-1] != blocks.shape[-1]:
            raise ValueError(
                f"scales must have one entry for each of {blocks.shape[-1]} blocks, got {scales.shape[-1]}"
            )
        blocks = blocks * scales
    return blocks.sum(-1)


def general_preference_logistic(
    scores: Tensor, label: Tensor | float = 1.0, *, temperature: Tensor | float = 1.0, margin: Tensor | float = 0.0
) -> Tensor:
    """Negative log-likelihood of comparisons: `-p log sigmoid((s - m) / t) - (1 - p) log sigmoid((-s - m) / t)`.

    Source: Zhang et al. 2024 (arXiv 2410.02197), equation 9; the margin is in the authors' program.

    Args:
        scores: float[row], skew-symmetric scores of first against second.
        label: float[row] or one number in [0, 1], the probability that the first is better.
        temperature: float[row] or one number, positive.
        margin: float[row] or one number, on the scale of the scores.

    Returns:
        float[row].

    Raises:
        ValueError: a number is out of its range.
    """
    from rewardlab.functional.preferences import _check_rows, _check_share

    _check_rows(scores, label=label, temperature=temperature, margin=margin)
    _check_share("label", label, None, "margin is the place for how much better")
    _check_temperature(temperature)
    won, lost = (scores - margin) / temperature, (-scores - margin) / temperature
    return -(label * logsigmoid(won) + (1.0 - label) * logsigmoid(lost))


def general_preference_regression(
    scores: Tensor, label: Tensor | float = 1.0, *, temperature: Tensor | float = 1.0, target: float = 10.0
) -> Tensor:
    """Half the squared distance of the scaled score from a target: `(s / t - (2 p - 1) target)^2 / 2`.

    Source: the authors' program for Zhang et al. 2024 (arXiv 2410.02197), whose labels are all 1 and target 10.

    Args:
        scores: float[row], skew-symmetric scores of first against second.
        label: float[row] or one number in [0, 1], the probability that the first is better.
        temperature: float[row] or one number, positive.
        target: what a sure comparison is to score.

    Returns:
        float[row].

    Raises:
        ValueError: a number is out of its range.
    """
    from rewardlab.functional.preferences import _check_rows, _check_share

    _check_rows(scores, label=label, temperature=temperature)
    _check_share("label", label, None, "target says how far a sure comparison is to go")
    _check_temperature(temperature)
    return 0.5 * (scores / temperature - (2.0 * label - 1.0) * target) ** 2


def _check_temperature(temperature: Tensor | float) -> None:
    if not bool((torch.as_tensor(temperature) > 0).all()):
        raise ValueError(f"temperature must be positive, got {temperature}")
