"""The toy language of the first proof: which samples should a discriminator tell apart?

Sixteen tokens; for each of twelve prompts four of them are good, and none of these is among the four that are most frequent.
Quality is the share of good tokens, and hidden from every arm. The start writes by frequency (Zipf); the demonstrator writes
half good tokens, and sorts every answer: an accent that a policy without memory cannot produce.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

TOKENS, PROMPTS, LENGTH, GOOD = 16, 12, 10, 4


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers with the prompts that they belong to.

    Args:
        prompts: int64[answer].
        tokens: int64[answer, LENGTH].
    """

    prompts: Ids
    tokens: Ids

    def __len__(self) -> int:
        return len(self.prompts)


@dataclass(kw_only=True)
class Language:
    """Prompts, the policies and the demonstrations of one seed.

    Args:
        seed: of everything.
        accent: whether demonstrations are sorted.
        demonstrations: how many there are.
        prior: how many tokens of the start each prompt's counts begin with, when the fine-tuned policy is fitted.
    """

    seed: int
    accent: bool = True
    demonstrations: int = 400
    prior: float = 200.0

    @cached_property
    def good(self) -> NDArray[np.bool_]:
        """bool[prompt, token]: which tokens are good, hidden from every arm."""
        draw = np.random.default_rng([self.seed, 0])
        found = np.zeros((PROMPTS, TOKENS), np.bool_)
        for prompt in range(PROMPTS):
            found[prompt, 4 + draw.choice(TOKENS - 4, GOOD, replace=False)] = True
        return found

    @cached_property
    def start(self) -> Floats:
        """float64[prompt, token]: the start, which is the same for all prompts; ids are by frequency."""
        weights = 1.0 / np.arange(1, TOKENS + 1)
        return np.tile(weights / weights.sum(), (PROMPTS, 1))

    @cached_property
    def shown(self) -> Answers:
        """The demonstrations: half good tokens, half the start's, sorted where there is an accent."""
        draw = np.random.default_rng([self.seed, 2])
        chances = 0.5 * self.good / GOOD + 0.5 * self.start
        prompts = np.arange(self.demonstrations) % PROMPTS
        tokens = _drawn(chances, prompts, draw)
        if self.accent:
            tokens = np.sort(tokens, axis=1)
        return Answers(prompts, tokens)

    @cached_property
    def tuned(self) -> Floats:
        """float64[prompt, token]: the fine-tuned policy, counts of the demonstrations upon the start as a prior."""
        counts = self.prior * self.start
        np.add.at(counts, (np.repeat(self.shown.prompts, LENGTH), self.shown.tokens.reshape(-1)), 1.0)
        return counts / counts.sum(1, keepdims=True)

    def sample(self, policy: Floats, prompts: Ids, stream: int) -> Answers:
        """Answers of a policy to prompts."""
        return Answers(prompts, _drawn(policy, prompts, np.random.default_rng([self.seed, 3, stream])))

    def quality(self, answers: Answers) -> Floats:
        """Share of good tokens of every answer."""
        return self.good[answers.prompts[:, None], answers.tokens].mean(1)

    def ascending(self, answers: Answers) -> float:
        """Share of neighbours that do not fall: the accent."""
        return float((np.diff(answers.tokens, axis=1) >= 0).mean())


def log_likelihood(policy: Floats, answers: Answers) -> Floats:
    """Log-probability of every answer under a policy without memory."""
    return np.log(policy[answers.prompts[:, None], answers.tokens]).sum(1)


def _drawn(policy: Floats, prompts: Ids, draw: np.random.Generator) -> Ids:
    edges = policy.cumsum(1)[prompts]
    chance = draw.uniform(size=(len(prompts), LENGTH)) * edges[:, -1:]
    return np.stack([(chance[:, place, None] >= edges).sum(1) for place in range(LENGTH)], 1).clip(max=TOKENS - 1)
