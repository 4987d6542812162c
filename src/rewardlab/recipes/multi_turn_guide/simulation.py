"""The same quests for many attempts at once, a small network that acts in them, and the arms that train it.

A quest's state is a handful of numbers, so attempts are rows of a table and a step of all of them is a few array operations:
an arm takes seconds. The algorithms are put together from the library's functions, which training on language models
uses, too; `Quest` shows the same world as text.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rewardlab.functional.advantages import group_relative, leave_one_out
from rewardlab.functional.policy_losses import clipped_surrogate, whiten
from rewardlab.functional.ppo import clipped_value_loss
from rewardlab.functional.returns import discounted_returns, generalised_advantage_estimation
from rewardlab.recipes.multi_turn_guide.world import LEFT, RIGHT, Level

Algorithm = Literal["ppo", "rloo", "grpo", "rloo_to_go"]
Density = Literal["dense", "sparse", "dense_last"]


class Network(nn.Module):
    """Scores of actions and the value of the state, from the quest's list, how far it is done, and the room.

    How far it is done chooses where in the list to look, by one head of attention whose scores are learned; what is
    found there goes through two layers, together with progress and room.

    Args:
        largest: the largest level that it can see.
        hidden: width of both layers.
        seed: of the weights.
    """

    def __init__(self, largest: Level, *, hidden: int = 64, seed: int = 0) -> None:
        super().__init__()
        self.largest = largest
        width = largest.objects + 1 + largest.length + largest.rooms
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.trunk = nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
            self.look = nn.Linear(largest.length, largest.length, bias=False)
            self.policy, self.value = nn.Linear(hidden, largest.actions), nn.Linear(hidden, 1)
        with torch.no_grad():
            self.policy.weight.mul_(0.1)
            for parameter in self.value.parameters():
                parameter.zero_()

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities [..., action] and values [...]."""
        length = self.largest.length
        listed, rest = states.split([length * (self.largest.objects + 1), length + self.largest.rooms], dim=-1)
        attention = torch.softmax(self.look(rest[..., :length]), -1)
        found = torch.einsum("...k,...ko->...o", attention, listed.unflatten(-1, (length, -1)))
        inner = self.trunk(torch.cat([found, rest], -1))
        return torch.log_softmax(self.policy(inner), -1), self.value(inner).squeeze(-1)


@dataclass(slots=True)
class Played:
    """Attempts, padded to the longest.

    Args:
        states: float32[attempt, turn, feature].
        actions: int64[attempt, turn].
        logprobs: float32[attempt, turn], when they were drawn.
        hits: float64[attempt, turn], 1 where an object was taken in order.
        mask: bool[attempt, turn], turns that were played.
        won: bool[attempt].
    """

    states: Tensor
    actions: Tensor
    logprobs: Tensor
    hits: Tensor
    mask: Tensor
    won: NDArray[np.bool_]


def features(
    level: Level, largest: Level, quests: NDArray[np.int64], taken: NDArray[np.int64], room: NDArray[np.int64]
) -> Tensor:
    """What the network sees: one-hot columns float32[attempt, feature]."""
    count = len(quests)
    listed = np.zeros((count, largest.length, largest.objects + 1), dtype=np.float32)
    listed[:, :, -1] = 1.0
    listed[:, : level.length, -1] = 0.0
    rows = np.arange(count)
    for place in range(level.length):
        listed[rows, place, quests[:, place]] = 1.0
    done = np.zeros((count, largest.length), dtype=np.float32)
    done[rows, np.minimum(taken, largest.length - 1)] = 1.0
    rooms = np.zeros((count, largest.rooms), dtype=np.float32)
    rooms[rows, room] = 1.0
    return torch.from_numpy(np.concatenate([listed.reshape(count, -1), done, rooms], axis=1))


@torch.no_grad()
def play(
    network: Network, level: Level, places: NDArray[np.int64], quests: NDArray[np.int64], generator: torch.Generator
) -> Played:
    """Attempt each quest once, drawing actions; those that the level does not have are never drawn."""
    count, turns = len(quests), level.turns
    taken, room = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    live, rows = np.ones(count, dtype=bool), np.arange(count)
    columns: dict[str, list[Tensor]] = {name: [] for name in ("states", "actions", "logprobs", "hits", "mask")}
    for _ in range(turns):
        states = features(level, network.largest, quests, taken, room)
        logprobs = network(states)[0][:, : level.actions].log_softmax(-1)
        drawn = torch.multinomial(logprobs.exp(), 1, generator=generator).squeeze(1)
        acted = drawn.numpy()
        wanted = quests[rows, np.minimum(taken, level.length - 1)]
        hit = live & (acted == wanted + 2) & (places[wanted] == room)
        for name, column in (
            ("states", states),
            ("actions", drawn),
            ("logprobs", logprobs.gather(1, drawn[:, None]).squeeze(1)),
            ("hits", torch.from_numpy(hit.astype(np.float64))),
            ("mask", torch.from_numpy(live.copy())),
        ):
            columns[name].append(column)
        room = np.clip(room + np.where(live, (acted == RIGHT) * 1 - (acted == LEFT) * 1, 0), 0, level.rooms - 1)
        taken = taken + hit
        live &= taken < level.length
        if not live.any():
            break
    stacked = {name: torch.stack(parts, dim=1) for name, parts in columns.items()}
    return Played(**stacked, won=taken >= level.length)


def clone(
    network: Network,
    level: Level,
    places: NDArray[np.int64],
    quests: NDArray[np.int64],
    *,
    steps: int,
    rate: float = 3e-3,
) -> None:
    """Imitate an expert on some quests for some steps, all of their turns at once."""
    states, actions = [], []
    for quest in quests:
        room = 0
        for taken, wanted in enumerate(quest):
            while True:
                states.append(features(level, network.largest, quest[None], np.array([taken]), np.array([room])))
                if places[wanted] == room:
                    actions.append(2 + int(wanted))
                    break
                actions.append(LEFT if places[wanted] < room else RIGHT)
                room += 1 if places[wanted] > room else -1
    if not states:
        return
    seen, said = torch.cat(states), torch.tensor(actions)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        logprobs = network(seen)[0][:, : level.actions].log_softmax(-1)
        torch.nn.functional.nll_loss(logprobs, said).backward()
        optimizer.step()


@dataclass(kw_only=True)
class Arm:
    """One way to train, from one start.

    Args:
        level: of the quests that are trained on.
        places: of the world.
        quests: int64[quest, length], to draw from.
        tests: held-out quests, for the curve.
        algorithm: "ppo" (a value head and GAE over turns), "rloo" and "grpo" (one number for an attempt), or
            "rloo_to_go" (at each turn what follows it, less the mean of the others at that turn).
        density: turn rewards at each hit ("dense"), 1 at the last turn of a quest that is won ("sparse"), or the sum of the
            dense ones at the last turn ("dense_last"), which pays lost quests in part, too, but says nothing of when.
        rate: learning rate of Adam.
        updates, quests_per_update, group_size: of the training.
        epochs: how often attempts are used.
        smoothing: lambda of GAE.
        seed: of all draws.
    """

    level: Level
    places: NDArray[np.int64]
    quests: NDArray[np.int64]
    tests: NDArray[np.int64]
    algorithm: Algorithm
    density: Density
    rate: float = 1e-3
    updates: int = 30
    quests_per_update: int = 8
    group_size: int = 8
    epochs: int = 2
    smoothing: float = 0.95
    seed: int = 0
    curve: list[float] = field(default_factory=list)
    """Share of held-out quests won, before the first update and after each."""

    def train(self, start: Network, *, measured_every: int = 1) -> Network:
        """Train a copy of a network."""
        network = copy.deepcopy(start)
        optimizer = torch.optim.Adam(network.parameters(), lr=self.rate)
        draw = np.random.default_rng([self.seed, 14])
        generator = torch.Generator().manual_seed(self.seed)
        self.curve.append(self.measure(network, self.tests))
        for update in range(self.updates):
            chosen = draw.integers(0, len(self.quests), self.quests_per_update)
            quests = self.quests[chosen].repeat(self.group_size, axis=0)
            played = play(network, self.level, self.places, quests, generator)
            advantages, targets = self.credit(network, played)
            for _ in range(self.epochs):
                optimizer.zero_grad()
                self.loss(network, played, advantages, targets).backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
            if (update + 1) % measured_every == 0:
                self.curve.append(self.measure(network, self.tests))
        return network

    def rewards(self, played: Played) -> Tensor:
        """float64[attempt, turn]."""
        dense = played.hits / self.level.length
        last = torch.zeros_like(dense)
        ends = played.mask.sum(1) - 1
        outcome = torch.from_numpy(played.won.astype(np.float64)) if self.density == "sparse" else dense.sum(1)
        last[torch.arange(len(ends)), ends] = outcome
        return dense if self.density == "dense" else last

    def credit(self, network: Network, played: Played) -> tuple[Tensor, Tensor | None]:
        """Advantages float32[attempt, turn], and for PPO what the value head should have said."""
        rewards, mask = self.rewards(played), played.mask
        count, turns = mask.shape
        if self.algorithm == "ppo":
            with torch.no_grad():
                values = torch.where(mask, network(played.states)[1].double(), 0.0)
            following = torch.nn.functional.pad(values[:, 1:], (0, 1))
            last = torch.arange(turns) == (mask.sum(1, keepdim=True) - 1)
            ended = last | ~mask  # the limit is part of the task, so it is an end like any other
            found = generalised_advantage_estimation(
                rewards, values, following, ended, ended, discount=1.0, smoothing=self.smoothing
            )
            return whiten(torch.where(mask, found, 0.0).float(), mask), (found + values).float()
        groups = torch.arange(count) // self.group_size
        if self.algorithm == "rloo_to_go":
            returns = discounted_returns(rewards, mask=mask)
            columns = [leave_one_out(returns[:, turn], groups, mask[:, turn]).advantages for turn in range(turns)]
            return whiten(torch.stack(columns, dim=1).float(), mask), None
        relative = group_relative if self.algorithm == "grpo" else leave_one_out
        found = relative(rewards.sum(1), groups, torch.ones(count, dtype=torch.bool)).advantages
        return whiten(torch.where(mask, found[:, None], 0.0).float(), mask), None

    def loss(self, network: Network, played: Played, advantages: Tensor, targets: Tensor | None) -> Tensor:
        """The clipped surrogate, and half the squared error of the value head."""
        logprobs, values = network(played.states)
        own = logprobs[..., : self.level.actions].log_softmax(-1).gather(-1, played.actions[..., None]).squeeze(-1)
        loss = clipped_surrogate(own - played.logprobs, advantages).losses[played.mask].mean()
        if targets is None:
            return loss
        return loss + 0.5 * clipped_value_loss(values[played.mask], targets[played.mask]).losses.mean()

    def measure(self, network: Network, quests: NDArray[np.int64], attempts: int = 256) -> float:
        """The share of quests won when actions are drawn."""
        draw = np.random.default_rng([self.seed, 15])
        chosen = quests[draw.integers(0, len(quests), attempts)]
        generator = torch.Generator().manual_seed(self.seed + 1)
        return float(play(network, self.level, self.places, chosen, generator).won.mean())
