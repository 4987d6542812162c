"""Comparisons whose true rewards are known: with as much label noise as is wanted, of near or far pairs.

For studies of losses and of choices of pairs. Fit heads on embeddings that were computed once (`SentenceEncoder`, or any
frozen encoder, whose features a fitter computes once), and a study of many settings takes seconds.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray


def noisy_labels(differences: ArrayLike, *, quality: float, flips: float = 0.0, seed: int = 0) -> NDArray[np.float64]:
    """Labels of an annotator who sees small differences badly: the first wins with probability `sigmoid(quality x d)`.

    Source: Sun, Shen and Ton 2025, "Rethinking Reward Modeling in Preference-based Large Language Model Alignment" (arXiv
    2411.04991), section 5: qualities of 10 (hardly any noise) to .1 (nearly coins).

    Args:
        differences: float[...], true rewards of the first minus those of the second.
        quality: not negative; infinity for no noise.
        flips: share of labels that are turned round besides, whatever the difference.
        seed: of everything.

    Returns:
        float64[...], 0 or 1.

    Raises:
        ValueError: a number is out of its range.
    """
    if not quality >= 0:
        raise ValueError(f"quality must not be negative, got {quality}; 10 is hardly any noise, 0 a coin")
    if not 0 <= flips <= 1:
        raise ValueError(f"flips must be in [0, 1], got {flips}")
    gaps, draw = np.asarray(differences, np.float64), np.random.default_rng(seed)
    with np.errstate(invalid="ignore", over="ignore"):
        logits = np.where(gaps == 0, 0.0, gaps * quality)
    won = draw.uniform(size=gaps.shape) < 1.0 / (1.0 + np.exp(-np.clip(logits, -500, 500)))
    return (won ^ (draw.uniform(size=gaps.shape) < flips)).astype(np.float64)


def pairs_by_rank(
    rewards: ArrayLike, count: int, *, distance: Literal["near", "far", "any"] = "any", seed: int = 0
) -> NDArray[np.int64]:
    """Pairs of responses that are near one another in the order of true rewards, far from one another, or any.

    "near" pairs lie within a tenth of the ranks, "far" ones at least half of them apart; which one stands first is a coin.

    Args:
        rewards: float[response].
        count: how many pairs, drawn with replacement.
        distance: see above.
        seed: of everything.

    Returns:
        int64[count, 2].

    Raises:
        ValueError: fewer than four responses, or an unknown distance.
    """
    values = np.asarray(rewards, np.float64)
    if values.ndim != 1 or len(values) < 4:
        raise ValueError(f"rewards must have shape [response] with at least 4, got {values.shape}")
    total, draw = len(values), np.random.default_rng(seed)
    if distance not in ("near", "far", "any"):
        raise ValueError(f"distance must be 'near', 'far' or 'any', got {distance!r}")
    low, high = {"near": (1, max(1, total // 10)), "far": (total // 2, total - 1), "any": (1, total - 1)}[distance]
    # a gap is as likely as there are pairs with it, so that every pair of the kind is equally likely
    gaps = np.arange(low, high + 1)
    gap = draw.choice(gaps, count, p=(total - gaps) / (total - gaps).sum())
    start = (draw.uniform(size=count) * (total - gap)).astype(np.int64)
    places = np.stack([start, start + gap], 1)
    turned = draw.uniform(size=count) < 0.5
    places[turned] = places[turned][:, ::-1]
    return np.argsort(values, kind="stable")[places]
