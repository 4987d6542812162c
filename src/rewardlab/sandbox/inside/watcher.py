"""One program from start to end: namespaces, limits, output, the clock and the kill.

The watcher stays outside the program's process namespace. Inside it, the *keeper* is process 1: when it ends, or is
killed, the kernel kills everything else in there, however often it forked or which session it hid in. The program itself
is a child of the keeper.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass
from typing import Any

from rewardlab.sandbox.inside import kernel
from rewardlab.sandbox.inside.frames import BrokenFrame, read_frame, write_frame
from rewardlab.sandbox.inside.keeper import keep

FOLDER = "/tmp/program"
LOOK_EVERY = 0.05
START_WITHIN = 20.0
LARGEST_REPORT = 4 * 2**20


@dataclass(frozen=True)
class Configuration:
    """What this worker has.

    Args:
        namespaces: whether it may make namespaces.
        below_tmp: what is bound below /tmp, and has to show through each program's own /tmp.
        work: where it makes scratch folders when it has no namespaces.
        processes_before: how many processes of this user the kernel counts before a program has started its first.
    """

    namespaces: bool
    below_tmp: list[str]
    work: str
    processes_before: int


class Sink:
    """Keeps the first `limit` bytes of a stream and counts the rest."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.kept = bytearray()
        self.dropped = 0

    def add(self, piece: bytes) -> None:
        """Take the next bytes."""
        room = self.limit - len(self.kept)
        self.kept += piece[:room]
        self.dropped += max(0, len(piece) - room)


def watch(job: dict[str, Any], jobs: int, configuration: Configuration) -> dict[str, Any]:
    """Run one job and say what became of it.

    Args:
        job: the program and its limits, as `rewardlab.sandbox.pool` sends them.
        jobs: where the questions of a job with tests come from, in a message of their own.
        configuration: what this worker has.

    Returns:
        `status` (None when the program ended by itself), `keeper` (wait status of process 1), `stdout`, `stderr`,
        `truncated`, `seconds`, `cpu_seconds` and `events` (what the keeper reported).
    """
    limits = job["limits"]
    limits["processes_before"] = configuration.processes_before
    folder = FOLDER
    if configuration.namespaces:
        kernel.unshare(kernel.NEW_PIDS | kernel.NEW_MOUNTS | kernel.NEW_IPC)
        _scratch(limits["file_mb"], configuration.below_tmp)
    else:
        kernel.adopt_orphans()
        folder = tempfile.mkdtemp(prefix="program-", dir=configuration.work)
    pipes = {name: os.pipe() for name in ("stdout", "stderr", "report")}
    questions = os.pipe()
    began = time.monotonic()
    keeper = os.fork()
    if not keeper:
        descriptors = {"questions": questions[0], **{name: ends[1] for name, ends in pipes.items()}}
        keep(job, folder, descriptors, in_session=not configuration.namespaces)
        os._exit(0)
    for _, write_end in pipes.values():
        os.close(write_end)
    os.close(questions[0])
    if configuration.namespaces:
        kernel.drop_capabilities()  # from here on we only read, count and kill
    if job["kind"] == "grade":
        _pass_on(read_frame(jobs), questions[1])  # after the fork: the tests are in no memory that the program inherits
    os.close(questions[1])
    sinks = {
        "stdout": Sink(limits["output_kb"] * 1024),
        "stderr": Sink(limits["output_kb"] * 1024),
        "report": Sink(LARGEST_REPORT),
    }
    status, began = _follow(
        {pipes[name][0]: sink for name, sink in sinks.items()}, sinks["report"], limits, began, keeper
    )
    _kill_all(keeper, configuration)
    seconds = time.monotonic() - began
    _, code, usage = os.wait4(keeper, 0)
    if not configuration.namespaces:
        _bury_orphans()
        shutil.rmtree(folder, ignore_errors=True)
    for name, sink in sinks.items():
        _drain(pipes[name][0], sink)
    events = parse_events(bytes(sinks["report"].kept))
    return {
        "status": status,
        "keeper": code,
        "events": events,
        "stdout": sinks["stdout"].kept.decode("utf-8", "replace"),
        "stderr": sinks["stderr"].kept.decode("utf-8", "replace"),
        "truncated": bool(sinks["stdout"].dropped or sinks["stderr"].dropped),
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }


def _scratch(megabytes: int, below_tmp: list[str]) -> None:
    """A fresh /tmp and /dev/shm in memory, which end with the program."""
    options = f"size={megabytes}m,nr_inodes=20000,mode=0777"
    kernel.mount("tmpfs", "/dev/shm", "tmpfs", kernel.NO_SETUID | kernel.NO_DEVICES, options)
    place = "/scratch" if below_tmp else "/tmp"
    kernel.mount("tmpfs", place, "tmpfs", kernel.NO_SETUID | kernel.NO_DEVICES, options)
    for path in below_tmp:
        target = place + path.removeprefix("/tmp")
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.isdir(path):
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
        kernel.mount(path, target, None, kernel.BIND | kernel.RECURSIVE)
    if below_tmp:
        kernel.mount(place, "/tmp", None, kernel.MOVE)
    os.mkdir(FOLDER)


def _pass_on(questions: Any, descriptor: int) -> None:
    try:
        write_frame(descriptor, questions)
    except BrokenPipeError:
        return  # the keeper is dead already; that shows when we look for its report


def parse_events(report: bytes) -> list[Any]:
    """The lines of a report; the last may be cut off where the keeper was killed while writing it."""
    events = []
    for line in report.split(b"\n")[:-1]:
        try:
            events.append(json.loads(line))
        except ValueError:
            raise BrokenFrame(f"the keeper reported {line[:80]!r}, which is not JSON") from None
    return events


def _follow(
    streams: dict[int, Sink], report: Sink, limits: dict[str, Any], began: float, keeper: int
) -> tuple[str | None, float]:
    """Read all streams to their end; returns early, with the reason, when a limit is reached."""
    deadline = began + START_WITHIN
    started = False
    look = began + LOOK_EVERY
    own_memory = _resident(os.getpid())
    with selectors.DefaultSelector() as selector:
        for descriptor in streams:
            selector.register(descriptor, selectors.EVENT_READ)
        while True:
            now = time.monotonic()
            if now >= deadline:
                return ("timeout" if started else "lost"), began
            if started and now >= look:
                look = now + LOOK_EVERY
                excess = _over_limits(limits, own_memory, keeper)
                if excess:
                    return excess, began
            for key, _ in selector.select(max(0.0, min(deadline, look) - now)):
                piece = os.read(key.fd, 2**18)
                sink = streams[key.fd]
                if piece:
                    sink.add(piece)
                    if not started and sink is report:
                        started, began = True, time.monotonic()  # the clock of the program starts with the program
                        deadline, look = began + limits["seconds"], began + LOOK_EVERY
                else:
                    selector.unregister(key.fd)
                    if sink is report:
                        return (
                            None,
                            began,
                        )  # the keeper is done: whoever still holds the other pipes is about to be killed


def _drain(descriptor: int, sink: Sink) -> None:
    """Take what still lies in a pipe whose writers are dead (or, without namespaces, may have escaped us)."""
    os.set_blocking(descriptor, False)
    try:
        while piece := os.read(descriptor, 2**18):
            sink.add(piece)
            if sink.dropped:
                return
    except BlockingIOError:
        return


def _over_limits(limits: dict[str, Any], own_memory: int, keeper: int) -> str | None:
    """Add up what the resource limits of single processes cannot: memory and number of all processes of the program."""
    processes = _descendants(keeper)
    if len(processes) > limits["processes"] + 4:
        return "processes"
    total = sum(max(0, _resident(process) - own_memory) for process in processes)
    return "memory" if total > limits["memory_mb"] * 2**20 else None


def _resident(process: int) -> int:
    """Bytes of memory that a process holds and that no file backs; 0 when it is gone."""
    total = 0
    try:
        with open(f"/proc/{process}/status", "rb") as file:
            for line in file:
                if line.startswith((b"RssAnon:", b"RssShmem:")):
                    total += int(line.split()[1]) * 1024
    except (OSError, ValueError):
        return 0
    return total


def _descendants(root: int) -> list[int]:
    """Every living process below `root`, and `root`; those that lost their parents in between are not among them."""
    parents: dict[int, list[int]] = {}
    try:
        entries = os.listdir("/proc")
    except OSError:
        return [root]
    for entry in entries:
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    state, parent = file.read().rpartition(b") ")[2].split()[:2]
            except (OSError, ValueError):
                continue
            if state != b"Z":
                parents.setdefault(int(parent), []).append(int(entry))
    found = [root]
    for process in found:
        found += parents.get(process, [])
    return found


def _kill_all(keeper: int, configuration: Configuration) -> None:
    """With namespaces one signal is enough; without them we kill the group, and then whatever else descends from us."""
    os.kill(keeper, signal.SIGKILL)
    if not configuration.namespaces:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the group is empty already
            os.killpg(keeper, signal.SIGKILL)


def _bury_orphans() -> None:
    """Kill and reap what the program left behind (only where there is no process namespace that does it)."""
    me = os.getpid()
    for _ in range(200):
        rest = [process for process in _descendants(me) if process != me]
        for process in rest:
            try:
                os.kill(process, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            if not rest:
                return
        time.sleep(0.005)
