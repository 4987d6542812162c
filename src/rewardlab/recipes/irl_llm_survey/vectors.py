"""Worlds of vectors: a random network is the true reward, and networks of one shape learn it from noisy comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewardlab.functional.choices import order_consistency
from rewardlab.functional.preferences import bradley_terry
from rewardlab.recipes.stacked_networks import StackedNetworks, stacked_mlp

Floats = NDArray[np.float64]
SIZE = 16


class Gold:
    """A true reward on R^16: a random tanh network with 64 hidden numbers, of mean 0 and deviation 1 on normal inputs."""

    def __init__(self, seed: int) -> None:
        draw = np.random.default_rng([seed, 11])
        self.first, self.bias = draw.standard_normal((SIZE, 64)) / np.sqrt(SIZE) * 1.5, draw.standard_normal(64) * 0.5
        self.last = draw.standard_normal(64)
        self.mean, self.spread = 0.0, 1.0
        values = self(draw.standard_normal((20_000, SIZE)))
        self.mean, self.spread = float(values.mean()), float(values.std())

    def __call__(self, inputs: Floats) -> Floats:
        """The reward of every vector, float64[...]."""
        return np.asarray((np.tanh(inputs @ self.first + self.bias) @ self.last - self.mean) / self.spread)


def fit_networks(
    first: Floats,
    second: Floats,
    labels: Floats,
    losses: Sequence[str],
    seeds: Sequence[int],
    *,
    weights: Floats | None = None,
    epochs: int = 40,
    batch: int = 80,
    rate: float = 1e-3,
    held_out: float = 0.2,
    hidden: Sequence[int] = (64, 64),
) -> StackedNetworks:
    """Fit one network to each set of comparisons, all at once; of every epoch those weights stay that are best on a part.

    Args:
        first, second: float[copy, pair, feature].
        labels: float[copy, pair], 1 where the first is preferred.
        losses: "bt" or "classifier", for each copy.
        seeds: of the weights of each copy.
        weights: float[copy, pair], how often each pair counts; None for once.
        epochs: passes over the pairs.
        batch: pairs in a step.
        rate: of Adam.
        held_out: share of the pairs, the last ones, on which each epoch is judged by the copy's own loss.
        hidden: widths.
    """
    copies, count, width = first.shape
    networks = stacked_mlp((width, *hidden, 1), seeds, activation="relu")
    one, other, label = (torch.from_numpy(np.asarray(side, np.float32)) for side in (first, second, labels))
    often = torch.ones(copies, count) if weights is None else torch.from_numpy(np.asarray(weights, np.float32))
    classifies = torch.tensor([loss == "classifier" for loss in losses])[:, None]
    learn = count - round(held_out * count)
    optimiser = torch.optim.Adam(networks.parameters(), lr=rate)
    order = np.random.default_rng([int(seeds[0]), 13])

    def loss_of(rows: Tensor) -> Tensor:
        values = networks(torch.cat([one[:, rows], other[:, rows]], 1)).squeeze(-1)
        a, b = values[:, : len(rows)], values[:, len(rows) :]
        flat = label[:, rows].flatten()
        compare = bradley_terry((a - b).flatten(), flat).view_as(a)
        classify = order_consistency(a.flatten(), b.flatten(), flat).view_as(a) / 2
        weighted = torch.where(classifies, classify, compare) * often[:, rows]
        return weighted.sum(1) / often[:, rows].sum(1).clamp(min=1e-9)

    best = torch.full((copies,), torch.inf)
    kept = {name: weight.detach().clone() for name, weight in networks.named_parameters()}
    for _ in range(epochs):
        for rows in np.array_split(order.permutation(learn), max(1, learn // batch)):
            optimiser.zero_grad(set_to_none=True)
            loss_of(torch.from_numpy(rows)).sum().backward()
            optimiser.step()
        if learn == count:
            continue
        with torch.no_grad():
            losses_now = loss_of(torch.arange(learn, count))
        better = losses_now < best
        best = torch.where(better, losses_now, best)
        for name, weight in networks.named_parameters():
            kept[name][better] = weight.detach()[better]
    if learn < count:
        with torch.no_grad():
            for name, weight in networks.named_parameters():
                weight.copy_(kept[name])
    return networks


def scores(networks: StackedNetworks, inputs: Floats) -> Floats:
    """What every copy says of inputs, float64[copy, row]; inputs are float[row, feature], or [copy, row, feature]."""
    given = torch.from_numpy(np.asarray(inputs, np.float32))
    with torch.no_grad():
        rows = given if given.dim() == 3 else given.expand(networks.count, -1, -1)
        return networks(rows).squeeze(-1).double().numpy()


def spearman(one: Floats, other: Floats) -> float:
    """Correlation of ranks."""
    first, second = (
        np.argsort(np.argsort(side, kind="stable"), kind="stable").astype(np.float64) for side in (one, other)
    )
    first, second = first - first.mean(), second - second.mean()
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


__all__ = ["SIZE", "Gold", "fit_networks", "scores", "spearman"]
