"""Pairs of whole trajectories that an implicit process reward learns from, their loss, and what is measured of them."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid

PairRule = Literal["all", "one_to_one", "margin"]


def preference_pairs(
    outcomes: NDArray[np.float64],
    groups: NDArray[np.integer],
    *,
    pairs: PairRule = "all",
    margin: float = 0.0,
    scored: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which trajectories of a group are set against which.

    Args:
        outcomes: float64[trajectory].
        groups: int[trajectory].
        pairs: every two members whose outcomes differ ("all"), the best with the worst, the second best with the second
            worst, and so on ("one_to_one"), or every two that differ by more than `margin` ("margin").
        margin: see above; not negative.
        scored: bool[trajectory]; others are in no pair. None for all.

    Returns:
        Places of the better and of the worse trajectory, int64[pair] each.

    Raises:
        ValueError: an unknown rule, or a negative margin.
    """
    if pairs not in ("all", "one_to_one", "margin"):
        raise ValueError(f'pairs must be "all", "one_to_one" or "margin", got {pairs!r}')
    if margin < 0:
        raise ValueError(f"margin must not be negative, got {margin}")
    places = np.arange(outcomes.size) if scored is None else np.flatnonzero(scored)
    better, worse = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    order = places[np.lexsort((places, -outcomes[places], groups[places]))]
    cuts = np.flatnonzero(np.diff(groups[order])) + 1
    for members in np.split(order, cuts):  # from the best to the worst
        if pairs == "one_to_one":
            half = members.size // 2
            first, second = members[:half], members[::-1][:half]
        else:
            one, other = np.triu_indices(members.size, 1)
            first, second = members[one], members[other]
        apart = outcomes[first] - outcomes[second] > (margin if pairs == "margin" else 0.0)
        better.append(first[apart])
        worse.append(second[apart])
    return np.concatenate(better), np.concatenate(worse)


def implicit_pair_loss(
    values: Tensor,
    better: NDArray[np.int64],
    worse: NDArray[np.int64],
    weights: Tensor | None = None,
) -> Tensor:
    """`-log sigmoid(Q+ - Q-)` over pairs of trajectories.

    Source: arXiv 2509.19199 (the loss of DPO, Rafailov et al. 2023, with the behaviour policy as reference).

    Args:
        values: float[trajectory], Q: beta times the log-ratio of each trajectory, summed or averaged over its steps.
        better: int64[pair].
        worse: int64[pair].
        weights: float[pair], or None for the mean.

    Returns:
        float[]; ln 2 for each pair where the model is still the policy.
    """
    losses = -logsigmoid(values[torch.from_numpy(better)] - values[torch.from_numpy(worse)])
    return losses.mean() if weights is None else (losses * weights.to(losses)).sum()
