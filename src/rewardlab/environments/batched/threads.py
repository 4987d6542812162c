"""Environments in threads of this process: one thread while they compute, several where they wait for others.

Threads of one interpreter do not compute at the same time, so more than one only helps environments that wait (network,
child processes) or that let go of the interpreter. Python cannot kill a thread: one that hangs is left alone with its
environment, and another takes its place.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence

from rewardlab.environments.batched.calls import Answer, Call, Factory, Slot, act, begin, caught

MOST_THREADS = 32


class _Runner:
    """A thread and what it is at."""

    def __init__(self) -> None:
        self.call: Call | None = None
        self.started = 0.0
        self.dismissed = False


class ThreadTeam:
    """Threads that answer calls.

    Args:
        factory: makes an environment.
        workers: how many threads; one when not given, until an environment says that it is `blocking`.
    """

    def __init__(self, factory: Factory, workers: int | None) -> None:
        self.factory = factory
        self._most = workers or 1
        self._grows = workers is None
        self._queue: deque[Call] = deque()
        self._awaited: set[Call] = set()
        self._runners: list[_Runner] = []
        self._idle = 0
        self._closed = False
        lock = threading.Lock()
        self._work = threading.Condition(lock)
        self._done = threading.Condition(lock)

    def assign(self, slot: Slot) -> None:
        """Prepare a new slot; threads share all of them."""

    def submit(self, calls: Sequence[Call]) -> None:
        """Take in calls; returns at once."""
        with self._work:
            self._queue.extend(calls)
            self._work.notify(len(calls))
            self._hire()

    def wait(self, calls: Iterable[Call]) -> None:
        """Wait until calls are answered, or have run over their limits."""
        with self._done:
            self._awaited = {call for call in calls if call.answer is None}
            while self._awaited:
                now = time.monotonic()
                rests = [call.limit for call in self._awaited if call.limit is not None]
                for runner in list(self._runners):
                    call = runner.call
                    if call is None or call.limit is None:
                        continue
                    rest = runner.started + call.limit - now
                    if rest > 0:
                        rests.append(rest)
                    else:
                        self._give_up(runner, call, now)
                if self._awaited:
                    self._done.wait(min(rests, default=None))

    def release(self, slot: Slot) -> str | None:
        """Close the environment of a slot; returns what it raised, or None."""
        environment, slot.environment = slot.environment, None
        return None if environment is None else caught(environment.close)[1]

    def close(self) -> None:
        """Let the threads go."""
        with self._work:
            self._closed = True
            self._work.notify_all()

    def _hire(self) -> None:
        """Start threads while calls wait for one; the lock is held."""
        while len(self._runners) < self._most and len(self._queue) > self._idle and not self._closed:
            runner = _Runner()
            self._runners.append(runner)
            self._idle += 1  # until it takes its first call
            threading.Thread(target=self._run, args=(runner,), daemon=True, name="environments").start()

    def _give_up(self, runner: _Runner, call: Call, now: float) -> None:
        """Leave a thread that hangs; the lock is held."""
        runner.dismissed = True
        self._runners.remove(runner)
        call.slot.environment = None  # the thread is still in it: it is neither used again nor closed
        call.fail(call.too_long(), now - runner.started)
        self._awaited.discard(call)
        self._hire()

    def _run(self, runner: _Runner) -> None:
        while True:
            with self._work:
                while not self._queue and not self._closed:
                    self._work.wait()
                self._idle -= 1
                if self._closed:
                    return
                call = self._queue.popleft()
                runner.call, runner.started = call, time.monotonic()
            environment = call.slot.environment
            if call.action is not None and environment is not None:
                answer = act(environment, call.action)
            elif call.action is not None:
                answer = Answer(failure="the environment was never reset")
            else:
                assert call.task is not None  # a call without an action begins a task
                environment, answer = begin(environment, self.factory, call.task, call.seed)
            with self._work:
                runner.call = None
                if runner.dismissed:
                    return
                self._idle += 1
                call.slot.environment = environment
                call.settle(answer)
                if answer.blocking and self._grows:
                    self._most, self._grows = MOST_THREADS, False
                    self._hire()
                self._awaited.discard(call)
                if not self._awaited:
                    self._done.notify()
