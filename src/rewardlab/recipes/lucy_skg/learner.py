"""PPO for many copies at once: arms side by side, by batched matrix products.

The arms share initial weights, the starts of episodes and the random numbers that choose actions, so that what
differs between them is the reward. Rewards are asked once an iteration, for all transitions of an arm together, with
the library's algebra.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewardlab.recipes.lucy_skg.world import ACTIONS, WIDTH, Kick
from rewardlab.recipes.stacked_networks import StackedNetworks, clip_each, stacked_mlp
from rewardlab.rewards.base import Reward
from rewardlab.rewards.shaping.by_transition import transition_values

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is the same for all arms.

    Args:
        iterations: rollouts with an update each.
        environments: worlds of each copy.
        steps: of each world in a rollout.
        epochs: passes over a rollout.
        batches: into which a pass is cut.
        rate: of Adam.
        discount: of the learner.
        smoothing: lambda of generalised advantage estimation.
        entropy: weight of the entropy bonus.
        clip: how far the ratio may move.
        width: of the two hidden layers.
    """

    iterations: int = 100
    environments: int = 32
    steps: int = 64
    epochs: int = 4
    batches: int = 4
    rate: float = 7e-4
    discount: float = 0.98
    smoothing: float = 0.95
    entropy: float = 0.01
    clip: float = 0.2
    width: int = 64


@dataclass(frozen=True, kw_only=True)
class Learning:
    """What came of it.

    Args:
        success: float64[copy, iteration], share of the episodes that ended in an iteration and did the task.
        part_size: float64[copy], mean |what the utility added| of a step.
        part_share: float64[copy], its share of the sum of |reward|.
    """

    success: Floats
    part_size: Floats
    part_share: Floats

    @property
    def area(self) -> Floats:
        """float64[copy], success averaged over training."""
        return self.success.mean(axis=1)

    @property
    def last(self) -> Floats:
        """float64[copy], success over the last tenth of training."""
        count = max(1, self.success.shape[1] // 10)
        return self.success[:, -count:].mean(axis=1)


def learn(
    rewards: Sequence[Reward], seed: int, options: Options, *, task: Literal["goal", "touch"] = "goal"
) -> Learning:
    """Train one copy for each reward.

    Args:
        rewards: transition rewards, one for each arm.
        seed: of weights, starts and actions, for all arms.
        options: of the learner.
        task: of the world.
    """
    copies, rows = len(rewards), options.steps * options.environments
    world = Kick([seed] * copies, environments=options.environments, task=task)
    generator = np.random.default_rng((seed, 2))
    hidden = options.width
    actor = stacked_mlp([WIDTH, hidden, hidden, ACTIONS], [seed] * copies, output_gain=0.01)
    # values begin near 0: with a gain of 1 they are far larger than the utilities, and what a step is worth drowns in them
    critic = stacked_mlp([WIDTH, hidden, hidden, 1], [seed + 10_000] * copies, output_gain=0.01)
    weights = [*actor.parameters(), *critic.parameters()]
    optimiser = torch.optim.Adam(weights, lr=options.rate, eps=1e-5)
    success = np.full((copies, options.iterations), np.nan)
    sizes, totals = np.zeros(copies), np.zeros(copies)
    for iteration in range(options.iterations):
        batch = _collect(world, actor, generator, options)
        earned = np.empty((copies, options.steps, options.environments))
        for copy, reward in enumerate(rewards):
            flat = {name: batch[name][:, copy].reshape(rows, -1) for name in ("observation", "next_observation")}
            ended = batch["terminated"][:, copy].reshape(rows)
            values = transition_values(reward, **flat, action=batch["action"][:, copy].reshape(rows), terminated=ended)
            earned[copy] = values.reshape(options.steps, options.environments)
            sizes[copy] += np.abs(values - 10.0 * ended).mean()
            totals[copy] += np.abs(values).mean()
        over = batch["terminated"] | batch["truncated"]
        finished = over.sum(axis=(0, 2))
        done = batch["terminated"].sum(axis=(0, 2))
        before = success[:, iteration - 1] if iteration else np.zeros(copies)
        success[:, iteration] = np.where(finished > 0, done / np.maximum(finished, 1), np.nan_to_num(before))
        _update(actor, critic, optimiser, weights, batch, earned, generator, options)
    return Learning(success=success, part_size=sizes / options.iterations, part_share=sizes / np.maximum(totals, 1e-12))


def _collect(world: Kick, actor: StackedNetworks, generator: np.random.Generator, options: Options) -> dict[str, Any]:
    """Columns [step, copy, environment, ...] of a rollout."""
    table: dict[str, list[Any]] = {
        name: [] for name in ("observation", "action", "next_observation", "terminated", "truncated", "logprob")
    }
    for _ in range(options.steps):
        seen = world.observation
        with torch.no_grad():
            logprobs = torch.log_softmax(actor(torch.from_numpy(seen).float()), dim=-1).numpy()
        chance = generator.random((1, options.environments, 1))  # one number for all arms
        action = np.minimum((np.exp(logprobs).cumsum(-1) < chance).sum(-1), ACTIONS - 1)
        after, terminated, truncated = world.step(action)
        chosen = np.take_along_axis(logprobs, action[..., None], -1)[..., 0]
        for name, value in zip(table, (seen, action, after, terminated, truncated, chosen), strict=True):
            table[name].append(value)
    return {name: np.stack(column) for name, column in table.items()}


def _update(
    actor: StackedNetworks,
    critic: StackedNetworks,
    optimiser: torch.optim.Optimizer,
    weights: Sequence[Tensor],
    batch: dict[str, Any],
    earned: Floats,
    generator: np.random.Generator,
    options: Options,
) -> None:
    copies, rows = earned.shape[0], options.steps * options.environments

    def flat(name: str) -> Tensor:  # [copy, step * environment, ...]
        column = np.moveaxis(batch[name], 1, 0)
        return torch.from_numpy(np.ascontiguousarray(column.reshape(copies, rows, *column.shape[3:])))

    seen = flat("observation").float()
    with torch.no_grad():
        now = critic(seen)[..., 0].view(copies, options.steps, -1).double().numpy()
        later = critic(flat("next_observation").float())[..., 0].view(copies, options.steps, -1).double().numpy()
    terminated, over = (np.moveaxis(batch[name], 1, 0) for name in ("terminated", "truncated"))
    over = over | terminated
    errors = earned + options.discount * later * ~terminated - now
    gains = np.zeros_like(errors)
    carried = np.zeros_like(errors[:, 0])
    for step in range(options.steps - 1, -1, -1):
        carried = errors[:, step] + options.discount * options.smoothing * carried * ~over[:, step]
        gains[:, step] = carried
    advantages = torch.from_numpy(gains.reshape(copies, rows)).float()
    targets = torch.from_numpy((gains + now).reshape(copies, rows)).float()
    actions, old = flat("action"), flat("logprob").float()
    for _ in range(options.epochs):
        order = torch.from_numpy(generator.permutation(rows))
        for chosen in order.chunk(options.batches):
            part = seen[:, chosen]
            scores = torch.log_softmax(actor(part), dim=-1)
            logprob = scores.gather(-1, actions[:, chosen, None])[..., 0]
            gain = advantages[:, chosen]
            gain = (gain - gain.mean(1, keepdim=True)) / (gain.std(1, keepdim=True) + 1e-8)
            ratio = (logprob - old[:, chosen]).exp()
            limited = ratio.clamp(1 - options.clip, 1 + options.clip)
            policy_loss = -torch.minimum(ratio * gain, limited * gain).mean(1)
            entropy = -(scores.exp() * scores).sum(-1).mean(1)
            value_loss = 0.5 * (critic(part)[..., 0] - targets[:, chosen]).square().mean(1)
            loss = policy_loss + 0.5 * value_loss - options.entropy * entropy
            optimiser.zero_grad()
            loss.sum().backward()
            clip_each(weights, 0.5)
            optimiser.step()
