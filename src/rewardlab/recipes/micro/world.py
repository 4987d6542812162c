"""A population whose members want different things: hidden attributes, each a direction in the space of responses."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.data import PreferenceData
from rewardlab.rewards.models.encoders.prompted import prompted


@dataclass(frozen=True, kw_only=True)
class World:
    """Prompts in 8 dimensions, responses in 16, and pairs judged by whoever the prompt attracts.

    Args:
        seed: of everything.
        attributes: how many hidden directions; 1 is a population of one mind.
        train: comparisons without a word about who judged.
        test: comparisons for each attribute, labelled by the attribute without noise.
        annotated: comparisons for each attribute whose context is known, labelled with noise like the training pairs.
        scale: of the rewards in the judges' Bradley-Terry model.
        tie: how strongly prompts say who judges.
    """

    seed: int
    attributes: int = 4
    train: int = 4000
    test: int = 400
    annotated: int = 50
    scale: float = 3.0
    tie: float = 1.0
    prompt_size: int = field(default=8, init=False)
    response_size: int = field(default=16, init=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attributes."""
        return tuple(f"attribute_{place}" for place in range(self.attributes))

    @cached_property
    def directions(self) -> NDArray[np.float64]:
        """float64[attribute, response], unit vectors."""
        drawn = np.random.default_rng((self.seed, 0)).normal(size=(self.attributes, self.response_size))
        return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    @cached_property
    def pairs(self) -> PreferenceData:
        """Training comparisons; nobody says who judged."""
        return self._anonymous(self.train, 1)

    @cached_property
    def held_out(self) -> PreferenceData:
        """As many comparisons of the same kind, for the likelihood."""
        return self._anonymous(self.train, 2)

    @cached_property
    def labelled(self) -> PreferenceData:
        """Comparisons with their attribute as the annotator, `annotated` for each."""
        return self._named(self.annotated, 3, noise=True)

    @cached_property
    def tests(self) -> PreferenceData:
        """Test comparisons with their attribute as the annotator."""
        return self._named(self.test, 4, noise=False)

    def first_labelled(self, count: int) -> PreferenceData:
        """The first so many annotated comparisons of each attribute."""
        return self.labelled.select(
            [place * self.annotated + row for place in range(self.attributes) for row in range(count)]
        )

    def _anonymous(self, count: int, stream: int) -> PreferenceData:
        generator = np.random.default_rng((self.seed, stream))
        attraction = np.random.default_rng((self.seed, 5)).normal(size=(self.prompt_size, self.attributes))
        prompts = generator.normal(size=(count, self.prompt_size))
        logits = self.tie * prompts @ attraction
        chance = np.exp(logits - logits.max(1, keepdims=True))
        chance /= chance.sum(1, keepdims=True)
        judge = (chance.cumsum(1) < generator.random((count, 1))).sum(1).clip(max=self.attributes - 1)
        return self._judged(prompts, judge, generator, noise=True)

    def _named(self, each: int, stream: int, *, noise: bool) -> PreferenceData:
        generator = np.random.default_rng((self.seed, stream))
        judge = np.repeat(np.arange(self.attributes), each)
        data = self._judged(generator.normal(size=(len(judge), self.prompt_size)), judge, generator, noise=noise)
        data.annotators = [self.names[place] for place in judge]
        return data

    def _judged(
        self, prompts: NDArray[np.float64], judge: NDArray[np.int64], generator: np.random.Generator, *, noise: bool
    ) -> PreferenceData:
        responses = generator.normal(size=(2, len(judge), self.response_size))
        margin = ((responses[0] - responses[1]) * self.directions[judge]).sum(1)
        if noise:
            label = (generator.random(len(judge)) < 1 / (1 + np.exp(-self.scale * margin))).astype(float)
        else:
            label = (margin > 0).astype(float)
        rows = np.arange(len(judge))
        items = prompted(np.concatenate([prompts, prompts]), responses.reshape(-1, self.response_size))
        return PreferenceData(items=items, first=rows, second=rows + len(rows), label=label)
