"""Where in a completion the answer stands: all of it, its last line, a box, a tag, or what follows a marker."""

from __future__ import annotations

import re
from typing import Any, Literal

from rewardlab.rewards.base import ScoringFailure
from rewardlab.types import Trajectory

Where = Literal["whole", "last_line", "boxed", "tag", "after"]
"""`whole`: the completion. `last_line`: its last line that is not blank. `boxed`: the last LaTeX box. `tag`: the last
`<tag>...</tag>`. `after`: the rest of the line behind the last occurrence of a marker such as "Final answer:"."""

_WRAPPER = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")


def find_answer(text: str, where: Where, *, tag: str = "answer", marker: str = "answer:") -> str | None:
    """The answer inside a completion, or None where the place it should stand in is not there.

    Args:
        text: the completion.
        where: see `Where`.
        tag: name of the tag for `where="tag"`.
        marker: text before the answer for `where="after"`; letter case is ignored.
    """
    if where == "whole":
        return text.strip()
    if where == "last_line":
        return text.rstrip().rpartition("\n")[2].strip() or None
    if where == "boxed":
        return last_box(text)
    if where == "tag":
        return last_tag(text, tag)
    return _after(text, marker)


def last_box(text: str) -> str | None:
    r"""What stands in the last `\boxed{...}`, without `\text{}` wrappers; None where there is no closed box."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    begin = start + len("\\boxed{")
    depth = 1
    for brace in re.finditer(r"\\.|[{}]", text[begin:], re.DOTALL):
        if brace.group() == "{":
            depth += 1
        elif brace.group() == "}":
            depth -= 1
            if depth == 0:
                return _WRAPPER.sub(r"\1", text[begin : begin + brace.start()]).strip()
    return None


def last_tag(text: str, tag: str) -> str | None:
    """What stands in the last `<tag>...</tag>`, or None."""
    end = text.rfind(f"</{tag}>")
    start = text.rfind(f"<{tag}>", 0, max(end, 0))
    return None if end < 0 or start < 0 else text[start + len(tag) + 2 : end].strip()


def _after(text: str, marker: str) -> str | None:
    found = None
    for found in re.finditer(re.escape(marker), text, re.IGNORECASE):  # noqa: B007  # the last one is wanted
        pass
    if found is None:
        return None
    rest = text[found.end() :].lstrip(" \t*_:")
    line = rest.lstrip().partition("\n")[0] if rest[:1] in ("\n", "\r") else rest.partition("\n")[0]
    return line.strip().strip("*_").strip() or None


def acceptable_answers(trajectory: Trajectory, *, what: str) -> list[str]:
    """The answers that the reference allows: a string, a number, a truth value, or a list of these.

    Raises:
        ScoringFailure: the task has no reference, or it is something else.
    """
    reference = trajectory.reference
    if isinstance(reference, str):
        return [reference]
    if reference is None:
        raise ScoringFailure(f"the task has no reference; expected {what}")
    entries = reference if isinstance(reference, (list, tuple)) else [reference]
    if not entries:
        raise ScoringFailure(f"the reference is an empty list; expected {what}")
    return [_as_text(entry, what) for entry in entries]


def _as_text(entry: Any, what: str) -> str:
    if isinstance(entry, str):
        return entry
    if isinstance(entry, bool):
        return "true" if entry else "false"
    if isinstance(entry, (int, float)):
        return str(int(entry)) if isinstance(entry, float) and entry.is_integer() else str(entry)
    raise ScoringFailure(f"the reference holds {entry!r:.80}; expected {what}")
