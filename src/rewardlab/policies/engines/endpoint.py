"""A policy behind an OpenAI-compatible endpoint: it acts in rollouts, and cannot be trained here.

Such a server takes messages and gives messages, so trajectories have no tokens; log-probabilities are kept in
`info["logprobs"]` where the server sends them. Retries, waiting times and timeouts are those of the `openai` client.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

from rewardlab.extras import require
from rewardlab.parsing import Syntax, parse_tool_calls
from rewardlab.policies.engines.base import Engine, Sampling
from rewardlab.policies.engines.sampling import derive_seed
from rewardlab.policies.speaking import Conversation, Utterance
from rewardlab.types import Message

_CANNOT_TRAIN = (
    "an EndpointPolicy has no weights or tokens here, so it cannot be trained or scored token by token; train a "
    "LanguageModelPolicy, and use endpoints to act, to compare and to collect demonstrations"
)


class EndpointError(RuntimeError):
    """A server could not be used at all; the message says where it is and what it answered."""


class EndpointPolicy:
    """A model that a server speaks for.

    Args:
        model: the model's name on the server.
        base_url: such as `http://localhost:8000/v1`; the `openai` client's default when not given.
        api_key: when not given, the environment variable `OPENAI_API_KEY`, or none (local servers). Never stored.
        timeout: seconds for one answer.
        retries: how often a request is tried again after a timeout, a lost connection, or status 408, 409, 429 or 5xx.
        concurrency: requests at the same time.
        tool_syntax: read tool calls out of the text, for servers that do not; None to take the server's.
        logprobs: ask for log-probabilities.
        limit_field: what the server calls the most new tokens; `max_completion_tokens` for OpenAI's newer models.
        extra: further fields of the request's body.

    Raises:
        MissingExtra: the package `openai` is not installed.
        ValueError: `concurrency`, `timeout` or `retries` is out of range.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 120.0,
        retries: int = 3,
        concurrency: int = 16,
        tool_syntax: Syntax | None = None,
        logprobs: bool = False,
        limit_field: str = "max_tokens",
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, got {concurrency}")
        if not timeout > 0:
            raise ValueError(f"timeout must be a positive number of seconds, got {timeout}")
        if retries < 0:
            raise ValueError(f"retries must not be negative, got {retries}")
        openai = require("openai", extra="serve", why="An endpoint policy")
        self.name = model
        self.concurrency, self.tool_syntax, self.logprobs = concurrency, tool_syntax, logprobs
        self.limit_field, self.extra = limit_field, dict(extra or {})
        self._error: type[Exception] = openai.OpenAIError
        self._client: Any = openai.OpenAI(
            api_key=api_key or os.environ.get("OPENAI_API_KEY") or "none",
            base_url=base_url,
            timeout=timeout,
            max_retries=retries,
        )

    @property
    def model(self) -> NoReturn:
        """There is none: the server has it."""
        raise TypeError(_CANNOT_TRAIN)

    def encode_demonstration(self, *arguments: Any) -> NoReturn:
        """Refused: the server has the tokenizer."""
        raise TypeError(_CANNOT_TRAIN)

    def speaker(self, sampling: Sampling, most_tokens: int | None, engine: Engine | None = None) -> EndpointSpeaker:
        """What writes this policy's messages in a rollout."""
        if engine is not None:
            raise ValueError("an EndpointPolicy samples on its server; leave engine= out")
        return EndpointSpeaker(self, sampling, most_tokens)

    def respond(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        sampling: Sampling | None = None,
        seed: int = 0,
    ) -> list[Message]:
        """Answer some conversations, one message each.

        Raises:
            EndpointError: an answer could not be had, with the reason.
        """
        speaker = self.speaker(sampling or Sampling(), None)
        entries = [
            Conversation(seed=derive_seed(seed, index), messages=list(messages), tools=tools)
            for index, messages in enumerate(conversations)
        ]
        utterances = speaker.speak(entries)
        for index, utterance in enumerate(utterances):
            if utterance.failure is not None:
                raise EndpointError(f"conversation {index}: {utterance.failure}")
        return [utterance.message for utterance in utterances]

    def ask(self, conversation: Conversation, sampling: Sampling, most: int | None) -> tuple[Utterance, int | None]:
        """One request; what the server answered, and how many tokens the conversation then has, if it says."""
        body: dict[str, Any] = {
            "model": self.name,
            "messages": conversation.messages,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": derive_seed(conversation.seed, conversation.turns) % 2**31,
            self.limit_field: sampling.max_new_tokens if most is None else min(sampling.max_new_tokens, most),
        }
        if conversation.tools:
            body["tools"] = list(conversation.tools)
        if self.logprobs:
            body["logprobs"] = True
        extra = dict(self.extra)
        if sampling.top_k:
            extra["top_k"] = sampling.top_k
        try:
            reply = self._client.chat.completions.create(**body, extra_body=extra or None)
        except self._error as error:
            reason = f"the server at {self._client.base_url} did not answer: {type(error).__name__}: {error}"
            return Utterance(message={"role": "assistant", "content": ""}, text="", failure=reason), None
        if not reply.choices:
            reason = f"the server at {self._client.base_url} answered without a message"
            return Utterance(message={"role": "assistant", "content": ""}, text="", failure=reason), None
        return self._read(reply, conversation.tools)

    def _read(self, reply: Any, tools: Sequence[Mapping[str, Any]]) -> tuple[Utterance, int | None]:
        choice = reply.choices[0]
        text = choice.message.content or ""
        message: Message = {"role": "assistant", "content": text}
        if choice.message.tool_calls:
            calls = [call.model_dump(exclude_none=True) for call in choice.message.tool_calls]
            message["tool_calls"] = [call for call in calls if call.get("type", "function") == "function"]
        elif self.tool_syntax is not None:
            message = parse_tool_calls(text, syntax=self.tool_syntax, tools=tools).message
        scores = getattr(choice.logprobs, "content", None) if choice.logprobs is not None else None
        logprobs = None if scores is None else [float(entry.logprob) for entry in scores]
        cut = choice.finish_reason == "length"
        length = reply.usage.total_tokens if reply.usage is not None else None
        return Utterance(message=message, text=text, cut=cut, logprobs=logprobs), length


class EndpointSpeaker:
    """Writes with requests to a server, some at a time."""

    keeps_tokens = False

    def __init__(self, policy: EndpointPolicy, sampling: Sampling, most_tokens: int | None) -> None:
        self.policy, self.sampling, self.most = policy, sampling, most_tokens
        self._answered = False

    def open(self, conversation: Conversation) -> None:
        """Nothing to do: every request carries the whole conversation."""

    def room(self, conversation: Conversation) -> int | None:
        """How many tokens may still be written, as far as the server has said how many there are."""
        return None if self.most is None else self.most - conversation.length

    def speak(self, conversations: Sequence[Conversation]) -> list[Utterance]:
        """Ask for the next message of each.

        Raises:
            EndpointError: no request was answered, and none has ever been: the address, the key or the name is wrong.
        """
        with ThreadPoolExecutor(max_workers=min(self.policy.concurrency, max(1, len(conversations)))) as threads:
            ask = self.policy.ask
            answers = list(threads.map(lambda entry: ask(entry, self.sampling, self.room(entry)), conversations))
        failures = [utterance.failure for utterance, _ in answers if utterance.failure is not None]
        if failures and len(failures) == len(answers) and not self._answered:
            raise EndpointError(failures[0])
        self._answered = True
        for entry, (utterance, length) in zip(conversations, answers, strict=True):
            if utterance.failure is None:
                entry.messages.append(utterance.message)
                entry.turns += 1
                entry.length = length if length is not None else entry.length
        return [utterance for utterance, _ in answers]

    def hear(self, conversation: Conversation, arrived: Sequence[Message]) -> None:
        """Append what arrived."""
        conversation.messages.extend(arrived)

    def close(self, conversations: Sequence[Conversation]) -> None:
        """Nothing to do: the server keeps nothing for us."""
