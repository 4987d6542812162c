"""Before anything is learned: do verifiers say the same twice, and do tasks have an answer that passes?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rewardlab.training.seats import score_batch
from rewardlab.types import Scores, Status, Task, Trajectory


@dataclass(frozen=True, slots=True)
class Twice:
    """A verifier that is asked twice: where its verdicts differ, the attempt is *failed*, and takes no part in anything.

    Args:
        reward: the verifier; one that caches its scores cannot be checked so.
    """

    reward: Any

    def __call__(self, trajectories: Sequence[Trajectory], *, progress: float | None = None) -> Scores:
        """The first verdicts, where the second ones agree."""
        first, second = (self.reward(trajectories, progress=progress) for _ in range(2))
        differ = (first.status != second.status) | (first.scored & second.scored & (first.values != second.values))
        if not differ.any():
            return first
        notes = list(first.notes) if first.notes is not None else [None] * len(first)
        for index in np.flatnonzero(differ).tolist():
            notes[index] = f"the verifier is flaky: first {_said(first, index)}, then {_said(second, index)}"
        status = np.where(differ, np.int8(Status.FAILED), first.status)
        return replace(first, status=status, notes=notes)


def sound_tasks(
    demonstrate: Callable[[Sequence[Task]], Sequence[Trajectory]],
    reward: Any,
    tasks: Sequence[Task],
    *,
    success_at: float = 1.0,
) -> tuple[list[Task], list[Task]]:
    """Tasks whose reference solution passes, and those where even that fails, which should be dropped.

    Args:
        demonstrate: makes the reference attempts, one for each task, such as a world's `demonstrations`.
        reward: the verifier.
        tasks: what is checked.
        success_at: lowest score of a success.

    Returns:
        The sound and the broken ones.
    """
    scores = score_batch(reward, list(demonstrate(tasks)))
    passed = scores.scored & (scores.values >= success_at)
    sound = [task for task, good in zip(tasks, passed, strict=True) if good]
    return sound, [task for task, good in zip(tasks, passed, strict=True) if not good]


def _said(scores: Scores, index: int) -> str:
    status = Status(int(scores.status[index]))
    return f"{scores.values[index]:g}" if status == Status.SCORED else status.name.lower()
