"""Programs of an agent: run in the sandbox on files of the visible rows, and graded here from the predictions they wrote.

The hidden labels never go near the program. The data sets are public, though, and the sandbox shows installed packages, so
values are disguised (columns shuffled, shifted and scaled by secret factors), and a program that names the bundled data
is refused. Who wants to look rows up can still try.
"""

from __future__ import annotations

import atexit
import csv
import hashlib
import io
import math
import os
import re
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab import sandbox
from rewardlab.environments.model_bench.data import Problem, rows_of
from rewardlab.environments.model_bench.metrics import METRICS, measure

SUBMISSION = "submission.csv"
"""What a program must write: one prediction a line for the rows of test.csv, in their order."""
_DATA_SETS = re.compile(r"sklearn\s*\.\s*datasets|load_(iris|wine|breast_cancer|digits|diabetes|linnerud)\b|_data\.csv")
_PRELOADED = ("numpy", "sklearn.pipeline", "sklearn.preprocessing", "sklearn.linear_model", "sklearn.svm")
_BEGIN, _END = "<<<submission ", ">>>"

# a program's own output comes first; what it left in its folder follows, behind a mark that is drawn for each run
_DRIVER = """
import os, runpy, sys
mark = sys.stdin.read().strip()
try:
    runpy.run_path("main.py", run_name="__main__")
finally:
    sys.stdout.flush()
    if os.path.exists("submission.csv"):
        with open("submission.csv", errors="replace") as lines:
            text = lines.read(65536)
        sys.stdout.write("\\n<<<submission " + mark + "\\n" + text + "\\n>>>" + mark + "\\n")
        sys.stdout.flush()
"""


class ProgramRun:
    """What became of a program.

    Args:
        status: of the sandbox: `ok`, `error`, `timeout`, ...; `refused` where it was not run.
        output: what it printed, without the submission, then what it wrote to standard error.
        test: the metric on the hidden rows; None without a valid submission.
        trouble: why there is no valid submission, for the agent to read; None where there is one.
        seconds: wall time that it took.
        cpu_seconds: processor time.
    """

    def __init__(
        self, status: str, output: str, test: float | None, trouble: str | None, seconds: float, cpu_seconds: float
    ) -> None:
        self.status, self.output, self.test, self.trouble = status, output, test, trouble
        self.seconds, self.cpu_seconds = seconds, cpu_seconds

    @property
    def lost(self) -> bool:
        """The sandbox broke, which says nothing about the program."""
        return self.status == "lost"


def run_program(problem: Problem, code: str, *, seconds: float, isolation: sandbox.Isolation, token: str) -> ProgramRun:
    """Run a program and grade what it wrote.

    Args:
        problem: whose rows it works on.
        code: Python source.
        seconds: wall time that it may take.
        isolation: see `rewardlab.sandbox`.
        token: drawn for this run; a program that does not know it cannot forge the mark before its submission.
    """
    if _DATA_SETS.search(code):
        why = "programs may not read scikit-learn's bundled data sets; work with train.csv and test.csv"
        return ProgramRun("refused", "", None, why, 0.0, 0.0)
    box = _sandbox(os.getpid(), isolation)
    files: dict[str, str | bytes] = {**_files(problem), "main.py": code}
    limits = sandbox.Limits(seconds=seconds, memory_mb=2048)
    result = box.run_many([sandbox.Program(code=_DRIVER, stdin=token, files=files, limits=limits)])[0]
    head, _, rest = result.stdout.rpartition(f"\n{_BEGIN}{token}\n")
    submission, closed, _ = rest.partition(f"\n{_END}{token}")
    printed = head if closed else result.stdout
    output = (printed + ("\n" if printed and result.stderr else "") + _without_driver(result.stderr)).strip()
    score, trouble = None, None
    if result.status == "lost":
        trouble = f"the sandbox broke: {result.reason}"
    elif result.status != "ok":
        trouble = "the program " + ("was stopped: " + result.reason if result.reason else "ended with an error")
    elif not closed:
        trouble = f"the program wrote no {SUBMISSION}"
    else:
        score, trouble = _grade(problem, submission)
    return ProgramRun(result.status, output, score, trouble, result.seconds, result.cpu_seconds)


@lru_cache(maxsize=4)
def _sandbox(process: int, isolation: sandbox.Isolation) -> sandbox.Sandbox:
    """This process's workers, which have what programs mostly import already: it takes seconds."""
    box = sandbox.Sandbox(isolation=isolation, packages=True, preload=_PRELOADED)
    atexit.register(_close, process, box)
    return box


def _close(owner: int, box: sandbox.Sandbox) -> None:
    if os.getpid() == owner:
        box.close()


def _grade(problem: Problem, text: str) -> tuple[float | None, str | None]:
    """The metric of the predictions, or what is wrong with them."""
    target = rows_of(problem).test_target
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) != target.size:
        return None, f"{SUBMISSION} has {len(lines)} lines, but test.csv has {target.size} rows (write no header)"
    values = []
    for number, line in enumerate(lines, start=1):
        try:
            value = float(line)
        except ValueError:
            return None, f"line {number} of {SUBMISSION} is not a number: {line!r:.40}"
        if not math.isfinite(value):
            return None, f"line {number} of {SUBMISSION} is not finite: {line!r:.40}"
        values.append(value)
    predicted: NDArray[Any] = np.array(values)
    if METRICS[problem.metric].kind == "classification":
        if (predicted != np.round(predicted)).any():
            return None, f"{SUBMISSION} must hold whole numbers, the classes"
        predicted = predicted.astype(np.int64)
    return measure(problem.metric, target, predicted), None


def _files(problem: Problem) -> dict[str, str]:
    """train.csv (with the column `target`) and test.csv (without), in disguise."""
    rows = rows_of(problem)
    draw = np.random.default_rng(list(hashlib.sha256(f"disguise/{problem.key}".encode()).digest()))
    order = draw.permutation(rows.train.shape[1])
    shift, scale = draw.normal(size=order.size), np.exp(draw.normal(size=order.size)) * draw.choice([-1, 1], order.size)
    spread = rows.train.std(axis=0) + 1e-9
    known, hidden = (((part / spread + shift) * scale)[:, order] for part in (rows.train, rows.test))
    names = [f"x{place}" for place in range(order.size)]
    return {
        "train.csv": _csv([*names, "target"], np.column_stack([known, rows.train_target])),
        "test.csv": _csv(names, hidden),
    }


def _csv(names: list[str], table: NDArray[np.float64]) -> str:
    written = io.StringIO()
    lines = csv.writer(written, lineterminator="\n")
    lines.writerow(names)
    lines.writerows([[f"{value:.6g}" for value in row] for row in table])
    return written.getvalue()


def _without_driver(stderr: str) -> str:
    """Standard error with tracebacks from the program's own first line on."""
    start = stderr.find('  File "main.py"')
    return stderr[start:] if start >= 0 and stderr.startswith("Traceback") else stderr
