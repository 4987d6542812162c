"""Failure replay: a curriculum that mixes tasks that failed back in, until they are solved or given up.

By default the task is kept and not its old tokens, so a replayed task is attempted anew by the policy as it is, and no
importance weights are needed. After DeepTravel (Ning et al. 2025, arXiv 2509.21842); what its outline of the replay leaves
open is an option here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from rewardlab.training.curricula import Shuffled
from rewardlab.types import Scores, Task, Trajectory, group_indices

Enter = Literal["all_failed", "most_failed"]
Leave = Literal["solved", "mostly_solved"]
Order = Literal["random", "oldest", "most_tried"]
Store = Literal["query", "trajectory"]


@dataclass(slots=True)
class _Kept:
    """One task in the buffer: how often it was tried since it entered, when it entered, and its attempts where kept."""

    tries: int
    entered: int
    attempts: list[Trajectory]


@dataclass(kw_only=True)
class FailureReplay(Shuffled):
    """Tasks as `Shuffled` gives them, with tasks that failed mixed back in from a buffer.

    A task enters the buffer when the attempts at it fail, and leaves when it is solved, or after `max_tries` more groups
    of attempts; a task that was given up does not enter again, so that one which cannot be solved costs a bounded number of
    attempts. Attempts that could not be scored say nothing: a group without any scored attempt changes nothing.

    Args:
        tasks: at least one, with unique ids.
        count: how many for each step, replayed ones included.
        seed: of the orders, and of what is drawn from the buffer.
        every: each how many steps the buffer is drawn from.
        share: of the tasks of such a step, in (0, 1]; what the buffer cannot fill is filled with fresh tasks.
        success_at: lowest score of an attempt that succeeded.
        enter: a task enters when "all_failed", or "most_failed" (more than half), of its scored attempts.
        leave: it leaves when it is "solved" (by one attempt at least), or "mostly_solved" (by half of them).
        max_tries: groups of attempts after entering, until it is given up; None for no limit.
        capacity: most tasks in the buffer; the one that entered first makes room for a new one.
        order: which tasks are drawn: "random", the "oldest" entries first, or the "most_tried" first.
        store: "query" attempts a task anew; "trajectory" learns again from the attempts that failed, off-policy, which
            needs an objective that clips its ratios and `Trainer(rollout=replay.rolling(rollout))`.
        family: key of `Task.metadata` that says which family a task is of, for `per_family`.
        per_family: most tasks of one family in the buffer; more are turned away.

    Raises:
        ValueError: an option has an impossible value; the message says which are possible.
    """

    every: int = 4
    share: float = 0.5
    success_at: float = 1.0
    enter: Enter = "all_failed"
    leave: Leave = "solved"
    max_tries: int | None = 8
    capacity: int = 256
    order: Order = "random"
    store: Store = "query"
    family: str | None = None
    per_family: int | None = None

    _steps: int = field(default=0, init=False, repr=False)
    _buffer: dict[str, _Kept] = field(default_factory=dict, init=False, repr=False)
    _given_up: set[str] = field(default_factory=set, init=False, repr=False)
    _counts: dict[str, int] = field(default_factory=dict, init=False, repr=False)
    _due: set[str] = field(default_factory=set, init=False, repr=False)
    _rolls: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("every", 1), ("max_tries", 1), ("capacity", 1), ("per_family", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"share must be in (0, 1], got {self.share}; use curriculum 'shuffled' to replay nothing")
        for name, kind in (("enter", Enter), ("leave", Leave), ("order", Order), ("store", Store)):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}, got {getattr(self, name)!r}")
        if (self.family is None) != (self.per_family is None):
            raise ValueError(
                f"family and per_family go together, got family={self.family!r} and per_family={self.per_family!r}"
            )
        self._tasks = {task.id: task for task in self.tasks}

    # ---- the curriculum ---------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """How many tasks are in the buffer."""
        return len(self._buffer)

    def sample(self) -> list[Task]:
        """The next `count` tasks; in every `every`-th step, a share of them from the buffer."""
        self._steps += 1
        replayed: list[str] = []
        if self._steps % self.every == 0:
            replayed = self._draw(min(max(1, round(self.share * self.count)), len(self._buffer)))
            if replayed and self.store == "trajectory" and not self._rolls:
                raise RuntimeError(
                    'FailureReplay(store="trajectory") can only give old attempts back in the place of a rollout; pass '
                    'rollout=replay.rolling(rollout) to the trainer, or use store="query"'
                )
        self._due = set(replayed)
        fresh = self.count - len(replayed)
        chosen = [self._task(position) for position in range(self.drawn, self.drawn + fresh)]
        self.drawn += fresh
        self._count("sampled", self.count)
        self._count("replayed", len(replayed))
        return [*(self._tasks[name] for name in replayed), *chosen]

    def observe(self, trajectories: Sequence[Trajectory], scores: Scores) -> None:
        """Take note of which tasks failed, and which that had failed are solved."""
        for members in group_indices(trajectories):
            task = trajectories[int(members[0])].task
            values = scores.values[members][scores.scored[members]]
            if task is None or task.id not in self._tasks or not values.size:
                continue
            self._count("groups")
            self._count("equal_groups", int(values.size > 1 and np.ptp(values) == 0))
            succeeded = float((values >= self.success_at).mean())
            if task.id in self._buffer:
                self._tried(task.id, succeeded)
            elif task.id not in self._given_up and self._fails(succeeded):
                self._take_in(task, [trajectories[int(index)] for index in members])

    def rolling(self, rollout: Callable[..., list[Trajectory]]) -> Callable[..., list[Trajectory]]:
        """A rollout that gives the kept attempts of replayed tasks back, and attempts all others; for store="trajectory".

        The kept attempts have the log-probabilities of the policy that wrote them, so the objective must take ratios and
        clip them. Groups stay whole: a replayed task has as many attempts as it had when it failed.
        """
        self._rolls = True

        def replaying(policy: Any, environment: Any, tasks: Sequence[Task], **options: Any) -> list[Trajectory]:
            kept = [task.id in self._due and bool(self._buffer[task.id].attempts) for task in tasks]
            fresh = [task for task, old in zip(tasks, kept, strict=True) if not old]
            acted = rollout(policy, environment, fresh, **options) if fresh else []
            old = [one for task, is_old in zip(tasks, kept, strict=True) if is_old for one in self._attempts(task.id)]
            self._due = set()
            return [*old, *acted]

        return replaying

    def report(self) -> dict[str, float]:
        """What the buffer did so far.

        Returns:
            `size` and `age` (mean number of steps since the entries came in; 0 when empty); `entered`, `rescued` (solved
            after they had failed), `given_up` and `evicted` tasks; `replayed`, the share of the tasks given out that came
            from the buffer; `zero_variance`, the share of the groups whose attempts all got one score.
        """
        counts, ages = self._counts, [self._steps - kept.entered for kept in self._buffer.values()]
        return {
            "size": float(len(self._buffer)),
            "age": float(np.mean(ages)) if ages else 0.0,
            **{name: float(counts.get(name, 0)) for name in ("entered", "rescued", "given_up", "evicted")},
            "replayed": counts.get("replayed", 0) / max(1, counts.get("sampled", 0)),
            "zero_variance": counts.get("equal_groups", 0) / max(1, counts.get("groups", 0)),
        }

    def state_dict(self) -> dict[str, Any]:
        """How many tasks were given out, the buffer in its order, and the counts."""
        from rewardlab.storage.records import to_record

        return {
            **super().state_dict(),
            "steps": self._steps,
            "given_up": sorted(self._given_up),
            "counts": dict(self._counts),
            "buffer": [
                {
                    "task": name,
                    "tries": kept.tries,
                    "entered": kept.entered,
                    "attempts": [to_record(one) for one in kept.attempts],
                }
                for name, kept in self._buffer.items()
            ],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after that many tasks, with that buffer.

        Raises:
            ValueError: the buffer holds a task that this curriculum does not have.
        """
        from rewardlab.storage.records import from_record

        unknown = [entry["task"] for entry in state["buffer"] if entry["task"] not in self._tasks]
        if unknown:
            raise ValueError(
                f"the stored buffer holds task {unknown[0]!r}, which is not among the {len(self._tasks)} tasks of this "
                "curriculum; resume with the tasks that the run began with"
            )
        super().load_state_dict(state)
        self._steps = int(state["steps"])
        self._given_up = set(state["given_up"])
        self._counts = {name: int(count) for name, count in state["counts"].items()}
        self._buffer = {
            entry["task"]: _Kept(
                int(entry["tries"]), int(entry["entered"]), [from_record(record) for record in entry["attempts"]]
            )
            for entry in state["buffer"]
        }
        self._due = set()

    # ---- the buffer -------------------------------------------------------------------------------------------------

    def _fails(self, succeeded: float) -> bool:
        return succeeded == 0.0 if self.enter == "all_failed" else succeeded < 0.5

    def _draw(self, number: int) -> list[str]:
        names = list(self._buffer)
        if self.order == "random":
            draw = np.random.default_rng([self.seed, self._steps, 1]).permutation(len(names))[:number]
            return [names[int(place)] for place in draw]
        if self.order == "most_tried":
            names.sort(key=lambda name: -self._buffer[name].tries)  # stable: of equals, the oldest
        return names[:number]

    def _tried(self, name: str, succeeded: float) -> None:
        kept = self._buffer[name]
        kept.tries += 1
        if succeeded > 0.0 if self.leave == "solved" else succeeded >= 0.5:
            del self._buffer[name]
            self._count("rescued")
        elif self.max_tries is not None and kept.tries >= self.max_tries:
            del self._buffer[name]
            self._given_up.add(name)
            self._count("given_up")

    def _take_in(self, task: Task, attempts: list[Trajectory]) -> None:
        if self.family is not None and self.per_family is not None:
            key = self.family
            own = task.metadata.get(key)
            if sum(self._tasks[name].metadata.get(key) == own for name in self._buffer) >= self.per_family:
                self._count("turned_away")
                return
        if len(self._buffer) >= self.capacity:
            del self._buffer[next(iter(self._buffer))]
            self._count("evicted")
        self._buffer[task.id] = _Kept(0, self._steps, attempts if self.store == "trajectory" else [])
        self._count("entered")

    def _attempts(self, name: str) -> list[Trajectory]:
        """Copies of the kept attempts under a group of their own, since the task may be attempted afresh beside them."""
        group = f"{name}/replay/{self._buffer[name].tries}"
        return [replace(one, group=group) for one in self._buffer[name].attempts]

    def _count(self, name: str, by: int = 1) -> None:
        self._counts[name] = self._counts.get(name, 0) + by
