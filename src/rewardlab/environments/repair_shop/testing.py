"""How tests of the shop are run: in the sandbox, or by the shop's own interpreter.

Tests never come from the agent's files. They are kept with the task and put to the program from outside, so there is nothing
to edit, delete or look up; in the sandbox they stand in another process than the program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from rewardlab import sandbox
from rewardlab.environments.repair_shop.interpreter import interpret
from rewardlab.sandbox import Examination, Isolation, Limits, Report

RunnerName = Literal["sandbox", "interpreter"]
Test = Mapping[str, Any]
"""One test: `function`, its `arguments` (a list of JSON values) and what it is `expected` to return."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of the tests of one program.

    Args:
        passed: for each test.
        notes: for each test, what went wrong; empty where it passed.
        lost: why the tests could not be run at all, which says nothing about the program; empty where they were.
    """

    passed: list[bool]
    notes: list[str]
    lost: str = ""


Job = tuple[Mapping[str, str], Sequence[Test]]
"""Files by path, and the tests they are put through."""


class Runner(Protocol):
    """Puts programs through tests."""

    def run_many(self, jobs: Sequence[Job]) -> list[Outcomes]:
        """The outcomes of each program, in order."""


def runner(name: RunnerName, *, seconds: float, memory_mb: int, isolation: Isolation, workers: int | None) -> Runner:
    """The runner of a name.

    Raises:
        ValueError: there is no such runner, or a limit is not positive.
    """
    limits = Limits(seconds=seconds, memory_mb=memory_mb, processes=4, file_mb=8, output_kb=16)
    if name == "sandbox":
        return SandboxRunner(limits, isolation, workers)
    if name == "interpreter":
        return InterpreterRunner()
    raise ValueError(f"runner must be sandbox or interpreter, got {name!r}")


@dataclass(frozen=True, slots=True)
class SandboxRunner:
    """Runs programs in the sandbox of this process, many at once; a program that a limit stops fails its remaining tests."""

    limits: Limits
    isolation: Isolation = "auto"
    workers: int | None = None

    def run_many(self, jobs: Sequence[Job]) -> list[Outcomes]:
        """See `Runner`."""
        box = sandbox.shared(self.workers, isolation=self.isolation)
        working = [(files, tests) for files, tests in jobs if tests]
        try:
            reports = iter(box.examine_many([self._examination(files, tests) for files, tests in working]))
        except (sandbox.SandboxUnavailable, OSError) as error:
            return [Outcomes([], [], f"the sandbox could not run: {error}") for _ in jobs]
        return [self._outcomes(next(reports), tests) if tests else Outcomes([], []) for _, tests in jobs]

    def _examination(self, files: Mapping[str, str], tests: Sequence[Test]) -> Examination:
        loading = "\n".join(f"from {path.removesuffix('.py')} import *" for path in sorted(files))
        return Examination(code=loading, cases=[_script(test) for test in tests], files=files, limits=self.limits)

    def _outcomes(self, report: Report, tests: Sequence[Test]) -> Outcomes:
        if report.result.status == "lost" or report.bad_tests is not None:
            return Outcomes([], [], report.bad_tests or report.result.reason or "the sandbox broke")
        stopped = report.result.status not in ("ok", "error")
        ending = f"{report.result.status}: {report.result.reason}" if stopped else f"{report.error}: {report.message}"
        passed, notes = [], []
        for place in range(len(tests)):
            if place < len(report.tests):
                one = report.tests[place]
                passed.append(one.passed and report.finished)
                notes.append("" if passed[-1] else _said(one.error, one.message) if not one.passed else ending)
            else:
                passed.append(False)
                notes.append(ending)
        return Outcomes(passed, notes)


@dataclass(frozen=True, slots=True)
class InterpreterRunner:
    """Runs programs by `interpret`: no process, well under a millisecond, and only the part of Python that it knows."""

    def run_many(self, jobs: Sequence[Job]) -> list[Outcomes]:
        """See `Runner`."""
        return [self._run(files, tests) for files, tests in jobs]

    def _run(self, files: Mapping[str, str], tests: Sequence[Test]) -> Outcomes:
        sources = [files[path] for path in sorted(files)]
        answers = interpret(sources, [(test["function"], test["arguments"]) for test in tests])
        passed, notes = [], []
        for test, answer in zip(tests, answers, strict=True):
            right = not answer.error and bool(answer.value == test["expected"])
            passed.append(right)
            notes.append("" if right else answer.error or f"got {answer.value!r:.80}")
        return Outcomes(passed, notes)


def call_text(test: Test) -> str:
    """The call of a test as it is written in Python."""
    return f"{test['function']}({', '.join(map(repr, test['arguments']))})"


def test_file(tests: Sequence[Test], modules: Mapping[str, str]) -> str:
    """The visible tests as the file that an agent reads.

    Args:
        tests: what it holds.
        modules: the module of each function.
    """
    names: dict[str, list[str]] = {}
    for test in tests:
        names.setdefault(modules[test["function"]], [])
        if test["function"] not in names[modules[test["function"]]]:
            names[modules[test["function"]]].append(test["function"])
    imports = [f"from {module} import {', '.join(functions)}" for module, functions in sorted(names.items())]
    checks = [f"assert {call_text(test)} == {test['expected']!r}" for test in tests]
    return "\n".join([*imports, "", *checks]) + "\n"


def _script(test: Test) -> str:
    return f"got = {call_text(test)}\nassert got == {test['expected']!r}, 'got ' + repr(got)[:80]"


def _said(error: str, message: str) -> str:
    if error == "AssertionError":
        return message or "it failed"
    return f"{error}: {message}" if message else error
