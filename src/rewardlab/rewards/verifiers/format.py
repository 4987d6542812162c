"""Whether an answer has the form that was asked for: a regular expression, tagged blocks in order, a length.

A pattern runs under a hard time limit; a sample on which it runs out is *failed*, not zero, since the pattern is at
fault and not the answer. Blocks are found by their literal tags and not by a parser, so what stands inside them may be
anything.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rewardlab.rewards.base import Verdict, Verifier
from rewardlab.rewards.spec import register
from rewardlab.rewards.verifiers.time_limit import compile_pattern, search, time_limit
from rewardlab.types import Trajectory, message_text

_TAG = re.compile(r"[A-Za-z_][\w.-]*[?*+]?")
_TIMES = {"?": (0, 1), "*": (0, None), "+": (1, None)}


@register("format")
@dataclass(frozen=True, kw_only=True)
class Format(Verifier):
    r"""1 where the answer keeps every rule that is set, else 0 (or the share kept). Needs no reference.

    Parts, for the rules that are set: `pattern`, `tags`, `max_length`. Without any, the tags `think` and `answer` are
    asked for.

    Args:
        pattern: a regular expression (syntax of the `regex` package, which reads that of `re`; write `(?s)` for a dot
            that matches line breaks).
        match: whether the pattern must fit the `whole` answer or `anywhere` in it.
        tags: names of blocks `<name>...</name>`, each exactly once, in this order, none inside another. A name may end
            in `?` (at most once), `+` (at least once) or `*`.
        outside: whether anything but white space may stand outside the blocks: `nothing` or `anything`.
        empty: whether a block may be empty.
        max_length: the answer may have so many characters.
        prefill: text put before the answer, for chat templates that already open the first tag in the prompt.
        turns: `last` looks at the last assistant message; `all` at each, with the mean as value and one value per
            step.
        partial: the share of the rules that hold, in place of all or nothing.
        time_limit: seconds of CPU time for the pattern on one answer; beyond it the sample fails.
    """

    pattern: str | None = None
    match: Literal["whole", "anywhere"] = "whole"
    tags: tuple[str, ...] | None = None
    outside: Literal["nothing", "anything"] = "nothing"
    empty: bool = False
    max_length: int | None = None
    prefill: str = ""
    turns: Literal["last", "all"] = "last"
    partial: bool = False
    time_limit: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pattern is not None:
            compile_pattern(self.pattern, owner="Format: option 'pattern'")
        if self.max_length is not None and self.max_length < 0:
            raise ValueError(f"Format: option 'max_length' must not be negative, got {self.max_length}")
        if not self.time_limit > 0:
            raise ValueError(f"Format: option 'time_limit' must be above 0, got {self.time_limit}")
        for tag in self.tags or ():
            if not _TAG.fullmatch(tag):
                raise ValueError(
                    f"Format: option 'tags' must hold names such as 'answer' (or 'answer?', 'answer+'), got {tag!r}"
                )
        names = [tag.rstrip("?*+") for tag in self.tags or ()]
        if len(set(names)) < len(names):
            raise ValueError(
                f"Format: option 'tags' must hold different names, got {self.tags}; write 'name+' for several"
            )

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Check the form of one trajectory's answer, or of all its assistant messages."""
        if self.turns == "last":
            return self._check(trajectory.completion)
        verdicts = [self._check(message_text(action)) for action in trajectory.actions]
        steps = [verdict.value for verdict in verdicts]
        notes = [f"step {step}: {verdict.note}" for step, verdict in enumerate(verdicts) if verdict.note]
        parts = {
            rule: sum(verdict.parts[rule] or 0.0 for verdict in verdicts) / len(verdicts) for rule in verdicts[0].parts
        }
        return Verdict(sum(steps) / len(steps), note="; ".join(notes[:3]) or None, parts=dict(parts), steps=steps)

    def _check(self, answer: str) -> Verdict:
        text = self.prefill + answer
        parts: dict[str, float | None] = {}
        problems: list[str] = []
        if self.pattern is not None:
            with time_limit(self.time_limit):
                fits = search(self._compiled, text, full=self.match == "whole") is not None
            parts["pattern"] = float(fits)
            if not fits:
                problems.append("the pattern does not fit")
        if self._blocks is not None:
            problem = self._blocks.problem(text)
            parts["tags"] = float(problem is None)
            if problem is not None:
                problems.append(problem)
        if self.max_length is not None:
            parts["max_length"] = float(len(answer) <= self.max_length)
            if len(answer) > self.max_length:
                problems.append(f"{len(answer)} characters, more than {self.max_length}")
        value = sum(part or 0.0 for part in parts.values()) / len(parts) if self.partial else float(not problems)
        return Verdict(value, note="; ".join(problems) or None, parts=parts)

    @functools.cached_property
    def _compiled(self) -> Any:
        return compile_pattern(self.pattern or "", owner="Format: option 'pattern'")

    @functools.cached_property
    def _blocks(self) -> Blocks | None:
        tags = self.tags
        if tags is None and self.pattern is None and self.max_length is None:
            tags = ("think", "answer")
        return Blocks(tags, outside=self.outside == "anything", empty=self.empty) if tags else None


class Blocks:
    """A sequence of tagged blocks that a text must have.

    Args:
        tags: names in order, each with an optional `?`, `*` or `+`.
        outside: whether text may stand outside the blocks.
        empty: whether a block may be empty.
    """

    def __init__(self, tags: Sequence[str], *, outside: bool, empty: bool) -> None:
        self.outside, self.empty = outside, empty
        self.times = {tag.rstrip("?*+"): _TIMES.get(tag[-1], (1, 1)) for tag in tags}
        self.order = {name: place for place, name in enumerate(self.times)}
        names = "|".join(sorted(map(re.escape, self.times), key=len, reverse=True))
        self.mark = re.compile(rf"<(/?)({names})>")

    def problem(self, text: str) -> str | None:
        """What is wrong with a text, or None."""
        counts = dict.fromkeys(self.times, 0)
        inside: str | None = None
        position = reached = 0
        for mark in self.mark.finditer(text):
            closing, name = mark.groups()
            before = text[position : mark.start()]
            if inside is None:
                if closing:
                    return f"</{name}> closes nothing"
                if not self.outside and before.strip():
                    return f"text outside the blocks, before <{name}>"
                if self.order[name] < reached:
                    return f"<{name}> stands too late"
                reached, inside = self.order[name], name
                counts[name] += 1
            else:
                if not closing or name != inside:
                    return f"{mark.group()} inside <{inside}>"
                if not self.empty and not before.strip():
                    return f"<{name}> is empty"
                inside = None
            position = mark.end()
        if inside is not None:
            return f"<{inside}> is never closed"
        if not self.outside and text[position:].strip():
            return "text outside the blocks, at the end" if any(counts.values()) else "no block, but text"
        for name, (least, most) in self.times.items():
            if counts[name] < least:
                return f"<{name}> is missing"
            if most is not None and counts[name] > most:
                return f"<{name}> stands {counts[name]} times"
        return None
