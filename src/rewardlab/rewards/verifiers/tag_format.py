"""Whether a turn is laid out in tags as it was told to be, and how long its thought is.

Both are ToolRL's (arXiv 2504.13958 and its repository). They read text as it was sampled; where calls were parsed out of it
into `tool_calls` the layout is gone, and the check fails rather than guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

from rewardlab.parsing.tool_calls import split_thought
from rewardlab.rewards.base import EMPTY_TRAJECTORY, ScoringFailure, Verdict, Verifier, attempt, scores_from_verdicts
from rewardlab.rewards.spec import register
from rewardlab.rewards.verifiers.tool_calls import check_scale
from rewardlab.rewards.verifiers.tool_references import read_reference
from rewardlab.types import Scores, Trajectory

Demand = Literal["call", "answer", "both", "neither"]
_TAG_NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)


@register("tag_format")
@dataclass(frozen=True, kw_only=True)
class TagFormat(Verifier):
    """Whether the whole text follows the template of tags that its task demands.

    The blocks of a template, with one new line between them: a thought `<think>...</think>`; where a call is due,
    `<tool_call>`, a new line, the calls, a new line, `</tool_call>`; where an answer is due, `<response>...</response>`.
    Each demanded tag must stand in the text exactly once (a thought that quotes the tags fails), and nothing may stand
    before, between or after the blocks; white space at both ends is free.

    Parts: `call`, `answer`, `both` and `neither`, so that the share of well-formed turns can be read for each template.

    Args:
        think: whether a thought is demanded first.
        call: name of the tag around calls.
        answer: name of the tag around the answer.
        demand: `reference`: call and answer are due where the reference has them; `any`: at least one of both is due, and
            whichever the text has is checked.
        scale: the score of a text that breaks the template, and of one that keeps it.

    A reference has calls as `ToolCallMatch` reads them, and an answer where it is a text with the answer's tag, an object
    with a `response`, or an empty list of calls.
    """

    think: bool = True
    call: str = "tool_call"
    answer: str = "response"
    demand: Literal["reference", "any"] = "reference"
    scale: tuple[float, float] = (0.0, 1.0)

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_scale(self.scale, "TagFormat")
        for option in ("call", "answer"):
            name = getattr(self, option)
            if not _TAG_NAME.fullmatch(name):
                raise ValueError(f"TagFormat: option {option!r} must be a tag name such as 'tool_call', got {name!r}")
        names = [self.call, self.answer, *(["think"] if self.think else [])]
        if len(set(names)) != len(names):
            raise ValueError(f"TagFormat: the tags must differ, got {', '.join(names)}")

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Check the last message of one trajectory."""
        text = _sampled_text(trajectory).strip()
        demand = self._from_reference(trajectory.reference) if self.demand == "reference" else self._from_text(text)
        problem = self._problem(text, demand)
        if self.demand == "any" and demand == "neither":
            problem = problem or f"neither <{self.call}> nor <{self.answer}>"
        low, high = self.scale
        value = high if problem is None else low
        return Verdict(value, problem, {demand: value})

    def _problem(self, text: str, demand: Demand) -> str | None:
        """What breaks the template, or None."""
        template, tags = self._templates[demand]
        for tag in tags:
            count = text.count(tag)
            if count != 1:
                return f"{tag} stands {count} times, expected once"
        if template.fullmatch(text) is None:
            return f"the text does not follow the template {' '.join(tags) or '(empty)'}"
        return None

    def _from_text(self, text: str) -> Demand:
        rest = split_thought(text)[1] if self.think else text
        return _demand(f"<{self.call}>" in rest, f"<{self.answer}>" in rest)

    def _from_reference(self, reference: Any) -> Demand:
        if reference is None:
            raise ScoringFailure(
                'the task has no reference to say what is due; expected calls, a text in tags, or set demand="any"'
            )
        if isinstance(reference, str):
            rest = split_thought(reference)[1]
            if f"<{self.call}>" in rest or f"<{self.answer}>" in rest or "<think>" in reference:
                return _demand(f"<{self.call}>" in rest, f"<{self.answer}>" in rest)
        calls = bool(read_reference(reference))
        if isinstance(reference, Mapping) and "response" in reference:
            return _demand(calls, bool(reference["response"]))
        return "call" if calls else "answer"

    @cached_property
    def _templates(self) -> dict[Demand, tuple[re.Pattern[str], list[str]]]:
        """For each demand the pattern, and the tags that stand exactly once."""
        found: dict[Demand, tuple[re.Pattern[str], list[str]]] = {}
        for demand in _DEMANDS:
            blocks, tags = [], []
            if self.think:
                blocks.append("<think>.*?</think>")
                tags += ["<think>", "</think>"]
            if demand in ("call", "both"):
                blocks.append(f"<{re.escape(self.call)}>\n.*?\n</{re.escape(self.call)}>")
                tags += [f"<{self.call}>", f"</{self.call}>"]
            if demand in ("answer", "both"):
                blocks.append(f"<{re.escape(self.answer)}>.*?</{re.escape(self.answer)}>")
                tags += [f"<{self.answer}>", f"</{self.answer}>"]
            found[demand] = re.compile("\n".join(blocks), re.DOTALL), tags
        return found


@register("thinking_length")
@dataclass(frozen=True, kw_only=True)
class ThinkingLength(Verifier):
    """Words of the thought over a target, rounded to two decimals and never above 1; 0 without a thought in tags.

    Words are what white space separates, so languages without blanks count few. The paper added it to the other rewards and
    found that it hurts small models; it is here to repeat that, and as a measure.

    Args:
        target: how many words score 1.
        schedule: the target as a function of the progress of training instead, such as `Linear(start=384, end=640)` (the
            paper's moving target).
    """

    target: int = 512
    schedule: Callable[[float], float] | None = None

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target < 1:
            raise ValueError(f"ThinkingLength: option 'target' must be at least 1 word, got {self.target}")

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Measure the last message of one trajectory against the fixed target."""
        return self._measure(trajectory, float(self.target))

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        target = float(self.target)
        if self.schedule is not None:
            if progress is None:
                raise ValueError(
                    "ThinkingLength has a schedule, so it needs the progress of training; call it with progress=0.0 to 1.0"
                )
            target = float(self.schedule(progress))
            if not target > 0:
                raise ValueError(f"ThinkingLength: the schedule gave a target of {target} at progress {progress}")
        return scores_from_verdicts(
            [attempt(lambda trajectory: self._measure(trajectory, target), trajectory) for trajectory in trajectories]
        )

    def _measure(self, trajectory: Trajectory, target: float) -> Verdict:
        thought, _ = split_thought(_sampled_text(trajectory))
        inner = thought.strip()
        if not (inner.startswith("<think>") and inner.endswith("</think>")):
            return Verdict(0.0, "no thought between <think> and </think>", {"words": 0.0})
        words = len(inner.removeprefix("<think>").removesuffix("</think>").split())
        return Verdict(min(1.0, round(words / target, 2)), None, {"words": float(words)})


_DEMANDS: tuple[Demand, ...] = ("call", "answer", "both", "neither")


def _demand(call: bool, answer: bool) -> Demand:
    if call:
        return "both" if answer else "call"
    return "answer" if answer else "neither"


def _sampled_text(trajectory: Trajectory) -> str:
    if not len(trajectory.actions):
        raise ScoringFailure(EMPTY_TRAJECTORY[1])
    if not trajectory.is_chat:
        raise ScoringFailure("the trajectory holds arrays; tags need a chat trajectory")
    if trajectory.actions[-1].get("tool_calls"):
        raise ScoringFailure(
            "the calls of the last message were parsed out of its text into tool_calls, so its layout cannot be seen; "
            'keep the text as it was sampled (tool_syntax="none" for a policy), or score the calls with ToolCallMatch'
        )
    return trajectory.completion
