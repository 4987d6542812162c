"""How sure the policy was of its own words: the distance of its next-token distributions from the uniform one.

Self-certainty after Kang et al. 2025 (arXiv 2502.18581), as Shop-R1 (arXiv 2507.17842) pays for rationales. The
formula that Shop-R1 prints, KL(p || U) divided once more by the vocabulary, cannot give the numbers of its figures;
KL(U || p), which the works that it cites define, does. Both are here.

It rewards confidence, not truth, and confident repetition most of all: length and repetition are parts of the
scores, to be looked at beside it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from rewardlab.policies.batching import collate, micro_batches
from rewardlab.rewards.base import Abstention, Reward, Verdict, attempt, scores_from_verdicts
from rewardlab.rewards.spec import register
from rewardlab.rewards.verifiers.words import words
from rewardlab.types import Scores, Status, Tokens, Trajectory

Direction = Literal["u||p", "p||u"]


def self_certainty(logprobs: Tensor, *, direction: Direction = "u||p", floor: float = 1e-10) -> Tensor:
    """Distance from uniform of each next-token distribution, in nats.

    Args:
        logprobs: float[..., vocabulary], normalised.
        direction: `u||p`: `-mean_i log(|V| p_i)`, which grows without bound as words become impossible; `p||u`:
            `sum_i p_i log(|V| p_i)`, at most `log |V|`.
        floor: probabilities below this count as this, in `u||p`.

    Returns:
        float[...]; 0 for the uniform distribution.
    """
    size = math.log(logprobs.shape[-1])
    if direction == "p||u":
        return torch.special.xlogy(logprobs.exp(), logprobs.exp()).sum(-1) + size
    return -(logprobs.clamp(min=math.log(floor)) + size).mean(-1)


def certainty_bound(
    top: Sequence[float], vocabulary: int, *, direction: Direction = "u||p", floor: float = 1e-10
) -> float:
    """The largest self-certainty that the most likely words leave possible.

    None of the others is likelier than the last that is known, and together they have what is left; the bound puts
    this on as few of them as it can.

    Args:
        top: log-probabilities of the most likely words.
        vocabulary: how many words there are.
        direction, floor: see `self_certainty`.

    Raises:
        ValueError: no log-probabilities, or more than there are words.
    """
    known = sorted((math.exp(one) for one in top), reverse=True)
    if not known or len(known) > vocabulary:
        raise ValueError(f"the most likely words must be 1 to {vocabulary}, got {len(known)}")
    rest, hidden = max(0.0, 1.0 - sum(known)), vocabulary - len(known)
    full = min(hidden, int(rest / known[-1])) if known[-1] > 0 else 0
    shares = [*known, *[known[-1]] * full]
    if full < hidden:
        shares.append(max(0.0, rest - full * known[-1]))
    shares_array = np.array(shares)
    size, empty = math.log(vocabulary), vocabulary - len(shares)
    if direction == "p||u":
        filled = shares_array[shares_array > 0]
        return float((filled * (np.log(filled) + size)).sum())
    total = (np.log(np.maximum(shares_array, floor)) + size).sum() + empty * (math.log(floor) + size)
    return float(-total / vocabulary)


@register("self_certainty")
@dataclass(frozen=True, kw_only=True)
class SelfCertainty(Reward):
    """`weight` times the mean self-certainty of the words of a span, at most `most`.

    While a policy is bound (the trainer does that with `bind(policy)`), its own distributions are computed for
    trajectories that
    have tokens: the policy that acted, since rewards are given before the update. Else the most likely words in
    `info["top_logprobs"]` give an upper bound, and the note says so: one list for each action, of OpenAI's entries
    `{"token", "logprob", "top_logprobs": [{"token", "logprob"}, ...]}`. Where there is neither, the sample abstains.

    Parts: `certainty` (in nats, without the weight), `words` of the span, and `repetition` (share of its pairs of
    neighbours that stood there before).

    Args:
        span: key of the JSON text whose value counts; None for the whole message.
        direction: `u||p` or `p||u`, see `self_certainty`.
        weight: the paper's alpha.
        most: the largest reward, so that it cannot outweigh the others.
        floor: see `self_certainty`.
        temperature: that the policy samples at.
        vocabulary: how many words the model has, for the bound from its most likely ones.
        token_budget: padded tokens that go through the model at once.
    """

    span: str | None = "rationale"
    direction: Direction = "u||p"
    weight: float = 0.005
    most: float = 0.3
    floor: float = 1e-10
    temperature: float = 1.0
    vocabulary: int | None = None
    token_budget: int = 4096

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("floor", "temperature", "most", "token_budget"):
            if not getattr(self, option) > 0:
                raise ValueError(f"SelfCertainty: option {option!r} must be positive, got {getattr(self, option)}")
        object.__setattr__(self, "_policy", None)

    @property
    def deterministic(self) -> bool:
        """The policy changes."""
        return False

    def bind(self, policy: Any) -> None:
        """Score with this policy's distributions from now on; None lets go of it."""
        object.__setattr__(self, "_policy", policy)

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        policy: Any = self._policy  # type: ignore[attr-defined]
        own = getattr(policy, "model", None) is not None
        outcomes: list[Any] = [None] * len(trajectories)
        spans: dict[int, tuple[int, int]] = {}
        for index, one in enumerate(trajectories):
            if own and one.tokens is not None and len(one.actions):
                found = attempt(self._token_span, policy, one.tokens, len(one.actions) - 1)
                if isinstance(found[0], Status):
                    outcomes[index] = found
                else:
                    spans[index] = found
            else:
                outcomes[index] = attempt(self._bounded, one)
        for index, certainty in self._forward(policy, trajectories, spans).items():
            outcomes[index] = attempt(self._verdict, trajectories[index], certainty, None)
        return scores_from_verdicts(outcomes)

    def _verdict(self, trajectory: Trajectory, certainty: float, note: str | None) -> Verdict:
        said = words(_span(trajectory.completion, self.span) or "")
        pairs = list(pairwise(said))
        parts: dict[str, float | None] = {
            "certainty": certainty,
            "words": float(len(said)),
            "repetition": 1 - len(set(pairs)) / len(pairs) if pairs else 0.0,
        }
        return Verdict(min(self.weight * certainty, self.most), note, parts)

    def _token_span(self, policy: Any, tokens: Tokens, action: int) -> tuple[int, int]:
        """Where the tokens of the span begin and end."""
        (written,) = np.nonzero(tokens.step == action)
        first, ids = int(written[0]), tokens.ids[written].tolist()
        if self.span is None:
            return first, first + len(ids)
        decode = policy.template.decode
        bounds = _bounds(decode(ids), self.span)
        if bounds is None:
            raise _nothing(self.span)
        starts = [_tokens_before(decode, ids, bound) for bound in bounds]
        last = starts[1] if len(decode(ids[: starts[1]])) >= bounds[1] else starts[1] + 1
        return first + starts[0], first + last

    def _forward(
        self, policy: Any, trajectories: Sequence[Trajectory], spans: Mapping[int, tuple[int, int]]
    ) -> dict[int, float]:
        """Mean certainty over each span, from the policy's own distributions."""
        found: dict[int, float] = {}
        indices = list(spans)
        rows = [trajectories[index].tokens for index in indices]
        tokens = [row for row in rows if row is not None]
        for batch in micro_batches([len(row) for row in tokens], self.token_budget) if tokens else []:
            columns = collate([tokens[place] for place in batch], pad_id=policy.pad_id, device=policy.device)
            training = policy.model.training
            policy.model.eval()
            with torch.no_grad():
                logits = policy.model(
                    input_ids=columns.ids, attention_mask=columns.attention_mask, use_cache=False
                ).logits
            policy.model.train(training)
            for row, place in enumerate(batch):
                start, end = spans[indices[place]]
                logprobs = torch.log_softmax(logits[row, start - 1 : end - 1].float() / self.temperature, dim=-1)
                certainty = self_certainty(logprobs, direction=self.direction, floor=self.floor)
                found[indices[place]] = float(certainty.mean())
        return found

    def _bounded(self, trajectory: Trajectory) -> Verdict:
        """An upper bound from the most likely words that a server told."""
        entries = (trajectory.info.get("top_logprobs") or [None])[-1]
        if not entries:
            raise Abstention(
                "nobody knows the policy's distributions: no policy is bound, and info has no top_logprobs"
            )
        if self.vocabulary is None:
            raise Abstention("a bound from the most likely words needs the option vocabulary: how many words there are")
        text, values = "", []
        bounds = _bounds("".join(entry["token"] for entry in entries), self.span)
        if bounds is None:
            raise _nothing(self.span)
        for entry in entries:
            begin, text = len(text), text + entry["token"]
            if begin < bounds[1] and len(text) > bounds[0]:
                top = [other["logprob"] for other in entry["top_logprobs"]]
                values.append(certainty_bound(top, self.vocabulary, direction=self.direction, floor=self.floor))
        return self._verdict(trajectory, float(np.mean(values)), "an upper bound, from the most likely words alone")


def _nothing(span: str | None) -> Abstention:
    return Abstention("the message is empty" if span is None else f"the message has no text under {span!r}")


def _bounds(text: str, span: str | None) -> tuple[int, int] | None:
    """Where the text of a span begins and ends; None where it is not there, or empty."""
    if span is None:
        return (0, len(text)) if text else None
    found = re.search(rf'"{re.escape(span)}"\s*:\s*"((?:[^"\\]|\\.)*)"', text)
    return None if found is None or not found[1] else (found.start(1), found.end(1))


def _span(text: str, span: str | None) -> str | None:
    bounds = _bounds(text, span)
    return None if bounds is None else text[bounds[0] : bounds[1]]


def _tokens_before(decode: Any, ids: list[int], characters: int) -> int:
    """How many tokens lie wholly before a place in the text."""
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high + 1) // 2
        if len(decode(ids[:middle])) <= characters:
            low = middle
        else:
            high = middle - 1
    return low
