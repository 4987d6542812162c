"""Pieces of what an agent did, in pairs that somebody compares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewardlab.types import Trajectory

Annotator = Callable[[Sequence[tuple[Trajectory, Trajectory]], np.random.Generator], Sequence[float]]
"""Gets pairs of fragments and a random generator; returns the chance that the first is better (0.5: a tie)."""


@dataclass(slots=True)
class Pool:
    """Transitions of the newest rollouts, laid out so that a fragment is a run of consecutive rows.

    Args:
        observation, action, next_observation: [N, ...]; trajectories stand one after the other.
        terminated: bool[N].
        reward: float64[N], the environment's.
        last: int64[N], for each row the last row of its trajectory.
    """

    observation: NDArray[np.generic]
    action: NDArray[np.generic]
    next_observation: NDArray[np.generic]
    terminated: NDArray[np.bool_]
    reward: NDArray[np.float64]
    last: NDArray[np.int64]

    def draw(
        self, count: int, length: int, generator: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Fragments that begin anywhere; those that meet the end of their trajectory are shorter.

        Returns:
            Rows int64[count, length], and whether each is part of the fragment, bool[count, length].
        """
        # near a cut (a rollout's end, a time limit) a start is moved back, so that only terminations make fragments shorter
        starts = generator.integers(len(self.last), size=count)
        ends = self.last[starts]
        back = np.maximum(self._first()[starts], ends - length + 1)
        starts = np.where(self.terminated[ends], starts, np.minimum(starts, back))
        rows = starts[:, None] + np.arange(length)
        inside = rows <= self.last[starts][:, None]
        return np.minimum(rows, len(self.last) - 1), inside

    def _first(self) -> NDArray[np.int64]:
        begins = np.r_[True, self.last[1:] != self.last[:-1]]
        return np.maximum.accumulate(np.where(begins, np.arange(len(self.last)), 0))

    def fragment(self, rows: NDArray[np.int64], inside: NDArray[np.bool_]) -> Trajectory:
        """One fragment as a trajectory, for an annotator to look at."""
        chosen = rows[inside]
        return Trajectory(
            observations=np.concatenate([self.observation[chosen], self.next_observation[chosen[-1:]]]),
            actions=self.action[chosen],
            rewards=self.reward[chosen],
            terminated=bool(self.terminated[chosen[-1]]),
            truncated=not self.terminated[chosen[-1]],
        )


@dataclass(frozen=True, kw_only=True)
class SyntheticAnnotator:
    """Prefers the fragment with the higher sum of the environment's own rewards, with the errors of a Bradley-Terry judge.

    Args:
        rationality: by which the difference of sums is multiplied; infinite for no errors.
    """

    rationality: float = 1.0

    def __post_init__(self) -> None:
        if not self.rationality > 0:
            raise ValueError(f"SyntheticAnnotator: option 'rationality' must be positive, got {self.rationality}")

    def __call__(
        self, pairs: Sequence[tuple[Trajectory, Trajectory]], generator: np.random.Generator
    ) -> NDArray[np.float64]:
        """Draw a label for each pair; a tie is 0.5."""
        difference = np.array([first.rewards.sum() - second.rewards.sum() for first, second in pairs])
        if np.isinf(self.rationality):
            return 0.5 + 0.5 * np.sign(difference)
        chance = 1.0 / (1.0 + np.exp(-np.clip(self.rationality * difference, -50.0, 50.0)))
        return np.where(difference == 0, 0.5, (generator.random(len(pairs)) < chance).astype(float))
