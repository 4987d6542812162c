"""Comparisons of vectors by a random network, a quarter of which are then turned round; tests are clean."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.data import PreferenceData

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class World:
    """One seed's truth and data.

    Args:
        seed: of everything.
        pairs: for training.
        tests: clean ones, labelled by the true order.
        dimension: of a vector.
        noise: share of the training labels that is turned round.
        beta: of the Bradley-Terry labels; the true reward has deviation 1.
    """

    seed: int
    pairs: int = 2000
    tests: int = 3000
    dimension: int = 12
    noise: float = 0.25
    beta: float = 3.0

    def reward(self, vectors: Floats) -> Floats:
        """The true reward: one hidden layer of 16 units, with deviation 1; float64[vector]."""
        into, out, scale = self._truth
        return np.asarray(np.tanh(vectors @ into) @ out / scale)

    @cached_property
    def _truth(self) -> tuple[Floats, Floats, float]:
        generator = np.random.default_rng((self.seed, 0))
        into = generator.normal(size=(self.dimension, 16)) * (2.0 / np.sqrt(self.dimension))
        out = generator.normal(size=16)
        sample = generator.normal(size=(20_000, self.dimension))
        return into, out, float((np.tanh(sample @ into) @ out).std())

    @cached_property
    def _training(self) -> tuple[PreferenceData, NDArray[np.bool_]]:
        generator = np.random.default_rng((self.seed, 1))
        first, second = generator.normal(size=(2, self.pairs, self.dimension))
        log_odds = self.beta * (self.reward(first) - self.reward(second))
        better = generator.random(self.pairs) < 1.0 / (1.0 + np.exp(-log_odds))
        flipped = generator.random(self.pairs) < self.noise
        label = np.where(better ^ flipped, 1.0, 0.0)
        return PreferenceData.from_arrays(first, second, label), flipped

    @property
    def train(self) -> PreferenceData:
        """Noisy comparisons."""
        return self._training[0]

    @property
    def flipped(self) -> NDArray[np.bool_]:
        """Which of them were turned round."""
        return self._training[1]

    @cached_property
    def test(self) -> PreferenceData:
        """Clean comparisons."""
        return self._clean(2, self.tests)

    @cached_property
    def dev(self) -> PreferenceData:
        """Clean comparisons for the control that stops early."""
        return self._clean(3, 1000)

    def shifted(self, prompts: int, answers: int, shift: float = 1.0) -> list[Floats]:
        """Answers of a policy that has moved: of each prompt float64[answer, dimension] around a common point."""
        generator = np.random.default_rng((self.seed, 4))
        moved = generator.normal(size=self.dimension) * shift
        centres = generator.normal(size=(prompts, self.dimension)) * 0.5 + moved
        return [centre + 0.5 * generator.normal(size=(answers, self.dimension)) for centre in centres]

    def _clean(self, stream: int, count: int) -> PreferenceData:
        generator = np.random.default_rng((self.seed, stream))
        first, second = generator.normal(size=(2, count, self.dimension))
        return PreferenceData.from_arrays(first, second, (self.reward(first) > self.reward(second)).astype(float))
