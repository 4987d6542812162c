"""Runs generated programs in the sandbox: all states of a call travel as raw arrays in one round trip."""

from __future__ import annotations

import atexit
import base64
import binascii
import functools
import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.programs.allowed import FUNCTION
from rewardlab.learning.programs.problems import Kind, Problem
from rewardlab.learning.programs.views import Form, ViewSchema
from rewardlab.sandbox import Isolation, Limits, Program, Result, Sandbox

SECONDS, MEMORY_MB = 10.0, 1024
_KINDS: dict[str, Kind] = {
    "UnknownAttribute": "unknown attribute",
    "AttributeError": "unknown attribute",
    "WrongUse": "wrong use",
    "ChangesEnvironment": "changes",
    "NameError": "missing import",
    "UnboundLocalError": "error",
    "ImportError": "missing import",
    "ModuleNotFoundError": "missing import",
    "SyntaxError": "syntax",
    "IndentationError": "syntax",
    "TabError": "syntax",
    "IndexError": "shape",
    "AxisError": "shape",
    "MemoryError": "memory",
    "ArrayMemoryError": "memory",
    "_ArrayMemoryError": "memory",
    "PermissionError": "forbidden",
    "FileNotFoundError": "forbidden",
    "shape": "shape",
    "value": "value",
}
_SHAPE_WORDS = ("shape", "broadcast", "dimension", "ambiguous", "matmul", "size", "only length-1", "0-dimensional")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one program gave for N states.

    Args:
        values: float[N], or None where it failed.
        parts: float[N] for each named part.
        problem: why it failed, or None.
        seconds: inside the program, for all states.
        isolated: whether anything stood between the program and this machine.
        study: further columns, where they were asked for.
    """

    values: NDArray[np.float64] | None
    problem: Problem | None
    isolated: bool
    parts: dict[str, NDArray[np.float64]]
    seconds: float = 0.0
    study: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A program and the states that it gets.

    Args:
        source: the program.
        values: path -> array[N, ...], what it may read.
        action: array[N, ...].
        studied: the same program with notes, to learn about its conditions and terms.
        lenient: give non-finite values back, instead of failing at the first.
    """

    source: str
    schema: ViewSchema
    form: Form
    values: Mapping[str, NDArray[Any]]
    action: NDArray[Any]
    studied: str | None = None
    lenient: bool = False

    def program(self, seconds: float, memory_mb: int) -> Program:
        """As the sandbox takes it."""
        columns = {**self.values, "action": np.ascontiguousarray(self.action, dtype=np.float64)}
        header = {
            "form": self.form,
            "function": FUNCTION,
            "schema": self.schema.to_json(),
            "count": len(self.action),
            "study": self.studied is not None,
            "lenient": self.lenient,
            "columns": [
                {"name": name, "shape": array.shape, "dtype": array.dtype.str} for name, array in columns.items()
            ],
        }
        text = json.dumps(header).encode()
        content = b"".join([len(text).to_bytes(8, "little"), text, *(array.tobytes() for array in columns.values())])
        files = {"reward_program.py": self.source}
        if self.studied is not None:
            files["studied_program.py"] = self.studied
        output = 256 + len(self.action) * 11 * 64 // 1024
        limits = Limits(seconds=seconds, memory_mb=memory_mb, output_kb=output)
        return Program(code=_driver(), stdin=content, files=files, limits=limits)


def run_jobs(
    jobs: Sequence[Job],
    *,
    seconds: float = SECONDS,
    memory_mb: int = MEMORY_MB,
    isolation: Isolation = "auto",
    workers: int = 1,
) -> list[Run]:
    """Run programs, each in a process of its own; results in the order of the jobs.

    Raises:
        SandboxUnavailable: bubblewrap was demanded and does not work here.
    """
    box = _box(isolation, workers)
    results = box.run_many([job.program(seconds, memory_mb) for job in jobs])
    return [_read(result, job, seconds, memory_mb) for result, job in zip(results, jobs, strict=True)]


def _read(result: Result, job: Job, seconds: float, memory_mb: int) -> Run:
    problem: Problem | None = None
    if result.status == "timeout":
        problem = Problem(kind="time", message=f"no answer for {len(job.action)} states within {seconds:g} s")
    elif result.status == "memory":
        problem = Problem(kind="memory", message=f"the program needed more than {memory_mb} MB")
    elif result.status != "ok":
        kind: Kind = "sandbox" if result.status == "lost" else "error"
        said = result.reason or result.stderr.strip().rpartition("\n")[2][:300]
        problem = Problem(kind=kind, message=f"the program's process ended: {result.status}: {said}")
    if problem is not None:
        return Run(values=None, parts={}, problem=problem, isolated=result.isolated)
    try:
        found = json.loads(result.stdout)
        if "error" in found:
            return Run(values=None, parts={}, problem=_blame(found, memory_mb), isolated=result.isolated)
        count = len(job.action)
        study = {
            "conditions": {int(key): tuple(map(float, tally)) for key, tally in found.get("conditions", {}).items()},
            "terms": {int(key): _column(text, count) for key, text in found.get("terms", {}).items()},
            **{key: _column(found[key], count) for key in ("again", "turned") if key in found},
        }
        return Run(
            values=_column(found["values"], count),
            parts={str(key): _column(text, count) for key, text in found["parts"].items()},
            problem=None,
            isolated=result.isolated,
            seconds=float(found["seconds"]),
            study=study if job.studied is not None else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        problem = Problem(kind="error", message=f"the program's process answered with something unreadable: {error}")
        return Run(values=None, parts={}, problem=problem, isolated=result.isolated)


def _blame(found: dict[str, Any], memory_mb: int) -> Problem:
    name, message = str(found["error"]), str(found["message"])
    kind: Kind = _KINDS.get(name, "error")
    if name == "ValueError" and "read-only" in message:
        kind, message = "changes", f"a reward must not change the environment: {message}"
    elif name in ("ValueError", "TypeError") and any(word in message for word in _SHAPE_WORDS):
        kind = "shape"
    elif name == "TypeError" and any(word in message for word in ("'Thing'", "not callable", "not subscriptable")):
        kind = "wrong use"
    if kind == "memory":
        message = f"the program needed more than {memory_mb} MB ({name})"
    elif name not in ("shape", "value", "UnknownAttribute", "WrongUse", "ChangesEnvironment"):
        message = f"{name}: {message}"
    line, state = found.get("line"), found.get("state")
    return Problem(
        kind=kind,
        message=message,
        line=line if isinstance(line, int) else None,
        state=state if isinstance(state, int) else None,
    )


def _column(text: str, count: int) -> NDArray[np.float64]:
    column = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.float64)
    if column.shape != (count,):
        raise ValueError(f"{column.size} numbers for {count} states")
    return column.copy()


@functools.cache
def _driver() -> str:
    return (Path(__file__).parent / "inside.py").read_text(encoding="utf-8")


_boxes: dict[tuple[Any, ...], Sandbox] = {}
_lock = threading.Lock()


def _box(isolation: Isolation, workers: int) -> Sandbox:
    """The sandbox of this process for programs, with NumPy imported once for all of them."""
    key = (os.getpid(), isolation, workers)
    with _lock:
        if key not in _boxes:
            if not _boxes:
                atexit.register(_close, os.getpid())
            _boxes[key] = Sandbox(workers, isolation=isolation, packages=True, preload=("numpy",))
        return _boxes[key]


def _close(owner: int) -> None:
    if os.getpid() == owner:
        for box in _boxes.values():
            box.close()
        _boxes.clear()
