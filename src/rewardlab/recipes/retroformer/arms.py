"""The arms of Retroformer's proof: a frozen writer, and three ways to learn from what its reflections changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from rewardlab.functional.discrimination import area_under_curve
from rewardlab.functional.kl import kl_estimate
from rewardlab.functional.policy_losses import clipped_surrogate, whiten
from rewardlab.recipes.retroformer.world import Attempts, World
from rewardlab.recipes.retroformer.writer import RatingModel, Writer, weak_reflections

Rate = Callable[[Attempts, Tensor, Tensor, torch.Generator], Tensor]
"""What reflections on attempts are worth: attempts, slot and action in, float[task] out."""


@dataclass(frozen=True, slots=True)
class Rated:
    """Reflections on failures, with what they changed.

    Args:
        failures: the attempts before.
        slot, action: int64[row], the reflections.
        rating: float[row], the return after less the return before.
    """

    failures: Attempts
    slot: Tensor
    action: Tensor
    rating: Tensor


@dataclass(kw_only=True)
class Arms:
    """Everything that one seed trains.

    Args:
        world: tasks and actor.
        ratings: how many reflections are rated, in every arm.
        pretraining: steps on weak reflections.
        rate: learning rate of the on-line arm.
        kl: its weight of the divergence from the start.
        tests: held-out tasks.
        effort: share of the steps of imitation, reward model and PPO that are taken; below 1 in tests of the plumbing.
    """

    world: World
    ratings: int = 4096
    pretraining: int = 300
    rate: float = 1e-3
    kl: float = 0.005
    tests: int = 600
    effort: float = 1.0

    @cached_property
    def frozen(self) -> Writer:
        """The writer that is prompted and never trained, as in Reflexion."""
        generator = self._generator(1)
        writer = Writer(seed=self.world.seed)
        optimiser = torch.optim.Adam(writer.parameters(), lr=1e-3)
        for step in range(self.pretraining):
            failures = self._failures(self.world.first(128, 100 + step))
            _imitate(writer, optimiser, failures, *weak_reflections(failures, generator))
        return writer

    @cached_property
    def rated(self) -> Rated:
        """Ratings of the frozen writer's reflections, up to three for each task."""
        generator = self._generator(2)
        found: list[tuple[Attempts, Tensor, Tensor, Tensor]] = []
        stream, count = 5000, 0
        while count < self.ratings:
            attempts = self._failures(self.world.first(512, stream))
            stream += 1
            for _ in range(3):
                slot, action = self.frozen.write(attempts, generator)
                after = self.world.again(attempts, slot, action, generator)
                found.append((attempts, slot, action, after.returns - attempts.returns))
                count += len(attempts)
                attempts = self._failures(after)
        columns = [torch.cat(parts)[: self.ratings] for parts in zip(*(row[1:] for row in found), strict=True)]
        joined = Attempts(
            *(torch.cat([getattr(row[0], name) for row in found])[: self.ratings] for name in Attempts.__slots__)
        )
        return Rated(joined, *columns)

    # ---- the arms -----------------------------------------------------------------------------------------------------

    def online(self, *, permuted: bool = False, ratings: int | None = None) -> Writer:
        """Policy gradient on true differences of returns, with as many ratings as the other arms have."""
        writer, generator = self.frozen.copied(), self._generator(3)
        shuffle = self._generator(4)

        def rate(attempts: Attempts, slot: Tensor, action: Tensor, chance: torch.Generator) -> Tensor:
            value = self.world.again(attempts, slot, action, chance).returns - attempts.returns
            return value[torch.randperm(len(value), generator=shuffle)] if permuted else value

        optimiser = torch.optim.Adam(writer.parameters(), lr=self.rate)
        for step in range((ratings or self.ratings) // 128):
            failures = self._failures(self.world.first(512, 7000 + step)).select(torch.arange(128))
            self._reinforce(writer, optimiser, failures, rate, generator, epochs=4, kl=self.kl)
        return writer

    def imitation(self, *, steps: int = 700) -> Writer:
        """Supervised learning on the reflections that helped."""
        writer, generator = self.frozen.copied(), self._generator(5)
        optimiser = torch.optim.Adam(writer.parameters(), lr=1e-3)
        (helped,) = torch.nonzero(self.rated.rating > 0, as_tuple=True)
        for _ in range(self._steps(steps)):
            rows = helped[torch.randint(len(helped), (128,), generator=generator)]
            rated = self.rated
            _imitate(writer, optimiser, rated.failures.select(rows), rated.slot[rows], rated.action[rows])
        return writer

    def rating_model(self, *, steps: int = 500) -> RatingModel:
        """A reward fitted to whether reflections helped, as many that did as that did not."""
        model, generator = RatingModel(seed=self.world.seed), self._generator(6)
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
        features, positive = self.rated.failures.features, self.rated.rating > 0
        (helped,), (others,) = (torch.nonzero(rows, as_tuple=True) for rows in (positive, ~positive))
        for _ in range(self._steps(steps)):
            rows = torch.cat([part[torch.randint(len(part), (64,), generator=generator)] for part in (helped, others)])
            logits = model(features[rows], self.rated.slot[rows], self.rated.action[rows])
            loss = binary_cross_entropy_with_logits(logits, positive[rows].float())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return model

    def offline(self) -> tuple[Writer, float]:
        """The published pipeline on stored ratings (imitation, reward model, PPO), and how well its reward model ranks."""
        writer, model, generator = self.imitation(steps=200), self.rating_model(), self._generator(7)

        def rate(attempts: Attempts, slot: Tensor, action: Tensor, chance: torch.Generator) -> Tensor:
            with torch.no_grad():
                value: Tensor = model(attempts.features, slot, action)
            return value

        optimiser = torch.optim.Adam(writer.parameters(), lr=5e-4)
        for _ in range(self._steps(150)):
            rows = torch.randint(len(self.rated.failures), (128,), generator=generator)
            self._reinforce(writer, optimiser, self.rated.failures.select(rows), rate, generator, epochs=4, kl=0.05)
        return writer, self._area(model)

    # ---- what they are worth ------------------------------------------------------------------------------------------

    def success(self, writer: Writer | None, retries: int = 4, *, oracle: bool = False) -> float:
        """Share of held-out tasks that are solved within so many retries; None retries without reflections."""
        generator = self._generator(8)
        attempts = self.world.first(self.tests, 9000)
        solved = attempts.solved
        for _ in range(retries):
            slot, action = None, None
            if oracle:
                slot, action = self.world.oracle(attempts)
            elif writer is not None:
                slot, action = writer.write(attempts, generator)
            attempts = self.world.again(attempts, slot, action, generator)
            solved = solved | attempts.solved
        return float(solved.float().mean())

    def empty_rating(self, *, baseline: bool) -> float:
        """Mean rating of an empty reflection, with or without a retry without reflection taken off."""
        generator = self._generator(9)
        failures = self._failures(self.world.first(16_384, 9001))
        after = self.world.again(failures, None, None, generator).returns
        before = self.world.again(failures, None, None, generator).returns if baseline else failures.returns
        return float((after - before).mean())

    # ---- steps --------------------------------------------------------------------------------------------------------

    def _reinforce(
        self,
        writer: Writer,
        optimiser: torch.optim.Optimizer,
        failures: Attempts,
        rate: Rate,
        generator: torch.Generator,
        *,
        epochs: int,
        kl: float,
    ) -> None:
        """One batch of PPO with clips of .2 and whitened ratings; only the two words of a reflection are paid."""
        slot, action = writer.write(failures, generator)
        rating = rate(failures, slot, action, generator)
        features = failures.features
        with torch.no_grad():
            old = writer.logprobs(features, slot, action)
            start = self.frozen.logprobs(features, slot, action)
        advantages = whiten(rating[:, None].expand(-1, 2).contiguous(), torch.ones(len(slot), 2, dtype=torch.bool))
        for _ in range(epochs):
            now = writer.logprobs(features, slot, action)
            loss = clipped_surrogate(now - old, advantages).losses.mean() + kl * kl_estimate(now, start).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    def _area(self, model: RatingModel) -> float:
        """How well the reward model tells what helps on new failures."""
        generator = self._generator(10)
        failures = self._failures(self.world.first(1024, 9002))
        slot, action = self.frozen.write(failures, generator)
        rating = self.world.again(failures, slot, action, generator).returns - failures.returns
        with torch.no_grad():
            return area_under_curve(model(failures.features, slot, action), rating > 0)

    def _failures(self, attempts: Attempts) -> Attempts:
        (rows,) = torch.nonzero(~attempts.solved, as_tuple=True)
        return attempts.select(rows)

    def _steps(self, steps: int) -> int:
        return max(1, round(steps * self.effort))

    def _generator(self, stream: int) -> torch.Generator:
        return torch.Generator().manual_seed(100 * self.world.seed + stream)


def with_actor(arms: Arms, *, obedience: float | None = None, noise: float | None = None) -> Arms:
    """The same arms with another actor."""
    world = arms.world
    changed = replace(
        world,
        obedience=world.obedience if obedience is None else obedience,
        noise=world.noise if noise is None else noise,
    )
    return replace(arms, world=changed)


def _imitate(
    writer: Writer, optimiser: torch.optim.Optimizer, failures: Attempts, slot: Tensor, action: Tensor
) -> None:
    loss = -writer.logprobs(failures.features, slot, action).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
