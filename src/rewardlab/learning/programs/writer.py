"""A language model writes a reward: `RewardWriter`, after Text2Reward (Xie et al. 2024, arXiv 2309.11489).

All programs are kept: one without code is *failed*, with the reason, and stays in the list, so that a mean over programs is
one over what the model gave. Answers are remembered by prompt, so that a second call gives the same programs.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.programs.answers import as_writer, extract_program
from rewardlab.learning.programs.program import RewardProgram, hash_prompt
from rewardlab.learning.programs.prompts import KNOWLEDGE, build_prompt
from rewardlab.learning.programs.views import Form

WIDTH = 512
Progress = Callable[[int, int], None]
"""Called with what is done and what there is to do."""


class LeakedExample(ValueError):
    """The pool of examples holds the task itself under another name, or its solution."""


@dataclass(frozen=True, kw_only=True)
class RewardWriter:
    """Writes reward programs from instructions.

    Args:
        model: an `EndpointPolicy`, a function that takes a prompt and returns text, or `RecordedAnswers`.
        abstraction: the text that `rl.abstraction(view)` gives, or the view's class.
        robot: what is controlled, in a few words.
        actions: the action space, with the meaning of every entry.
        knowledge: background knowledge, a sentence or paragraph each.
        examples: instruction -> code of other tasks; the nearest `k` are shown. The task that is asked for is left out.
        k: how many examples are shown.
        form: `scalar` programs see one state, `vectorised` ones see N.
        embed: texts -> float[text, width], to find near examples; a hashed bag of words when not given.
        retries: how often the model is asked again where an answer has no program; then the program is *failed*.
        temperature: of a server's answers.
        max_tokens: of a server's answers.
        seed: of a server's answers.
    """

    model: Any
    abstraction: Any
    robot: str = "an arm with a two-finger gripper"
    actions: str = "a Box with entries in [-1, 1]"
    knowledge: Sequence[str] = KNOWLEDGE
    examples: Mapping[str, str] = field(default_factory=dict)
    k: int = 1
    form: Form = "scalar"
    embed: Callable[[Sequence[str]], Any] | None = None
    retries: int = 2
    temperature: float = 0.7
    max_tokens: int = 4096
    seed: int = 0
    _answers: dict[tuple[str, int], tuple[str, int]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if self.k < 0 or self.retries < 0:
            raise ValueError(f"k and retries must not be negative, got {self.k} and {self.retries}")
        if self.form not in ("scalar", "vectorised"):
            raise ValueError(f"form must be 'scalar' or 'vectorised', got {self.form!r}")
        as_writer(self.model, self.max_tokens)

    def prompt(self, instruction: str) -> str:
        """The prompt for a task, with the nearest examples of other tasks.

        Raises:
            ValueError: the instruction is empty.
            LeakedExample: an example of the pool is the task in other words (see `nearest_examples`).
        """
        if not instruction.strip():
            raise ValueError("the instruction is empty; write the task in a sentence")
        text = self.abstraction
        if not isinstance(text, str):
            from rewardlab.learning.programs.views import abstraction

            text = abstraction(text, form=self.form)
        return build_prompt(
            instruction,
            robot=self.robot,
            actions=self.actions,
            abstraction=text,
            knowledge=self.knowledge,
            examples=nearest_examples(instruction, self.examples, self.k, embed=self.embed),
            form=self.form,
        )

    def write(self, instruction: str, n: int = 1, *, progress: Progress | None = None) -> list[RewardProgram]:
        """Have programs written, each with an answer of its own.

        Args:
            instruction: the task in a sentence.
            n: how many.
            progress: called after each.

        Returns:
            `n` programs, those among them that failed (`program.failed`).

        Raises:
            ValueError: `n` is not positive, or the instruction is empty.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        prompt = self.prompt(instruction)
        programs = []
        for number in range(n):
            programs.append(self.ask(prompt, instruction=instruction, number=number))
            if progress is not None:
                progress(number + 1, n)
        return programs

    def ask(self, prompt: str, *, instruction: str, number: int = 0, **record: Any) -> RewardProgram:
        """One program from a finished prompt; `record` are further fields of `RewardProgram`."""
        writer = as_writer(self.model, self.max_tokens)
        key = (hash_prompt(prompt), number)
        if key not in self._answers:
            for attempt in range(self.retries + 1):
                text = writer.answer(
                    prompt, number=number, attempt=attempt, temperature=self.temperature, seed=self.seed
                )
                self._answers[key] = (text, attempt + 1)
                if extract_program(text) is not None:
                    break
        text, answers = self._answers[key]
        source = extract_program(text)
        failure = None if source is not None else f"no code block in {answers} answers; the last began {text[:60]!r}"
        return RewardProgram(
            source=source or "",
            instruction=instruction,
            model=writer.name,
            prompt=prompt,
            form=self.form,
            answers=answers,
            failure=failure,
            **record,
        )


def nearest_examples(
    instruction: str,
    pool: Mapping[str, str],
    k: int,
    *,
    embed: Callable[[Sequence[str]], Any] | None = None,
) -> list[tuple[str, str]]:
    """The `k` examples whose instructions are most like one, the most similar first; the task itself is left out.

    Args:
        instruction: the task.
        pool: instruction -> code.
        k: how many at most.
        embed: texts -> float[text, width]; a hashed bag of words when not given.

    Raises:
        LeakedExample: an instruction of the pool differs from the task in spelling alone (more than .9 of it is the same),
            so that it may be the task itself under another name.
    """
    others = [name for name in pool if _plain(name) != _plain(instruction)]
    for name in others:
        same = difflib.SequenceMatcher(None, _plain(name), _plain(instruction)).ratio()
        if same > 0.9:
            raise LeakedExample(
                f"the example {name!r} is almost the task {instruction!r} ({same:.2f} of the text is the same); take it out "
                "of the pool, or the model is shown the answer"
            )
    if not others or not k:
        return []
    table = np.asarray((embed or bag_of_words)([instruction, *others]), dtype=np.float64)
    table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    order = np.argsort(-(table[1:] @ table[0]), kind="stable")
    return [(others[place], pool[others[place]]) for place in order[:k]]


def bag_of_words(texts: Sequence[str]) -> NDArray[np.float64]:
    """Counts of words in hashed columns: float[text, 512]. Crude, and needs no model; pass `embed=` for a better one."""
    table = np.zeros((len(texts), WIDTH))
    for row, text in enumerate(texts):
        for word in re.findall(r"[a-z0-9]+", text.lower()):
            table[row, int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little") % WIDTH] += 1
    return table


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))
