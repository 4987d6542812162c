"""Who writes guidance: a function, a script that reads the reference, or a model that is asked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rewardlab.policies.engines.base import Sampling
from rewardlab.training.guidance.hints import HEADINGS, PARTS, Guidance
from rewardlab.types import Scores, Task, Trajectory, message_text

Failure = tuple[Task, Trajectory, Scores]
"""What a teacher sees: the task, the attempt that failed, and the scores of that one attempt, with the verifier's note."""


class Teacher(Protocol):
    """Writes guidance for an attempt that failed; None, or guidance without a part, where it has nothing to say.

    One that answers many at once more cheaply has `many(failures) -> list[Guidance | None]` as well.
    """

    def __call__(self, task: Task, trajectory: Trajectory, scores: Scores) -> Guidance | None:
        """Guidance for the next attempt at the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceTeacher:
    """Guidance from the reference and the verifier's note, without any model; for tests, proofs and worlds with known
    answers.

    Each part is a text in which `{name}` stands for the entry `name` of the reference and `{note}` for the note, or a
    function of task, trajectory and scores. A part that names what is not there stays empty.

    Args:
        plan, feedback, interaction: the parts.
        key: the entry of the reference that holds the names; a list there stands for its first element. None for the
            reference itself.
    """

    plan: str | Callable[[Task, Trajectory, Scores], str] = ""
    feedback: str | Callable[[Task, Trajectory, Scores], str] = "{note}"
    interaction: str | Callable[[Task, Trajectory, Scores], str] = ""
    key: str | None = None

    def __call__(self, task: Task, trajectory: Trajectory, scores: Scores) -> Guidance:
        """The parts, filled in."""
        found = task.reference
        if self.key is not None:
            found = found.get(self.key) if isinstance(found, Mapping) else None
        if isinstance(found, list) and found:
            found = found[0]
        names = {key: str(value) for key, value in found.items()} if isinstance(found, Mapping) else {}
        names["note"] = scores.note(0) or ""
        return Guidance(**{part: self._filled(getattr(self, part), names, task, trajectory, scores) for part in PARTS})

    def _filled(self, part: Any, names: Mapping[str, str], task: Task, trajectory: Trajectory, scores: Scores) -> str:
        if not isinstance(part, str):
            return str(part(task, trajectory, scores) or "")
        if any(not names.get(name) for name in re.findall(r"{(\w+)}", part)):
            return ""
        return re.sub(r"{(\w+)}", lambda match: names[match[1]], part)


PROMPT = """An attempt at the task below failed. Write guidance for another attempt, one or two sentences for each part,
without giving the solution itself:
{headings}

Task:
{task}

The right solution, which must not be shown:
{reference}

What the verifier said:
{note}

The attempt:
{attempt}"""
"""What a model is asked; the names in braces are filled in."""


@dataclass(kw_only=True)
class ModelTeacher:
    """Guidance from a model: a `LanguageModelPolicy`, an `EndpointPolicy` (any OpenAI-compatible server), or what has
    `respond`.

    Args:
        policy: what is asked.
        sampling: how it answers; temperature 0.6 and at most 256 tokens when not given.
        prompt: the question; see `PROMPT`.
        headings: what each part is called in the answer, each on a line of its own.
        show_reference: whether the model sees the reference.
        longest: characters of the attempt that it sees, from the end.
        seed: of its draws.
    """

    policy: Any
    sampling: Sampling | None = None
    prompt: str = PROMPT
    headings: Mapping[str, str] | None = None
    show_reference: bool = True
    longest: int = 4000
    seed: int = 0

    def __call__(self, task: Task, trajectory: Trajectory, scores: Scores) -> Guidance | None:
        """Ask for one attempt."""
        return self.many([(task, trajectory, scores)])[0]

    def many(self, failures: Sequence[Failure]) -> list[Guidance | None]:
        """Ask for all of them in one batch; None where an answer has no part."""
        sampling = self.sampling or Sampling(temperature=0.6, max_new_tokens=256)
        asked = [[{"role": "user", "content": self.question(*failure)}] for failure in failures]
        answers = self.policy.respond(asked, sampling=sampling, seed=self.seed)
        return [self.read(message_text(answer)) for answer in answers]

    def question(self, task: Task, trajectory: Trajectory, scores: Scores) -> str:
        """The prompt for one attempt."""
        names = {
            "headings": "\n".join(f"{heading}: ..." for heading in self._headings.values()),
            "task": _written(task.prompt or []),
            "reference": json.dumps(task.reference, ensure_ascii=False) if self.show_reference else "(not shown)",
            "note": scores.note(0) or "(nothing)",
            "attempt": _written(trajectory.messages[len(trajectory.observations[0]) :])[-self.longest :],
        }
        return re.sub(r"{(\w+)}", lambda match: names.get(match[1], match[0]), self.prompt)

    def read(self, text: str) -> Guidance | None:
        """The parts of an answer; None where it has none."""
        parts = {}
        every = "|".join(map(re.escape, self._headings.values()))
        for name, heading in self._headings.items():
            pattern = rf"^\W*{re.escape(heading)}\W*:\s*(.*?)(?=^\W*(?:{every})\W*:|\Z)"
            found = re.search(pattern, text, re.MULTILINE | re.DOTALL | re.IGNORECASE)
            if found and found[1].strip():
                parts[name] = " ".join(found[1].split())
        return Guidance(**parts) if parts else None

    @property
    def _headings(self) -> Mapping[str, str]:
        return HEADINGS if self.headings is None else self.headings


def _written(messages: Sequence[Any]) -> str:
    lines = []
    for message in messages:
        calls = "".join(
            f" {call.get('function', {}).get('name')}({call.get('function', {}).get('arguments')})"
            for call in message.get("tool_calls") or ()
        )
        lines.append(f"{message['role']}: {message_text(message)}{calls}")
    return "\n".join(lines)
