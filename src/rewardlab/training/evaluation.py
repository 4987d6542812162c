"""Held-out tasks, scored now and then while a policy trains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rewardlab.training.curricula import check_tasks
from rewardlab.training.metrics import score_metrics, trajectory_metrics
from rewardlab.types import Scores, Task, Trajectory


@dataclass(kw_only=True)
class Evaluation:
    """What is evaluated, and when. The same seeds are used every time, so that evaluations can be compared.

    Args:
        tasks: held-out ones.
        every: after every so many training steps; also before the first and after the last. 0 for only these two.
        reward: what scores them; None for the reward that is trained on.
        sampling: how the policy acts; None for its most likely tokens (temperature 0).
        group_size: attempts at each task.
        success_at: a trajectory whose value reaches this is a success.
        before_warm_start: whether to evaluate the policy as it was given, too.

    Raises:
        ValueError: there are no tasks, or a number is below 1.
    """

    tasks: Sequence[Task]
    every: int = 10
    reward: Any = None
    sampling: Any = None
    group_size: int = 1
    success_at: float = 1.0
    before_warm_start: bool = True

    def __post_init__(self) -> None:
        check_tasks(self.tasks, "evaluation tasks")
        for name, least in (("every", 0), ("group_size", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} of an evaluation must be at least {least}, got {getattr(self, name)}")

    def due(self, step: int, steps: int) -> bool:
        """Whether to evaluate after this training step."""
        return step == steps or (self.every > 0 and step % self.every == 0)

    def metrics(self, trajectories: Sequence[Trajectory], scores: Scores) -> dict[str, float]:
        """The numbers of one evaluation; `success` is the share of scored samples that succeeded."""
        scored = scores.values[scores.scored]
        return {
            "success": float((scored >= self.success_at).mean()) if scored.size else math.nan,
            **score_metrics(scores),
            **trajectory_metrics(trajectories),
        }
