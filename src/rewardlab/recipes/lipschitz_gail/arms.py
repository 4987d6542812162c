"""Imitation by TD3 and a discriminator, for several arms of one seed side by side.

All arms have the same initial weights, start states, exploration noise and batch indices, and differ in how their reward is
learned alone, so a comparison of two is paired. The rewards of replayed steps are always computed anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from rewardlab.functional.lipschitz import PenaltyPoints, gradient_norms, n_step_targets, norm_penalty, penalty_points
from rewardlab.recipes.lipschitz_gail.networks import RatedAdam, StackedDiscriminators
from rewardlab.recipes.lipschitz_gail.world import LENGTH, Demonstrations, Pendulums, starts
from rewardlab.recipes.stacked_networks import StackedNetworks, stacked_mlp
from rewardlab.rewards.models.adversarial import AdversarialReward
from rewardlab.rewards.models.transition_inputs import TransitionBatch

WIDTH, STATE = 4, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """How the reward of one arm is learned.

    Args:
        name: unique.
        reward: a discriminator that learns along ("adversarial"), one that was fitted before and stays ("fixed"), or the
            environment's own ("true").
        penalty: where the gradient is penalised; None for nowhere.
        rate: learning rate of the discriminator.
        spectral: whether its hidden layers have a spectral norm.
        smoothing: whether the expert's labels are drawn from U(.7, 1.2).
        noise: spread of the points around expert or agent.
    """

    name: str
    reward: Literal["adversarial", "fixed", "true"] = "adversarial"
    penalty: PenaltyPoints | None = None
    rate: float = 1e-3
    spectral: bool = False
    smoothing: bool = False
    noise: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long everything runs; the same for all arms."""

    steps: int = 8_000
    random_steps: int = 1_000
    batch: int = 64
    hidden: tuple[int, ...] = (64, 64)
    weight: float = 10.0
    entropy: float = 1e-3
    discount: float = 0.98
    evaluations: int = 20
    fitted: int = 300
    """Updates of a discriminator that is fitted before, and stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one arm.

    Args:
        returns: mean true return of the policy without noise, from 20 fixed starts.
        gradient_max: the longest gradient of the logit on segments between agent and expert, over the run's second half.
        expert, held_out, buffer: accuracy of the discriminator on its own expert points, on others, and on the buffer.
        validity: share of the agent's last points where the gradient is no longer than 1.
        reward: mean reward on the buffer.
    """

    returns: float
    gradient_max: float
    expert: float
    held_out: float
    buffer: float
    validity: float
    reward: float


class Imitation:
    """All arms of one seed."""

    def __init__(self, arms: Sequence[Arm], seed: int, budget: Budget | None = None) -> None:
        self.arms, self.seed, self.budget = list(arms), seed, budget or Budget()
        count, hidden = len(self.arms), self.budget.hidden
        self.demonstrations = Demonstrations.sample(seed)
        self.expert = torch.from_numpy(self.demonstrations.points)
        seeds = [1_000 * seed + place for place in range(4)]
        self.actor = stacked_mlp((STATE, *hidden, 1), [seeds[0]] * count, activation="relu", output_gain=0.01)
        self.critics = stacked_mlp(
            (WIDTH, *hidden, 1), [seeds[1]] * count + [seeds[2]] * count, activation="relu"
        )  # both critics of all arms
        self.actor_target, self.critics_target = deepcopy(self.actor), deepcopy(self.critics)
        self.discriminators = StackedDiscriminators(
            WIDTH, hidden, [seeds[3]] * count, [arm.spectral for arm in self.arms]
        )
        self.actor_optimiser = torch.optim.Adam(self.actor.parameters(), lr=5e-4, fused=True)
        self.critics_optimiser = torch.optim.Adam(self.critics.parameters(), lr=1e-3, fused=True)
        self.weights = list(self.discriminators.parameters())
        self.optimiser = RatedAdam(self.weights, [arm.rate for arm in self.arms])
        self.learning = [arm.reward == "adversarial" for arm in self.arms]
        self.smoothed = torch.tensor([arm.smoothing for arm in self.arms])[:, None]
        self.true = torch.tensor([arm.reward == "true" for arm in self.arms])[:, None]
        self.draw = np.random.default_rng([seed, 1])
        self.generator = torch.Generator().manual_seed(seed)
        steps = self.budget.steps
        self.rows = torch.zeros(count, steps, WIDTH)
        self.following = torch.zeros(count, steps, STATE)
        self.paid = torch.zeros(count, steps)
        self.filled = 0
        self.gradient_max = np.zeros(count)
        self.fixed = {number: self._fitted(arm) for number, arm in enumerate(self.arms) if arm.reward == "fixed"}
        self.groups = _groups(self.arms)

    def run(self) -> list[Result]:
        """Train all arms, and look at what came of them."""
        budget = self.budget
        worlds = Pendulums(np.repeat(starts(1, self.draw), len(self.arms), axis=0))
        for step in range(budget.steps):
            if step and step % LENGTH == 0:  # a time limit: nothing terminates, so every target bootstraps
                worlds = Pendulums(np.repeat(starts(1, self.draw), len(self.arms), axis=0))
            self._act(worlds, random=step < budget.random_steps)
            if step >= budget.random_steps:
                self._learn(step)
        return self._results()

    # ---- acting ---------------------------------------------------------------------------------------------------------

    def _act(self, worlds: Pendulums, *, random: bool) -> None:
        seen = torch.from_numpy(worlds.observations).float()
        if random:
            action = torch.full((len(self.arms), 1), self.draw.uniform(-1, 1))
        else:
            with torch.no_grad():
                action = torch.tanh(self.actor(seen[:, None])[:, 0])
            action = (action + 0.3 * self.draw.normal()).clamp(-1, 1)
        paid = worlds.step(action[:, 0].double().numpy())
        place = self.filled
        self.rows[:, place] = torch.cat([seen, action], dim=1)
        self.following[:, place] = torch.from_numpy(worlds.observations).float()
        self.paid[:, place] = torch.from_numpy(paid).float()
        self.filled += 1

    # ---- learning -------------------------------------------------------------------------------------------------------

    def _learn(self, step: int) -> None:
        budget, count = self.budget, len(self.arms)
        chosen = torch.randint(self.filled, (2, budget.batch), generator=self.generator)
        rows, following = self.rows[:, chosen[0]], self.following[:, chosen[0]]
        rewards = self._rewards(rows, self.paid[:, chosen[0]])
        with torch.no_grad():
            noise = (0.2 * torch.randn(budget.batch, 1, generator=self.generator)).clamp(-0.5, 0.5)
            action = (torch.tanh(self.actor_target(following)) + noise).clamp(-1, 1)
            values = self._values(self.critics_target, torch.cat([following, action], dim=-1)).amin(0)
            targets = n_step_targets(rewards[..., None], values, discount=budget.discount)
        loss = (self._values(self.critics, rows) - targets).square().mean((0, 2)).sum()
        self.critics_optimiser.zero_grad()
        torch.autograd.backward(2.0 * loss)
        self.critics_optimiser.step()
        if step % 2 == 0:
            state = rows[..., :STATE]
            proposed = torch.cat([state, torch.tanh(self.actor(state))], dim=-1)
            value = self._first_value(proposed, count).mean(1).sum()
            gradients = torch.autograd.grad(-value, list(self.actor.parameters()))
            for weight, gradient in zip(self.actor.parameters(), gradients, strict=True):
                weight.grad = gradient
            self.actor_optimiser.step()
            _follow(self.actor_target, self.actor)
            _follow(self.critics_target, self.critics)
        if any(self.learning):
            self._discriminate(self.rows[:, chosen[1]], watch=step >= budget.steps // 2 and step % 25 == 0)

    def _values(self, critics: StackedNetworks, rows: Tensor) -> Tensor:
        """float[critic, arm, row]."""
        return critics(torch.cat([rows, rows])).squeeze(-1).view(2, len(self.arms), -1)

    def _first_value(self, rows: Tensor, count: int) -> Tensor:
        hidden = rows
        for layer in self.critics.frame.children():
            if isinstance(layer, torch.nn.Linear):
                hidden = torch.baddbmm(layer.bias[:count].unsqueeze(1), hidden, layer.weight[:count].mT)
            else:
                hidden = layer(hidden)
        return hidden.squeeze(-1)

    def _rewards(self, rows: Tensor, paid: Tensor) -> Tensor:
        with torch.no_grad():
            rewards = softplus(self.discriminators(rows))
        for number, reward in self.fixed.items():
            rewards[number] = torch.from_numpy(reward.of(_columns(rows[number]))).float()
        return torch.where(self.true, paid, rewards)

    def _discriminate(self, agent: Tensor, *, watch: bool) -> None:
        """One step of every discriminator against expert points that are drawn with replacement."""
        budget = self.budget
        places = torch.randint(len(self.expert), (budget.batch,), generator=self.generator)
        expert = self.expert[places].expand(len(self.arms), -1, -1)
        logits = self.discriminators(torch.cat([expert, agent], dim=1))
        real, fake = logits.split(budget.batch, dim=1)
        drawn = 0.7 + 0.5 * torch.rand(budget.batch, generator=self.generator)
        labels = torch.where(self.smoothed, drawn, 1.0)
        entropy = (softplus(logits) - logits * torch.sigmoid(logits)).mean(1)
        loss = (softplus(real) - labels * real).mean(1) + softplus(fake).mean(1) - budget.entropy * entropy
        total = loss.sum()
        shares = int(torch.randint(2**31, (1,), generator=self.generator))
        for kind, noise, members in self.groups:
            points = penalty_points(
                agent[members],
                expert[members],
                kind,
                noise=noise,
                generator=torch.Generator().manual_seed(shares),
            )
            norms = gradient_norms(_Some(self.discriminators, members), points, create_graph=True)
            total = total + budget.weight * norm_penalty(norms, target=1.0, one_sided=True).sum()
        self.optimiser.step(list(torch.autograd.grad(total, self.weights)))
        if watch:
            norms = gradient_norms(
                self.discriminators, penalty_points(agent, expert, generator=torch.Generator().manual_seed(shares))
            )
            self.gradient_max = np.maximum(self.gradient_max, norms.amax(1).numpy())

    def _fitted(self, arm: Arm) -> AdversarialReward:
        """A discriminator between the expert and random points, smooth by a spectral norm, that stays as it is."""
        reward = AdversarialReward(
            observation_width=STATE,
            action_width=1,
            penalty=arm.penalty,
            weight=self.budget.weight,
            spectral_norm=True,
            hidden=self.budget.hidden,
            learning_rate=arm.rate,
            seed=self.seed,
        )
        draw = np.random.default_rng([self.seed, 2])
        for _ in range(self.budget.fitted):
            angle, rest = draw.uniform(-np.pi, np.pi, 100), draw.uniform(-1, 1, (2, 100))
            agent = torch.from_numpy(np.stack([np.cos(angle), np.sin(angle), *rest], axis=1)).float()
            reward.fit_step(_columns(agent), _columns(self.expert))
        return reward.frozen()

    # ---- looking --------------------------------------------------------------------------------------------------------

    def _results(self) -> list[Result]:
        budget, count = self.budget, len(self.arms)
        begin = starts(budget.evaluations, np.random.default_rng([self.seed, 3]))
        worlds = Pendulums(np.tile(begin, (count, 1)))
        total = np.zeros((count, budget.evaluations))
        for _ in range(LENGTH):
            seen = torch.from_numpy(worlds.observations).float().view(count, budget.evaluations, STATE)
            with torch.no_grad():
                action = torch.tanh(self.actor(seen))
            total += worlds.step(action.flatten().double().numpy()).reshape(count, -1)
        buffer = self.rows[:, : self.filled]
        held_out = torch.from_numpy(self.demonstrations.held_out)
        last = buffer[:, -1_000:]
        with torch.no_grad():
            logits = self.discriminators(buffer)
            expert = self.discriminators(self.expert.expand(count, -1, -1))
            unknown = self.discriminators(held_out.expand(count, -1, -1))
        valid = (gradient_norms(self.discriminators, last) <= 1.0).float().mean(1)
        return [
            Result(
                returns=float(total[place].mean()),
                gradient_max=float(self.gradient_max[place]),
                expert=float((expert[place] > 0).float().mean()),
                held_out=float((unknown[place] > 0).float().mean()),
                buffer=float((logits[place] < 0).float().mean()),
                validity=float(valid[place]),
                reward=float(softplus(logits[place]).mean()),
            )
            for place in range(count)
        ]


class _Some:
    """Some of the discriminators, as one network."""

    def __init__(self, network: StackedDiscriminators, members: Tensor) -> None:
        self.network, self.members = network, members

    def __call__(self, rows: Tensor) -> Tensor:
        return self.network.forward(rows, self.members)


def _groups(arms: Sequence[Arm]) -> list[tuple[PenaltyPoints, float, Tensor]]:
    """Arms that are penalised at points of one kind."""
    found: dict[tuple[PenaltyPoints, float], list[int]] = {}
    for number, arm in enumerate(arms):
        if arm.penalty is not None and arm.reward == "adversarial":
            found.setdefault((arm.penalty, arm.noise), []).append(number)
    return [(kind, noise, torch.tensor(members)) for (kind, noise), members in found.items()]


def _columns(rows: Tensor) -> TransitionBatch:
    array = rows.numpy()
    seen = array[:, :STATE]
    return TransitionBatch(
        observation=seen, action=array[:, STATE:], next_observation=seen, terminated=np.zeros(len(array), dtype=bool)
    )


@torch.no_grad()
def _follow(target: torch.nn.Module, source: torch.nn.Module, share: float = 0.01) -> None:
    torch._foreach_lerp_(list(target.parameters()), list(source.parameters()), share)
