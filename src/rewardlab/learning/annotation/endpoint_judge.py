"""A language model behind an OpenAI-compatible endpoint as judge of captions: whether one helps, or which of two helps more.

The goal is a piece of the prompt, so that another goal is another string. The model is asked for one of two neutral code
words rather than yes or no, which it would lean towards. An answer without one is a failure, and no verdict.

Source: the prompts are ours; their parts are those of Zheng et al. 2025 (ONI, arXiv 2410.23022) and, for two messages,
Klissarov et al. 2023 (Motif, arXiv 2310.00166).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rewardlab.policies.engines.base import Sampling
from rewardlab.types import Message, message_text

HELPFUL, OTHER = "COPPER", "WILLOW"
"""The code words of a caption that helps, and of one that does not."""

_ONE = """You advise an agent that acts in an environment and is told what happens in short messages.
{setting}The agent's goal: {goal}

For the message below, decide whether it reports something that brings the agent nearer to this goal. Messages that do are
called {helpful}; all others, also harmless or curious ones, are called {other}.
{examples}
Message: {caption}

Write what you know about such a message, then one sentence of analysis, and then a last line of the form
"Label: {helpful}" or "Label: {other}"."""

_TWO = """You advise an agent that acts in an environment and is told what happens in short messages.
{setting}The agent's goal: {goal}

Of the two messages below, which one reports more progress towards this goal?
{examples}
Message 1: {first}
Message 2: {second}

Compare them in a sentence or two, and end with a last line of the form "Answer: 1", "Answer: 2", or "Answer: none" where
neither is better."""

_LABEL = re.compile(rf"label\W{{0,8}}({HELPFUL}|{OTHER})\b", re.IGNORECASE)
_ANSWER = re.compile(r"answer\W{0,8}(1|2|none)\b", re.IGNORECASE)


class EndpointJudge:
    """Asks a language model about captions, or pairs of captions.

    Args:
        model: an `EndpointPolicy`, or a function of a list of conversations that returns a list of texts.
        goal: what the agent is to achieve, in words.
        kind: "classification" for captions, "ranking" for pairs.
        setting: a sentence about the environment; may be empty.
        examples: captions with their labels (1 helps, 0 does not), shown before the question; for "ranking" none.
        temperature: of the answers.
        max_tokens: most new tokens of one answer.

    Raises:
        ValueError: an option is out of its range.
    """

    def __init__(
        self,
        model: Any,
        goal: str,
        *,
        kind: Literal["classification", "ranking"] = "classification",
        setting: str = "",
        examples: Mapping[str, float] | None = None,
        temperature: float = 0.1,
        max_tokens: int = 4096,
    ) -> None:
        if kind not in ("classification", "ranking"):
            raise ValueError(f"kind must be 'classification' or 'ranking', got {kind!r}")
        if not goal.strip():
            raise ValueError("goal is empty; say in words what the agent is to achieve, such as 'win the game'")
        if examples and kind == "ranking":
            raise ValueError("examples are captions with labels, which a ranking does not use; leave them out")
        if not (callable(model) or hasattr(model, "speaker")):
            raise TypeError(f"model must be an EndpointPolicy or a function, got {type(model).__name__}")
        self.model, self.goal, self.kind, self.setting = model, goal, kind, setting
        self.examples = dict(examples or {})
        self.sampling = Sampling(temperature=temperature, max_new_tokens=max_tokens)
        self._speaker: Any = None

    def prompt(self, item: str | tuple[str, str]) -> str:
        """What the model is asked about one item."""
        setting = f"{self.setting.strip()}\n" if self.setting.strip() else ""
        shown = "".join(
            f"\nMessage: {_line(text)}\nLabel: {HELPFUL if label > 0.5 else OTHER}\n"
            for text, label in self.examples.items()
        )
        parts = {"setting": setting, "goal": self.goal.strip(), "examples": shown, "helpful": HELPFUL, "other": OTHER}
        if self.kind == "classification":
            if not isinstance(item, str):
                raise TypeError(f"classification judges one caption, got {item!r:.80}; use kind='ranking' for pairs")
            return fill(_ONE, {**parts, "caption": _line(item)})
        if isinstance(item, str):
            raise TypeError(f"ranking judges pairs of captions, got {item!r:.80}; use kind='classification'")
        return fill(_TWO, {**parts, "first": _line(item[0]), "second": _line(item[1])})

    def __call__(self, items: Sequence[str | tuple[str, str]]) -> list[float | None]:
        """A label for each item, None where the answer holds none, or did not come.

        Raises:
            EndpointError: no answer came at all.
        """
        return [None if text is None else self.read(text) for text in self._ask([self.prompt(item) for item in items])]

    def read(self, text: str) -> float | None:
        """The label in an answer: the last one, since analysis comes before it; None where there is none."""
        if self.kind == "classification":
            found = _LABEL.findall(text)
            return None if not found else float(found[-1].upper() == HELPFUL)
        found = _ANSWER.findall(text)
        return None if not found else {"1": 1.0, "2": 0.0, "none": 0.5}[found[-1].lower()]

    def _ask(self, prompts: list[str]) -> list[str | None]:
        conversations: list[list[Message]] = [[{"role": "user", "content": prompt}] for prompt in prompts]
        if not hasattr(self.model, "speaker"):
            return list(self.model(conversations))
        from rewardlab.policies.engines.endpoint import EndpointError
        from rewardlab.policies.engines.sampling import derive_seed
        from rewardlab.policies.speaking import Conversation

        if self._speaker is None:
            self._speaker = self.model.speaker(self.sampling, None)
        entries = [
            Conversation(seed=derive_seed(0, place), messages=list(messages), tools=())
            for place, messages in enumerate(conversations)
        ]
        spoken = self._speaker.speak(entries)
        if spoken and all(one.failure is not None for one in spoken):
            raise EndpointError(spoken[0].failure)
        return [None if one.failure is not None else message_text(one.message) for one in spoken]


def fill(template: str, parts: Mapping[str, str]) -> str:
    """A template with its names replaced in one pass, so that braces in a caption stay what they are."""
    return re.sub(r"\{(\w+)\}", lambda match: parts[match.group(1)], template)


def _line(caption: str) -> str:
    """A caption on one line: it cannot add lines of its own to the prompt."""
    return " ".join(caption.split())
