"""Discriminators of several arms as one: their own learning rates, and spectral norms where an arm has them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from rewardlab.rewards.models.discriminator import perceptron


class StackedDiscriminators(nn.Module):
    """Perceptrons with an axis of arms in front of their weights; arms of one seed begin alike.

    Args:
        width: of a row.
        hidden: widths of the hidden layers.
        seeds: one for each arm.
        spectral: for each arm, whether its hidden layers are held to a largest singular value of 1.
    """

    def __init__(self, width: int, hidden: Sequence[int], seeds: Sequence[int], spectral: Sequence[bool]) -> None:
        super().__init__()
        made = []
        for seed in seeds:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                made.append([layer for layer in perceptron(width, hidden) if isinstance(layer, nn.Linear)])
        together = list(zip(*made, strict=True))
        self.matrices = nn.ParameterList(torch.stack([one.weight.detach() for one in layer]) for layer in together)
        self.biases = nn.ParameterList(torch.stack([one.bias.detach() for one in layer]) for layer in together)
        self.spectral = torch.tensor(spectral)
        self.directions = [torch.ones(len(seeds), size) for size in hidden]

    def forward(self, rows: Tensor, arms: Tensor | None = None) -> Tensor:
        """Logits of arms, each on rows of its own.

        Args:
            rows: float[arm, row, width].
            arms: int[arm], which of the arms; None for all.

        Returns:
            float[arm, row].
        """
        hidden = rows
        for place, (matrix, own) in enumerate(zip(self.matrices, self.biases, strict=True)):
            weight, bias = (matrix, own) if arms is None else (matrix[arms], own[arms])
            if place < len(self.directions) and bool(self.spectral.any()):
                weight = weight / self._sizes(place, matrix, arms)[:, None, None]
            hidden = torch.baddbmm(bias.unsqueeze(1), hidden, weight.mT)
            if place < len(self.directions):
                hidden = leaky_relu(hidden, 0.1)
        return hidden.squeeze(-1)

    def _sizes(self, place: int, weight: Tensor, arms: Tensor | None) -> Tensor:
        """The largest singular values by a step of power iteration; 1 for arms without a spectral norm."""
        with torch.no_grad():
            right = nn.functional.normalize(torch.einsum("aij,ai->aj", weight, self.directions[place]), dim=1)
            left = nn.functional.normalize(torch.einsum("aij,aj->ai", weight, right), dim=1)
            self.directions[place] = left
        sizes = torch.where(self.spectral, torch.einsum("ai,aij,aj->a", left, weight, right), 1.0)
        return sizes if arms is None else sizes[arms]


class RatedAdam:
    """Adam with a learning rate for each copy: as many optimisers as there are rates would cost as many passes.

    Args:
        parameters: stacked weights, the axis of copies in front.
        rates: one for each copy.
    """

    def __init__(self, parameters: Sequence[Tensor], rates: Sequence[float]) -> None:
        self.parameters = list(parameters)
        self.rates = [torch.tensor(rates).view(-1, *(1,) * (weight.dim() - 1)) for weight in self.parameters]
        self.first = [torch.zeros_like(weight) for weight in self.parameters]
        self.second = [torch.zeros_like(weight) for weight in self.parameters]
        self.steps = 0

    @torch.no_grad()
    def step(self, gradients: list[Tensor]) -> None:
        """One update (Kingma and Ba 2015, algorithm 1)."""
        self.steps += 1
        torch._foreach_lerp_(self.first, gradients, 0.1)
        torch._foreach_mul_(self.second, 0.999)
        torch._foreach_addcmul_(self.second, gradients, gradients, value=0.001)
        spread = torch._foreach_sqrt(self.second)
        torch._foreach_div_(spread, (1 - 0.999**self.steps) ** 0.5)
        torch._foreach_add_(spread, 1e-8)
        change = torch._foreach_div(self.first, spread)
        torch._foreach_mul_(change, self.rates)
        torch._foreach_add_(self.parameters, change, alpha=-1.0 / (1 - 0.9**self.steps))
