"""Choosing among attempts: a reward model fitted to the pairs, the best of n by it, and how success grows with attempts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rewardlab.functional.attempts import pass_at_k
from rewardlab.learning import PreferenceData, fit
from rewardlab.policies.rollout import rollout
from rewardlab.rewards.models.model import RewardModel
from rewardlab.training.guidance import PairSet
from rewardlab.training.seats import score_batch
from rewardlab.types import Scores, Task, Trajectory, group_indices


def reward_model_from_pairs(pairs: PairSet, encoder: Any, **options: Any) -> RewardModel:
    """A reward model fitted to the pairs, guided ones included, by the Bradley-Terry loss.

    Args:
        pairs: as `build_pairs` made them.
        encoder: a reward model's encoder, or the spec of one, such as `{"type": "text", "name": "Qwen/Qwen2.5-Coder-1.5B"}`.
        options: of `rewardlab.fit`, such as `steps`, `learning_rate`, `validation`, `seed`.

    Raises:
        ValueError: there are no pairs.
    """
    if len(pairs) == 0:
        raise ValueError("there are no pairs to fit a reward model to; take more samples or guidance")
    return fit(RewardModel.make(encoder, "scalar"), PreferenceData.from_preferences(pairs.preferences), **options).model


def best_of_n(
    policy: Any,
    environment: Callable[[], Any],
    tasks: Sequence[Task],
    reward: Any,
    *,
    n: int = 32,
    seed: int = 0,
    **options: Any,
) -> list[Trajectory]:
    """The attempt at each task that a reward likes best.

    Args:
        policy: what acts.
        environment: a factory.
        tasks: what to attempt.
        reward: scores the attempts; one that it could not score is never chosen, unless there is no other.
        n: attempts at each task.
        seed: of the draws.
        options: of the rollout.

    Returns:
        One trajectory for each task, in order.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    attempts = rollout(policy, environment, tasks, group_size=n, seed=seed, **options)
    values = np.where((scores := score_batch(reward, attempts)).scored, scores.values, -np.inf)
    return [attempts[start + int(np.argmax(values[start : start + n]))] for start in range(0, len(attempts), n)]


def success_curve(
    trajectories: Sequence[Trajectory], scores: Scores, ks: Sequence[int], *, success_at: float = 1.0
) -> dict[int, float]:
    """Mean over tasks of the unbiased estimate that one of k attempts succeeds; attempts that could not be scored are left
    out.

    Raises:
        ValueError: a k is larger than the scored attempts at some task.
    """
    counts, wins = [], []
    for places in group_indices(trajectories):
        scored = places[scores.scored[places]]
        counts.append(scored.size)
        wins.append(int((scores.values[scored] >= success_at).sum()))
    return {k: float(pass_at_k(counts, wins, k).mean()) for k in ks}
