"""The files of one attempt and the tools that work on them. Everything is in memory: there is no path to escape by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rewardlab.environments.repair_shop.testing import Outcomes, Runner, Test, call_text, test_file
from rewardlab.environments.tools import Toolbox, ToolError, tool

TEST_FILE = "tests.py"
LONGEST_EDIT = 4_000
LONGEST_FILE = 400
_MOST_FAILURES = 4


class Workspace:
    """A copy of a program that an agent may look at and change.

    Args:
        files: text by path.
        tests: the visible ones.
        modules: the module of each function.
        runner: what runs the tests.
    """

    def __init__(
        self, files: Mapping[str, str], tests: Sequence[Test], modules: Mapping[str, str], runner: Runner
    ) -> None:
        self._original = dict(files)
        self.files = dict(files)
        self.tests = tests
        self.shown = {**files, TEST_FILE: test_file(tests, modules)}
        self.runner = runner
        self.tampered = 0
        self.edits = 0
        self.runs = 0

    def toolbox(self) -> Toolbox:
        """The five tools."""
        return Toolbox([self.list_files, self.read_file, self.search, self.edit, self.run_tests])

    @property
    def changed(self) -> dict[str, str]:
        """The files that differ from the task's."""
        return {path: text for path, text in self.files.items() if text != self._original[path]}

    @tool
    def list_files(self) -> str:
        """List the files of the project with their numbers of lines."""
        return "\n".join(f"{path} ({len(_lines(text))} lines)" for path, text in sorted(self._all().items()))

    @tool
    def read_file(self, path: str, first: int = 1, last: int = LONGEST_FILE) -> str:
        """Read lines of a file, numbered.

        Args:
            path: which file.
            first: number of the first line, from 1.
            last: number of the last line.
        """
        lines = _lines(self._text(path))
        _check_range(first, max(first, min(last, len(lines))), lines, path)
        return numbered(lines, first, last)

    @tool
    def search(self, text: str) -> str:
        """Find the lines that contain a text.

        Args:
            text: what to look for; upper and lower case differ.
        """
        if not text.strip():
            raise ToolError("there is nothing to look for; give a text")
        found = [
            f"{path}:{number}: {line}"
            for path, content in sorted(self._all().items())
            for number, line in enumerate(_lines(content), 1)
            if text in line
        ]
        return "\n".join(found[:40]) if found else f"no line contains {text!r:.60}"

    @tool
    def edit(self, path: str, first: int, last: int, text: str) -> str:
        """Replace lines of a file.

        Args:
            path: which file; the tests cannot be changed.
            first: number of the first line to replace, from 1.
            last: number of the last line to replace.
            text: what stands there instead, any number of lines; empty takes the lines out.
        """
        lines = _lines(self._text(path))
        if path == TEST_FILE:
            self.tampered += 1
            raise ToolError(f"{TEST_FILE} cannot be changed; repair the program, not its tests")
        if len(text) > LONGEST_EDIT:
            raise ToolError(
                f"the text has {len(text)} characters, at most {LONGEST_EDIT} are allowed; change fewer lines"
            )
        _check_range(first, last, lines, path)
        new = _lines(text)
        if len(lines) - (last - first + 1) + len(new) > LONGEST_FILE:
            raise ToolError(f"{path} would have more than {LONGEST_FILE} lines")
        lines[first - 1 : last] = new
        self.files[path] = "".join(f"{line}\n" for line in lines)
        self.edits += 1
        return f"{path} now reads:\n{numbered(lines, max(1, first - 1), first + len(new))}"

    @tool
    def run_tests(self) -> str:
        """Run the visible tests."""
        self.runs += 1
        outcomes = self.runner.run_many([(self.files, self.tests)])[0]
        if outcomes.lost:
            raise RuntimeError(f"the tests could not be run: {outcomes.lost}")
        return described(outcomes, self.tests)

    def _all(self) -> dict[str, str]:
        return {**self.files, TEST_FILE: self.shown[TEST_FILE]}

    def _text(self, path: str) -> str:
        files = self._all()
        if path not in files:
            raise ToolError(f"there is no file {path!r:.60}; the files are {', '.join(sorted(files))}")
        return files[path]


def described(outcomes: Outcomes, tests: Sequence[Test]) -> str:
    """What a run of tests prints."""
    failed = [
        f"{call_text(test)}: expected {test['expected']!r}, {note}"
        for test, passed, note in zip(tests, outcomes.passed, outcomes.notes, strict=True)
        if not passed
    ]
    summary = f"{len(tests) - len(failed)} of {len(tests)} tests passed"
    more = [f"... and {len(failed) - _MOST_FAILURES} more"] if len(failed) > _MOST_FAILURES else []
    return "\n".join([summary, *failed[:_MOST_FAILURES], *more])


def numbered(lines: Sequence[str], first: int, last: int) -> str:
    """Lines with their numbers, as tools show them."""
    return "\n".join(f"{number}: {line}" for number, line in enumerate(lines, 1) if first <= number <= last)


def _lines(text: str) -> list[str]:
    return text.split("\n")[:-1] if text.endswith("\n") else text.split("\n") if text else []


def _check_range(first: int, last: int, lines: Sequence[Any], path: str) -> None:
    if not 1 <= first <= last <= len(lines):
        raise ToolError(f"lines {first} to {last} are not in {path}, which has {len(lines)} lines")
