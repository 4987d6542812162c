"""Discriminators of the first proof, all arms in one batch of matrix products.

A discriminator embeds tokens and prompts, pools a layer over (token, prompt) and a convolution over neighbours, and ends in
one logit. As tokens and prompts are few, each layer is computed once for every pair of ids and looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rewardlab.functional.choices import order_consistency
from rewardlab.recipes.irl_llm_survey.language import LENGTH, PROMPTS, TOKENS, Answers

WIDTH, POOLED, NEIGHBOURS, HIDDEN = 24, 48, 32, 64


class Discriminators(nn.Module):
    """One discriminator for each arm.

    Args:
        arms: how many.
        seed: of the weights, which all arms start from.
    """

    def __init__(self, arms: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def drawn(*shape: int, scale: float) -> nn.Parameter:
            one = torch.randn(shape, generator=generator) * scale
            return nn.Parameter(one.expand(arms, *shape).clone())

        def layer(size_in: int, size_out: int) -> tuple[nn.Parameter, nn.Parameter]:
            return drawn(size_in, size_out, scale=(1.0 / (3.0 * size_in)) ** 0.5), drawn(1, size_out, scale=0.0)

        self.token, self.prompt = drawn(TOKENS, WIDTH, scale=1.0), drawn(PROMPTS, WIDTH, scale=1.0)
        self.pair, self.pair_bias = layer(2 * WIDTH, POOLED)
        self.left, self.neighbour_bias = layer(WIDTH, NEIGHBOURS)
        self.right, _ = layer(WIDTH, NEIGHBOURS)
        self.hidden, self.hidden_bias = layer(POOLED + NEIGHBOURS, HIDDEN)
        self.last, self.last_bias = layer(HIDDEN, 1)
        self.arms = arms

    def forward(self, prompts: Tensor, tokens: Tensor) -> Tensor:
        """Logits of answers.

        Args:
            prompts: int64[arm, answer].
            tokens: int64[arm, answer, LENGTH].

        Returns:
            float[arm, answer].
        """
        arms, count = prompts.shape
        upper, lower = self.pair[:, :WIDTH], self.pair[:, WIDTH:]
        pairs = (self.token @ upper)[:, None] + (self.prompt @ lower + self.pair_bias)[:, :, None]
        pooled = self._pooled(torch.relu(pairs).flatten(1, 2), prompts[..., None] * TOKENS + tokens)
        near = (self.token @ self.left + self.neighbour_bias)[:, :, None] + (self.token @ self.right)[:, None]
        beside = self._pooled(torch.relu(near).flatten(1, 2), tokens[..., :-1] * TOKENS + tokens[..., 1:])
        found = torch.cat([pooled, beside], -1).view(arms, count, -1)
        found = torch.relu(torch.baddbmm(self.hidden_bias, found, self.hidden))
        return torch.baddbmm(self.last_bias, found, self.last).squeeze(-1)

    def _pooled(self, table: Tensor, places: Tensor) -> Tensor:
        """Means of rows of each arm's own table."""
        arms, rows, width = table.shape
        shifted = places + torch.arange(arms)[:, None, None] * rows
        flat = nn.functional.embedding_bag(shifted.flatten(0, 1), table.reshape(arms * rows, width), mode="mean")
        return flat.view(arms, places.shape[1], width)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What became of all arms.

    Args:
        module: with the best weights of each arm.
        accuracy: float64[arm], on the held-out fifth.
    """

    module: Discriminators
    accuracy: NDArray[np.float64]

    def scores(self, arm: int, answers: Answers) -> NDArray[np.float64]:
        """Logits of one arm, float64[answer]."""
        return self.all_scores(answers)[arm]

    def all_scores(self, answers: Answers) -> NDArray[np.float64]:
        """Logits of all arms, float64[arm, answer]."""
        prompts, tokens = torch.from_numpy(answers.prompts), torch.from_numpy(answers.tokens)
        arms, pieces = self.module.arms, []
        with torch.no_grad():
            for start in range(0, len(prompts), 4096):
                one, other = prompts[start : start + 4096], tokens[start : start + 4096]
                pieces.append(self.module(one.expand(arms, -1), other.expand(arms, -1, -1)))
        return torch.cat(pieces, 1).double().numpy()


def fit_discriminators(
    sides: Sequence[tuple[Answers, Answers]], *, steps: int = 600, batch: int = 256, rate: float = 3e-3, seed: int = 0
) -> Fitted:
    """Fit one discriminator to each pair of (positive, negative) answers; a fifth of each is held out.

    Each step has as many positives as negatives; every 50 steps the held-out loss decides which weights are kept.
    """
    draw = np.random.default_rng([seed, 7])
    learn, test = [], []
    for pair in sides:
        orders = [draw.permutation(len(side)) for side in pair]
        learn.append([(side, order[len(order) // 5 :]) for side, order in zip(pair, orders, strict=True)])
        test.append([(side, order[: len(order) // 5]) for side, order in zip(pair, orders, strict=True)])
    module = Discriminators(len(sides), seed)
    optimiser = torch.optim.Adam(module.parameters(), lr=rate)
    best = torch.full((len(sides),), torch.inf)
    kept = {name: weight.detach().clone() for name, weight in module.named_parameters()}
    half = batch // 2
    for step in range(1, steps + 1):
        chosen = [[order[draw.integers(len(order), size=half)] for _, order in pair] for pair in learn]
        first, second = (
            _batch([pair[place][0] for pair in learn], [rows[place] for rows in chosen]) for place in (0, 1)
        )
        logits = module(torch.cat([first[0], second[0]], 1), torch.cat([first[1], second[1]], 1))
        loss = order_consistency(logits[:, :half].flatten(), logits[:, half:].flatten()).view(len(sides), half).mean(1)
        optimiser.zero_grad(set_to_none=True)
        loss.sum().backward()
        optimiser.step()
        if step % 50 == 0 or step == steps:
            losses = _held_out(module, test)[0]
            better = losses < best
            best = torch.where(better, losses, best)
            for name, weight in module.named_parameters():
                kept[name][better] = weight.detach()[better]
    with torch.no_grad():
        for name, weight in module.named_parameters():
            weight.copy_(kept[name])
    return Fitted(module, _held_out(module, test)[1])


def _batch(sides: Sequence[Answers], rows: Sequence[NDArray[np.int64]]) -> tuple[Tensor, Tensor]:
    prompts = np.stack([side.prompts[chosen] for side, chosen in zip(sides, rows, strict=True)])
    tokens = np.stack([side.tokens[chosen] for side, chosen in zip(sides, rows, strict=True)])
    return torch.from_numpy(prompts), torch.from_numpy(tokens)


def _held_out(
    module: Discriminators, test: Sequence[Sequence[tuple[Answers, NDArray[np.int64]]]]
) -> tuple[Tensor, NDArray[np.float64]]:
    """Loss and accuracy of each arm on its own held-out answers, the mean of both sides."""
    most = max(len(order) for pair in test for _, order in pair)
    losses, hits = torch.zeros(len(test)), np.zeros(len(test))
    with torch.no_grad():
        for place, sign in ((0, 1.0), (1, -1.0)):
            rows = [np.resize(pair[place][1], most) for pair in test]  # short sides are gone through again
            logits = module(*_batch([pair[place][0] for pair in test], rows)) * sign
            for arm, pair in enumerate(test):
                own = logits[arm, : len(pair[place][1])]
                losses[arm] += nn.functional.softplus(-own).mean() / 2
                hits[arm] += float((own > 0).double().mean()) / 2
    return losses, hits


__all__ = ["LENGTH", "Discriminators", "Fitted", "fit_discriminators"]
