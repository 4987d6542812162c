"""GPO in the ordinary training loop: a policy against its own samples, judged by a general preference model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rewardlab.rewards.models.against import PreferenceAgainst
from rewardlab.training.loop import train
from rewardlab.training.objectives.self_play import GPO
from rewardlab.types import Task

if TYPE_CHECKING:
    from rewardlab.environments.base import Environment
    from rewardlab.recipes.gpm.model import PreferenceEmbedding
    from rewardlab.training.loop import Training


def self_play(
    policy: Any,
    model: PreferenceEmbedding,
    environment: Callable[[], Environment],
    tasks: Sequence[Task],
    *,
    beta: float = 1.0,
    k: int = 5,
    iterations: int = 3,
    objective: dict[str, Any] | None = None,
    **options: Any,
) -> Training:
    """Train a policy by General Preference Optimisation.

    In every iteration k answers to each task are sampled; the best and the worst by their mean log-odds against the group
    are regressed to `log pi_t + s / beta`.

    Source: Zhang et al. 2024 (arXiv 2410.02197), section 5. Scores are those of single pairs; the authors' program doubles
    them, so that its beta does what half of it does here.

    Args:
        policy: what is trained.
        model: what judges, fitted.
        environment: a factory of environments.
        tasks: prompts; all of them in every iteration, unless `tasks_per_step` says otherwise.
        beta: how careful an iteration is; the larger, the nearer the policy stays to the one before.
        k: answers to each task, at least 2.
        iterations: of sampling and regression.
        objective: other options of `rewardlab.training.objectives.GPO`, such as `learning_rate` and `mini_batches`.
        options: of `rewardlab.training.train`.

    Raises:
        ValueError: k is below 2, because one answer has nobody to be compared with.
    """
    if k < 2:
        raise ValueError(
            f"k must be at least 2, got {k}: one answer has no other one to be compared with; the paper takes 5"
        )
    reward: PreferenceAgainst = model.as_reward(opponents="group", measure="log_odds")
    options.setdefault("tasks_per_step", len(tasks))
    return train(
        policy, environment, reward, tasks, objective=GPO(beta=beta, **(objective or {})), steps=iterations, group_size=k,
        **options,
    )  # fmt: skip
