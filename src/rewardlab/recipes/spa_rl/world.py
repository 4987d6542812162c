"""A corridor of symbols: one is shown at every step, one action is right for it, two are impossible, the rest do nothing.

The outcome is the share of the critical steps that were done right. The policy is a table of scores for actions by symbol,
so its success can be computed exactly; that is what makes many worlds cheap.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewardlab.types import Task, Trajectory

SYMBOLS, ACTIONS = 40, 5


@dataclass(frozen=True, slots=True)
class Played:
    """Attempts, [attempt, step] each.

    Args:
        symbols: what was shown.
        actions: what was done.
        right: whether that was the right action at a critical step.
        critical: whether the step was critical.
        valid: whether the action was possible.
        outcomes: float64[attempt], share of the critical steps done right; 0 where none was critical.
    """

    symbols: NDArray[np.int64]
    actions: NDArray[np.int64]
    right: NDArray[np.bool_]
    critical: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    outcomes: NDArray[np.float64]

    def trajectories(self) -> list[Trajectory]:
        """The same as array trajectories: symbols and actions as one-hot vectors."""
        shown = np.eye(SYMBOLS, dtype=np.float32)[self.symbols]
        done = np.eye(ACTIONS, dtype=np.float32)[self.actions]
        end = np.zeros((1, SYMBOLS), dtype=np.float32)
        return [
            Trajectory(
                observations=np.concatenate([seen, end]),
                actions=acted,
                task=Task(id=str(index)),
                info={"valid": valid.tolist(), "outcome": float(outcome)},
            )
            for index, (seen, acted, valid, outcome) in enumerate(
                zip(shown, done, self.valid, self.outcomes, strict=True)
            )
        ]


@dataclass(kw_only=True)
class Corridor:
    """One corridor: which action is right for each symbol, and which are not possible.

    Args:
        seed: of everything.
        length: steps of an attempt.
        critical: how many symbols matter.
        demonstrations: attempts that the policy imitates at first.
        imitation_steps: how long it does.
    """

    seed: int
    length: int = 12
    critical: int = 32
    demonstrations: int = 6
    imitation_steps: int = 30
    right: NDArray[np.int64] = field(init=False)
    valid: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        chance = np.random.default_rng([self.seed, 1])
        self.right = chance.integers(ACTIONS, size=SYMBOLS)
        self.valid = np.ones((SYMBOLS, ACTIONS), dtype=np.bool_)
        for symbol, best in enumerate(self.right):
            others = [action for action in range(ACTIONS) if action != best]
            self.valid[symbol, chance.choice(others, size=2, replace=False)] = False
        self.matters = np.arange(SYMBOLS) < self.critical

    def start(self) -> Tensor:
        """A policy that has imitated a few demonstrations: float32[symbol, action], scores of actions."""
        chance = np.random.default_rng([self.seed, 2])
        seen = torch.as_tensor(chance.integers(SYMBOLS, size=self.demonstrations * self.length))
        done = torch.as_tensor(self.right)[seen]
        scores = torch.zeros(SYMBOLS, ACTIONS, requires_grad=True)
        optimizer = torch.optim.Adam([scores], lr=0.1)
        for _ in range(self.imitation_steps):
            loss = torch.nn.functional.cross_entropy(scores[seen], done)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return scores.detach()

    def play(self, scores: Tensor, count: int, stream: int = 0) -> Played:
        """Attempts at temperature 1.

        Args:
            scores: the policy.
            count: how many.
            stream: which draws.
        """
        chance = np.random.default_rng([self.seed, 3, stream])
        symbols = chance.integers(SYMBOLS, size=(count, self.length))
        odds = torch.softmax(scores, dim=-1).double().numpy().cumsum(-1)
        drawn = chance.random((count, self.length, 1))
        actions = (drawn > odds[symbols][..., :-1]).sum(-1)
        critical = self.matters[symbols]
        right = critical & (actions == self.right[symbols])
        return Played(
            symbols=symbols,
            actions=actions,
            right=right,
            critical=critical,
            valid=self.valid[symbols, actions],
            outcomes=right.sum(1) / np.maximum(critical.sum(1), 1),
        )

    def success(self, scores: Tensor) -> float:
        """The chance that all critical steps of an attempt are done right, exactly."""
        odds = torch.softmax(scores, dim=-1).double().numpy()
        best = odds[np.arange(SYMBOLS), self.right]
        return float(np.where(self.matters, best, 1.0).mean() ** self.length)

    def valid_rate(self, scores: Tensor) -> float:
        """The chance that an action is possible, exactly."""
        odds = torch.softmax(scores, dim=-1).double().numpy()
        return float((odds * self.valid).sum(-1).mean())
