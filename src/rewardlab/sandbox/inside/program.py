"""The program's own process: limits, clean modules, and then code that nobody trusts."""

from __future__ import annotations

import atexit
import builtins
import gc
import io
import linecache
import os
import random
import sys
import threading
import traceback
import types
from typing import Any, NoReturn

from rewardlab.sandbox.inside import kernel
from rewardlab.sandbox.inside.keeper import set_limits

FILE = "program.py"


def enter(stdin: int, limits: dict[str, Any]) -> None:
    """Turn this fork into an ordinary young process: its own group and streams, its limits, none of our modules."""
    os.setpgid(0, 0)
    os.dup2(stdin, 0)
    os.close(stdin)
    kernel.set_readable_by_others(True)  # it may look at itself through /proc; nobody else is in its namespace
    set_limits(limits)
    sys.stdin = io.TextIOWrapper(open(0, "rb", closefd=False), encoding="utf-8", errors="replace")  # noqa: SIM115
    sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False), encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    sys.stderr = io.TextIOWrapper(
        open(2, "wb", 0, closefd=False),  # noqa: SIM115
        encoding="utf-8",
        errors="backslashreplace",
        write_through=True,
    )
    for name in [name for name in sys.modules if name == "rewardlab" or name.startswith("rewardlab.")]:
        del sys.modules[name]
    random.seed(0)  # every program starts alike, so that the same program gets the same result
    gc.enable()


def young_module(folder: str) -> types.ModuleType:
    """An empty `__main__`, and a module path that holds the program's folder in place of ours."""
    module = types.ModuleType("__main__")
    module.__dict__["__file__"] = FILE
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = module
    sys.path[0] = folder
    sys.argv = [FILE]
    depth, frame = 0, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    sys.setrecursionlimit(1000 + depth)  # the program gets the depth that it would have as a script
    return module


def load(source: str, module: types.ModuleType) -> None:
    """Compile and run source text as `module`; raises whatever it raises."""
    linecache.cache[FILE] = (len(source), None, source.splitlines(keepends=True), FILE)
    code = compile(source, FILE, "exec", dont_inherit=True)
    exec(code, module.__dict__)  # noqa: S102  # running it is what the sandbox around this process is for


def run(job: dict[str, Any], folder: str) -> NoReturn:
    """Become the program: an executable, or Python source that this process has the modules for already."""
    if job["argv"] is not None:
        try:
            os.execve(job["argv"][0], job["argv"], dict(os.environ, HOME=folder, TMPDIR=folder))
        except OSError as error:
            os.write(2, f"cannot start {job['argv'][0]!r}: {error.strerror}\n".encode())
            os._exit(127)
    os.environ.update(HOME=folder, TMPDIR=folder)
    status = 1
    with Verdict(ours=2) as verdict:
        load(job["code"], young_module(folder))
    status = verdict.exit_status
    with Verdict(ours=1) as verdict:
        threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter does at its end: join threads
        atexit._run_exitfuncs()
        sys.stdout.flush()
    os._exit(status or verdict.exit_status)


class Verdict:
    """Keeps what foreign code raises, whatever it is: that is its result, and must not unwind our own frames.

    Args:
        ours: how many frames at the top of a traceback are not the program's.
    """

    def __init__(self, ours: int) -> None:
        self.ours = ours
        self.exit_status = 0

    def __enter__(self) -> Verdict:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        if isinstance(error, SystemExit):
            if isinstance(error.code, int) or error.code is None:
                self.exit_status = (error.code or 0) & 0xFF
            else:
                print(error.code, file=sys.stderr)
                self.exit_status = 1
        elif error is not None:
            self.exit_status = 1
            for _ in range(self.ours):
                trace = trace.tb_next if trace is not None else None
            traceback.print_exception(kind, error, trace)
        return True
