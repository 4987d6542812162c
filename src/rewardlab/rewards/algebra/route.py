"""Which reward a task goes to: what can be checked to a rule, the rest to a model. The task decides, never the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rewardlab.rewards.algebra.combine import join_notes, score_children
from rewardlab.rewards.base import Reward, ScoringFailure, attempt
from rewardlab.rewards.spec import REWARDS, register
from rewardlab.types import Scores, Status, Task, Trajectory


@register("route")
@dataclass(frozen=True, kw_only=True)
class Route(Reward):
    """One reward for the tasks that can be verified, another for all others.

    A task says what it is in its metadata, or a function of the task does. A task that says nothing is failed: an answer
    that looks checkable proves nothing about its question.

    Args:
        then: for tasks that can be verified; mostly a verifier.
        otherwise: for the others; mostly a learned reward, or a comparison of embeddings.
        when: the key of the task's metadata, or a function of the task that returns True for what can be verified (in a spec
            `module:attribute`).
        verifiable: values of that key that mean it can be verified; True always does.
        open_ended: values that mean it cannot; False always does.
        confidence: where `then` is less sure than this, its value is mixed with that of `otherwise` by its confidence;
            where it failed or abstained, the value of `otherwise` stands alone. None never asks it about such tasks.
    """

    then: Reward
    otherwise: Reward
    when: Any = "task_type"
    verifiable: tuple[str, ...] = ("verifiable",)
    open_ended: tuple[str, ...] = ("open", "open_ended")
    confidence: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.when, str) and ":" in self.when:
            object.__setattr__(self, "when", REWARDS.resolve(self.when))
        if not (isinstance(self.when, str) or callable(self.when)):
            raise ValueError(f"Route: option 'when' must be a key or a function of a task, got {self.when!r:.80}")
        if self.confidence is not None and not 0.0 < self.confidence <= 1.0:
            raise ValueError(f"Route: option 'confidence' must be in (0, 1] or None, got {self.confidence}")
        both = set(self.verifiable) & set(self.open_ended)
        if both:
            raise ValueError(f"Route: {sorted(both)[0]!r} stands in 'verifiable' and in 'open_ended'")

    def children(self) -> dict[str, Reward]:  # noqa: D102 - documented on Reward
        return {"then": self.then, "otherwise": self.otherwise}

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        count = len(trajectories)
        routes = [attempt(self._is_verifiable, one) for one in trajectories]
        checked = np.array([route is True for route in routes], dtype=np.bool_)
        judged = np.array([route is False for route in routes], dtype=np.bool_)
        rule = self._ask("then", np.flatnonzero(checked), trajectories, progress)
        sure = np.ones(count) if rule.confidence is None else np.nan_to_num(rule.confidence, nan=1.0)
        if not np.all((sure >= 0) & (sure <= 1)):
            raise ValueError(f"Route: confidence must be in [0, 1], got {sure[(sure < 0) | (sure > 1)][0]}")
        unsure = np.zeros(count, dtype=np.bool_)
        if self.confidence is not None:
            unsure = checked & (~rule.scored | (sure < self.confidence))
        model = self._ask("otherwise", np.flatnonzero(judged | unsure), trajectories, progress)
        share = np.where(rule.scored, np.where(unsure, sure, 1.0), 0.0)
        mixed = np.where(share > 0, share * np.nan_to_num(rule.values), 0.0) + np.where(
            share < 1, (1 - share) * np.nan_to_num(model.values), 0.0
        )
        values = np.where(checked & ~unsure, rule.values, np.where(unsure, mixed, model.values))
        status = np.where(checked & ~unsure, rule.status, model.status).astype(np.int8)
        lost = np.flatnonzero(~checked & ~judged)
        status[lost] = Status.FAILED
        parts = {"then": rule, "otherwise": model}
        notes = join_notes(parts, status, {int(index): str(routes[index][1]) for index in lost})
        return Scores(values=np.where(status == Status.SCORED, values, np.nan), status=status, notes=notes, parts=parts)

    def _ask(self, name: str, rows: np.ndarray, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        """The scores of one reward for some rows, among abstentions for the others."""
        if not rows.size:
            return Scores.blank(len(trajectories), note="another reward's task")
        chosen = [trajectories[row] for row in rows.tolist()]
        return Scores.scatter(
            [(rows, score_children({name: self.children()[name]}, chosen, progress)[name])], len(trajectories)
        )

    def _is_verifiable(self, trajectory: Trajectory) -> bool:
        task = trajectory.task
        if task is None:
            raise ScoringFailure("the trajectory has no task, so nothing says which reward it goes to")
        if callable(self.when):
            return bool(self.when(task))
        if self.when not in task.metadata:
            raise ScoringFailure(
                f"the metadata of task {task.id!r} has no {self.when!r}, expected one of "
                f"{', '.join(map(repr, (*self.verifiable, *self.open_ended)))}; or give Route a function of the task as "
                "`when`. The answer is never used to guess"
            )
        return self._read(task.metadata[self.when], task)

    def _read(self, value: Any, task: Task) -> bool:
        if isinstance(value, bool):
            return value
        if value in self.verifiable:
            return True
        if value in self.open_ended:
            return False
        raise ScoringFailure(
            f"task {task.id!r} has {self.when}={value!r}, expected one of "
            f"{', '.join(map(repr, (*self.verifiable, *self.open_ended)))}, true or false"
        )
