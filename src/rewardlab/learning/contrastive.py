"""A contrastive term beside the loss of comparisons: features of a reward model that keep responses apart.

Wang et al. 2024, "Secrets of RLHF in Large Language Models Part II: Reward Modeling" (arXiv 2401.06080), section 3.1. Two
passes with dropout give two views of every response (or of every difference of two); SimCSE asks each to find its other view
among those of the batch, SwAV that both views belong to the same prototypes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, normalize

from rewardlab.functional.contrastive import difference_views, info_nce
from rewardlab.functional.preferences import bradley_terry
from rewardlab.learning.rows import PairRows
from rewardlab.rewards.models.base import Batch, Encoded
from rewardlab.rewards.models.network import Network


@dataclass(frozen=True, kw_only=True)
class ContrastiveAux:
    """The contrastive term, and the whole loss with it.

    Args:
        kind: "simcse", or "swav" with prototypes.
        on: contrast the responses, or the differences of the two responses of each pair (in both directions).
        weight: beta, of the term beside the loss of the comparisons; the paper does not state its own.
        temperature: of the similarities; SimCSE's 0.05.
        prototypes: how many, for "swav".
        iterations: of Sinkhorn's normalisation, for "swav".
    """

    kind: Literal["simcse", "swav"] = "simcse"
    on: Literal["responses", "difference"] = "responses"
    weight: float = 0.1
    temperature: float = 0.05
    prototypes: int = 16
    iterations: int = 3

    def __post_init__(self) -> None:
        if self.kind not in ("simcse", "swav"):
            raise ValueError(f"kind must be 'simcse' or 'swav', got {self.kind!r}")
        if self.on not in ("responses", "difference"):
            raise ValueError(f"on must be 'responses' or 'difference', got {self.on!r}")
        if self.weight < 0 or self.temperature <= 0:
            raise ValueError(
                f"weight must not be negative and temperature must be positive, got {self.weight} and {self.temperature}"
            )
        if self.prototypes < 2:
            raise ValueError(f"swav needs at least 2 prototypes, got {self.prototypes}")

    def term(self, first: Tensor, second: Tensor, rows: PairRows, *, prototypes: Tensor | None = None) -> Tensor:
        """The term alone, from two views.

        Args:
            first, second: float[response, width], features of the same responses in two passes.
            rows: which of them are compared.
            prototypes: float[prototype, width], trained along, for "swav".

        Returns:
            float[], the mean over responses or differences.

        Raises:
            ValueError: both views are equal (no dropout), or there is only one row.
        """
        if torch.equal(first, second):
            raise ValueError(
                "both views are equal, so that the contrastive term teaches nothing: the encoder needs dropout above 0, and "
                "must be in training mode"
            )
        if self.on == "difference":
            first, second = (difference_views(view, rows.first, rows.second) for view in (first, second))
        if self.kind == "simcse":
            return info_nce(first, second, temperature=self.temperature).mean()
        if prototypes is None:
            raise ValueError("swav needs prototypes: a parameter of shape [prototype, width]")
        return swav(first, second, prototypes, temperature=self.temperature, iterations=self.iterations).mean()

    def loss(self, network: Network, batch: Batch, rows: PairRows, *, prototypes: Tensor | None = None) -> Tensor:
        """The loss of comparisons on both views (originals and augmentations) and the weighted term.

        Args:
            network: in training mode; its encoder has dropout.
            batch: collated items.
            rows: which of them are compared.
            prototypes: see `term`.

        Raises:
            ValueError: the encoder has no active dropout.
        """
        if not any(isinstance(part, nn.Dropout) and part.training and part.p > 0 for part in network.encoder.modules()):
            raise ValueError(
                "the encoder has no active dropout, so that both views would be equal: build it with dropout above 0, and "
                "call network.train()"
            )
        views: list[Encoded] = [network.encoder(batch), network.encoder(batch)]
        total = torch.zeros((), device=network.device)
        for view in views:
            values = network.head.value(network.head(view))
            total = total + bradley_terry(values[rows.first] - values[rows.second], rows.label).mean() / len(views)
        return total + self.weight * self.term(views[0].response, views[1].response, rows, prototypes=prototypes)


def swav(first: Tensor, second: Tensor, prototypes: Tensor, *, temperature: float = 0.1, iterations: int = 3) -> Tensor:
    """Swapped prediction: each view predicts the prototypes of the other (Caron et al. 2020, arXiv 2006.09882, equation 2).

    Args:
        first, second: float[row, width], two views.
        prototypes: float[prototype, width].
        temperature: of the predictions.
        iterations: of Sinkhorn's normalisation of the targets, which spreads the rows evenly over the prototypes.

    Returns:
        float[row].

    Raises:
        ValueError: fewer than two rows.
    """
    if len(first) < 2:
        raise ValueError("a contrastive loss needs at least 2 rows in a batch to tell them apart, got 1")
    scores = [normalize(view, dim=1) @ normalize(prototypes, dim=1).T for view in (first, second)]
    targets = [_sinkhorn(score.detach() / 0.05, iterations) for score in scores]
    guesses = [log_softmax(score / temperature, dim=1) for score in scores]
    return -0.5 * ((targets[0] * guesses[1]).sum(1) + (targets[1] * guesses[0]).sum(1))


def _sinkhorn(scores: Tensor, iterations: int) -> Tensor:
    """Rows that sum to 1 over columns that hold about equally much; in logarithms, so that nothing overflows."""
    held: Any = scores
    for _ in range(iterations):
        held = held - torch.logsumexp(held, dim=0, keepdim=True)
        held = held - torch.logsumexp(held, dim=1, keepdim=True)
    return torch.as_tensor(held).exp()
