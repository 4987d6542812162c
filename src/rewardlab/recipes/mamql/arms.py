"""The arms of the proof, trained side by side: every critic of every arm, replicate and agent is a copy of one stack.

All arms of a replicate see the same demonstrations in the same batches and begin with the same weights. An input that an arm
does not have is 0 for it, and an output that it does not have is left alone, so that one architecture serves all.

Off-line arms: `marginal` (the own action alone), `joint` (a value for each pair of actions, averaged over a cloned
model of the other), `input` (the other's action as input), `released` (the published baseline: the own action is among
the inputs too, and all of them are 0 when acting), `cloning`, and `single` (the other agent is not seen at all).
On-line arms play: `online` takes the value term on states of play, as published, `mixed` half of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rewardlab.functional.inverse_q import (
    inverse_q_loss,
    marginal_action_values,
    recovered_rewards,
    soft_values,
    value_differences,
)
from rewardlab.recipes.mamql.world import ACTIONS, Log, TwoGems
from rewardlab.recipes.stacked_networks import StackedNetworks, stacked_mlp

OFFLINE = ("marginal", "joint", "input", "released", "cloning", "single")
ONLINE = {"online": 1.0, "mixed": 0.5}
"""Arms that play, with the share of the value term that is taken on states of play."""
HIDDEN = (64, 64)
DISCOUNT = 0.9


@dataclass(kw_only=True)
class Critics:
    """A stack of critics `[arm, replicate, agent]`, which acts and gives recovered rewards.

    Args:
        world: whose states are observed.
        arms: names, the first axis.
        networks: with copies arm x replicate x agent.
        replicates: the second axis.
    """

    world: TwoGems
    arms: tuple[str, ...]
    networks: StackedNetworks
    replicates: int

    @classmethod
    def fresh(cls, world: TwoGems, arms: Sequence[str], replicates: int, seed: int) -> Critics:
        """Untrained critics; those of one replicate and agent are alike in all arms."""
        seeds = [
            int(np.random.SeedSequence((seed, replicate, agent, 11)).generate_state(1)[0])
            for _ in arms
            for replicate in range(replicates)
            for agent in (0, 1)
        ]
        sizes = (world.features + 2 * ACTIONS, *HIDDEN, ACTIONS**2)
        networks = stacked_mlp(sizes, seeds, activation="relu")
        return cls(world=world, arms=tuple(arms), networks=networks, replicates=replicates)

    def outputs(self, seen: Tensor, actions: Tensor | None = None) -> Tensor:
        """What the networks give.

        Args:
            seen: float32[2, replicate, N, features], from `TwoGems.observe`, the same for all arms, or
                float32[2, arm, replicate, N, features].
            actions: int64[replicate, N, 2] for the arms that read actions, or None when acting.

        Returns:
            float32[arm, replicate, agent, N, 25].
        """
        seen = seen.movedim(0, -3)
        inputs = torch.zeros(len(self.arms), *seen.shape[-4:-1], self.world.features + 2 * ACTIONS)
        inputs[..., : self.world.features] = seen
        for number, arm in enumerate(self.arms):
            if arm == "single":  # only the own gem and the own place are left
                wide = 2 * (2 * self.world.size - 1)
                inputs[number, ..., :wide] = 0
                inputs[number, ..., 2 * wide : 3 * wide] = 0
            if actions is not None and arm in ("input", "released"):
                one_hot = torch.eye(ACTIONS)[actions].movedim(-2, 1)  # [replicate, agent, N, action]
                inputs[number, ..., self.world.features : self.world.features + ACTIONS] = one_hot.flip(1)
                if arm == "released":
                    inputs[number, ..., self.world.features + ACTIONS :] = one_hot
        found = self.networks(inputs.flatten(0, 2))
        return found.view(*inputs.shape[:4], ACTIONS**2)

    def action_values(self, outputs: Tensor) -> Tensor:
        """Own action values, float32[arm, replicate, agent, N, 5]; those of `joint` averaged over the cloned other."""
        if "joint" not in self.arms:
            return outputs[..., :ACTIONS]
        number = self.arms.index("joint")
        pairs = outputs[number].unflatten(-1, (ACTIONS, ACTIONS))
        averaged = marginal_action_values(pairs, self._others(outputs))
        plain = list(outputs[..., :ACTIONS].unbind(0))
        plain[number] = averaged
        return torch.stack(plain)

    def _others(self, outputs: Tensor) -> Tensor:
        """float32[replicate, agent, N, 5], what each agent's cloned counterpart would do."""
        cloned = outputs[self.arms.index("cloning")][..., :ACTIONS].detach()
        return torch.softmax(cloned, -1).flip(1)

    @torch.no_grad()
    def act(self, states: Tensor, generator: torch.Generator, *, greedy: bool) -> Tensor:
        """Actions int64[arm, replicate, N, 2] in states int64[arm, replicate, N, 4], each arm in states of its own."""
        values = self.outputs(self.world.observe(states))[..., :ACTIONS]
        if "joint" in self.arms:  # the cloned model must see the states of that arm
            number = self.arms.index("joint")
            averaged = self.action_values(self.outputs(self.world.observe(states[number])))[number]
            values = torch.stack([averaged if arm == "joint" else values[place] for place, arm in enumerate(self.arms)])
        if not greedy:
            values = values - torch.empty_like(values).exponential_(generator=generator).log()
        return values.argmax(-1).movedim(2, -1)

    def returns(self, seed: int, *, games: int = 60, greedy: bool) -> dict[str, float]:
        """Mean joint return of each arm over its replicates; every arm begins in the same states."""
        generator = torch.Generator().manual_seed(seed)
        start = self.world.start((self.replicates, games), generator)
        states = start.expand(len(self.arms), *start.shape)
        total = torch.zeros(len(self.arms))
        for _ in range(self.world.horizon):
            states, rewards = self.world.step(states, self.act(states, generator, greedy=greedy), generator)
            total += rewards.sum(-1).flatten(1).mean(1)
        return dict(zip(self.arms, total.tolist(), strict=True))

    @torch.no_grad()
    def rewards(self, log: Log) -> Tensor:
        """Recovered rewards of joint transitions [replicate, N]: float32[arm, replicate, agent, N]."""
        return self._recover(log)[0]

    def _recover(self, log: Log) -> tuple[Tensor, Tensor, Tensor]:
        """Recovered rewards, value differences, and the logits of every arm in the states."""
        count = log.states.shape[-2]
        both = torch.cat([log.states, log.next_states], -2)
        told = torch.cat([log.actions, log.actions], -2)  # the published baseline has the present actions in s' too
        outputs = self.outputs(self.world.observe(both), told)
        own = self.action_values(outputs)
        here, then = own[..., :count, :], soft_values(own[..., count:, :])
        chosen = log.actions.movedim(-1, 1).expand(len(self.arms), -1, -1, -1)
        ended = torch.zeros(then.shape, dtype=torch.bool)
        rewards = recovered_rewards(here, chosen, then, ended, discount=DISCOUNT)
        if "joint" in self.arms:  # the action value of the pair that was played, in place of the average
            number = self.arms.index("joint")
            pair = chosen[number] * ACTIONS + chosen[number].flip(1)
            taken = outputs[number][..., :count, :].gather(-1, pair.unsqueeze(-1)).squeeze(-1)
            joint = taken - DISCOUNT * then[number]
            rewards = torch.stack([joint if arm == "joint" else rewards[place] for place, arm in enumerate(self.arms)])
        return rewards, value_differences(soft_values(here), then, ended, discount=DISCOUNT), here

    def loss(self, batch: Log, played: Log | None = None, share: Tensor | None = None) -> Tensor:
        """float32[arm, replicate, agent]; `share` [arm] is how much of the value term is taken on `played`."""
        rewards, differences, here = self._recover(batch)
        loss = inverse_q_loss(rewards, differences)
        if played is not None and share is not None:
            other = self._recover(played)[1]
            loss = loss + share.view(-1, 1, 1) * (other.mean(-1) - differences.mean(-1))
        if "cloning" in self.arms:
            number = self.arms.index("cloning")
            logs = torch.log_softmax(here[number], -1)
            cloned = -logs.gather(-1, batch.actions.movedim(-1, 1).unsqueeze(-1)).squeeze(-1).mean(-1)
            loss = torch.stack([cloned if place == number else loss[place] for place in range(len(self.arms))])
        return loss


def train(
    world: TwoGems,
    log: Log,
    arms: Sequence[str],
    *,
    updates: int,
    seed: int,
    l2: float = 1e-4,
    batch: int = 64,
    learning_rate: float = 1e-3,
    games: int = 4,
    capacity: int = 1000,
    watch: Callable[[int, Critics], None] | None = None,
) -> Critics:
    """Train arms of one kind (off-line or on-line) together.

    Args:
        world: where the on-line arms play.
        log: demonstrations [replicate, N].
        arms: of `OFFLINE` or of `ONLINE`.
        updates: gradient steps.
        seed: of everything random.
        l2: weight of the squared weights in the loss of every arm.
        batch: transitions in a batch.
        learning_rate: of Adam.
        games: that an on-line arm plays at once, one step for each update.
        capacity: steps of play that are kept; each holds `games` transitions.
        watch: called after each update with their number and the critics.
    """
    replicates, count = log.states.shape[:2]
    critics = Critics.fresh(world, arms, replicates, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    # the gradient of l2 times the squared weights is what Adam's weight decay of 2 l2 adds
    optimiser = torch.optim.Adam(critics.networks.parameters(), lr=learning_rate, weight_decay=2 * l2, fused=True)
    play = _Play(critics, games, capacity, generator) if set(arms) & set(ONLINE) else None
    share = torch.tensor([ONLINE.get(arm, 0.0) for arm in arms])
    row = torch.arange(replicates).unsqueeze(1)
    for update in range(1, updates + 1):
        index = torch.randint(count, (replicates, batch), generator=generator)
        chosen = Log(*(column[row, index] for column in (log.states, log.actions, log.rewards, log.next_states)))
        played = None if play is None else play.sample(batch)
        loss = critics.loss(chosen, played, share)
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()
        if play is not None:
            play.step()
        if watch is not None:
            watch(update, critics)
    return critics


class _Play:
    """The replay of on-line arms: joint play of the policies as they are, oldest steps dropped first.

    It takes one arm, because each arm's critics learn from their own play.
    """

    def __init__(self, critics: Critics, games: int, capacity: int, generator: torch.Generator) -> None:
        if len(critics.arms) != 1:
            raise ValueError(f"on-line arms are trained one at a time, got {', '.join(critics.arms)}")
        self.critics, self.games, self.capacity, self.generator = critics, games, capacity, generator
        shape = (critics.replicates, capacity * games)
        self.states, self.following = (torch.zeros(*shape, 4, dtype=torch.int64) for _ in range(2))
        self.actions = torch.zeros(*shape, 2, dtype=torch.int64)
        self.now = critics.world.start((critics.replicates, games), generator)
        self.steps = 0
        self.step()

    def step(self) -> None:
        """Play one step of every game; after the horizon all begin again."""
        if self.steps and self.steps % self.critics.world.horizon == 0:
            self.now = self.critics.world.start((self.critics.replicates, self.games), self.generator)
        actions = self.critics.act(self.now[None], self.generator, greedy=False)[0]
        following, _ = self.critics.world.step(self.now, actions, self.generator)
        first = self.steps % self.capacity * self.games
        place = slice(first, first + self.games)
        self.states[:, place], self.actions[:, place], self.following[:, place] = self.now, actions, following
        self.now, self.steps = following, self.steps + 1

    def sample(self, batch: int) -> Log:
        """Transitions of play, [replicate, batch]."""
        replicates = self.critics.replicates
        filled = min(self.steps, self.capacity) * self.games
        index = torch.randint(filled, (replicates, batch), generator=self.generator)
        row = torch.arange(replicates).unsqueeze(1)
        none = torch.zeros(replicates, batch, 2)
        return Log(self.states[row, index], self.actions[row, index], none, self.following[row, index])
