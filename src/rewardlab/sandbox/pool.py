"""The sandbox as it is used: a set of workers behind one queue.

Jobs wait in the queue, not in a worker, so that waiting never counts against a program's time. A worker that ends under a
program is replaced and the program tried once more; if that one ends too, the result is `lost`.
"""

from __future__ import annotations

import atexit
import os
import queue
import signal
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from rewardlab.sandbox.inside.remote import Caught
from rewardlab.sandbox.isolation import Setting
from rewardlab.sandbox.results import (
    Examination,
    Isolation,
    Limits,
    Program,
    ProgramStatus,
    Report,
    Result,
    TestOutcome,
)
from rewardlab.sandbox.worker import Worker, WorkerDied, find_setting

_Job = tuple[list[dict[str, Any]], "Future[dict[str, Any]]"]


class Sandbox:
    """Runs programs in workers that start when they are first needed and end with this process.

    Args:
        workers: how many programs run at once; None for the number of cores.
        isolation: `auto` takes bubblewrap where it works and a plain process elsewhere (each result says which);
            `bubblewrap` refuses to go on without; `subprocess` never isolates.
        limits: for programs that bring none of their own.
        packages: let programs import the packages that are installed here, besides the standard library.
        preload: modules to import once, before any program (`("numpy",)` saves each program its import).
        binds: further paths that programs can read, such as a folder of tools. Where this process is root, programs are not:
            what they read must be readable by every user.
        recycle: programs after which a worker is replaced by a fresh one.

    Raises:
        SandboxUnavailable: at the first program, when bubblewrap was demanded and does not work here.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        isolation: Isolation = "auto",
        limits: Limits | None = None,
        packages: bool = False,
        preload: Iterable[str] = (),
        binds: Iterable[str] = (),
        recycle: int = 2000,
    ) -> None:
        count = _cores() if workers is None else workers
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"workers must be a positive whole number or None, got {workers!r}")
        if isolation not in ("auto", "bubblewrap", "subprocess"):
            raise ValueError(f"isolation must be 'auto', 'bubblewrap' or 'subprocess', got {isolation!r}")
        if recycle < 1:
            raise ValueError(f"recycle must be at least 1, got {recycle}")
        self.workers = count
        self.isolation = isolation
        self.limits = limits or Limits()
        self.options: dict[str, Any] = {"packages": packages, "preload": tuple(preload), "binds": tuple(binds)}
        self.recycle = recycle
        self.reason = ""
        """Why programs are not isolated; empty when they are, or when none has run yet."""
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._setting: Setting | None = None
        self._started = 0
        self._closed = False

    # ---- what users call --------------------------------------------------------------------------------------------

    def run(self, program: str | Program, **options: Any) -> Result:
        """Run one program; `options` are those of `Program`, for source text."""
        return self.run_many([as_program(program, options)])[0]

    def run_many(self, programs: Iterable[Program]) -> list[Result]:
        """Run programs on all workers; results in the order of the programs."""
        jobs = [(program, [program.to_json(self.limits)]) for program in programs]
        return [_result(reply, self.isolated) for reply in self._replies([messages for _, messages in jobs])]

    def examine(self, examination: Examination) -> Report:
        """Put one program through its tests."""
        return self.examine_many([examination])[0]

    def examine_many(self, examinations: Iterable[Examination]) -> list[Report]:
        """Put programs through their tests on all workers; reports in the order of the examinations."""
        batch = list(examinations)
        replies = self._replies([list(examination.to_json(self.limits)) for examination in batch])
        return [_report(reply, one, self.isolated) for reply, one in zip(replies, batch, strict=True)]

    @property
    def isolated(self) -> bool:
        """Whether programs are isolated; finds out on first use.

        Raises:
            SandboxUnavailable: bubblewrap was demanded and does not work here.
        """
        return self._find_setting().bubblewrap

    @property
    def started(self) -> int:
        """How many worker processes have been started so far, replacements among them."""
        return self._started

    def close(self) -> None:
        """End all workers; waits for programs that are running. A closed sandbox runs no more programs."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, []
            for _ in threads:
                self._jobs.put(None)
        if self._owner == os.getpid():
            for thread in threads:
                thread.join()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- workers ----------------------------------------------------------------------------------------------------

    def _find_setting(self) -> Setting:
        if self._setting is None:
            self._setting, self.reason = find_setting(self.isolation, **self.options)
        return self._setting

    def _replies(self, jobs: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
        if not jobs:
            return []
        self._find_setting()
        waiting: list[Future[dict[str, Any]]] = []
        with self._lock:
            if self._owner != os.getpid():  # we were forked: the threads and pipes of our parent are not ours
                self._jobs, self._threads, self._owner = queue.SimpleQueue(), [], os.getpid()
            if self._closed:
                raise RuntimeError("this sandbox is closed; make another one")
            while len(self._threads) < min(self.workers, len(jobs)):
                thread = threading.Thread(target=self._work, args=(self._jobs,), name="sandbox", daemon=True)
                self._threads.append(thread)
                thread.start()
            for messages in jobs:
                waiting.append(Future())
                self._jobs.put((messages, waiting[-1]))
        try:
            return [future.result() for future in waiting]
        finally:
            for future in waiting:
                future.cancel()  # after an interruption nobody waits for the rest

    def _work(self, jobs: queue.SimpleQueue[_Job | None]) -> None:
        """One thread: takes jobs and puts them to its own worker process."""
        worker: Worker | None = None
        while (job := jobs.get()) is not None:
            messages, future = job
            if not future.set_running_or_notify_cancel():
                continue
            with Caught() as caught:  # raised again where the result is waited for; this thread goes on
                worker, reply = self._one(worker, messages)
                future.set_result(reply)
            if caught.error is not None:
                worker = None
                future.set_exception(caught.error)
        if worker is not None:
            worker.close()

    def _one(self, worker: Worker | None, messages: list[dict[str, Any]]) -> tuple[Worker | None, dict[str, Any]]:
        reason = ""
        for _ in range(2):
            if worker is not None and worker.programs >= self.recycle:
                worker.close()
                worker = None
            if worker is None:
                worker = Worker(self._find_setting())
                self._started += 1
            try:
                return worker, worker.run(messages, messages[0]["limits"]["seconds"])
            except WorkerDied as error:
                reason = str(error)
                worker.close(broken=True)
                worker = None
        # with a process namespace a program cannot reach its worker: then this is our failure, else it may be its doing
        status = "lost" if self.isolated else "killed"
        return None, {"status": status, "reason": f"two workers ended under this program; the last: {reason}"}


def as_program(program: str | Sequence[str] | Program, options: dict[str, Any]) -> Program:
    """A program from source text, from an executable with its arguments, or as it is.

    Raises:
        TypeError: options were given for what is a `Program` already.
    """
    if isinstance(program, Program):
        if options:
            raise TypeError(f"{', '.join(options)} belong to the Program, which is made already; set them there")
        return program
    return Program(code=program, **options) if isinstance(program, str) else Program(argv=program, **options)


_shared: dict[tuple[Any, ...], Sandbox] = {}
_shared_lock = threading.Lock()


def shared(workers: int | None = None, *, isolation: Isolation = "auto", packages: bool = False) -> Sandbox:
    """The sandbox of this process with these options, made on first use and closed at exit."""
    key = (os.getpid(), workers, isolation, packages)
    with _shared_lock:
        if key not in _shared:
            if not _shared:
                atexit.register(_close_shared, os.getpid())
            _shared[key] = Sandbox(workers, isolation=isolation, packages=packages)
        return _shared[key]


def _close_shared(owner: int) -> None:
    if os.getpid() == owner:
        for sandbox in _shared.values():
            sandbox.close()
        _shared.clear()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---- replies as results ----------------------------------------------------------------------------------------------


def _result(reply: dict[str, Any], isolated: bool) -> Result:
    events = reply.get("events", [])
    exits = [event["exit"] for event in events if "exit" in event]
    return _with_status(reply, isolated, exits[-1] if exits else None, expected=bool(exits))


def _with_status(reply: dict[str, Any], isolated: bool, exit_status: int | None, *, expected: bool) -> Result:
    """Name what happened: a limit that the watcher saw first, then how the program ended."""
    stderr = reply.get("stderr", "")
    status: ProgramStatus = reply["status"]
    reason = reply.get("reason", "")
    returncode = None
    if status == "timeout":
        reason = "wall time"
    elif status is None and not expected:
        # in a process namespace nobody but us can end the keeper; without one the program can, and must not gain by it
        status, reason = (
            ("lost" if isolated else "killed"),
            f"no report of its end: {stderr[-500:].strip() or '(silence)'}",
        )
    elif status is None and exit_status is not None:
        returncode = os.waitstatus_to_exitcode(exit_status)
        status = "ok" if returncode == 0 else "error"
        if returncode in (-signal.SIGXCPU, -signal.SIGKILL) and returncode < 0:
            status = "timeout" if returncode == -signal.SIGXCPU else "killed"
            reason = "processor time" if status == "timeout" else "it was killed by a signal (9)"
        elif returncode < 0:
            status, reason = "killed", f"it was killed by a signal ({-returncode})"
        elif status == "error" and stderr.rstrip().rpartition("\n")[2].startswith("MemoryError"):
            status, reason = "memory", "MemoryError"
    elif status is None:
        status = "ok"
    return Result(
        status=status,
        returncode=returncode,
        stdout=reply.get("stdout", ""),
        stderr=stderr,
        seconds=reply.get("seconds", 0.0),
        cpu_seconds=reply.get("cpu_seconds", 0.0),
        isolated=isolated,
        truncated=reply.get("truncated", False),
        reason=reason,
    )


def _report(reply: dict[str, Any], examination: Examination, isolated: bool) -> Report:
    events = reply.get("events", [])
    by_name = {name: event for event in events for name in event}
    tests = tuple(
        TestOutcome(
            passed=event["passed"],
            error=event.get("error", ["", ""])[0],
            message=event.get("error", ["", ""])[1],
            line=event.get("line", ""),
        )
        for event in events
        if "test" in event
    )
    for event in events:  # a script with very many assert statements: the rest as numbers
        if "more" in event:
            tests += (TestOutcome(passed=True),) * event["more"] + (TestOutcome(passed=False),) * event["more_failed"]
    gone, broken = by_name.get("gone"), by_name.get("broken")
    finished = "done" in by_name and broken is None and reply["status"] is None
    expected = any(name in by_name for name in ("done", "gone", "bad_tests"))
    result = _with_status(reply, isolated, gone["gone"] if gone else None, expected=expected)
    failed = [test for test in tests if not test.passed]
    error, message = (broken or {}).get("error") or ((failed[0].error, failed[0].message) if failed else ("", ""))
    if not error and gone:
        error, message = "ProgramGone", result.reason or gone["reason"]
    if error == "MemoryError" and result.status in ("ok", "error"):
        result = _replace_status(result, "memory", "MemoryError")
    known = (
        by_name["count"]["count"] if "count" in by_name else len(examination.cases) + (examination.check is not None)
    )
    return Report(
        result=result,
        compiled=None if not by_name.keys() & {"broken", "loaded"} else not (broken and broken["broken"] == "compile"),
        tests=tests,
        count=max(known, len(tests) + (not finished)),  # what ended early did not pass what it never reached
        finished=finished,
        error=error,
        message=message,
        bad_tests=by_name["bad_tests"]["bad_tests"] if "bad_tests" in by_name else None,
    )


def _replace_status(result: Result, status: ProgramStatus, reason: str) -> Result:
    return replace(result, status=status, reason=reason)
