"""One worker: a sandboxed process that runs one program after another, and how it is talked to.

A worker belongs to one thread, which starts it, uses it and ends it: the kernel kills it when that very thread ends, so
that no worker outlives us, however we end.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import subprocess
import tempfile
import threading
import time
from typing import Any

from rewardlab.sandbox import isolation
from rewardlab.sandbox.inside.frames import BrokenFrame, frame, read_frame, write_all, write_frame
from rewardlab.sandbox.isolation import Setting
from rewardlab.sandbox.results import SandboxUnavailable

READY_WITHIN = 60.0
GRACE = 30.0


class WorkerDied(Exception):
    """The worker ended, or did not answer long after its program should have been stopped."""


class Worker:
    """A running sandbox process.

    Raises:
        SandboxUnavailable: it could not be started; the message holds what it said.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.programs = 0
        self.scratch = isolation.scratch_folder()
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the worker
        try:
            self.process = isolation.start(setting, self.scratch.name, self.errors)
        except OSError as error:
            self._clean_up()
            raise SandboxUnavailable(f"the sandbox could not be started: {error}") from error
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.to_worker, self.from_worker = self.process.stdin.fileno(), self.process.stdout.fileno()
        settings = {
            "packages": isolation.package_folders() if setting.packages else [],
            "preload": list(setting.preload),
            "watcher": {
                "namespaces": setting.bubblewrap,
                "below_tmp": [path for path in isolation.visible_paths(setting) if path.startswith("/tmp/")],
                "work": self.scratch.name,
                # inside: the zygote, the watcher and the keeper; else whatever this user runs now
                "processes_before": 3 if setting.bubblewrap else _own_processes() + 64,
            },
        }
        try:
            write_frame(self.to_worker, settings)
            self.hello = self._read(READY_WITHIN)
        except (WorkerDied, BrokenPipeError) as error:
            said = self.said().rpartition("\n")[2]
            self.close(broken=True)
            raise SandboxUnavailable(f"the sandbox could not be started: {said or error}") from error

    def run(self, messages: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
        """Run one job, which is one message or two, and wait for the reply.

        Raises:
            WorkerDied: there is none; the worker must not be used any more.
        """
        self.programs += 1
        try:
            data = b"".join(frame(message) for message in messages)
        except BrokenFrame as error:
            return {"status": "lost", "reason": f"the program and its tests cannot be sent: {error}"}
        try:
            write_all(self.to_worker, data)
        except BrokenPipeError:
            raise WorkerDied(f"the worker has ended: {self.said()}") from None
        reply = self._read(seconds + GRACE)
        if not isinstance(reply, dict):
            raise WorkerDied(f"the worker replied {reply!r:.80}")
        return reply

    def _read(self, within: float) -> Any:
        deadline = time.monotonic() + within
        if not select.select([self.from_worker], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise WorkerDied(f"the worker did not answer within {within:.0f} s")
        try:
            return read_frame(self.from_worker)
        except (EOFError, BrokenFrame) as error:
            raise WorkerDied(f"the worker has ended ({error}): {self.said()}") from None

    def said(self) -> str:
        """The end of what the worker wrote to its standard error."""
        size = self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(0, size - 2000))
        return self.errors.read().decode("utf-8", "replace").strip()

    def close(self, *, broken: bool = False) -> None:
        """End the worker and everything in it: by closing its pipe, on which it ends, or by force where it is broken."""
        if not broken and self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=2)
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self._clean_up()

    def _clean_up(self) -> None:
        self.errors.close()
        self.scratch.cleanup()


def _own_processes() -> int:
    """How many processes and threads of this user there are, as the limit on them counts; 0 where it cannot be told."""
    user, count = os.getuid(), 0
    try:
        entries = os.listdir("/proc")
    except OSError:
        return 0
    for entry in entries:
        if entry.isdigit():
            try:
                if os.stat(f"/proc/{entry}").st_uid == user:
                    count += len(os.listdir(f"/proc/{entry}/task"))
            except OSError:
                continue
    return count


@functools.cache
def bubblewrap_setting(packages: bool, preload: tuple[str, ...], binds: tuple[str, ...]) -> Setting | str:
    """A setting with which bubblewrap works here, found by starting it; or why there is none."""
    if isolation.bubblewrap_path() is None:
        return "bubblewrap is not installed (Debian and Ubuntu: apt-get install bubblewrap); it needs Linux"
    reasons = []
    for unprivileged in (True, False) if os.getuid() == 0 else (False,):
        setting = Setting(bubblewrap=True, unprivileged=unprivileged, packages=packages, preload=preload, binds=binds)
        try:
            Worker(setting).close()
        except SandboxUnavailable as error:
            reasons.append(str(error))
            continue
        return setting
    return "bubblewrap is installed, but does not work here: " + "; ".join(dict.fromkeys(reasons))


_lock = threading.Lock()


def find_setting(
    mechanism: str, *, packages: bool = False, preload: tuple[str, ...] = (), binds: tuple[str, ...] = ()
) -> tuple[Setting, str]:
    """The setting for an `isolation=` option, and why it does not isolate (empty when it does).

    Raises:
        SandboxUnavailable: bubblewrap was demanded and does not work here.
        ValueError: the option is unknown.
    """
    if mechanism not in ("auto", "bubblewrap", "subprocess"):
        raise ValueError(f"isolation must be 'auto', 'bubblewrap' or 'subprocess', got {mechanism!r}")
    plain = Setting(bubblewrap=False, unprivileged=False, packages=packages, preload=preload, binds=binds)
    if mechanism == "subprocess":
        return plain, "isolation='subprocess' was asked for"
    with _lock:
        found = bubblewrap_setting(packages, preload, binds)
    if isinstance(found, Setting):
        return found, ""
    if mechanism == "bubblewrap":
        raise SandboxUnavailable(
            f"isolation='bubblewrap' cannot be had: {found}. isolation='subprocess' runs programs with limits, unisolated"
        )
    return plain, found
