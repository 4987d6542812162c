"""The scripted repairer: it knows where the mistakes are, and shows how one would get there with the tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rewardlab.types import Message, call_message

WORDS = {
    "comparison": "the comparison was wrong",
    "direction": "the comparison was the wrong way round",
    "arithmetic": "the sign was wrong",
    "update": "the sum was overwritten",
    "number": "the number was off by one",
    "connective": "the conditions were joined wrongly",
}
"""What each kind of mistake is called in the last message."""


class Demonstrator:
    """Repairs a program call by call.

    Args:
        bugs: the mistakes, as in the reference of a task.
        look: whether to run the tests, search and read before each repair; an agent that is shown the program need not.
    """

    def __init__(self, bugs: Sequence[dict[str, Any]], *, look: bool) -> None:
        self._bugs = bugs
        calls: list[tuple[str, dict[str, Any]]] = [("run_tests", {})] if look else []
        for bug in bugs:
            if look:
                calls.append(("search", {"text": f"def {bug['function']}"}))
                calls.append(("read_file", {"path": bug["file"]}))
            edit = {"path": bug["file"], "first": bug["line"], "last": bug["line"], "text": bug["fixed"]}
            calls.append(("edit", edit))
        self._plan = [*calls, ("run_tests", {})]
        self._made = 0

    @property
    def calls(self) -> int:
        """How many calls it makes."""
        return len(self._plan)

    def __call__(self, conversation: list[Message]) -> Message:
        """The next message."""
        if self._made == len(self._plan):
            said = " and ".join(f"in line {bug['line']} of {bug['file']} {WORDS[bug['kind']]}" for bug in self._bugs)
            return {"role": "assistant", "content": f"{said[0].upper()}{said[1:]}."}
        name, arguments = self._plan[self._made]
        self._made += 1
        return call_message(name, arguments, identity=f"call_{self._made}")


def mistaken_calls(path: str) -> list[Message]:
    """Calls that go wrong in every way, so that a tokenizer sees how errors read."""
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("list_files", {}),
        ("read_file", {"path": "../secrets"}),
        ("read_file", {"path": path, "first": 99}),
        ("search", {"text": " "}),
        ("search", {"text": "lamp"}),
        ("edit", {"path": "tests.py", "first": 1, "last": 1, "text": ""}),
        ("edit", {"path": path, "first": 3, "last": 1, "text": "pass"}),
        ("edit", {"path": path, "first": "1", "text": 2}),
        ("remove", {"path": path}),
        ("run_tests", {"path": path}),
    ]
    return [call_message(name, arguments) for name, arguments in wrong]
