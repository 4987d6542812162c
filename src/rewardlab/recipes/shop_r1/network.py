"""Policies of the little shop as one small network with a head for each slot of an action, many of them side by side.

A language model of this world writes a handful of tokens that depend on the page alone, which this network does in
one pass. Its trunk is shared by all heads, as a language model's is, so that learning of one slot can undo another.
All arms of a proof train at once: every weight has the arm as its first dimension.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from rewardlab.recipes.shop_r1.world import FEATURES, SLOTS, TYPES, USED

SLOT_USED = torch.tensor([[slot in USED[kind] for slot in SLOTS] for kind in TYPES])
"""bool[type, slot]."""


class Policies(nn.Module):
    """Networks with two hidden layers, one for each arm.

    Args:
        arms: how many.
        hidden: width.
        seed: of the weights, which are the same in every arm.
    """

    def __init__(self, arms: int, *, hidden: int = 96, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        sizes = [FEATURES, hidden, hidden, sum(SLOTS.values())]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for before, after in pairwise(sizes):
            weight = torch.randn(1, before, after, generator=generator) / before**0.5
            self.weights.append(nn.Parameter(weight.repeat(arms, 1, 1)))
            self.biases.append(nn.Parameter(torch.zeros(arms, 1, after)))

    def forward(self, features: Tensor) -> list[Tensor]:
        """Log-probabilities of the values of each slot, float[arm, page, value].

        Args:
            features: float[arm, page, feature].
        """
        hidden = features
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, hidden, weight)
            if place < len(self.weights) - 1:
                hidden = torch.nn.functional.gelu(hidden)
        return [torch.log_softmax(part, -1) for part in hidden.split(list(SLOTS.values()), dim=-1)]

    def spread(self, arms: int) -> Policies:
        """So many copies of the first arm."""
        copies = Policies(arms, hidden=self.weights[0].shape[-1])
        with torch.no_grad():
            for own, given in zip(copies.parameters(), self.parameters(), strict=True):
                own.copy_(given[:1].expand_as(own))
        return copies


def chosen(logprobs: list[Tensor], values: Tensor) -> Tensor:
    """Log-probability of each slot's value.

    Args:
        logprobs: for each slot float[arm, page, value].
        values: int64[arm, page, slot].

    Returns:
        float[arm, page, slot].
    """
    return torch.stack(
        [part.gather(-1, values[..., place : place + 1]).squeeze(-1) for place, part in enumerate(logprobs)], dim=-1
    )


def used(values: Tensor) -> Tensor:
    """bool[arm, page, slot]: the slots that belong to the type that was chosen."""
    return SLOT_USED[values[..., 0]]
