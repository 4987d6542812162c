"""Does a hint give the answer away, and does an attempt talk about its hint? What is learned from must do neither."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal, get_args

from rewardlab.types import Trajectory, message_text

Action = Literal["refuse", "flag", "off"]
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakCheck:
    """What is done where guidance leaks.

    Args:
        longest_span: characters of the reference that may stand in a hint in one piece. Each text in the reference is
            looked at for itself; one that is shorter than this never counts.
        hints: a hint over the limit is refused (the failure stays what it was), or only flagged in `info["leaked"]`.
        words: what an attempt must not say about its hint; whole words, upper or lower case.
        mentions: an attempt that says one of them is refused as a positive, or only flagged in `info["mentions_hint"]`.

    Raises:
        ValueError: an option has an impossible value.
    """

    longest_span: int = 40
    hints: Action = "refuse"
    words: tuple[str, ...] = ("hint", "hints", "as suggested", "guidance")
    mentions: Action = "refuse"

    def __post_init__(self) -> None:
        for name in ("hints", "mentions"):
            if getattr(self, name) not in get_args(Action):
                raise ValueError(f"{name} must be one of {', '.join(get_args(Action))}, got {getattr(self, name)!r}")
        if self.longest_span < 1:
            raise ValueError(f"longest_span must be at least 1, got {self.longest_span}")

    def leaks(self, hint: str, reference: Any) -> bool:
        """Whether the hint holds a longer piece of the reference than is allowed."""
        return self.hints != "off" and longest_common_span(hint, reference) > self.longest_span

    def mentioned(self, trajectory: Trajectory) -> str | None:
        """The first of the words that the attempt wrote, or None."""
        if self.mentions == "off" or not self.words:
            return None
        pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, self.words))})\b", re.IGNORECASE)
        for action in trajectory.actions:
            found = pattern.search(message_text(action))
            if found:
                return found[0]
        return None


def longest_common_span(hint: str, reference: Any) -> int:
    """Characters of the longest piece that a hint shares with any text in a reference; white space counts once."""
    flat = " ".join(hint.split())
    longest = 0
    for text in _texts(reference):
        other = " ".join(text.split())
        if len(other) > longest:
            matcher = SequenceMatcher(None, flat, other, autojunk=False)
            longest = max(longest, matcher.find_longest_match(0, len(flat), 0, len(other)).size)
    return longest


def copied_share(hint: str, trajectory: Trajectory) -> float:
    """Share of the hint's different words that stand in what the attempt wrote; NaN for a hint without words."""
    words = set(_WORD.findall(hint.lower()))
    written = " ".join(
        [message_text(action) for action in trajectory.actions]
        + [str(call.get("function", {}).get("arguments", "")) for call in trajectory.tool_calls]
    )
    return len(words & set(_WORD.findall(written.lower()))) / len(words) if words else float("nan")


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _texts(entry)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _texts(entry)
