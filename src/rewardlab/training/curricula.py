"""Curricula: which tasks come next. Both remember only how many tasks they gave out, so that a resumed run goes on exactly.

`CURRICULA` names them for configuration files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from rewardlab.registry import Registry
from rewardlab.types import Scores, Task, Trajectory

CURRICULA = Registry(
    "curriculum",
    {
        "fixed": "rewardlab.training.curricula:Fixed",
        "shuffled": "rewardlab.training.curricula:Shuffled",
        "failure_replay": "rewardlab.training.replay:FailureReplay",
        "self_improve": "rewardlab.training.self_improvement:SelfImprove",
    },
    group="rewardlab.curricula",
)


@runtime_checkable
class Curriculum(Protocol):
    """What chooses tasks."""

    def sample(self) -> list[Task]:
        """The tasks of the next step."""

    def observe(self, trajectories: Sequence[Trajectory], scores: Scores) -> None:
        """Take note of how the last tasks went."""

    def state_dict(self) -> dict[str, Any]:
        """What is needed to go on after a restart; JSON values and arrays."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""


@dataclass(kw_only=True)
class Fixed:
    """Tasks in the order given, over and over.

    Args:
        tasks: at least one, with unique ids.
        count: how many for each step.

    Raises:
        ValueError: there are no tasks, two have the same id, or the count is below 1.
    """

    tasks: Sequence[Task]
    count: int = 8
    drawn: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        check_tasks(self.tasks, "tasks")
        if self.count < 1:
            raise ValueError(f"count must be at least 1 task for each step, got {self.count}")

    def sample(self) -> list[Task]:
        """The next `count` tasks."""
        chosen = [self._task(position) for position in range(self.drawn, self.drawn + self.count)]
        self.drawn += self.count
        return chosen

    def observe(self, trajectories: Sequence[Trajectory], scores: Scores) -> None:
        """Nothing is learned from how tasks went."""

    def state_dict(self) -> dict[str, Any]:
        """How many tasks were given out."""
        return {"drawn": self.drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after that many tasks."""
        self.drawn = int(state["drawn"])

    def _task(self, position: int) -> Task:
        return self.tasks[position % len(self.tasks)]


@dataclass(kw_only=True)
class Shuffled(Fixed):
    """Every task once in each epoch, in an order of its own that depends on `seed` and the number of the epoch alone.

    A step may span two epochs; within an epoch no task repeats.

    Args:
        tasks: at least one, with unique ids.
        count: how many for each step.
        seed: of the orders.
    """

    seed: int = 0
    _order: tuple[int, np.ndarray] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def epoch(self) -> int:
        """The epoch that the next task belongs to, from 0."""
        return self.drawn // len(self.tasks)

    def _task(self, position: int) -> Task:
        epoch, place = divmod(position, len(self.tasks))
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([self.seed, epoch]).permutation(len(self.tasks)))
        return self.tasks[int(self._order[1][place])]


def check_tasks(tasks: Sequence[Task], name: str) -> None:
    """Raise where there are no tasks, where one is not a `Task`, or where two share an id."""
    if len(tasks) == 0:
        raise ValueError(f"{name} is empty; give at least one Task")
    seen: set[str] = set()
    for index, task in enumerate(tasks):
        if not isinstance(task, Task):
            raise TypeError(f"{name}[{index}] must be a Task, got {type(task).__name__}")
        if task.id in seen:
            raise ValueError(f"{name}[{index}] has the id {task.id!r}, as an earlier one has; ids must be unique")
        seen.add(task.id)
