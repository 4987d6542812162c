"""The arms of Shop-R1's proof: one cold start, then group-relative updates under rewards that differ in nothing
else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewardlab.functional.advantages import group_relative
from rewardlab.functional.kl import kl_estimate
from rewardlab.functional.policy_losses import clipped_surrogate
from rewardlab.recipes.shop_r1.network import Policies, chosen, used
from rewardlab.recipes.shop_r1.reward import binary_reward, shop_r1_reward
from rewardlab.recipes.shop_r1.world import SLOTS, TYPES, Pages, World, action, answer
from rewardlab.rewards.base import Reward
from rewardlab.types import Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to train on after the cold start.

    Args:
        reward: what is paid.
        kl: weight of the divergence from the start.
    """

    reward: Reward
    kl: float = 0.0


def graded(factor: float, *, kl: float = 0.0) -> Arm:
    """The hierarchical reward with a factor; rationales are empty in this world, so their part is left out."""
    return Arm(reward=shop_r1_reward(factor=factor, alpha=0.0), kl=kl)


def binary(*, kl: float = 0.0) -> Arm:
    """The all-or-nothing reward."""
    return Arm(reward=binary_reward(), kl=kl)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Greedy actions on held-out pages.

    Args:
        exact: share in which everything is as the person did it.
        type_accuracy: share with the right type.
        macro_f1: of the type.
        largest: share of the type that is predicted most.
    """

    exact: float
    type_accuracy: float
    macro_f1: float
    largest: float


@dataclass(kw_only=True)
class Arms:
    """Everything that one seed trains.

    Args:
        world: the pages.
        start_steps: full-batch supervised steps of the cold start.
        start_rate: their learning rate.
        updates: iterations of reinforcement, each of `pages` x `samples` actions used twice.
        learning_rate: of reinforcement.
        pages: in each iteration.
        samples: of each page.
        hidden: width of the network.
    """

    world: World
    start_steps: int = 120
    start_rate: float = 3e-3
    updates: int = 150
    learning_rate: float = 5e-4
    pages: int = 8
    samples: int = 8
    hidden: int = 96

    @cached_property
    def start(self) -> Policies:
        """A network after the cold start."""
        return supervised(
            self.world.pages("demonstrations"), self.start_steps, self.start_rate, self.hidden, self.world.seed
        )

    def oracle(self, pages: int = 5000, steps: int = 400) -> Measured:
        """Supervised learning on many pages: what the network could reach."""
        more = World(seed=self.world.seed, ambiguity=self.world.ambiguity, demonstrations=pages)
        network = supervised(more.pages("demonstrations"), steps, self.start_rate, self.hidden, self.world.seed)
        return self.measure(network)[0]

    def train(self, arms: Sequence[Arm]) -> list[Measured]:
        """Train all arms from the same start, on the same pages in the same order."""
        network = self.start.spread(len(arms))
        optimiser = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        pages = self.world.pages("train")
        features = torch.from_numpy(pages.features)
        generator = torch.Generator().manual_seed(self.world.seed)
        draw = np.random.default_rng([self.world.seed, 9])
        kl = torch.tensor([arm.kl for arm in arms])[:, None]
        reference = self.start.spread(1)
        # an action and the person's decide the reward, so each pair is scored once
        self._known: list[dict[tuple[str | None, ...], float]] = [{} for _ in arms]
        groups = torch.arange(self.pages).repeat_interleave(self.samples)
        for _ in range(self.updates):
            rows = np.repeat(draw.choice(len(pages), self.pages, replace=False), self.samples)
            seen = features[rows].expand(len(arms), -1, -1)
            with torch.no_grad():
                now = network(seen)
                values = torch.stack(
                    [
                        torch.multinomial(part.flatten(0, 1).exp(), 1, generator=generator).view(len(arms), -1)
                        for part in now
                    ],
                    dim=-1,
                )
                old = chosen(now, values)
                fixed = chosen([part.expand(len(arms), -1, -1) for part in reference(seen[:1])], values)
            advantages = self._advantages(arms, pages, rows, values, groups)
            mask = used(values)
            for _ in range(2):
                logprobs = chosen(network(seen), values)
                loss = _loss(logprobs, old, fixed, advantages, mask, kl)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        return self.measure(network)

    def _advantages(
        self, arms: Sequence[Arm], pages: Pages, rows: NDArray[np.int64], values: Tensor, groups: Tensor
    ) -> Tensor:
        """float[arm, sample], from the library's own rewards."""
        found = []
        for arm, said, known in zip(arms, values, self._known, strict=True):
            made = [
                (action(dict(zip(SLOTS, one, strict=True))), pages.tasks[page].reference)
                for page, one in zip(rows.tolist(), said.tolist(), strict=True)
            ]
            keys = [(*given.values(), None, *wanted.values()) for given, wanted in made]
            new = {key: index for index, key in enumerate(keys) if key not in known}
            scores = arm.reward([trajectory(pages, int(rows[index]), made[index][0]) for index in new.values()])
            known.update(zip(new, scores.values.tolist(), strict=True))
            rewards = torch.tensor([known[key] for key in keys])
            found.append(group_relative(rewards, groups, torch.ones_like(rewards, dtype=torch.bool)).advantages)
        return torch.stack(found).float()

    def measure(self, network: Policies) -> list[Measured]:
        """The most likely actions on the held-out pages, one entry for each arm."""
        pages = self.world.pages("test")
        with torch.no_grad():
            arms = network.weights[0].shape[0]
            logprobs = network(torch.from_numpy(pages.features).expand(arms, -1, -1))
            guesses = torch.stack([part.argmax(-1) for part in logprobs], dim=-1)
        truth = torch.from_numpy(np.stack([pages.human[slot] for slot in SLOTS], axis=-1))
        return [_measure(guess, truth) for guess in guesses]


def supervised(pages: Pages, steps: int, rate: float, hidden: int, seed: int) -> Policies:
    """A network that imitates people, with all pages in every step."""
    network = Policies(1, hidden=hidden, seed=seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    features = torch.from_numpy(pages.features)[None]
    values = torch.from_numpy(np.stack([pages.human[slot] for slot in SLOTS], axis=-1))[None]
    mask = used(values)
    for _ in range(steps):
        loss = -chosen(network(features), values)[mask].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network


def trajectory(pages: Pages, page: int, said: dict[str, str]) -> Trajectory:
    """An action as the text that a policy would have written, ready to be scored."""
    task = pages.tasks[page]
    return Trajectory(
        observations=[task.prompt, []], actions=[{"role": "assistant", "content": answer(said)}], task=task
    )


def _loss(logprobs: Tensor, old: Tensor, fixed: Tensor, advantages: Tensor, mask: Tensor, kl: Tensor) -> Tensor:
    """GRPO with clips of .2: mean over the slots of an action and over actions, sum over the arms, which share nothing."""
    arms, samples, slots = logprobs.shape
    flat = (logprobs - old).reshape(arms * samples, slots)
    surrogate = clipped_surrogate(flat, advantages.reshape(-1, 1).expand(-1, slots)).losses.view_as(logprobs)
    costs = surrogate + kl[..., None] * kl_estimate(logprobs, fixed)
    counted = mask.float()
    return ((costs * counted).sum(-1) / counted.sum(-1)).mean(-1).sum()


def _measure(guesses: Tensor, truth: Tensor) -> Measured:
    mask = used(truth[None])[0]
    kind, wanted = guesses[:, 0].numpy(), truth[:, 0].numpy()
    exact = ((guesses == truth) | ~mask).all(-1)
    scores = []
    for number in range(len(TYPES)):
        both = int(((kind == number) & (wanted == number)).sum())
        either = int((kind == number).sum() + (wanted == number).sum())
        scores.append(2 * both / either if either else 0.0)
    shares = np.bincount(kind, minlength=len(TYPES)) / len(kind)
    return Measured(
        exact=float(exact.float().mean()),
        type_accuracy=float((kind == wanted).mean()),
        macro_f1=float(np.mean(scores)),
        largest=float(shares.max()),
    )
