"""MetaRM: a reward model that learns from comparisons while it keeps telling the samples of a changed policy apart.

Dou et al. 2024, "MetaRM: Shifted Distributions Alignment via Meta-Learning" (arXiv 2405.00438). Each step first climbs the
spread of the model's values over fresh samples, takes the gradient of the comparisons there, and applies it where it started
(first order: no second derivatives). A spread can be raised by scaling values alone, so it proves nothing by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rewardlab.learning.data import PreferenceData
from rewardlab.learning.preference_strength import refuse_equal, same_item
from rewardlab.rewards.models.base import Batch, Outputs
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Trajectory


def spread(values: Tensor) -> Tensor:
    """How far apart the values of samples of one prompt are: `2 / k^2 * sum_{i<j} sigmoid(|r_i - r_j|)` (equation 2).

    Samples without any difference give the constant `(k - 1) / (2 k)` and no gradient.

    Args:
        values: float[prompt, sample].

    Returns:
        float[], the mean over prompts.

    Raises:
        ValueError: fewer than two samples for each prompt.
    """
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(
            f"a spread needs values[prompt, sample] with at least 2 samples for each prompt, got shape {tuple(values.shape)}"
        )
    count = values.shape[1]
    gaps = (values.unsqueeze(2) - values.unsqueeze(1)).abs()
    upper = torch.triu(torch.ones(count, count, dtype=torch.bool, device=values.device), diagonal=1)
    return 2.0 / count**2 * torch.sigmoid(gaps[:, upper]).sum(1).mean()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaStep:
    """What one step saw: the spread before it, and the loss at the point that was looked at."""

    spread: float
    loss: float


def meta_step(
    module: nn.Module,
    spread_of_samples: Callable[[], Tensor],
    loss_of_pairs: Callable[[], Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    eta: float,
) -> MetaStep:
    """One step of MetaRM (algorithm 1): climb the spread, take the gradient of the loss there, apply it at the start.

    Args:
        module: whose parameters are trained; both functions read it.
        spread_of_samples: the spread of a batch of fresh samples, float[].
        loss_of_pairs: the loss of a batch of comparisons, float[].
        optimizer: applies the gradient; plain SGD gives the paper's rule with its rate as alpha.
        eta: how far the spread is climbed.

    Raises:
        ValueError: a loss or a spread that is not finite; the parameters are then those from before.
    """
    parameters = [one for one in module.parameters() if one.requires_grad]
    found = spread_of_samples()
    if not torch.isfinite(found):
        raise ValueError(f"the spread of the samples is {found.item()}, expected a finite number; lower the rates")
    ascent = torch.autograd.grad(found, parameters, allow_unused=True)
    start = [one.detach().clone() for one in parameters]
    with torch.no_grad():
        for one, step in zip(parameters, ascent, strict=True):
            if step is not None:
                one.add_(step, alpha=eta)
    loss = loss_of_pairs()
    finite = bool(torch.isfinite(loss))
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True) if finite else ()
    with torch.no_grad():
        for one, before in zip(parameters, start, strict=True):
            one.copy_(before)
    if not finite:
        raise ValueError(f"the loss of the pairs is {loss.item()}, expected a finite number; lower eta, which is {eta}")
    for one, gradient in zip(parameters, gradients, strict=True):
        one.grad = gradient
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return MetaStep(spread=found.item(), loss=loss.item())


class MetaRewardTrainer:
    """Steps of MetaRM over comparisons and samples of the policy; `refresh` takes the samples of the next round.

    Args:
        model: is trained in place.
        pairs: comparisons, on the distribution that the model was fitted to.
        samples: of each prompt, at least two answers of the present policy.
        eta: how far the spread is climbed before the gradient is taken.
        alpha: learning rate; of SGD unless an optimizer is given.
        k: answers of each prompt in a step; None for all that the prompt with fewest has.
        batch_size: comparisons in a step.
        prompts: prompts in a step.
        optimizer: another one over the model's parameters, made by a function of them.
        seed: of the batches.

    Raises:
        ValueError: fewer than two answers for a prompt, answers that are all the same, or a comparison of a response with
            itself.
    """

    def __init__(
        self,
        model: RewardModel,
        pairs: PreferenceData,
        samples: Sequence[Sequence[Trajectory]],
        *,
        eta: float = 1e-3,
        alpha: float = 1e-3,
        k: int | None = None,
        batch_size: int = 32,
        prompts: int = 16,
        optimizer: Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer] | None = None,
        seed: int = 0,
    ) -> None:
        if not len(pairs):
            raise ValueError("there are no comparisons to learn from")
        refuse_equal(pairs)
        self.model, self.network = model, model.network
        self.pairs = pairs
        self.eta, self.alpha, self.k = eta, alpha, k
        self.batch_size, self.prompts = batch_size, prompts
        self.generator = np.random.default_rng(seed)
        self._items = self.network.encoder.prepare(pairs.items)
        trained = [one for one in self.network.parameters() if one.requires_grad]
        self.optimizer = optimizer(trained) if optimizer else torch.optim.SGD(trained, lr=alpha)
        self._samples: list[list[Any]] = []
        self.refresh(samples)

    def refresh(self, samples: Sequence[Sequence[Trajectory]]) -> None:
        """Take fresh samples of the policy, for the next round.

        Args:
            samples: of each prompt, at least two different answers.
        """
        if not samples:
            raise ValueError(
                "there are no samples of the policy; MetaRM needs at least 2 answers to each of some prompts"
            )
        fewest = min(len(group) for group in samples)
        if fewest < 2 or (self.k is not None and self.k < 2):
            raise ValueError(
                f"MetaRM needs at least 2 answers to each prompt, got {fewest if self.k is None or fewest < 2 else self.k}; "
                "sample more, or leave the prompt out"
            )
        if self.k is not None and fewest < self.k:
            raise ValueError(f"k is {self.k}, but a prompt has only {fewest} answers")
        prepared = []
        for place, group in enumerate(samples):
            if all(same_item(group[0], one) for one in group[1:]):
                raise ValueError(
                    f"all {len(group)} answers to prompt {place} are the same, so that there is no spread to raise; sample "
                    "at a higher temperature, or leave the prompt out"
                )
            prepared.append(self.network.encoder.prepare(group))
        self._samples = prepared
        self._size = self.k or fewest

    def step(self) -> MetaStep:
        """One step on a random batch of comparisons and prompts."""
        chosen = self.generator.choice(len(self._samples), min(self.prompts, len(self._samples)), replace=False)
        groups = [
            self._samples[row][place]
            for row in chosen
            for place in self.generator.choice(len(self._samples[row]), self._size, replace=False)
        ]
        rows = self.generator.choice(len(self.pairs), min(self.batch_size, len(self.pairs)), replace=False)
        sides = np.concatenate([self.pairs.first[rows], self.pairs.second[rows]])
        sample_batch, pair_batch = self._batch(groups), self._batch([self._items[item] for item in sides])
        label = torch.as_tensor(self.pairs.label[rows], dtype=torch.float32, device=self.network.device)

        def of_samples() -> Tensor:
            values = self.network.head.value(self.network(sample_batch))
            return spread(values.reshape(len(chosen), self._size))

        def of_pairs() -> Tensor:
            outputs: Outputs = self.network(pair_batch)
            values = self.network.head.value(outputs)
            logits = values[: len(rows)] - values[len(rows) :]
            return nn.functional.binary_cross_entropy_with_logits(logits, label)

        return meta_step(self.network, of_samples, of_pairs, self.optimizer, eta=self.eta)

    def train(self, steps: int) -> list[MetaStep]:
        """Several steps."""
        self.network.train()
        done = [self.step() for _ in range(steps)]
        self.network.eval()
        return done

    def _batch(self, prepared: Sequence[Any]) -> Batch:
        return {name: column.to(self.network.device) for name, column in self.network.encoder.collate(prepared).items()}
