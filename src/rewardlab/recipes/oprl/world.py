"""A corridor in which no state comes back, walked by policies that are tables, many independent copies at once.

Each step of an attempt shows a symbol drawn anew, so that no history repeats. For some of the symbols one action is right,
for the others none matters. The outcome is the share of decisive steps that were done right. A policy is a table of logits
for each symbol, and so is the reward's model: what a transformer learns slowly, a table learns at once, and many worlds fit
into one array. The library's own credit, pairs and loss are used; only networks and rollouts are short-cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from rewardlab.functional.segments import ragged
from rewardlab.training.credit.steps import Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """What a table did in all worlds.

    Args:
        symbols: int64[world, task, member, step].
        actions: int64[world, task, member, step].
        logprobs: float32[world, task, member, step], under the table that acted.
        right: bool[world, task, member, step]; True where nothing was to be decided.
        decisive: bool[world, task, member, step].
        outcomes: float64[world, task, member].
    """

    symbols: Tensor
    actions: Tensor
    logprobs: Tensor
    right: Tensor
    decisive: Tensor
    outcomes: Tensor


@dataclass(kw_only=True)
class Corridor:
    """Worlds that differ in which symbols are decisive and which actions are right.

    Args:
        seed: of everything.
        worlds: how many at once.
        steps: of an attempt.
        kinds: of tasks, each with symbols of its own.
        symbols: of each kind.
        decisive: how many of them have a right action.
        actions: to choose from.
        tasks: in a batch.
        members: attempts at each task.
        demonstrations: that the policy starts from.
        skill: the share of decisive steps that the demonstrator does right; the others it does at random.
        cloning: supervised steps on them.
    """

    seed: int
    worlds: int = 12
    steps: int = 16
    kinds: int = 2
    symbols: int = 10
    decisive: int = 8
    actions: int = 5
    tasks: int = 4
    members: int = 8
    demonstrations: int = 4
    skill: float = 0.5
    cloning: int = 22
    right: Tensor = field(init=False)
    """int64[world, symbol]: the right action, or -1."""

    def __post_init__(self) -> None:
        draw = np.random.default_rng([self.seed, 0])
        right = draw.integers(self.actions, size=(self.worlds, self.kinds, self.symbols))
        idle = draw.random((self.worlds, self.kinds, self.symbols)).argsort(-1) >= self.decisive
        self.right = torch.from_numpy(np.where(idle, -1, right).reshape(self.worlds, -1))

    def start(self) -> Tensor:
        """float32[world, symbol, action]: logits cloned from a few demonstrations."""
        generator = torch.Generator().manual_seed(self.seed)
        symbols = self._symbols(generator, (self.demonstrations, 1))
        right = self._right(symbols)
        anything = torch.randint(self.actions, symbols.shape, generator=generator)
        able = torch.rand(symbols.shape, generator=generator) < self.skill
        actions = torch.where((right >= 0) & able, right, anything)
        logits = torch.zeros(self.worlds, self.right.shape[1], self.actions, requires_grad=True)
        optimizer = torch.optim.Adam([logits], lr=0.1)
        for _ in range(self.cloning):
            loss = -logprobs_of(logits, symbols, actions).mean((1, 2, 3)).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return logits.detach()

    def attempt(self, logits: Tensor, generator: torch.Generator, *, tasks: int | None = None) -> Attempts:
        """Let a table act; greedy where there is one member to each task."""
        members = self.members if tasks is None else 1
        symbols = self._symbols(generator, (tasks or self.tasks, members))
        chances = torch.log_softmax(logits, -1)[torch.arange(self.worlds)[:, None, None, None], symbols]
        actions = (chances - torch.empty_like(chances).exponential_(generator=generator).log()).argmax(-1)
        right = self._right(symbols)
        decisive = right >= 0
        good = ~decisive | (actions == right)
        outcomes = (good & decisive).sum(-1) / decisive.sum(-1).clamp(min=1)
        return Attempts(
            symbols=symbols,
            actions=actions,
            logprobs=chances.gather(-1, actions[..., None])[..., 0],
            right=good,
            decisive=decisive,
            outcomes=outcomes.double(),
        )

    def success(self, logits: Tensor, generator: torch.Generator, tasks: int = 512) -> float:
        """The share of sampled attempts that are right in every decisive step, over all worlds."""
        tried = self.attempt(logits, generator, tasks=tasks)
        return float((tried.right.all(-1)).double().mean())

    def as_steps(self, tried: Attempts, values: Tensor) -> Steps:
        """Step values of attempts as credit rules take them."""
        count = tried.outcomes.numel()
        return Steps(
            usable=np.arange(count),
            layout=ragged(np.full(count, self.steps)),
            values=values.double().reshape(-1).numpy(),
            groups=np.arange(count) // tried.outcomes.shape[-1],
            outcomes=tried.outcomes.reshape(-1).numpy(),
            terminated=np.ones(count, dtype=np.bool_),
        )

    def _symbols(self, generator: torch.Generator, shape: tuple[int, int]) -> Tensor:
        """int64[world, task, member, step]: members of a task share its kind, and nothing else."""
        tasks, members = shape
        kind = torch.randint(self.kinds, (self.worlds, tasks, 1, 1), generator=generator)
        own = torch.randint(self.symbols, (self.worlds, tasks, members, self.steps), generator=generator)
        return kind * self.symbols + own

    def _right(self, symbols: Tensor) -> Tensor:
        return self.right[torch.arange(self.worlds)[:, None, None, None], symbols]


def logprobs_of(logits: Tensor, symbols: Tensor, actions: Tensor) -> Tensor:
    """float32[world, task, member, step]: log-probabilities of actions under a table."""
    worlds = torch.arange(logits.shape[0])[:, None, None, None]
    return torch.log_softmax(logits, -1)[worlds, symbols, actions]
