"""Process 1 of a program's namespace: puts the walls up, starts the program, waits for it, reports.

For tests the keeper is also the one who asks the questions: the expected answers are here, in a process that the program
can neither read, nor signal, nor outlive.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import resource
import signal
import tempfile
from typing import Any

from rewardlab.sandbox.inside import kernel
from rewardlab.sandbox.inside.kernel import LINUX


def keep(job: dict[str, Any], folder: str, descriptors: dict[str, int], *, in_session: bool) -> None:
    """Run one job to its end; returns when there is nothing more to say.

    Args:
        job: the program, as the pool sends it.
        folder: the empty scratch folder of the program.
        descriptors: stdout, stderr and report, to write to, and questions, to read the tests from.
        in_session: there is no process namespace, so that the program needs a session of its own to be killed by.
    """
    if in_session:
        os.setsid()
        kernel.die_with_parent(signal.SIGKILL)
    os.dup2(descriptors["stdout"], 1)
    os.dup2(descriptors["stderr"], 2)
    report, questions = _keep_only(descriptors["report"], descriptors["questions"])
    _write_files(folder, job["files"])
    os.chdir(folder)
    stdin = _stdin(job["stdin"])
    kernel.drop_capabilities()
    kernel.filter_system_calls()
    reporter = Reporter(report)
    if job["kind"] == "run":
        reporter.say({"started": True})
        child = os.fork()
        if not child:
            from rewardlab.sandbox.inside import program

            os.closerange(report, questions + 1)
            program.enter(stdin, job["limits"])
            program.run(job, folder)
        os.close(stdin)
        reporter.say({"exit": wait_for(child)})
    else:
        from rewardlab.sandbox.inside.grading import grade

        set_limit(resource.RLIMIT_AS, job["limits"]["memory_mb"] * 2**20)  # a hostile answer must not fill our memory
        grade(job, folder, stdin, questions, reporter)


class Reporter:
    """Writes one JSON line for each thing that happened, at once, so that a kill loses none of what came before."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def say(self, event: dict[str, Any]) -> None:
        """Report one event."""
        os.write(self.descriptor, json.dumps(event).encode("ascii") + b"\n")


def wait_for(child: int) -> int:
    """The wait status of one child; orphans that fell to us are reaped on the way."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == child:
            return status


def _keep_only(report: int, questions: int) -> tuple[int, int]:
    """Close everything but the three streams and these two, which become descriptors 3 and 4."""
    high = [os.dup2(descriptor, 200 + place) for place, descriptor in enumerate((report, questions))]
    kept = os.dup2(high[0], 3, inheritable=False), os.dup2(high[1], 4, inheritable=False)
    os.closerange(5, 4096)
    return kept


def _write_files(folder: str, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(content))


def _stdin(content: str | None) -> int:
    """Standard input as a file that was written beforehand: nobody has to feed a pipe while the program runs."""
    if not content:
        return os.open(os.devnull, os.O_RDONLY)
    with tempfile.TemporaryFile() as file:
        file.write(base64.b64decode(content))
        file.flush()
        file.seek(0)
        return os.dup(file.fileno())


def set_limits(limits: dict[str, Any]) -> None:
    """The resource limits of one process; they are inherited, and cannot be raised again."""
    memory = limits["memory_mb"] * 2**20
    seconds = max(1, int(limits["cpu_seconds"] + 0.999))
    wanted = {
        "RLIMIT_AS": (memory, memory),
        "RLIMIT_CPU": (seconds, seconds + 1),  # a signal first, which is told apart from other deaths; then the kill
        "RLIMIT_FSIZE": (limits["file_mb"] * 2**20,) * 2,
        "RLIMIT_NPROC": (limits["processes"] + limits["processes_before"],) * 2,
        "RLIMIT_NOFILE": (256, 256),
        "RLIMIT_CORE": (0, 0),
    }
    for name, (soft, hard) in wanted.items():
        if hasattr(resource, name):
            set_limit(getattr(resource, name), soft, hard)


def set_limit(which: int, soft: int, hard: int | None = None) -> None:
    """Lower one resource limit for this process and its children."""
    hard = soft if hard is None else hard
    _, ceiling = resource.getrlimit(which)
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    try:
        resource.setrlimit(which, (soft, hard))
    except (ValueError, OSError) as error:
        if LINUX or getattr(error, "errno", errno.EINVAL) != errno.EINVAL:
            raise  # macOS refuses some limits as invalid; anything else is a wall that is missing
