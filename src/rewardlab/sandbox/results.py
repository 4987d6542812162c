"""What goes into the sandbox and what comes out: limits, programs, tests, results.

A program that was stopped by a limit has a status of its own, and so has a sandbox that broke (`lost`): whoever scores the
result must be able to tell a wrong program from one that was never judged.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

ProgramStatus = Literal["ok", "error", "timeout", "memory", "processes", "killed", "lost"]
"""`ok`: exit status 0. `error`: another exit status. `timeout`: wall or processor time. `memory`: `MemoryError`, or all
processes together over the limit. `processes`: too many of them. `killed`: ended by a signal (a crash, or its own doing).
`lost`: the sandbox broke, twice; it says nothing about the program."""

Isolation = Literal["auto", "bubblewrap", "subprocess"]


class SandboxUnavailable(RuntimeError):
    """The isolation that was asked for cannot be had here; the message says why and what to install."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one program may use.

    Args:
        seconds: wall time, counted from when the program starts (waiting for a free worker does not count).
        cpu_seconds: processor time of each process, rounded up to whole seconds; None for the same as `seconds`.
        memory_mb: address space of each process, and resident memory of all of them together.
        processes: how many processes and threads there may be at once.
        file_mb: largest file, and the size of each of the two scratch file systems.
        output_kb: how much of standard output and of standard error is kept; the rest is read and dropped.
    """

    seconds: float = 10.0
    cpu_seconds: float | None = None
    memory_mb: int = 1024
    processes: int = 16
    file_mb: int = 64
    output_kb: int = 256

    def __post_init__(self) -> None:
        for name in ("seconds", "cpu_seconds", "memory_mb", "processes", "file_mb", "output_kb"):
            value = getattr(self, name)
            if name == "cpu_seconds" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"limit {name!r} must be a number, got {value!r}")
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"limit {name!r} must be positive and finite, got {value}")
            if not name.endswith("seconds") and value != int(value):
                raise ValueError(f"limit {name!r} must be a whole number, got {value}")
        if self.memory_mb < 64:
            raise ValueError(
                f"limit 'memory_mb' must be at least 64, got {self.memory_mb}: Python itself needs about 50"
            )

    def to_json(self) -> dict[str, Any]:
        """As the worker reads them."""
        return {
            "seconds": float(self.seconds),
            "cpu_seconds": float(self.seconds if self.cpu_seconds is None else self.cpu_seconds),
            "memory_mb": int(self.memory_mb),
            "processes": int(self.processes),
            "file_mb": int(self.file_mb),
            "output_kb": int(self.output_kb),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program to run: Python source, or the path and arguments of an executable.

    Args:
        code: Python source; runs as `__main__` in a process that has the standard library imported already.
        argv: an executable by absolute path, and its arguments; it must be visible in the sandbox (`Sandbox(binds=...)`).
        stdin: text or bytes that it can read from standard input, which is a file.
        files: files that lie in its folder when it starts, by relative path.
        limits: what it may use; None for those of the sandbox.
    """

    code: str | None = None
    argv: Sequence[str] | None = None
    stdin: str | bytes | None = None
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    limits: Limits | None = None

    def __post_init__(self) -> None:
        if (self.code is None) == (self.argv is None):
            raise ValueError("a program is either code= (Python source) or argv= (an executable and its arguments)")
        if self.code is not None and not isinstance(self.code, str):
            raise TypeError(f"code must be Python source text, got {type(self.code).__name__}")
        if self.argv is not None:
            if isinstance(self.argv, str) or not self.argv or not all(isinstance(word, str) for word in self.argv):
                raise TypeError(
                    f'argv must be a list of strings, got {self.argv!r:.80}; write ["/path/to/it", "argument"]'
                )
            if not self.argv[0].startswith("/"):
                raise ValueError(f"argv must begin with an absolute path, got {self.argv[0]!r}")
        for name in self.files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
                raise ValueError(f"file name {name!r} must be a relative path without '..'")

    def to_json(self, default: Limits) -> dict[str, Any]:
        """As the worker reads it."""
        return {
            "kind": "run",
            "code": self.code,
            "argv": None if self.argv is None else list(self.argv),
            "stdin": None if self.stdin is None else _base64(self.stdin),
            "files": {name: _base64(content) for name, content in self.files.items()},
            "limits": (self.limits or default).to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """A program and the tests that it is put through.

    Args:
        code: Python source of the program.
        cases: tests, each a piece of Python that raises when it fails (`assert add(1, 2) == 3`).
        check: a script of tests; if it defines `check(candidate)`, that is called with the entry point.
        setup: Python that runs with the tests, before the first.
        entry_point: the name of the function that is examined; `Class.method` makes an object first.
        helpers: Python that belongs to the task; the tests use what it defines, and not what the program made of it.
        apart: keep the tests in another process than the program. Off, tests can use what cannot travel between processes
            (coroutines, say), and a program that looks for them can find and change them.
        split: report each `assert` statement of `check` as a test of its own.
        files: files that lie in its folder when it starts.
        limits: what all of it together may use; None for those of the sandbox.
    """

    code: str
    cases: Sequence[str] = ()
    check: str | None = None
    setup: str = ""
    entry_point: str | None = None
    helpers: str = ""
    apart: bool = True
    split: bool = False
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    limits: Limits | None = None

    def __post_init__(self) -> None:
        if not self.cases and self.check is None:
            raise ValueError(
                "an examination needs tests: cases= (a list of assert statements) or check= (a test script)"
            )
        if isinstance(self.cases, str):
            raise TypeError("cases must be a list of tests, got one string; write cases=[test]")
        Program(code=self.code, files=self.files, limits=self.limits)  # refuses what is wrong with these, here and now

    def to_json(self, default: Limits) -> tuple[dict[str, Any], dict[str, Any]]:
        """The program and the tests, as the worker reads them: apart, so that the first never meets the second."""
        job = Program(code=self.code, files=self.files, limits=self.limits).to_json(default)
        questions = {
            "cases": list(self.cases),
            "check": self.check,
            "setup": self.setup,
            "entry_point": self.entry_point,
            "helpers": self.helpers,
            "apart": self.apart,
            "split": self.split,
        }
        return {**job, "kind": "grade"}, questions


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a program.

    Args:
        status: see `ProgramStatus`.
        reason: a few words on a status that is neither `ok` nor `error`; empty otherwise.
        returncode: exit status; minus the signal number where a signal ended it; None where it was stopped or lost.
        stdout: what it wrote, cut at `Limits.output_kb`.
        stderr: the same for standard error.
        truncated: something was cut.
        seconds: wall time from its start to its end.
        cpu_seconds: processor time of all its processes.
        isolated: whether it ran in a sandbox that isolates; False for the plain-process fallback.
    """

    status: ProgramStatus
    returncode: int | None
    stdout: str
    stderr: str
    seconds: float
    cpu_seconds: float
    isolated: bool
    truncated: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestOutcome:
    """What became of one test: `error` and `message` are empty when it passed; `line` is the test that failed."""

    __test__ = False

    passed: bool
    error: str = ""
    message: str = ""
    line: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an examination found.

    Args:
        result: status, output and times of the program and its tests; `ok` when all tests were put to it, passed or not.
        compiled: whether the program is Python at all; None when that was not found out.
        tests: outcomes in order; a limit or an exit ends the list early.
        count: how many tests there are, or were found.
        finished: every test was put to the program, and it answered. Without this, nothing is passed.
        error: type of the first error; empty when there was none.
        message: its text.
        bad_tests: why the tests themselves cannot be used, or None.
    """

    result: Result
    compiled: bool | None
    tests: tuple[TestOutcome, ...]
    count: int
    finished: bool
    error: str = ""
    message: str = ""
    bad_tests: str | None = None

    @property
    def passed(self) -> bool:
        """All tests were put and passed."""
        return self.finished and bool(self.tests) and all(test.passed for test in self.tests)

    @property
    def share(self) -> float:
        """Share of the tests that passed; those that were never reached did not."""
        return sum(test.passed for test in self.tests) / self.count if self.count else 0.0


def _base64(content: str | bytes) -> str:
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return base64.b64encode(data).decode("ascii")
