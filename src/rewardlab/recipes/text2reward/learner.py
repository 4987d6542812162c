"""PPO for several rewards at once: one policy and one critic for each, side by side, on the same layouts.

Every reward is divided by the running standard deviation of its own values, so that its scale is no advantage. Rewards are
asked for whole rollouts, since the world does not depend on them: one call for each reward and update.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewardlab.recipes.stacked_networks import stacked_mlp
from rewardlab.recipes.text2reward.world import HORIZON, PickPlace, success, wish

Rewards = Callable[[NDArray[np.float64], NDArray[np.float64]], Sequence[NDArray[np.float64]]]
"""From observations[arm, state, 13] after the actions[arm, state, 3], the rewards of each arm, float[state]."""

COPIES, TEST_COPIES = 64, 64
START_LOG_DEVIATION = 0.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What PPO uses, the same for all arms. Tuned for the expert and the released form on seeds 101 and 103."""

    steps: int = 96_000
    width: int = 32
    epochs: int = 8
    minibatch: int = 400
    learning_rate: float = 2e-3
    discount: float = 0.95
    smoothing: float = 0.95
    clip: float = 0.2
    entropy: float = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What the policies of all arms reach on held-out layouts, greedily: float[point, arm] after `steps[point]` steps.

    Args:
        steps: environment steps of each arm.
        success: share of layouts that were solved at some step.
        wish: share with the cube at the goal and let go of at the last step.
        held: share with the cube at the goal and held at the last step.
    """

    steps: list[int]
    success: NDArray[np.float64]
    wish: NDArray[np.float64]
    held: NDArray[np.float64]


class Learner:
    """Policies and critics of all arms.

    Args:
        arms: how many rewards.
        seed: of first weights, layouts and noise; all arms begin with the same weights and get the same noise.
        settings: of PPO.
    """

    def __init__(self, arms: int, seed: int, settings: Settings) -> None:
        self.arms, self.seed, self.settings = arms, seed, settings
        sizes = [PickPlace.observation_size, settings.width, settings.width]
        self.actor = stacked_mlp([*sizes, PickPlace.action_size], [seed] * arms, output_gain=0.01)
        self.critic = stacked_mlp([*sizes, 1], [seed + 1] * arms, output_gain=1.0)
        self.log_deviation = torch.nn.Parameter(torch.full((arms, 1, PickPlace.action_size), START_LOG_DEVIATION))
        self.parameters = [*self.actor.parameters(), *self.critic.parameters(), self.log_deviation]
        self.optimiser = torch.optim.Adam(self.parameters, lr=settings.learning_rate, eps=1e-5)
        self.generator = torch.Generator().manual_seed(seed)
        self.world = PickPlace(COPIES, 2 * seed, arms=arms)
        self.count, self.mean, self.square = 0, np.zeros(arms), np.zeros(arms)

    def train(self, rewards: Rewards, *, points: int = 2, progress: Callable[[int, int], None] | None = None) -> Curve:
        """Train all arms, and test them before, and at `points` equal distances."""
        updates = max(1, round(self.settings.steps / (COPIES * HORIZON)))
        tests = [self.test()]
        steps = [0]
        marks = {round(updates * (point + 1) / points) for point in range(points)}
        for update in range(1, updates + 1):
            self._update(rewards)
            if update in marks:
                steps.append(update * COPIES * HORIZON)
                tests.append(self.test())
            if progress is not None:
                progress(update, updates)
        columns = [np.stack(column) for column in zip(*tests, strict=True)]
        return Curve(steps=steps, success=columns[0], wish=columns[1], held=columns[2])

    def _update(self, rewards: Rewards) -> None:
        arms, settings = self.arms, self.settings
        observations = torch.empty(arms, HORIZON + 1, COPIES, PickPlace.observation_size)
        actions = torch.empty(arms, HORIZON, COPIES, PickPlace.action_size)
        observations[:, 0] = self._tensor(self.world.reset())
        deviation = self.log_deviation.detach().exp()
        with torch.no_grad():
            for step in range(HORIZON):
                mean = self.actor(observations[:, step])
                noise = torch.randn(COPIES, PickPlace.action_size, generator=self.generator)
                actions[:, step] = mean + deviation * noise
                seen = self.world.step(actions[:, step].reshape(-1, PickPlace.action_size).double().numpy())
                observations[:, step + 1] = self._tensor(seen)
            values = self.critic(observations.flatten(1, 2)).view(arms, HORIZON + 1, COPIES)
            old = self._log_probability(observations[:, :-1].flatten(1, 2), actions.flatten(1, 2))
        scaled = self._scaled(rewards, observations, actions)
        advantages = torch.zeros(arms, HORIZON, COPIES)
        running = torch.zeros(arms, COPIES)
        for step in reversed(range(HORIZON)):  # the end is a limit of time, so the value behind it counts
            error = scaled[:, step] + settings.discount * values[:, step + 1] - values[:, step]
            running = error + settings.discount * settings.smoothing * running
            advantages[:, step] = running
        targets = (advantages + values[:, :-1]).flatten(1)
        flat = observations[:, :-1].flatten(1, 2)
        acted, gains = actions.flatten(1, 2), advantages.flatten(1)
        size = HORIZON * COPIES
        for _ in range(settings.epochs):
            order = torch.randperm(size, generator=self.generator)
            for rows in order.split(settings.minibatch):
                self._step(flat[:, rows], acted[:, rows], gains[:, rows], targets[:, rows], old[:, rows])

    def _step(self, observations: Tensor, actions: Tensor, gains: Tensor, targets: Tensor, old: Tensor) -> None:
        settings = self.settings
        gains = (gains - gains.mean(1, keepdim=True)) / (gains.std(1, keepdim=True) + 1e-8)
        ratio = (self._log_probability(observations, actions) - old).exp()
        clipped = ratio.clamp(1 - settings.clip, 1 + settings.clip)
        surrogate = torch.minimum(ratio * gains, clipped * gains).mean(1)
        value_loss = 0.5 * (self.critic(observations).squeeze(-1) - targets).square().mean(1)
        entropy = self.log_deviation.sum((1, 2))
        loss = (value_loss - surrogate - settings.entropy * entropy).sum()  # arms share nothing, so a sum is each alone
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()

    def _scaled(self, rewards: Rewards, observations: Tensor, actions: Tensor) -> Tensor:
        after = observations[:, 1:].flatten(1, 2).double().numpy()
        acted = actions.clamp(-1, 1).flatten(1, 2).double().numpy()
        found = np.stack(list(rewards(after, acted)))
        if found.shape != after.shape[:2] or not np.isfinite(found).all():
            raise ValueError(f"rewards of shape {found.shape}, expected finite numbers of shape {after.shape[:2]}")
        size = found.shape[1]
        self.count += size
        shift = found - self.mean[:, None]
        self.mean = self.mean + shift.sum(1) / self.count
        self.square = self.square + (shift * (found - self.mean[:, None])).sum(1)
        deviation = np.sqrt(self.square / self.count)
        divided = found / np.where(deviation > 1e-8, deviation, 1.0)[:, None]
        return torch.as_tensor(divided, dtype=torch.float32).view(self.arms, HORIZON, COPIES)

    def _log_probability(self, observations: Tensor, actions: Tensor) -> Tensor:
        distance = (actions - self.actor(observations)) / self.log_deviation.exp()
        return -(0.5 * distance.square() + self.log_deviation).sum(-1)

    def _tensor(self, observations: NDArray[np.float64]) -> Tensor:
        return torch.as_tensor(observations, dtype=torch.float32).view(self.arms, -1, PickPlace.observation_size)

    def test(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Greedy attempts on held-out layouts: float[arm] for success, wish, and cubes held at the goal."""
        world = PickPlace(TEST_COPIES, 2 * self.seed + 1, arms=self.arms)
        seen = world.observe()
        solved = np.zeros(world.copies, dtype=bool)
        with torch.no_grad():
            for _ in range(HORIZON):
                mean = self.actor(self._tensor(seen)).reshape(-1, PickPlace.action_size)
                seen = world.step(mean.double().numpy())
                solved |= success(seen)
        at_goal = np.linalg.norm(seen[:, 4:6] - seen[:, 2:4], axis=1) < 0.1
        columns = (solved, wish(seen), at_goal & (seen[:, 7] > 0.5))
        shares = [column.reshape(self.arms, -1).mean(1) for column in columns]
        return shares[0], shares[1], shares[2]
