"""Who writes the assistant messages of a rollout: a local policy token by token, or a server message by message.

A rollout keeps one `Conversation` per trajectory and asks a `Speaker` for the next message of all live ones at once. The
local speaker keeps the exact tokens: what was sampled is appended as it was sampled, never as it would be tokenised again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from rewardlab.policies.engines.base import Engine, Request, Sampling
from rewardlab.types import Message

if TYPE_CHECKING:
    from rewardlab.policies.language_model import LanguageModelPolicy


@dataclass(slots=True, eq=False)
class Conversation:
    """What a speaker remembers of one trajectory.

    Args:
        seed: of its draws.
        messages: the whole conversation so far.
        tools: what the policy is shown.
        ids, step, logprobs: the columns of `Tokens`, growing; they stay empty where a speaker has no tokens.
        length: tokens so far, as far as the speaker knows.
        turns: how many messages the policy has written.
    """

    seed: int
    messages: list[Message]
    tools: Sequence[Mapping[str, Any]]
    ids: list[int] = field(default_factory=list)
    step: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    length: int = 0
    turns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """What was written in one conversation.

    Args:
        message: the assistant message in the OpenAI format.
        text: the raw text, tool calls included as they were written.
        cut: whether a limit ended it before the policy did.
        logprobs: of its tokens, from a speaker that keeps no tokens and knows them all the same.
        failure: why there is none, or None.
    """

    message: Message
    text: str
    cut: bool = False
    logprobs: list[float] | None = None
    failure: str | None = None


class Speaker(Protocol):
    """Writes the next message of conversations."""

    keeps_tokens: bool
    """Whether conversations get their exact tokens."""

    def open(self, conversation: Conversation) -> None:
        """Take in a conversation whose opening messages are there."""

    def room(self, conversation: Conversation) -> int | None:
        """How many tokens may still be written, or None where there is no limit."""

    def speak(self, conversations: Sequence[Conversation]) -> list[Utterance]:
        """Write the next message of each; the messages are appended to the conversations."""

    def hear(self, conversation: Conversation, arrived: Sequence[Message]) -> None:
        """Take in the messages that answered the last one."""

    def close(self, conversations: Sequence[Conversation]) -> None:
        """Let go of conversations that are over."""


class LocalSpeaker:
    """Writes with an engine over tokens.

    Args:
        policy: whose template and syntax are used.
        engine: what samples.
        sampling: how to draw.
        most_tokens: the most tokens of a trajectory, prompt included; the model's context bounds it too.
    """

    keeps_tokens = True

    def __init__(
        self, policy: LanguageModelPolicy, engine: Engine, sampling: Sampling, most_tokens: int | None
    ) -> None:
        self.policy, self.engine, self.sampling = policy, engine, sampling
        bounds = [bound for bound in (most_tokens, policy.context) if bound is not None]
        self.most = min(bounds, default=None)
        self.template = policy.template
        engine.refresh()

    def open(self, conversation: Conversation) -> None:
        """Write the opening messages as tokens."""
        conversation.ids = self.template.opening(conversation.messages, conversation.tools)
        conversation.step = [-1] * len(conversation.ids)
        conversation.logprobs = [0.0] * len(conversation.ids)
        conversation.length = len(conversation.ids)

    def room(self, conversation: Conversation) -> int | None:
        """How many tokens may still be written."""
        return None if self.most is None else self.most - conversation.length

    def speak(self, conversations: Sequence[Conversation]) -> list[Utterance]:
        """Sample the next message of each, all in one batch."""
        requests = [
            Request(ids=entry.ids, seed=entry.seed, conversation=id(entry), max_new_tokens=self.room(entry))
            for entry in conversations
        ]
        completions = self.engine.generate(requests, self.sampling)
        utterances = []
        for entry, completion in zip(conversations, completions, strict=True):
            entry.ids += completion.ids
            entry.step += [entry.turns] * len(completion.ids)
            entry.logprobs += completion.logprobs or [0.0] * len(completion.ids)
            entry.length, entry.turns = len(entry.ids), entry.turns + 1
            text = self.template.decode(completion.ids)
            message = self.policy.read(text, entry.tools)
            entry.messages.append(message)
            utterances.append(Utterance(message=message, text=text, cut=not completion.stopped))
        return utterances

    def hear(self, conversation: Conversation, arrived: Sequence[Message]) -> None:
        """Append what arrived, with the template's glue around it."""
        ended = bool(conversation.ids) and conversation.ids[-1] in self.template.stop_ids
        glue = self.template.continuation(conversation.messages[-1], arrived, ended=ended)
        conversation.ids += glue
        conversation.step += [-1] * len(glue)
        conversation.logprobs += [0.0] * len(glue)
        conversation.length = len(conversation.ids)
        conversation.messages.extend(arrived)

    def close(self, conversations: Sequence[Conversation]) -> None:
        """Let the engine forget them."""
        self.engine.release([id(entry) for entry in conversations])
