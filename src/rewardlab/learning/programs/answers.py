"""Who writes: a server, a function, or answers that were recorded; and how a program is taken out of an answer."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from rewardlab.learning.programs.program import hash_prompt

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n`]*$", re.MULTILINE)


class Writer(Protocol):
    """What `RewardWriter` asks: a name, and an answer to a prompt."""

    name: str

    def answer(self, prompt: str, *, number: int, attempt: int, temperature: float, seed: int) -> str:
        """The answer; `number` tells programs from one prompt apart, `attempt` counts answers without a program."""


class NoRecordedAnswer(LookupError):
    """A recording has no answer to a prompt; the message names the hash of the prompt, and those that are there."""


class RecordedAnswers:
    """Answers to prompts, in order, by the hash of the prompt. Reads and writes JSON, so that a run can be repeated.

    Args:
        answers: hash of the prompt -> answers in the order in which they were given.
        name: which model gave them, in words.
        notes: how they came to be; written with them.
    """

    def __init__(self, answers: dict[str, list[str]], *, name: str, notes: str = "") -> None:
        self.answers, self.name, self.notes = answers, name, notes

    def answer(self, prompt: str, *, number: int, attempt: int, temperature: float = 0.0, seed: int = 0) -> str:
        """The recorded answer.

        Raises:
            NoRecordedAnswer: the prompt is another than the one that was recorded, or has fewer answers.
        """
        key = hash_prompt(prompt)
        if key not in self.answers:
            known = ", ".join(self.answers) or "none"
            raise NoRecordedAnswer(
                f"no answer is recorded to the prompt {key}; recorded: {known}. The abstraction, the knowledge, the "
                "examples or the task differ from those of the recording"
            )
        place = number + attempt
        if place >= len(self.answers[key]):
            raise NoRecordedAnswer(
                f"answer {place} to the prompt {key} was asked for, and {len(self.answers[key])} are recorded"
            )
        return self.answers[key][place]

    def save(self, path: str | Path) -> None:
        """Write them as JSON."""
        content = {"model": self.name, "notes": self.notes, "answers": self.answers}
        Path(path).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> RecordedAnswers:
        """Read what `save` wrote.

        Raises:
            ValueError: the file holds something else.
        """
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not isinstance(content.get("answers"), dict):
            raise ValueError(f"{path} holds no recorded answers; expected a mapping with 'model' and 'answers'")
        return cls(content["answers"], name=str(content.get("model", "")), notes=str(content.get("notes", "")))


class _Function:
    def __init__(self, function: Callable[[str], str]) -> None:
        self.function, self.name = function, getattr(function, "__name__", type(function).__name__)

    def answer(self, prompt: str, *, number: int, attempt: int, temperature: float, seed: int) -> str:
        return self.function(prompt)


class _Endpoint:
    def __init__(self, policy: Any, max_tokens: int) -> None:
        self.policy, self.name, self.max_tokens = policy, str(getattr(policy, "name", "a language model")), max_tokens

    def answer(self, prompt: str, *, number: int, attempt: int, temperature: float, seed: int) -> str:
        from rewardlab.policies.engines.base import Sampling
        from rewardlab.policies.engines.sampling import derive_seed
        from rewardlab.types import message_text

        sampling = Sampling(temperature=temperature, max_new_tokens=self.max_tokens)
        place = derive_seed(derive_seed(seed, number), attempt)
        messages = [[{"role": "user", "content": prompt}]]
        return message_text(self.policy.respond(messages, sampling=sampling, seed=place)[0])


def as_writer(model: Any, max_tokens: int) -> Writer:
    """A writer from whatever names one.

    Raises:
        TypeError: it cannot write.
    """
    if hasattr(model, "answer"):
        return model
    if hasattr(model, "respond"):
        return _Endpoint(model, max_tokens)
    if callable(model):
        return _Function(model)
    raise TypeError(
        f"model must be an EndpointPolicy, a function of the prompt that returns text, or RecordedAnswers, got "
        f"{type(model).__name__}"
    )


def extract_program(answer: str) -> str | None:
    """The first fenced block of an answer, with or without the name of a language; None where there is none.

    Windows line ends become plain ones, tabs become four spaces, and what is indented as a whole is moved to the left. A
    block that is not closed goes to the end.
    """
    text = answer.replace("\r\n", "\n").replace("\r", "\n")
    opening = _FENCE.search(text)
    if opening is None:
        return None
    rest = text[opening.end() :].lstrip("\n")
    closing = re.search(rf"^[ \t]*{re.escape(opening[1])}[ \t]*$", rest, re.MULTILINE)
    code = textwrap.dedent((rest[: closing.start()] if closing else rest).expandtabs(4)).rstrip()
    return code + "\n" if code.strip() else None
