"""Drawing tokens from logits by the inverse of the cumulative distribution, with draws that belong to the row.

The uniform number behind a token is a hash (the finaliser of splitmix64, Steele et al. 2014) of the row's seed and the
token's position. Which other rows share a batch, and in what order they stand, does not enter it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewardlab.policies.engines.base import Sampling

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_WORD = 0xFFFFFFFFFFFFFFFF
_WIDE_VOCABULARY = 4096


def uniforms(seeds: Sequence[int], starts: Sequence[int], count: int) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) for tokens.

    Args:
        seeds: one for each row; any integers.
        starts: the position of the first token that each row draws.
        count: how many tokens each row may draw.

    Returns:
        float64[count, row]; entry (t, i) depends on `seeds[i]` and `starts[i] + t` alone.
    """
    keys = _mix(np.array([seed & _WORD for seed in seeds], dtype=np.uint64))
    places = np.asarray(starts, dtype=np.uint64) + np.arange(1, count + 1, dtype=np.uint64)[:, None]
    bits = _mix(keys + places * _GOLDEN)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def derive_seed(*numbers: int) -> int:
    """A seed that depends on every given number; neighbouring numbers give unrelated seeds."""
    state = 0
    for number in numbers:  # in Python's integers: quicker than numpy for one number
        state = (state + number + 0x9E3779B97F4A7C15) & _WORD
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _WORD
        state ^= state >> 31
    return state >> 1


def _mix(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def draw(logits: Tensor, sampling: Sampling, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Draw one token per row.

    Args:
        logits: float[row, vocab].
        sampling: temperature and cuts.
        uniform: float64[row] in [0, 1).

    Returns:
        int64[row] tokens and float32[row] log-probabilities, the latter before any cut.
    """
    logits = logits.float()
    if sampling.temperature == 0:
        tokens = logits.argmax(-1, keepdim=True)
        return tokens.squeeze(-1), logits.log_softmax(-1).gather(-1, tokens).squeeze(-1)
    if sampling.temperature != 1.0:
        logits = logits / sampling.temperature
    probabilities = logits.softmax(-1)
    kept = probabilities if sampling.top_k == 0 and sampling.top_p >= 1 else _cut(probabilities, sampling)
    # float32 sums over a large vocabulary would lose its rare tokens
    exact = torch.float64 if kept.shape[-1] > _WIDE_VOCABULARY else torch.float32
    heights = kept.cumsum(-1, dtype=exact)
    total = heights[:, -1:]
    # A target below the total always has a token above it, and the first such token has a probability above 0.
    target = torch.minimum(uniform[:, None].to(exact) * total, torch.nextafter(total, torch.zeros_like(total)))
    # clamped only for logits that are not numbers: the engine reports those, and no index may leave the row before
    tokens = torch.searchsorted(heights, target, right=True).clamp_(max=heights.shape[-1] - 1)
    return tokens.squeeze(-1), probabilities.gather(-1, tokens).log().squeeze(-1)


def _cut(probabilities: Tensor, sampling: Sampling) -> Tensor:
    """Probabilities with 0 outside the `top_k` and `top_p` sets (not renormalised); ties at the edge are kept."""
    vocabulary = probabilities.shape[-1]
    if 0 < sampling.top_k < vocabulary:
        edge = probabilities.topk(sampling.top_k, dim=-1).values[:, -1:]
        probabilities = probabilities.where(probabilities >= edge, 0.0)
    if sampling.top_p < 1:
        ordered = probabilities.sort(dim=-1, descending=True).values
        before = ordered.cumsum(-1) - ordered
        # a token stays when those before it have not reached the share yet; the first always does
        count = (before < sampling.top_p * ordered.sum(-1, keepdim=True)).sum(-1, keepdim=True).clamp(min=1)
        probabilities = probabilities.where(probabilities >= ordered.gather(-1, count - 1), 0.0)
    return probabilities
