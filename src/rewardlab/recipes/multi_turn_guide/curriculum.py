"""A curriculum over how hard tasks are, along several axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rewardlab.training.curricula import check_tasks
from rewardlab.types import Scores, Task, Trajectory


@dataclass(kw_only=True)
class Complexity:
    """Tasks from the easiest level on: the next level joins when the last that joined is won often enough.

    Args:
        levels: the tasks of each level by name, from easy to hard; ids are unique over all levels.
        count: tasks in each step.
        advance_at: share of attempts won (score at least `success_at`), as a running mean, at which the next level joins.
        success_at: the score that counts as won.
        memory: steps over which the running mean reaches back.
        seed: of the draws.
    """

    levels: Mapping[str, Sequence[Task]]
    count: int = 8
    advance_at: float = 0.5
    success_at: float = 1.0
    memory: float = 5.0
    seed: int = 0

    reached: int = field(default=0, init=False)
    """The hardest level that has joined, from 0."""
    won: float = field(default=0.0, init=False)
    """Running share of attempts won at that level."""
    drawn: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not self.levels:
            raise ValueError("there are no levels; give levels={'easy': [Task(...), ...], ...}")
        check_tasks([task for tasks in self.levels.values() for task in tasks], "levels")
        self._level = {task.id: place for place, tasks in enumerate(self.levels.values()) for task in tasks}

    @property
    def tasks(self) -> list[Task]:
        """All tasks of all levels."""
        return [task for tasks in self.levels.values() for task in tasks]

    def sample(self) -> list[Task]:
        """Half of the hardest level that has joined, and half of those before."""
        draw = np.random.default_rng([self.seed, self.drawn])
        self.drawn += 1
        names = list(self.levels)
        chosen = []
        for number in range(self.count):
            place = self.reached if number % 2 == 0 or not self.reached else int(draw.integers(0, self.reached))
            tasks = self.levels[names[place]]
            chosen.append(tasks[int(draw.integers(0, len(tasks)))])
        return chosen

    def observe(self, trajectories: Sequence[Trajectory], scores: Scores) -> None:
        """Let the next level join where the hardest is won often enough."""
        own = [
            index
            for index, one in enumerate(trajectories)
            if scores.scored[index] and one.task is not None and self._level.get(one.task.id) == self.reached
        ]
        if not own:
            return
        share = float((scores.values[own] >= self.success_at).mean())
        self.won += (share - self.won) / self.memory
        if self.won >= self.advance_at and self.reached + 1 < len(self.levels):
            self.reached, self.won = self.reached + 1, 0.0

    def state_dict(self) -> dict[str, Any]:
        """Where it is."""
        return {"reached": self.reached, "won": self.won, "drawn": self.drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.reached, self.won, self.drawn = int(state["reached"]), float(state["won"]), int(state["drawn"])
