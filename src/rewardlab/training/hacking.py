"""Whether a policy gets better or only better liked: a learned reward beside a trusted one, as training goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rewardlab.functional.calibration import brier_score, expected_calibration_error
from rewardlab.types import Task


@dataclass(kw_only=True)
class HackingMonitor:
    """A callback of training that tries held-out tasks and compares two rewards of the same attempts.

    Args:
        tasks: held out, and such that `trusted` can judge them.
        environment: a factory, as in training.
        learned: the reward that is trained on, in [0, 1] where its calibration is to mean something.
        trusted: the truth as far as it is known, in {0, 1}.
        every: steps between looks.
        group_size: attempts at each task.
        sampling: how the policy acts; None for the default.
        most: the gap (learned minus trusted) at which training is stopped; None for never.
        rollout: what makes attempts; None for `rewardlab.rollout`.
        seed: of the attempts.
        rows: what was seen: step, learned, trusted, gap, and where all learned values lie in [0, 1] brier and
            calibration_error.
    """

    tasks: Sequence[Task]
    environment: Callable[[], Any]
    learned: Any
    trusted: Any
    every: int = 10
    group_size: int = 1
    sampling: Any = None
    most: float | None = None
    rollout: Callable[..., Any] | None = None
    seed: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not len(self.tasks):
            raise ValueError("a monitor needs held-out tasks that the trusted reward can judge, got none")
        if self.every < 1:
            raise ValueError(f"every must be at least 1, got {self.every}")

    def __call__(self, report: Any) -> bool:
        """Look at the policy where it is time to; True stops the training."""
        if report.step % self.every and report.step != report.steps:
            return False
        row = self.look(report.policy, step=report.step)
        return self.most is not None and row["gap"] > self.most

    def look(self, policy: Any, *, step: int = 0) -> dict[str, float]:
        """Try the tasks with a policy, and add a row.

        Raises:
            ValueError: not one attempt was judged by both rewards.
        """
        from rewardlab.policies.rollout import rollout

        options = {} if self.sampling is None else {"sampling": self.sampling}
        attempts = (self.rollout or rollout)(
            policy, self.environment, self.tasks, group_size=self.group_size, seed=self.seed, **options
        )
        attempts = [one for one in attempts if "failed" not in one.info]
        learned, trusted = self.learned(attempts), self.trusted(attempts)
        both = learned.scored & trusted.scored
        if not both.any():
            raise ValueError("no attempt was judged by both rewards; look at the notes of their scores")
        said, true = learned.values[both], trusted.values[both]
        row = {"step": float(step), "learned": float(said.mean()), "trusted": float(true.mean())}
        row["gap"] = row["learned"] - row["trusted"]
        if np.all((said >= 0) & (said <= 1)) and np.all((true >= 0) & (true <= 1)):
            row["brier"] = float(brier_score(said, true))
            row["calibration_error"] = expected_calibration_error(said, true)
        self.rows.append(row)
        return row
