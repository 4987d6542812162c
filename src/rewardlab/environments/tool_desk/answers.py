"""Whether a written answer is the right one: numbers by value, dates by day, units where they are written, words exactly.

The whole reply must be the answer, or what follows its last `Answer:`. A reply that names several candidates is wrong, since
a check that looks for the right one anywhere in a text is an invitation to list them all.
"""

from __future__ import annotations

import re

from rewardlab.environments.tool_desk.dates import read_date
from rewardlab.types import Task

_MARK = re.compile(r".*answer\s*:", re.IGNORECASE | re.DOTALL)
_NUMBER = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?: ?([a-z]+))?")
_DRESS = " \t\n.,;:!*_`'\"$"


def answer_matches(task: Task, text: str) -> bool:
    """Whether a final answer is right.

    Args:
        task: a task of the desk, with `reference["answer"]`.
        text: what the policy wrote. Case, markdown and punctuation around the answer do not count; the unit may be left
            out, but a wrong one is wrong; a number with decimals may be off by 0.01.

    Raises:
        ValueError: the task has no such reference.
    """
    return same_answer(reference_answer(task), text)


def reference_answer(task: Task) -> str:
    """The right answer of a task of the desk.

    Raises:
        ValueError: the task has no such reference.
    """
    answer = task.reference.get("answer") if isinstance(task.reference, dict) else None
    if not isinstance(answer, str) or not answer:
        raise ValueError(
            f'task {task.id!r} has no reference["answer"], expected the right answer as a string; '
            "make tasks with ToolDesk().tasks(...)"
        )
    return answer


def same_answer(expected: str, text: str) -> bool:
    """Whether a text gives the expected answer; see `answer_matches`."""
    given = _bare(_MARK.sub("", text, count=1))
    wanted = _bare(expected)
    if given == wanted:
        return True
    day = read_date(wanted)
    if day is not None:
        return read_date(given) == day
    right, written = _NUMBER.fullmatch(wanted), _NUMBER.fullmatch(re.sub(r"(?<=\d),(?=\d{3}\b)", "", given))
    if right is None or written is None or len(written[1]) > 30:
        return False
    if written[2] is not None and written[2] != right[2]:
        return False
    tolerance = 0.01 if "." in right[1] else 0.0
    return abs(float(written[1]) - float(right[1])) <= tolerance + 1e-9


def _bare(text: str) -> str:
    return " ".join(text.strip(_DRESS).casefold().split())
