"""What a generation engine is: token ids in, sampled token ids and their log-probabilities out.

Engines work on tokens and not on text, because a policy is trained on exactly the tokens that it sampled. A request may name
its conversation; an engine then keeps what it computed for that conversation, and the next request of it (whose ids continue
the earlier ones) costs only the new tokens.

Log-probabilities are those of the full distribution at the sampling temperature, before `top_k` and `top_p` cut it: the same
quantity that training recomputes, so that importance ratios start at exactly 1. Cutting then makes the true behaviour
distribution differ from the recorded one; training therefore samples with temperature alone by default. Greedy decoding
(`temperature=0`) records log-probabilities at temperature 1.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are drawn.

    Args:
        temperature: divides the logits; 0 takes the most likely token.
        top_p: keep the smallest set of tokens whose probability reaches this; 1 keeps all.
        top_k: keep this many of the most likely tokens; 0 keeps all.
        max_new_tokens: most tokens of one action.

    Raises:
        ValueError: an option is out of its range.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 256

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature must be 0 (greedy) or positive, got {self.temperature}")
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p must be in (0, 1], got {self.top_p}; 1 keeps all tokens")
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 (keep all tokens) or positive, got {self.top_k}")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}: an action needs a token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One context to continue.

    Args:
        ids: the whole context, from its first token.
        seed: seeds the draws of this trajectory; the draw of a token depends on it and on the token's position alone.
        conversation: names the conversation that the context belongs to, or None when it will not be continued.
        max_new_tokens: a tighter limit than the sampling's, or None.
    """

    ids: Sequence[int]
    seed: int = 0
    conversation: Hashable = None
    max_new_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What was sampled for one request.

    Args:
        ids: the sampled tokens, the stop token included.
        logprobs: the log-probability of each (see the top of this module), or None where the engine has none.
        stopped: whether a stop token ended it, and not a limit.
    """

    ids: list[int]
    logprobs: list[float] | None
    stopped: bool


@runtime_checkable
class Engine(Protocol):
    """What samples tokens. See the module's first lines for what the log-probabilities are."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Continue every context, in the order of the requests."""

    def refresh(self) -> None:
        """Take over the policy's present weights and forget what was computed with the earlier ones."""

    def release(self, conversations: Sequence[Hashable]) -> None:
        """Forget conversations that will not be continued; unknown ones are passed over."""


def check_completions(completions: Sequence[Completion]) -> None:
    """Refuse what was drawn from logits that are not numbers.

    Raises:
        ValueError: a log-probability is not finite.
    """
    for index, completion in enumerate(completions):
        if not all(map(math.isfinite, completion.logprobs or ())):
            raise ValueError(
                f"the model's logits are not finite numbers for request {index}: its weights have diverged or hold NaN; "
                "go back to an earlier checkpoint, and lower the learning rate or clip gradients"
            )


def check_requests(requests: Sequence[Request], context: int | None) -> None:
    """Refuse requests that no engine can serve.

    Args:
        requests: what was asked.
        context: the most tokens that the model can read, or None where it has no limit.

    Raises:
        ValueError: an empty prompt, a prompt that leaves no room in the model's context, or a conversation named twice.
    """
    named = set()
    for index, request in enumerate(requests):
        if not len(request.ids):
            raise ValueError(f"request {index} has an empty prompt; a context needs at least one token")
        if context is not None and len(request.ids) >= context:
            raise ValueError(
                f"request {index} has a prompt of {len(request.ids)} tokens, which leaves no room in the model's context "
                f"of {context}; shorten the prompt, or limit trajectories with Limits(tokens=...)"
            )
        if request.max_new_tokens is not None and request.max_new_tokens < 1:
            raise ValueError(f"request {index}: max_new_tokens must be at least 1, got {request.max_new_tokens}")
        if request.conversation is not None:
            if request.conversation in named:
                raise ValueError(f"request {index} names conversation {request.conversation!r} a second time")
            named.add(request.conversation)
