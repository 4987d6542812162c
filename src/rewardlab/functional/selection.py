"""Selection: which samples of a pool are kept to be imitated, what that should gain, and how diverse what is left is.

Inside groups, `rewardlab.functional.best_of_group` selects; here are the selection over a whole pool, and the numbers by
which best-of-k selection is judged. Ties are shared and never decided by the order of the samples.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor


def best_of_pool(values: Tensor, scored_mask: Tensor, *, fraction: float) -> Tensor:
    """Weight of each sample when only the best fraction of the whole pool is kept, whatever prompt it belongs to.

    Where prompts differ in what can be reached, this keeps mostly samples of the easy ones. Samples that tie for the last
    places share them; a pool in which all values are equal keeps nothing, because nothing is better.

    Source: Dong et al. 2023, "RAFT" (arXiv 2304.06767), the global ranking of its repository (LMFlow, `top`).

    Args:
        values: float[sample]; anything where `scored_mask` is False.
        scored_mask: bool[sample].
        fraction: of the scored samples, in (0, 1]; rounded, and at least one sample.

    Returns:
        float64[sample], weights in [0, 1] that add up to the number kept.

    Raises:
        ValueError: shapes differ, a scored value is not finite, or the fraction is out of its range.
    """
    if values.ndim != 1 or values.shape != scored_mask.shape:
        raise ValueError(
            f"values and scored_mask must be one-dimensional and equally long, got {tuple(values.shape)} and "
            f"{tuple(scored_mask.shape)}"
        )
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be in (0, 1], got {fraction}")
    weights = torch.zeros(values.shape, dtype=torch.float64)
    places = scored_mask.nonzero().squeeze(-1)
    chosen = values[places].double()
    if not torch.isfinite(chosen).all():
        raise ValueError("scored values must be finite; mark the others as not scored")
    if not places.numel() or bool(chosen.max() == chosen.min()):
        return weights
    keep = max(1, round(fraction * places.numel()))
    edge = chosen.sort(descending=True).values[keep - 1]
    better, equal = chosen > edge, chosen == edge
    share = (keep - int(better.sum())) / int(equal.sum())
    weights[places] = better.double() + share * equal.double()
    return weights


def excess_supply(weights: Tensor, sources: Tensor) -> tuple[int, float]:
    """The source (prompt) that supplies most beyond its share of the pool.

    Args:
        weights: float[sample], what selection gave.
        sources: int[sample], which prompt a sample belongs to.

    Returns:
        That source, and its share of the weight over its share of the samples (1 where every prompt supplies its part); -1
        and 0 where nothing was kept.
    """
    total = float(weights.sum())
    if not total:
        return -1, 0.0
    known, dense = sources.unique(return_inverse=True)
    kept = torch.zeros(known.numel(), dtype=torch.float64).index_add_(0, dense, weights.double())
    share = (kept / total) / (torch.bincount(dense, minlength=known.numel()).double() / sources.numel())
    largest = int(share.argmax())
    return int(known[largest]), float(share[largest])


def expected_best_of(values: Tensor, k: int) -> Tensor:
    """Expected maximum of k of the given values drawn without replacement: an unbiased estimate of what best-of-k reaches.

    With the n values sorted upwards, the i-th (from 1) is the largest of k drawn ones with probability
    `C(i - 1, k - 1) / C(n, k)`.

    Source: order statistics; used for best-of-n curves by Nakano et al. 2021, "WebGPT" (arXiv 2112.09332), appendix I.

    Args:
        values: float[..., n].
        k: at least 1, at most n.

    Returns:
        float[...].

    Raises:
        ValueError: k is out of its range.
    """
    n = values.shape[-1]
    if not 1 <= k <= n:
        raise ValueError(f"k must be between 1 and the number of values, {n}, got {k}")
    chances = [math.comb(place, k - 1) / math.comb(n, k) for place in range(n)]
    ordered = values.double().sort(dim=-1).values
    return (ordered * torch.tensor(chances, dtype=torch.float64, device=values.device)).sum(-1)


def best_of_kl_bound(k: int) -> float:
    """Largest KL divergence, in nats, of the best of k samples from the distribution that they were drawn from.

    `log k - (k - 1) / k`, reached where no two samples tie.

    Source: Beirami et al. 2024, "Theoretical guarantees on the best-of-n alignment policy" (arXiv 2401.01879), theorem 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return math.log(k) - (k - 1) / k


def distinct_ngrams(sequences: Sequence[Sequence[Hashable]], n: int = 2) -> float:
    """Different n-grams over all n-grams of some sequences, in (0, 1]; NaN where there are none.

    It falls with the number of sequences, so only pools of one size can be compared.

    Source: Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models" (arXiv 1510.03055).

    Args:
        sequences: of tokens or words.
        n: length of the n-grams.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    grams = [tuple(sequence[start : start + n]) for sequence in sequences for start in range(len(sequence) - n + 1)]
    return len(set(grams)) / len(grams) if grams else math.nan
