"""A pool of environments: what rollouts step many environments with, and what a user gives to say how.

A pool is itself a factory, so it stands wherever an environment's class does. Rollouts that are given a plain factory make a
pool of their own for as long as they run; one that is given by hand stays open between rollouts, with its worker processes
and the environments that attempts have left behind.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Sequence
from typing import Any

from rewardlab.environments.base import Environment
from rewardlab.environments.batched.calls import Call, Factory, Slot
from rewardlab.environments.batched.processes import ProcessTeam
from rewardlab.environments.batched.threads import ThreadTeam
from rewardlab.types import Message, Task

_log = logging.getLogger(__name__)


class EnvironmentPool:
    """Steps many environments at once.

    Args:
        factory: makes an environment: a class, or a function without arguments.
        workers: how many threads or processes. Threads when not given: one, and 32 for environments that are `blocking`;
            processes when not given: one for each processor but one, which is the policy's.
        processes: whether worker processes hold the environments, for those that compute for a millisecond or more a step,
            and for those that may hang for good: a process can be killed, a thread cannot. The factory is then sent to
            them, so it must belong to a module. Scripts that start processes need `if __name__ == "__main__":`.
        reuse: whether the next attempt begins in an environment that an earlier one has left. Where it raised or ran over
            its time, a new one is made in any case.
        overlap: whether a rollout acts for one half of the conversations while environments answer the other half. That
            gains where environments take about as long as generating does, and costs where they are quick, since two small
            batches are slower than a large one.

    Raises:
        TypeError: the factory is not callable, or cannot be sent to worker processes.
        ValueError: `workers` is not positive.
    """

    def __init__(
        self,
        factory: Factory,
        *,
        workers: int | None = None,
        processes: bool = False,
        reuse: bool = True,
        overlap: bool = False,
    ) -> None:
        if isinstance(factory, Environment) or not callable(factory):
            raise TypeError(
                f"environment must be a factory that makes one for each attempt, got {factory!r:.80}; "
                "give the class, or functools.partial(Class, option=...)"
            )
        if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
            raise ValueError(
                f"workers must be a whole number of at least 1, got {workers!r}; leave it out for a default"
            )
        self.factory, self.workers, self.processes = factory, workers, processes
        self.reuse, self.overlap = reuse, overlap
        self.waited = 0.0
        """Seconds that callers have waited for environments so far."""
        self._team: ThreadTeam | ProcessTeam | None = None
        self._left: list[Slot] = []

    def __call__(self) -> Environment:
        """An environment of the caller's own, outside the pool."""
        return self.factory()

    def __enter__(self) -> EnvironmentPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        # what goes to another process is how to make it, not the threads
        return {**self.__dict__, "_team": None, "_left": [], "waited": 0.0}

    def take(self) -> Slot:
        """A place for one environment, which is made when its first attempt begins."""
        if self._left:
            return self._left.pop()
        slot = Slot()
        self._started().assign(slot)
        return slot

    def give_back(self, slots: Iterable[Slot]) -> None:
        """Return places whose attempts are over."""
        for slot in slots:
            if self.reuse and not slot.spent:
                slot.task, slot.actions = None, []  # nothing to bring back, should its process die
                self._left.append(slot)
            else:
                self._release(slot)

    def reset(self, begun: Sequence[tuple[Slot, Task, int]], seconds: float | None = None) -> list[Call]:
        """Begin attempts: slot, task and seed of each, and the most seconds that one may take. Returns at once."""
        calls = [Call(slot=slot, task=task, seed=seed, limit=seconds) for slot, task, seed in begun]
        self._started().submit(calls)
        return calls

    def step(self, actions: Sequence[tuple[Slot, Message]], seconds: float | None = None) -> list[Call]:
        """Let environments answer actions; `seconds` is the most that one may take. Returns at once."""
        calls = [Call(slot=slot, action=action, limit=seconds) for slot, action in actions]
        self._started().submit(calls)
        return calls

    def wait(self, calls: Sequence[Call]) -> None:
        """Wait until calls have their answers; one that takes too long is answered with a failure."""
        began = time.perf_counter()
        try:
            self._started().wait(calls)
        finally:
            self.waited += time.perf_counter() - began

    def close(self) -> None:
        """Close the environments that wait for an attempt, and end threads and processes. A later call starts anew."""
        if self._team is None:
            return
        while self._left:
            self._release(self._left.pop())
        self._team.close()
        self._team = None

    def _started(self) -> ThreadTeam | ProcessTeam:
        if self._team is None:
            if self.processes:
                self._team = ProcessTeam(self.factory, self.workers or max(1, (os.cpu_count() or 2) - 1))
            else:
                self._team = ThreadTeam(self.factory, self.workers)
        return self._team

    def _release(self, slot: Slot) -> None:
        reason = self._started().release(slot)
        if reason is not None:
            _log.warning("an environment raised while closing: %s", reason)
