"""Actors that work while a learner waits for them only so long: which attempts reach an update, and which are lost.

`AsyncLoop` sits in the loop's rollout seat. Time is a `SimulatedClock`, moved by what each attempt took (the seconds that an
environment with a clock of its own reports, else the measured ones), so a schedule of hours is tried in as long as its
attempts really need, and repeats exactly. Attempts are made in this process, in batches; the schedule is simulated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from rewardlab.environments.timing import action_seconds
from rewardlab.functional.durations import check_seconds, completion_probability
from rewardlab.training.seats import derived_seed
from rewardlab.types import Task, Trajectory

Unfinished = Literal["carry", "drop", "first_b"]


@dataclass(slots=True)
class SimulatedClock:
    """A clock that goes when it is told to.

    Args:
        now: seconds.
    """

    now: float = 0.0

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ValueError: it would go back.
        """
        if not seconds >= 0:
            raise ValueError(f"a clock does not go back, got {seconds} seconds")
        self.now += seconds


@dataclass(slots=True)
class _Job:
    """An attempt that an actor works on."""

    trajectory: Trajectory
    seconds: float
    left: float
    """Seconds of it that are still to be done."""
    available: float
    """Seconds from its start until it would be lost."""
    window: int
    actor: int


@dataclass(kw_only=True)
class AsyncLoop:
    """A rollout with a window: actors attempt tasks one after another, and what is finished in the window is learned from.

    Give it to `Trainer(rollout=AsyncLoop(...))`. The tasks of a step, each `group_size` times, stand in a queue that begins
    again at its end, so that actors never idle. Every trajectory gets `seconds`, a `group` (its task's id) and
    `info["window"]`: `available` (seconds that there were for it, from its start until it would have been lost),
    `completion` (the share of all starts so far that had enough time for an attempt of its length), `staleness` (windows ago
    that it was started), `unfinished` and `max_staleness`. Greedy attempts are an evaluation: they are made once for
    each task and member, without windows.

    Args:
        actors: how many work at once.
        window: seconds until the learner takes what is finished. Not used by "first_b".
        unfinished: what becomes of the rest: actors "carry" on with it after the update, "drop" it and begin anew with the
            new weights, or every actor makes one attempt and the "first_b" to finish are kept.
        batch: how many the learner waits for, with "first_b".
        max_staleness: with "carry", attempts that were started more windows ago are dropped; None for no limit.
        clock: which clock is moved.
        memory: starts that the completion shares are taken over.
        ahead: attempts are made in batches that are at least this share of those made so far in the window, so that many
            short ones do not take many batches. What is made and not needed is thrown away; 0 makes nothing ahead.
        rollout: what makes attempts; that of `rewardlab.policies` when not given.

    Attributes:
        report: numbers of the last window: `started`, `finished`, `dropped`, `stale`, `seconds` (that the window took) and
            `completion_fast`, ..., `completion_slow` (share finished, by quarter of the lengths of what was started).

    Carried attempts are kept in memory alone: a training that is resumed begins with idle actors.

    Raises:
        ValueError: an option is impossible, or does not go with `unfinished`.
    """

    actors: int = 16
    window: float = 60.0
    unfinished: Unfinished = "drop"
    batch: int | None = None
    max_staleness: int | None = None
    clock: SimulatedClock = field(default_factory=SimulatedClock)
    memory: int = 4096
    ahead: float = 0.25
    rollout: Callable[..., list[Trajectory]] | None = None
    report: dict[str, float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if self.unfinished not in get_args(Unfinished):
            raise ValueError(f"unfinished must be one of {', '.join(get_args(Unfinished))}, got {self.unfinished!r}")
        if self.actors < 1 or not self.window > 0 or self.memory < 1 or self.ahead < 0:
            raise ValueError("actors, window and memory must be positive, and ahead at least 0")
        if self.unfinished == "first_b" and (self.batch is None or not 1 <= self.batch <= self.actors):
            raise ValueError(
                f'unfinished="first_b" needs batch=, from 1 to {self.actors} (the actors), got {self.batch}'
            )
        if self.max_staleness is not None and (self.unfinished != "carry" or self.max_staleness < 0):
            raise ValueError('max_staleness is a number of windows, at least 0, and goes with unfinished="carry"')
        self._running: dict[int, _Job] = {}
        self._starts: deque[float] = deque(maxlen=self.memory)
        self._windows = 0

    def __call__(
        self,
        policy: Any,
        environment: Callable[[], Any],
        tasks: Sequence[Task],
        *,
        group_size: int = 1,
        seed: int = 0,
        **options: Any,
    ) -> list[Trajectory]:
        """The attempts that are finished in one window.

        Raises:
            ValueError: there are no tasks, or an attempt has no seconds.
        """
        rollout = self._rollout()
        if getattr(options.get("sampling"), "temperature", 1.0) == 0:
            return rollout(policy, environment, tasks, group_size=group_size, seed=seed, **options)
        if not tasks:
            raise ValueError("an asynchronous rollout needs tasks, got none")
        jobs = [task for task in tasks for _ in range(group_size)]
        self._windows += 1
        make = self._maker(rollout, policy, environment, jobs, seed, options)
        finished, started = self._first(make) if self.unfinished == "first_b" else self._window(make)
        self._starts.extend(job.available for job in started)
        used = finished
        if self.max_staleness is not None:
            used = [job for job in finished if self._windows - job.window <= self.max_staleness]
        if used:
            chances = completion_probability([job.seconds for job in used], list(self._starts))
            for job, chance in zip(used, chances, strict=True):
                self._mark(job, float(chance))
        self._measure(started, finished, len(finished) - len(used))
        return [job.trajectory for job in used]

    # ---- windows ----------------------------------------------------------------------------------------------------

    def _window(self, make: Callable[[int], list[Trajectory]]) -> tuple[list[_Job], list[_Job]]:
        """What is finished within the window, and what was started in it."""
        finished: list[_Job] = []
        started: list[_Job] = []
        times = dict.fromkeys(range(self.actors), 0.0)
        for actor, job in list(self._running.items()):
            times[actor] = min(job.left, self.window)
            if job.left <= self.window + 1e-9:
                finished.append(self._running.pop(actor))
            job.left -= times[actor]
        longer = 0.0 if self.max_staleness is None else self.max_staleness * self.window
        if self.unfinished == "carry" and self.max_staleness is None:
            longer = float("inf")
        while idle := [actor for actor, time in times.items() if time < self.window - 1e-9]:
            for actor, trajectory in zip(idle, make(len(idle)), strict=True):
                room = self.window - times[actor]
                job = self._job(trajectory, room + longer, actor)
                started.append(job)
                times[actor] += job.seconds
                if job.seconds <= room + 1e-9:  # what adds up to a whole window is within it
                    finished.append(job)
                elif self.unfinished == "carry":
                    job.left = job.seconds - room
                    self._running[actor] = job
        self.clock.advance(self.window)
        return finished, started

    def _first(self, make: Callable[[int], list[Trajectory]]) -> tuple[list[_Job], list[_Job]]:
        """The first to finish of one attempt for each actor."""
        started = [self._job(trajectory, np.inf, actor) for actor, trajectory in enumerate(make(self.actors))]
        order = sorted(started, key=lambda job: (job.seconds, job.actor))
        assert self.batch is not None
        finished = order[: self.batch]
        end = finished[-1].seconds
        for job in started:
            job.available = end
        self.clock.advance(end)
        return finished, started

    def _job(self, trajectory: Trajectory, available: float, actor: int) -> _Job:
        taken = action_seconds(trajectory)
        if taken is None or (len(trajectory) and taken.size != len(trajectory)):
            raise ValueError("an attempt has no seconds, so that it cannot be placed in a window")
        seconds = float(check_seconds(taken).sum()) if len(trajectory) else 0.0
        trajectory.seconds = taken
        return _Job(trajectory, max(seconds, 1e-6), max(seconds, 1e-6), available, self._windows, actor)

    def _rollout(self) -> Callable[..., list[Trajectory]]:
        if self.rollout is not None:
            return self.rollout
        from rewardlab.policies.rollout import rollout

        return rollout

    def _maker(
        self, rollout: Any, policy: Any, environment: Any, jobs: list[Task], seed: int, options: dict[str, Any]
    ) -> Callable[[int], list[Trajectory]]:
        """A function that attempts the next tasks of the queue; each batch has a seed of its own."""
        made, rounds = 0, 0
        waiting: deque[Trajectory] = deque()

        def make(count: int) -> list[Trajectory]:
            nonlocal made, rounds
            if len(waiting) < count:
                fresh = max(count - len(waiting), int(self.ahead * made))
                chosen = [jobs[(made + place) % len(jobs)] for place in range(fresh)]
                made, rounds = made + fresh, rounds + 1
                attempts: list[Trajectory] = rollout(
                    policy, environment, chosen, group_size=1, seed=derived_seed(seed, "round", rounds), **options
                )
                for trajectory, task in zip(attempts, chosen, strict=True):
                    trajectory.group = task.id
                waiting.extend(attempts)
            return [waiting.popleft() for _ in range(count)]

        return make

    def _mark(self, job: _Job, completion: float) -> None:
        job.trajectory.info["window"] = {
            "available": float(job.available),
            "completion": completion,
            "staleness": self._windows - job.window,
            "unfinished": self.unfinished,
            "max_staleness": self.max_staleness,
        }

    def _measure(self, started: list[_Job], finished: list[_Job], stale: int) -> None:
        lengths = np.array([job.seconds for job in started])
        over = {id(job) for job in finished}
        done = np.array([id(job) in over for job in started], dtype=np.bool_)
        self.report = {
            "started": float(len(started)),
            "finished": float(len(finished)),
            "dropped": float(len(started) - done.sum()) if self.unfinished != "carry" else 0.0,
            "stale": float(stale),
            "seconds": self.clock.now,
        }
        names = ("fast", "medium_fast", "medium_slow", "slow")
        quarters = np.array_split(done[np.argsort(lengths, kind="stable")], 4)
        self.report |= {
            f"completion_{name}": float(part.mean()) for name, part in zip(names, quarters, strict=True) if part.size
        }
