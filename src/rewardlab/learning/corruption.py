"""Wrong answers made out of right ones, for a reward model that is trained beside the policy.

A corruptor proposes; whoever uses it checks the proposal with the rule, so a corruptor may fail. What it must not do is to
change anything that gives a wrong answer away but the error itself: a model learns whatever tells the two apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from rewardlab.registry import SpecError, nearest
from rewardlab.rewards.base import Reward
from rewardlab.types import Message, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Corruption:
    """One right answer that is to be made wrong.

    Args:
        positive: the right answer.
        siblings: the other answers of its group that the rule could read and does not accept.
        attempt: how many proposals were refused already.
        seed: of whatever is left to chance.
    """

    positive: Trajectory
    siblings: Sequence[Trajectory]
    attempt: int
    seed: int


@runtime_checkable
class Corruptor(Protocol):
    """Anything that proposes a wrong answer: a function of a `Corruption` that returns its text, or None."""

    def __call__(self, wanted: Corruption, /) -> str | None:
        """The text of a wrong answer to the same question."""


_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])|\d+(?:\.\d+)?")
_OPERATORS = {"+": "-", "-": "+", "*": "+", "/": "*", "×": "+", "÷": "×"}
_OPERATOR = re.compile(r"(?<=[\w\s)])\s*([-+*/×÷])\s*(?=[\w\s(])")


@dataclass(frozen=True, kw_only=True)
class TemplateCorruptor:
    """Small edits of the text: the last number is changed, an operator is swapped, or the end is cut off.

    Args:
        edits: which edits may be made; the first is tried first, the others after a refusal.
        largest: by how much a number is changed at most, for integers below ten times that by a digit's worth.
    """

    edits: tuple[Literal["number", "operator", "truncate"], ...] = ("number", "operator", "truncate")
    largest: int = 9

    def __post_init__(self) -> None:
        unknown = [edit for edit in self.edits if edit not in ("number", "operator", "truncate")]
        if unknown or not self.edits:
            raise ValueError(f"edits must name some of number, operator and truncate, got {self.edits!r}")
        if self.largest < 1:
            raise ValueError(f"largest must be at least 1, got {self.largest}")

    def __call__(self, wanted: Corruption, /) -> str | None:
        """Edit the right answer once."""
        text = wanted.positive.completion
        draw = np.random.default_rng(wanted.seed)
        edit = self.edits[wanted.attempt % len(self.edits)]
        if edit == "number":
            return self._number(text, draw)
        if edit == "operator":
            found = list(_OPERATOR.finditer(text))
            if not found:
                return None
            chosen = found[int(draw.integers(len(found)))]
            return text[: chosen.start(1)] + _OPERATORS[chosen.group(1)] + text[chosen.end(1) :]
        return text[: int(len(text) * draw.uniform(0.3, 0.8))] or None

    def _number(self, text: str, draw: np.random.Generator) -> str | None:
        found = list(_NUMBER.finditer(text))
        if not found:
            return None
        old = found[-1].group()
        change = int(draw.integers(1, self.largest + 1))
        if re.fullmatch(r"\d", old):
            new = str((int(old) + change) % 10)  # stays one digit long, so that length tells nothing
        elif "." in old:
            new = f"{float(old) + change:.{len(old.partition('.')[2])}f}"
        else:
            new = str(int(old) + int(draw.choice([-1, 1])) * change)
        return None if new == old else text[: found[-1].start()] + new + text[found[-1].end() :]


@dataclass(frozen=True, kw_only=True)
class SiblingCorruptor:
    """An answer of the same group that the rule does not accept, and that a second check does not accept either.

    What a rule does not accept may be right all the same, which is why a second opinion is asked.

    Args:
        check: the second opinion; what it fails or abstains on is not used.
        threshold: lowest value at which it accepts an answer.
    """

    check: Reward
    threshold: float = 0.5

    def __call__(self, wanted: Corruption, /) -> str | None:
        """Another answer, by chance among those that both refuse."""
        if not wanted.siblings:
            return None
        scores = self.check(list(wanted.siblings))
        wrong = np.flatnonzero(scores.scored & (scores.values < self.threshold))
        if not wrong.size:
            return None
        return wanted.siblings[int(np.random.default_rng(wanted.seed).choice(wrong))].completion


CORRUPTION_PROMPT = (
    "Below are a problem and a correct solution. Write a solution of similar length and style that looks plausible "
    "and contains "
    "a mistake, so that its final answer is wrong. Write the solution alone, without saying that it is wrong."
)


@dataclass(frozen=True, kw_only=True)
class ModelCorruptor:
    """A language model that is asked to write a plausible wrong solution.

    Args:
        ask: function from chat messages to the text of a reply; an exception counts as a refusal.
        instruction: what it is asked, before the problem and the right solution.
        concurrency: how many questions are asked at once.
    """

    ask: Callable[[list[Message]], str]
    instruction: str = CORRUPTION_PROMPT
    concurrency: int = 64

    def __call__(self, wanted: Corruption, /) -> str | None:
        """Ask once."""
        positive = wanted.positive
        problem = "\n".join(str(message.get("content") or "") for message in positive.observations[0])
        text = (
            f"{self.instruction}\n\n<problem>\n{problem}\n</problem>\n\n<solution>\n{positive.completion}\n</solution>"
        )
        return self.ask([{"role": "user", "content": text}]) or None


def make_corruptor(spec: Any) -> Corruptor:
    """A corruptor out of a name ("template", "number"), or itself.

    Raises:
        SpecError: an unknown name, or something that cannot be called.
    """
    if spec == "template":
        return TemplateCorruptor()
    if spec == "number":
        return TemplateCorruptor(edits=("number",))
    if isinstance(spec, str):
        raise SpecError(f"unknown corruptor {spec!r}{nearest(spec, ['template', 'number'])}; or give a function")
    if not callable(spec):
        raise SpecError(f"a corruptor is a function from a Corruption to a text, got a {type(spec).__name__}")
    found: Corruptor = spec
    return found
