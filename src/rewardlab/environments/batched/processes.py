"""Environments in worker processes: they compute while the policy does, and one that hangs is killed.

A process holds several environments and answers their calls one after another. When one of them hangs or takes the process
down, only its own attempt fails: the others are brought back in a new process by playing their actions again, which the
contract of environments allows (the same task, seed and actions give the same observations).
"""

from __future__ import annotations

import itertools
import multiprocessing
import pickle
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from rewardlab.environments.batched.calls import Call, Factory, Slot
from rewardlab.environments.batched.worker import IDLE, Order, serve

_SECONDS_TO_END = 2.0


class _Worker:
    """A process, and what was sent to it and not answered yet."""

    def __init__(self, team: ProcessTeam) -> None:
        context = team.context
        self.pending: dict[int, Call] = {}
        self.slots: dict[int, Slot] = {}
        self.numbers = itertools.count()
        self.lost: str | None = None
        self.inbox = context.Queue()
        self.progress = context.Array("d", [IDLE, 0.0], lock=False)
        self.outbox, sending = context.Pipe(duplex=False)
        self.process = context.Process(
            target=serve, args=(team.factory, self.inbox, sending, self.progress), daemon=True, name="environments"
        )
        self.process.start()
        sending.close()  # so that the end of the process is the end of the pipe
        threading.Thread(target=team.listen, args=(self,), daemon=True, name="environments").start()

    def send(self, calls: Sequence[Call], names: dict[int, int]) -> None:
        orders = []
        for call in calls:
            number = next(self.numbers)
            self.pending[number] = call
            orders.append(
                Order(
                    number=number,
                    slot=names[id(call.slot)],
                    action=call.action,
                    task=call.task,
                    seed=call.seed,
                    replay=call.replay,
                )
            )
        if orders:
            self.inbox.put(orders)

    def overdue(self, now: float) -> tuple[int | None, float]:
        """The order that has run over its limit, or None; and the seconds until the one under way does."""
        number, began = int(self.progress[0]), self.progress[1]
        call = self.pending.get(number)
        if call is None or call.limit is None:
            return None, float("inf")
        rest = began + call.limit - now
        return (number if rest <= 0 else None), rest

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.inbox.cancel_join_thread()
        self.inbox.close()


class ProcessTeam:
    """Worker processes that answer calls.

    Args:
        factory: makes an environment; it is sent to the processes, so it must be a class or function of a module, or a
            `functools.partial` of one.
        workers: how many processes.

    Raises:
        TypeError: the factory cannot be sent to another process.
    """

    def __init__(self, factory: Factory, workers: int) -> None:
        try:
            pickle.dumps(factory)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise TypeError(
                f"the environment's factory cannot be sent to worker processes: {error}; give a class or function of a "
                "module, or functools.partial of one, or leave processes out"
            ) from error
        self.factory = factory
        self.context: Any = multiprocessing.get_context("spawn")  # a fork of a process with threads can deadlock
        self._lock = threading.Lock()
        self._done = threading.Condition(self._lock)
        self._awaited: set[Call] = set()
        self._names: dict[int, int] = {}
        self._next = itertools.count()
        self._workers = [_Worker(self) for _ in range(workers)]

    def assign(self, slot: Slot) -> None:
        """Give a new slot to the process that holds the fewest."""
        with self._lock:
            slot.worker = min(range(len(self._workers)), key=lambda index: len(self._workers[index].slots))
            name = self._names[id(slot)] = next(self._next)
            self._workers[slot.worker].slots[name] = slot

    def submit(self, calls: Sequence[Call]) -> None:
        """Take in calls; returns at once."""
        with self._lock:
            for index, worker in enumerate(self._workers):
                worker.send([call for call in calls if call.slot.worker == index], self._names)

    def wait(self, calls: Iterable[Call]) -> None:
        """Wait until calls are answered, or have run over their limits."""
        with self._done:
            self._awaited = {call for call in calls if call.answer is None}
            while self._awaited:
                now = time.monotonic()
                rests = [call.limit for call in self._awaited if call.limit is not None]
                for index, worker in enumerate(self._workers):
                    number, rest = worker.overdue(now)
                    if worker.lost is not None or number is not None:
                        self._replace(index, number)
                    else:
                        rests.append(rest)
                if self._awaited:
                    shortest = min(rests, default=float("inf"))
                    self._done.wait(None if shortest == float("inf") else max(shortest, 0.0))

    def release(self, slot: Slot) -> str | None:
        """Close the environment of a slot; what it raises stays in its process."""
        with self._lock:
            worker = self._workers[slot.worker]
            name = self._names.pop(id(slot))
            worker.slots.pop(name, None)
            worker.inbox.put([Order(number=next(worker.numbers), slot=name)])
        return None

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.inbox.put(None)
        for worker in self._workers:
            worker.process.join(_SECONDS_TO_END)
            worker.end()

    def listen(self, worker: _Worker) -> None:
        """Take in what a process answers, until it ends."""
        while True:
            try:
                results = worker.outbox.recv()
            except (EOFError, OSError):
                reason = "its worker process died"
            except (pickle.UnpicklingError, AttributeError, ImportError, TypeError, ValueError) as error:
                reason = f"its answer cannot be read in this process: {error}"
            else:
                with self._done:
                    for number, answer in results:
                        call = worker.pending.pop(number, None)
                        if call is not None:
                            call.settle(answer)
                            self._awaited.discard(call)
                    if not self._awaited:
                        self._done.notify()
                continue
            with self._done:
                worker.lost = reason
                self._done.notify()
            return

    def _replace(self, index: int, overdue: int | None) -> None:
        """Put a new process in the place of one that hangs or died; the lock is held."""
        old = self._workers[index]
        old.end()
        under_way = int(old.progress[0])
        guilty = old.pending.pop(under_way, None) if overdue is None or under_way == overdue else None
        pending = list(old.pending.values())
        old.pending = {}
        if guilty is not None:
            died = f"the environment's {guilty.name} failed: {old.lost} (exit code {old.process.exitcode})"
            self._fail(guilty, died if overdue is None else guilty.too_long())
        elif (
            overdue is None
        ):  # it died between calls, as it does where the environment cannot be imported: no second try
            for call in pending:
                code = old.process.exitcode
                self._fail(call, f"the environment's {call.name} failed: {old.lost} (exit code {code})")
            pending = []
        worker = self._workers[index] = _Worker(self)
        worker.slots = old.slots
        begun = [slot for slot in old.slots.values() if slot.task is not None and not slot.spent]
        fresh = {id(call.slot) for call in pending if call.action is None}
        limits = {id(call.slot): call.limit for call in pending}
        lost = [
            Call(
                slot=slot,
                task=slot.task,
                seed=slot.seed,
                replay=tuple(slot.actions),
                limit=None if limits.get(id(slot)) is None else limits[id(slot)] * (len(slot.actions) + 1),  # type: ignore[operator]
            )
            for slot in begun
            if id(slot) not in fresh
        ]
        worker.send([*lost, *pending], self._names)

    def _fail(self, call: Call, reason: str) -> None:
        call.fail(reason)
        self._awaited.discard(call)
