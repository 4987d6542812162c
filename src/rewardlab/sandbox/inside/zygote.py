"""The process that waits inside the sandbox: it has everything imported, and forks once for each program.

It is trusted, reads jobs from its standard input and never touches what a program wrote. It is process 1 of the worker's
namespace, and not readable: through another process 1 of the same user, programs could reach the pipes to us. Each job
gets a watcher (a fork of this process), and the watcher puts the program into namespaces of its own, so that killing one
process ends the whole program and nothing of it is left for the next.
"""

from __future__ import annotations

import gc
import os
import select
import site
import sys
from importlib import import_module

from rewardlab.sandbox.inside import grading, keeper, kernel, program  # noqa: F401  # imported here, once, for every fork
from rewardlab.sandbox.inside.frames import read_frame, write_frame
from rewardlab.sandbox.inside.keeper import wait_for
from rewardlab.sandbox.inside.watcher import Configuration, watch

NO_MORE = 10
PRELOADED = (
    "abc",
    "ast",
    "atexit",
    "array",
    "base64",
    "bisect",
    "builtins",
    "calendar",
    "cmath",
    "collections",
    "collections.abc",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "importlib",
    "inspect",
    "io",
    "itertools",
    "json",
    "linecache",
    "locale",
    "logging",
    "math",
    "numbers",
    "operator",
    "os",
    "os.path",
    "pathlib",
    "pprint",
    "queue",
    "random",
    "re",
    "resource",
    "selectors",
    "shutil",
    "signal",
    "site",
    "statistics",
    "string",
    "struct",
    "sys",
    "tempfile",
    "textwrap",
    "threading",
    "time",
    "traceback",
    "types",
    "typing",
    "unicodedata",
    "uuid",
    "warnings",
    "weakref",
)


def main() -> int:
    """Read the configuration, say that we are ready, and run jobs until the pipe closes."""
    kernel.set_readable_by_others(False)
    jobs, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    settings = read_frame(jobs)
    sys.path.extend(settings["packages"])
    for name in [*PRELOADED, *settings["preload"]]:
        import_module(name)
    site.setquit()  # `exit` and `quit`, which programs expect, and which starting without site-packages leaves out
    configuration = Configuration(**settings["watcher"])
    write_frame(replies, {"ready": True, "uid": os.getuid(), "python": sys.version.split()[0]})
    kernel.prepare()
    gc.collect()
    gc.disable()
    gc.freeze()  # a collection in a child would copy every page of ours
    while select.select([jobs], [], []):
        watcher = os.fork()
        if not watcher:
            # the job is read after the fork, so that no program finds the code of an earlier one in its memory
            os._exit(_serve_one(jobs, replies, configuration))
        status = os.waitstatus_to_exitcode(wait_for(watcher))  # we are process 1: orphans fall to us
        if status:
            return 0 if status == NO_MORE else 1  # the watcher is ours: if it broke, this worker is not to be trusted
    return 0


def _serve_one(jobs: int, replies: int, configuration: Configuration) -> int:
    try:
        job = read_frame(jobs)
    except EOFError:
        return NO_MORE
    write_frame(replies, watch(job, jobs, configuration))
    return 0
