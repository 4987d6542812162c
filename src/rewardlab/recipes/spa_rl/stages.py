"""The stages of SPA-RL after behaviour cloning: explore, estimate progress, annotate every step, train on it.

The paper makes one pass over the annotated exploration (`replayed`). Training on fresh attempts works the same way without
it; the estimator then sees a policy that it was not fitted to, so `Refresh` fits it again and watches how wrong it gets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rewardlab.environments.base import Environment
from rewardlab.learning.progress import ProgressEstimator
from rewardlab.policies.rollout import Limits, Sampling, rollout
from rewardlab.rewards.base import Reward
from rewardlab.rewards.verifiers.grounded_actions import GroundedActions
from rewardlab.types import Scores, Task, Trajectory


def explore(
    policy: Any,
    environment: Callable[[], Environment],
    tasks: Sequence[Task],
    outcome: Reward,
    *,
    tries: int = 10,
    limits: Limits | None = None,
    sampling: Sampling | None = None,
    seed: int = 0,
) -> tuple[list[Trajectory], Scores]:
    """Let the base agent play the training tasks several times at temperature 1; good and bad attempts are kept.

    Args:
        policy: the base agent.
        environment: a factory.
        tasks: the training tasks.
        outcome: the final reward.
        tries: attempts at each task.
        limits, sampling, seed: of the rollout.
    """
    trajectories = rollout(
        policy, environment, tasks, group_size=tries, limits=limits, sampling=sampling or Sampling(), seed=seed
    )
    return trajectories, outcome(trajectories)


def spa_reward(
    estimator: ProgressEstimator, *, grounding: GroundedActions | None = None, progress_weight: float = 1.0
) -> Reward:
    """The step reward: contribution plus what a grounded action earns. The final reward is not added again.

    Args:
        estimator: fitted to the exploration.
        grounding: None for the authors' half a point for every action after which nothing says that it failed.
        progress_weight: weight of the contributions.
    """
    return estimator.reward(weight=progress_weight, name="progress") + (grounding or GroundedActions())


@dataclass(eq=False)
class Replayed:
    """A rollout that gives out stored attempts once, in order: what makes training one pass over an exploration.

    Args:
        trajectories: with their tokens.
    """

    trajectories: Sequence[Trajectory]
    given: int = field(default=0, init=False)

    def __call__(
        self, policy: Any, environment: Any, tasks: Sequence[Task], *, group_size: int = 1, **options: Any
    ) -> list[Trajectory]:
        """The next attempts, as many as were asked for."""
        count = len(tasks) * group_size
        if self.given + count > len(self.trajectories):
            raise ValueError(
                f"{len(self.trajectories)} stored attempts are used up after {self.given}; take fewer steps, or explore more"
            )
        self.given += count
        return list(self.trajectories[self.given - count : self.given])


@dataclass(eq=False, kw_only=True)
class Refresh:
    """A callback for training on fresh attempts: fits the estimator again, and ends training where it has lost track.

    Args:
        estimator: the one whose reward is trained on.
        outcome: the final reward.
        every: training steps between fits; 0 only watches.
        most: how many of the newest attempts are fitted.
        most_drift: training ends where the mean of sum minus outcome is larger than this in either direction; a sum that
            rises while outcomes fall is an estimator that is being exploited. None never ends it.
    """

    estimator: ProgressEstimator
    outcome: Reward
    every: int = 10
    most: int = 1024
    most_drift: float | None = None
    drifts: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.every < 0 or self.most < 1:
            raise ValueError(f"every must be at least 0 and most at least 1, got {self.every} and {self.most}")
        self._seen: deque[tuple[Trajectory, float]] = deque(maxlen=self.most)

    def __call__(self, report: Any) -> bool:
        """Watch one training step; True ends training."""
        outcomes = self.outcome(report.trajectories)
        found = [
            (trajectory, float(value))
            for trajectory, value, scored in zip(report.trajectories, outcomes.values, outcomes.scored, strict=True)
            if scored and len(trajectory)
        ]
        self._seen.extend(found)
        if found:
            sums = [row.sum() for row in self.estimator.contributions([trajectory for trajectory, _ in found])]
            self.drifts.append(float(np.mean(sums) - np.mean([value for _, value in found])))
            if self.most_drift is not None and abs(self.drifts[-1]) > self.most_drift:
                return True
        if self.every and report.step % self.every == 0 and self._seen:
            trajectories, values = zip(*self._seen, strict=True)
            self.estimator.fit(trajectories, values)
        return False
