"""Runs the tests of a program. They run here, in the keeper, and the program in a process of its own.

So the program cannot read the expected answers, cannot end before the tests do and pass, cannot print a verdict, cannot
patch `assert`, and cannot pass with an object that equals everything. It sees the arguments of each call, and that is all.
Tests that need the program's objects in their own process (`apart` off) are run over there; then only ending early and
answering beforehand are caught.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import os
import random
import re
import signal
import types
from collections.abc import Callable
from typing import Any

from rewardlab.sandbox.inside import program
from rewardlab.sandbox.inside.frames import read_frame
from rewardlab.sandbox.inside.keeper import Reporter
from rewardlab.sandbox.inside.remote import Caught, Peer, ProgramGone, Remote, describe

_COMPILE_ERRORS = (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError)
FILE = "tests"
PASSED_NAME = "__each_assert__"
ONE_BY_ONE = 2000


class BadTests(Exception):
    """The tests themselves are broken, so that they say nothing about the program."""


def grade(job: dict[str, Any], folder: str, stdin: int, questions: int, reporter: Reporter) -> None:
    """Start the program, ask it the questions, and report one event for each test.

    Args:
        job: the program and its limits.
        folder: the program's scratch folder, which is the current one.
        stdin: its standard input.
        questions: where the tests come from; they are read after the program was forked off, so it never holds them.
        reporter: where the events go: `started`, `count`, `loaded` or `broken`, `test` for each one, and `gone`,
            `done` or `bad_tests`.
    """
    to_program, from_program = os.pipe(), os.pipe()
    reporter.say({"started": True})
    child = os.fork()
    if not child:
        answers_in, answers_out = os.dup2(to_program[0], 210), os.dup2(from_program[1], 211)
        os.closerange(3, stdin)
        os.closerange(stdin + 1, 210)
        _be_the_program(job, folder, stdin, answers_in, answers_out)
    os.close(stdin)
    os.close(to_program[0])
    os.close(from_program[1])
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    tests = read_frame(questions)
    random.seed(0)  # tests that draw their inputs draw the same ones every time
    peer = Peer(from_program[0], to_program[1])
    caught = Caught()
    with caught:
        _examine(peer, tests, reporter)
    if isinstance(caught.error, BadTests):
        reporter.say({"bad_tests": str(caught.error)})
    elif isinstance(caught.error, ProgramGone):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)  # it may have closed the pipe and live on
        reporter.say({"gone": os.waitpid(child, 0)[1], "reason": str(caught.error)})
    elif caught.error is not None:
        raise caught.error
    else:
        reporter.say({"done": True})


def _examine(peer: Peer, tests: dict[str, Any], reporter: Reporter) -> None:
    namespace: dict[str, Any] = {"__name__": FILE, "__builtins__": builtins}
    pieces = _compiled(tests)
    reporter.say({"count": len(tests["cases"]) + _asserts(tests)})
    for stage in ("compile", "execute"):
        with Caught() as caught:
            peer.ask(stage)
        if isinstance(caught.error, ProgramGone):
            raise caught.error
        if caught.error is not None:
            reporter.say({"broken": stage, "error": _named(caught.error)})
            return
        reporter.say({"loaded": stage})
    if tests["apart"]:
        wanted = sorted({name for piece, code in pieces.items() if piece != "helpers" for name in _names(code)})
        if "helpers" in pieces:
            _run_helpers(pieces["helpers"], namespace)
        _take_names(peer, wanted, tests["entry_point"], namespace)
        run: Here | There = Here(namespace)
    else:
        run = There(peer)
    if "setup" in pieces:
        _one(run, "setup", pieces["setup"], tests["setup"], reporter, index=None)
    for index, source in enumerate(tests["cases"]):
        _one(run, f"test {index}", pieces[f"test {index}"], source, reporter, index)
    if tests["check"] is not None:
        _check(run, pieces["check"], tests, reporter, peer, namespace)


class Here:
    """Runs test code in this process."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace

    def __call__(self, code: types.CodeType, source: str) -> None:
        """Run one piece."""
        exec(code, self.namespace)  # noqa: S102  # test code, inside the sandbox


class There:
    """Runs test code in the program's process."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def __call__(self, code: types.CodeType, source: str) -> None:
        """Run one piece."""
        self.peer.ask("test", source)


def _one(
    run: Here | There, name: str, code: types.CodeType, source: str, reporter: Reporter, index: int | None
) -> None:
    """Run one test and report it; a setup (index None) that fails counts as a failed test that stands before all others."""
    with Caught() as caught:
        run(code, source)
    if isinstance(caught.error, ProgramGone):
        raise caught.error
    if index is not None or caught.error is not None:
        line = source.strip().splitlines()[0] if source.strip() else ""
        _report(reporter, index, caught.error, line)


def _report(reporter: Reporter, index: int | None, error: BaseException | None, line: str) -> None:
    event: dict[str, Any] = {"test": index, "passed": error is None}
    if error is not None:
        event.update(error=_named(error), line=line[:200])
    reporter.say(event)


def _check(
    run: Here | There,
    code: types.CodeType,
    tests: dict[str, Any],
    reporter: Reporter,
    peer: Peer,
    namespace: dict[str, Any],
) -> None:
    """A whole test script: it may define `check(candidate)`, which is then called with the entry point."""
    source = tests["check"]
    calls = re.search(r"^def check\(", source, re.MULTILINE) is not None and tests["entry_point"] is not None
    asserts = Asserts(reporter, source) if tests["split"] and tests["apart"] else None
    if asserts is not None:
        namespace[PASSED_NAME] = asserts
    with Caught() as caught:
        run(code, source)
        if calls and tests["apart"]:
            if tests["entry_point"] not in namespace:
                raise NameError(f"name {tests['entry_point']!r} is not defined")
            namespace["check"](namespace[tests["entry_point"]])
        elif calls:
            peer.ask("test", f"check({tests['entry_point']})")
    if asserts is not None:
        asserts.finish()
    if isinstance(caught.error, ProgramGone):
        raise caught.error
    if asserts is None or caught.error is not None or not asserts.count:
        _report(reporter, 0 if asserts is None else asserts.count, caught.error, _line(caught.error, source))


class Asserts:
    """Stands round every assert statement of a script, and reports each one as a test of its own."""

    def __init__(self, reporter: Reporter, source: str) -> None:
        self.reporter, self.source = reporter, source
        self.count, self.failed_later = 0, 0

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        if isinstance(error, ProgramGone):
            return False
        if self.count < ONE_BY_ONE:
            if error is not None:
                error.__traceback__ = trace
            _report(self.reporter, self.count, error, _line(error, self.source))
        else:
            self.failed_later += error is not None
        self.count += 1
        return True

    def finish(self) -> None:
        """Report the statements that were not reported one by one, as numbers."""
        more = self.count - ONE_BY_ONE
        if more > 0:
            self.reporter.say({"more": more - self.failed_later, "more_failed": self.failed_later})

    class Split(ast.NodeTransformer):
        """Puts each assert statement into a `with` block."""

        def visit_Assert(self, node: ast.Assert) -> ast.With:
            """One statement."""
            manager = ast.Name(id=PASSED_NAME, ctx=ast.Load())
            block = ast.With(items=[ast.withitem(context_expr=manager)], body=[node])
            return ast.copy_location(block, node)


def _line(error: BaseException | None, source: str) -> str:
    """The line of the tests at which an exception went through them last."""
    lines, found = source.splitlines(), ""
    trace = error.__traceback__ if error is not None else None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILE and 0 < trace.tb_lineno <= len(lines):
            found = lines[trace.tb_lineno - 1].strip()
        trace = trace.tb_next
    return found


def _named(error: BaseException) -> list[str]:
    """Type and text of an exception, under the name that it had in the program."""
    name, _, text = describe(error)
    return [str(error.__dict__.get("program_error", name)), text[:500]]


def _compiled(tests: dict[str, Any]) -> dict[str, types.CodeType]:
    sources = {f"test {index}": source for index, source in enumerate(tests["cases"])}
    sources |= {name: tests[name] for name in ("setup", "helpers") if tests[name]}
    if tests["check"] is not None:
        sources["check"] = tests["check"]
    pieces = {}
    for name, source in sources.items():
        try:
            tree = ast.parse(source, FILE)
            if name == "check" and tests["split"] and tests["apart"]:
                tree = ast.fix_missing_locations(Asserts.Split().visit(tree))
            pieces[name] = compile(tree, FILE, "exec", dont_inherit=True)
        except _COMPILE_ERRORS as error:
            raise BadTests(f"{name} does not compile: {type(error).__name__}: {error}") from None
    return pieces


def _asserts(tests: dict[str, Any]) -> int:
    """How many tests a test script is: one, or (split) its assert statements; those in a loop may turn out to be more."""
    if tests["check"] is None:
        return 0
    if not (tests["split"] and tests["apart"]):
        return 1
    return max(1, sum(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(tests["check"], FILE))))


def _names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names


def _run_helpers(code: types.CodeType, namespace: dict[str, Any]) -> None:
    with Caught() as caught:
        exec(code, namespace)  # noqa: S102  # part of the task, inside the sandbox
    if caught.error is not None:
        raise BadTests(f"the helpers do not run: {': '.join(_named(caught.error))}")


def _take_names(peer: Peer, wanted: list[str], entry_point: str | None, namespace: dict[str, Any]) -> None:
    """Bring the names that the tests use from the program.

    The helpers' names and Python's own stay what they are here; a built-in name is the program's only if it is the entry
    point, or if the tests name nothing else that the program defines (a task that asks for a function called `sum`).
    """
    owner, method = (entry_point or "").rstrip("()"), ""
    if match := re.fullmatch(r"(\w+)(?:\(\))?\.(\w+)", entry_point or ""):
        owner, method = match.groups()
    asked = {*wanted, owner}
    offered: Any = None
    with Caught() as caught:
        offered = peer.ask("names", sorted(asked))
    if not (
        isinstance(offered, dict) and all(isinstance(entry, tuple) and len(entry) == 2 for entry in offered.values())
    ):
        raise ProgramGone(f"the program did not tell what it defines ({caught.error})")
    offered = {name: entry for name, entry in offered.items() if name in asked}
    others = [name for name in offered if not hasattr(builtins, name) and name not in namespace]
    for name, (value, bases) in offered.items():
        if name != owner and (name in namespace or (hasattr(builtins, name) and others)):
            continue
        if bases is not None:
            namespace[name] = peer.errors[name] = _exception_class(name, bases)
        else:
            namespace[name] = value
    if method and isinstance(namespace.get(owner), Remote):
        with Caught() as caught:  # a class without that method fails the tests, with its own words
            namespace[entry_point or ""] = getattr(namespace[owner](), method)
        if isinstance(caught.error, ProgramGone):
            raise caught.error


def _exception_class(name: str, bases: Any) -> type[BaseException]:
    for base in bases if isinstance(bases, list) else []:
        known = getattr(builtins, str(base), None)
        if isinstance(known, type) and issubclass(known, Exception):
            return type(name, (known,), {})
    return type(name, (Exception,), {})


# ---- the other side --------------------------------------------------------------------------------------------------


def _be_the_program(job: dict[str, Any], folder: str, stdin: int, incoming: int, outgoing: int) -> None:
    program.enter(stdin, job["limits"])
    os.environ.update(HOME=folder, TMPDIR=folder)
    module = program.young_module(folder)
    space = module.__dict__

    def compile_source() -> None:
        compile(job["code"], program.FILE, "exec", dont_inherit=True)

    def names(wanted: list[str]) -> dict[str, tuple[Any, list[str] | None]]:
        return {name: (space[name], _exception_bases(space[name])) for name in wanted if name in space}

    def test(source: str) -> None:
        exec(compile(source, FILE, "exec", dont_inherit=True), space)  # noqa: S102

    operations: dict[str, Callable[..., Any]] = {
        "compile": compile_source,
        "execute": lambda: program.load(job["code"], module),
        "names": names,
        "test": test,
    }
    Peer(incoming, outgoing, operations).serve()
    os._exit(0)


def _exception_bases(value: Any) -> list[str] | None:
    if isinstance(value, type) and issubclass(value, BaseException) and value.__module__ == "__main__":
        return [base.__name__ for base in value.__mro__[1:]]
    return None
