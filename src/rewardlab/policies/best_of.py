"""Best of n: the simplest use of a reward, and the simplest measure of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from rewardlab.environments.base import Environment
from rewardlab.environments.single_turn import SingleTurn
from rewardlab.policies.rollout import rollout
from rewardlab.rewards.base import Reward
from rewardlab.types import Task, Trajectory, group_indices


def best_of_n(
    policy: Any,
    tasks: Iterable[Task],
    reward: Reward,
    n: int,
    *,
    environment: Callable[[], Environment] = SingleTurn,
    seed: int = 0,
    **options: Any,
) -> list[Trajectory]:
    """Sample n attempts at each task and keep the one that a reward likes best; with n = 1 that is plain sampling.

    Args:
        policy: what acts.
        tasks: what to attempt.
        reward: what chooses.
        n: attempts at each task.
        environment: makes an environment.
        seed: of the attempts.
        options: of `rollout`.

    Returns:
        One trajectory for each task, in their order; its score is in `info["best_of_score"]`, NaN where none
        could be scored.

    Raises:
        ValueError: n is not positive.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    return pick_best(rollout(policy, environment, tasks, group_size=n, seed=seed, **options), reward)


def pick_best(trajectories: Sequence[Trajectory], reward: Reward) -> list[Trajectory]:
    """Of each group the trajectory that a reward likes best: the first of equal ones, and where none can be scored."""
    values = reward(trajectories).values
    chosen = []
    for members in group_indices(trajectories):
        scores = values[members]
        best = int(np.where(np.isfinite(scores), scores, -np.inf).argmax())
        trajectories[members[best]].info["best_of_score"] = float(scores[best])
        chosen.append(trajectories[members[best]])
    return chosen
