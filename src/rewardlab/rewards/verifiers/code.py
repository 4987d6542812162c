"""Code that is judged by running it against tests, in the sandbox.

The tests run in another process than the program (`rewardlab.sandbox`), so that a policy cannot earn the reward by ending
early, by printing what a harness would print, or by looking the answers up. What counts as a wrong program (0) and what as
one that was never judged (failed) is written down at `CodeTests`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rewardlab import sandbox
from rewardlab.rewards.base import Outcome, ScoringFailure, Verdict, Verifier, attempt, scores_from_verdicts
from rewardlab.rewards.spec import register
from rewardlab.sandbox import Examination, Isolation, Limits, Program, Report, Result, TestOutcome
from rewardlab.types import Scores, Status, Trajectory

Extract = Literal["auto", "last", "first", "joined", "whole"]

PYTHON = ("python", "py", "python3", "py3")
ALIASES = {"test_list": "tests", "test_setup_code": "setup", "inputs": "stdin", "outputs": "stdout"}
_LIMITS = ("timeout", "memory", "processes")
_FENCE = re.compile(r"[ \t]*(`{3,})[ \t]*([\w+-]*)")
_SYNTAX = ("SyntaxError", "IndentationError", "TabError")


@register("code_tests")
@dataclass(frozen=True, kw_only=True)
class CodeTests(Verifier):
    """1 where the program in the answer passes all its tests, else 0; with `partial`, the share that it passes.

    The reference is a mapping (or JSON of one, or just a list of tests) with

    * `tests`: a list of Python tests, each of which raises when it fails (`assert add(1, 2) == 3`), and `setup`: Python that
      runs before the first. MBPP's own names `test_list` and `test_setup_code` do as well;
    * `test`: a test script, and `entry_point`: the function (or `Class.method`) that its `check(candidate)` is called with,
      as in HumanEval;
    * `stdin` and `stdout`: one text or a list of texts; the whole program runs once for each, and its output must be equal
      but for white space at the ends of lines and blank lines at the end. `inputs` and `outputs` do as well;
    * `prompt`: Python that the answer continues, as in HumanEval. An answer that defines the entry point itself replaces
      that part of the prompt;
    * `files`: text files that lie beside the program, by name.

    Any of the three kinds of tests will do, and several may stand together. Other keys are ignored.

    Scored 0: a failed test, an exception, a syntax error, an exit before the tests are done, a crash, an answer without
    code; and, as long as `limit` is `zero`, a program that was stopped by a limit. Failed: no usable tests in the
    reference, a sandbox that cannot be started or that broke.

    Parts: `compiles` (1 or 0; missing where it was not found out), and `passed`, the share of tests passed.

    Args:
        extract: where the code is. `auto`: the last block marked as Python, else the last block, else the whole text.
            `last` and `first`: only blocks will do. `joined`: all blocks marked as Python, one after the other. `whole`: the
            text as it is.
        partial: give the share of tests that passed. Each assert statement of a `test` script counts as one test.
        limit: what becomes of a program that a limit stopped before any test had failed: `zero` scores it (what it passed
            until then counts with `partial`), `failed` sets the sample aside.
        apart: keep the tests out of the program's process. Off, tests can use what cannot travel between processes, and a
            program that goes looking for them can find and change them.
        seconds: wall time for the program and all its tests; for each case of `stdin` and `stdout` again.
        memory_mb: memory.
        isolation: `auto`, `bubblewrap` (without it every sample fails) or `subprocess` (limits only, no isolation).
        workers: programs at once; None for the number of cores. Rewards with the same isolation, workers and packages share.
        packages: let programs import the packages installed here.
    """

    extract: Extract = "auto"
    partial: bool = False
    limit: Literal["zero", "failed"] = "zero"
    apart: bool = True
    seconds: float = 10.0
    memory_mb: int = 1024
    isolation: Isolation = "auto"
    workers: int | None = None
    packages: bool = False

    overlaps = True

    def __post_init__(self) -> None:
        super().__post_init__()
        Limits(seconds=self.seconds, memory_mb=self.memory_mb)
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"CodeTests: option 'workers' must be at least 1 or None, got {self.workers}")

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Run one program and its tests."""
        plan = self._plan(trajectory)
        return plan if isinstance(plan, Verdict) else self._verdict(plan, *_carry_out([plan], self._sandbox())[0])

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        outcomes: list[Any] = [attempt(self._plan, trajectory) for trajectory in trajectories]
        plans = {index: outcome for index, outcome in enumerate(outcomes) if isinstance(outcome, Plan)}
        try:
            done = _carry_out(list(plans.values()), self._sandbox()) if plans else []
        except (sandbox.SandboxUnavailable, OSError) as error:
            failure: Outcome = (Status.FAILED, f"the sandbox could not run: {error}")
            return scores_from_verdicts(
                [failure if index in plans else outcome for index, outcome in enumerate(outcomes)]
            )
        for (index, plan), (report, results) in zip(plans.items(), done, strict=True):
            outcomes[index] = attempt(
                lambda _, p=plan, a=report, b=results: self._verdict(p, a, b), trajectories[index]
            )
        return scores_from_verdicts(outcomes)

    def _sandbox(self) -> sandbox.Sandbox:
        return sandbox.shared(self.workers, isolation=self.isolation, packages=self.packages)

    def _plan(self, trajectory: Trajectory) -> Plan | Verdict:
        tests = _tests(trajectory.reference)
        code = extract_code(trajectory.completion, self.extract)
        if code is None or not code.strip():
            return Verdict(0.0, note="no code in the answer", parts={"compiles": None, "passed": 0.0})
        source, helpers = _assemble(code, tests)
        limits = Limits(seconds=self.seconds, memory_mb=self.memory_mb)
        examination = None
        if tests.tests or tests.test is not None:
            examination = Examination(
                code=source,
                cases=tests.tests,
                check=tests.test,
                setup=tests.setup,
                entry_point=tests.entry_point,
                helpers=helpers,
                apart=self.apart,
                split=self.partial,
                files=tests.files,
                limits=limits,
            )
        programs = [Program(code=source, stdin=given, files=tests.files, limits=limits) for given, _ in tests.cases]
        return Plan(examination, programs, [expected for _, expected in tests.cases])

    def _verdict(self, plan: Plan, report: Report | None, results: list[Result]) -> Verdict:
        outcomes = [_case(result, expected) for result, expected in zip(results, plan.expected, strict=True)]
        count, stopped = len(outcomes), [result for result in results if result.status in _LIMITS]
        lost = [result for result in results if result.status == "lost"]
        compiled = (
            None if any(result.status != "error" for result in results) or not results else not _syntax(outcomes[0])
        )
        if results and any(result.status == "ok" for result in results):
            compiled = True
        error, line = next(
            ((test.error + _colon(test.message), test.line) for test in outcomes if not test.passed), ("", "")
        )
        finished = True
        if report is not None:
            if report.bad_tests is not None:
                raise ScoringFailure(f"the tests of the reference cannot be used: {report.bad_tests}")
            lost += [report.result] if report.result.status == "lost" else []
            stopped += [report.result] if report.result.status in _LIMITS else []
            outcomes = [*report.tests, *outcomes]
            count += report.count
            finished, compiled = report.finished, report.compiled
            failed = [test for test in report.tests if not test.passed]
            error = report.error + _colon(report.message) if report.error else error
            line = failed[0].line if failed else line
        if lost:
            raise ScoringFailure(lost[0].reason)
        passed = sum(test.passed for test in outcomes)
        if stopped:
            note = f"{stopped[0].status}: {self._limit_text(stopped[0])}"
            if self.limit == "failed" and passed == len(outcomes):
                raise ScoringFailure(note)
        elif finished and passed == count:
            note = None
        else:
            note = (error or "the program ended before its tests did") + (f"; in: {line}" if line else "")
        right = finished and not stopped and passed == count
        value = passed / count if self.partial else float(right)
        parts = {"compiles": None if compiled is None else float(compiled), "passed": passed / count}
        return Verdict(value, note=note, parts=parts)

    def _limit_text(self, result: Result) -> str:
        if result.status == "timeout":
            return f"no end within {self.seconds:g} s of {result.reason}"
        if result.status == "memory":
            return f"over {self.memory_mb} MB"
        return "too many processes"


@dataclass(frozen=True)
class Plan:
    """What is to be run for one sample.

    Args:
        examination: the program with its Python tests, or None.
        programs: the program with each of its inputs.
        expected: what each of these must print.
    """

    examination: Examination | None
    programs: list[Program]
    expected: list[str]


@dataclass(frozen=True)
class _Tests:
    tests: list[str]
    test: str | None
    setup: str
    entry_point: str | None
    prompt: str
    cases: list[tuple[str, str]]
    files: dict[str, str] = field(default_factory=dict)


def _carry_out(plans: list[Plan], box: sandbox.Sandbox) -> list[tuple[Report | None, list[Result]]]:
    """Run everything at once, and give each plan what is its own."""
    reports = iter(box.examine_many([plan.examination for plan in plans if plan.examination is not None]))
    results = iter(box.run_many([program for plan in plans for program in plan.programs]))
    return [
        (next(reports) if plan.examination is not None else None, [next(results) for _ in plan.programs])
        for plan in plans
    ]


# ---- the reference ---------------------------------------------------------------------------------------------------


def _tests(reference: Any) -> _Tests:
    """Read a reference, or say what is wrong with it."""
    expected = "expected a mapping with 'tests' (a list), 'test' (a script), or 'stdin' and 'stdout'"
    if reference is None:
        raise ScoringFailure(f"the task has no reference; {expected}")
    if isinstance(reference, str):
        try:
            reference = json.loads(reference)
        except (ValueError, RecursionError):
            raise ScoringFailure(f"the reference is text that is not JSON ({reference[:60]!r}); {expected}") from None
    if isinstance(reference, list):
        reference = {"tests": reference}
    if not isinstance(reference, Mapping):
        raise ScoringFailure(f"the reference is {reference!r:.60}; {expected}")
    given = {ALIASES.get(key, key): value for key, value in reference.items()}
    texts = {name: given.get(name) for name in ("test", "setup", "entry_point", "prompt")}
    for name, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise ScoringFailure(f"{name!r} of the reference must be text, got {value!r:.60}")
    tests = _texts(given.get("tests"), "tests")
    stdout = _texts(given.get("stdout"), "stdout")
    stdin = _texts(given.get("stdin"), "stdin") or [""] * len(stdout)
    if len(stdin) != len(stdout):
        raise ScoringFailure(f"the reference has {len(stdin)} texts under 'stdin' and {len(stdout)} under 'stdout'")
    if not tests and not stdout and not texts["test"]:
        raise ScoringFailure(
            f"the reference has only the keys {', '.join(map(str, reference)) or '(none)'}; {expected}"
        )
    files = given.get("files") or {}
    if not (isinstance(files, Mapping) and all(isinstance(text, str) for pair in files.items() for text in pair)):
        raise ScoringFailure("'files' of the reference must be a mapping of names to texts")
    return _Tests(
        tests=tests,
        test=texts["test"] or None,
        setup=texts["setup"] or "",
        entry_point=texts["entry_point"] or None,
        prompt=texts["prompt"] or "",
        cases=list(zip(stdin, stdout, strict=True)),
        files=dict(files),
    )


def _texts(value: Any, name: str) -> list[str]:
    entries = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(entries, (list, tuple)) or not all(isinstance(entry, str) for entry in entries):
        raise ScoringFailure(f"{name!r} of the reference must be text or a list of texts, got {value!r:.60}")
    return list(entries)


# ---- the program -----------------------------------------------------------------------------------------------------


def extract_code(text: str, extract: Extract = "auto") -> str | None:
    """The code in an answer.

    Args:
        text: the answer.
        extract: see `CodeTests`.

    Returns:
        The code, or None where the answer has no block and one was asked for. A block that is not closed goes to the end.
    """
    if extract == "whole":
        return text
    blocks = _blocks(text)
    marked = [code for language, code in blocks if language.lower() in PYTHON]
    usable = marked or [code for _, code in blocks]
    if extract == "joined":
        return "\n".join(usable) if usable else None
    if usable:
        return usable[0] if extract == "first" else usable[-1]
    return text if extract == "auto" else None


def _blocks(text: str) -> list[tuple[str, str]]:
    """Fenced blocks: language and content."""
    blocks: list[tuple[str, list[str]]] = []
    fence = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            if mark and len(mark[1]) >= len(fence) and not line.strip().strip("`"):
                fence = ""
            else:
                blocks[-1][1].append(line)
        elif mark:
            fence = mark[1]
            blocks.append((mark[2], []))
    return [(language, "\n".join(lines) + "\n") for language, lines in blocks]


def _assemble(code: str, tests: _Tests) -> tuple[str, str]:
    """The program, and the part of the prompt before the entry point, whose helpers the tests may use."""
    if not tests.prompt:
        return code, ""
    name = re.escape((tests.entry_point or "").split("(")[0].split(".")[0])
    definition = re.compile(rf"^(?:(?:@[^\n]*\n)*(?:async[ \t]+)?(?:def|class)[ \t]+{name}\b)", re.MULTILINE)
    found = list(definition.finditer(tests.prompt)) if name else []
    helpers = tests.prompt[: found[-1].start()] if found else ""
    begins_a_line = code.lstrip("\r\n")[:1] not in (" ", "\t")
    if found and begins_a_line and definition.search(code):
        return helpers + "\n" + code, helpers
    return tests.prompt + code, helpers


def _case(result: Result, expected: str) -> TestOutcome:
    """One run with one input: it must end well and print what was expected."""
    if result.status != "ok":
        last = result.stderr.rstrip().rpartition("\n")[2]
        error, _, message = (
            last.partition(": ") if result.status == "error" and last else (result.status, "", result.reason)
        )
        return TestOutcome(passed=False, error=error[:100], message=message[:500])
    if result.truncated:
        return TestOutcome(passed=False, error="WrongOutput", message="it printed more than is kept")
    if _lines(result.stdout) != _lines(expected):
        return TestOutcome(
            passed=False, error="WrongOutput", message=f"{result.stdout[:80]!r}, expected {expected[:80]!r}"
        )
    return TestOutcome(passed=True)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def _syntax(outcome: TestOutcome) -> bool:
    return outcome.error in _SYNTAX


def _colon(text: str) -> str:
    return f": {text}" if text else ""
