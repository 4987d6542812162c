"""Items in eight dimensions whose preferences go round in a circle, follow an order, or do some of both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.data import PreferenceData, as_trajectory

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class World:
    """One seed's truth and data.

    The cyclic part is the sine of the angle from one item to the other in a plane; the transitive part is a difference of
    linear values.

    Args:
        seed: of everything.
        mix: share of the cyclic part in the true score; 0 is the counter-world, in which an order explains everything.
        pairs: for training, of items that stand in one pair each.
        tests: pairs of unseen items, labelled by the sign of the true score.
        dimension: of an item.
        sharpness: labels are drawn with the log-odds `sharpness * score`.
    """

    seed: int
    mix: float = 1.0
    pairs: int = 1500
    tests: int = 3000
    dimension: int = 8
    sharpness: float = 4.0

    @cached_property
    def _truth(self) -> tuple[Floats, Floats]:
        generator = np.random.default_rng((self.seed, 0))
        plane, _ = np.linalg.qr(generator.normal(size=(self.dimension, 2)))
        direction = generator.normal(size=self.dimension)
        return plane, direction / np.linalg.norm(direction)

    def score(self, first: Floats, second: Floats) -> Floats:
        """True score of first against second, float64[...] for items float64[..., dimension]."""
        plane, direction = self._truth
        one, other = (vectors @ plane for vectors in (first, second))
        one, other = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True) for vectors in (one, other))
        cyclic = one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
        transitive = (first - second) @ direction
        return np.asarray(self.mix * cyclic + (1.0 - self.mix) * transitive)

    @cached_property
    def train(self) -> PreferenceData:
        """Comparisons whose labels are drawn."""
        generator = np.random.default_rng((self.seed, 1))
        first, second = generator.normal(size=(2, self.pairs, self.dimension))
        chance = 1.0 / (1.0 + np.exp(-self.sharpness * self.score(first, second)))
        return PreferenceData.from_arrays(first, second, (generator.random(self.pairs) < chance).astype(np.float64))

    @cached_property
    def test(self) -> PreferenceData:
        """Comparisons of unseen items, labelled by the sign of the true score."""
        generator = np.random.default_rng((self.seed, 2))
        first, second = generator.normal(size=(2, self.tests, self.dimension))
        return PreferenceData.from_arrays(first, second, (self.score(first, second) > 0).astype(np.float64))

    def tournament(self, items: int = 12, repeats: int = 20) -> PreferenceData:
        """Drawn comparisons of every two of a few items, `repeats` of each, for the diagnosis of cycles."""
        generator = np.random.default_rng((self.seed, 3))
        vectors = generator.normal(size=(items, self.dimension))
        first, second = (np.repeat(side, repeats) for side in np.triu_indices(items, 1))
        chance = 1.0 / (1.0 + np.exp(-self.sharpness * self.score(vectors[first], vectors[second])))
        label = (generator.random(len(first)) < chance).astype(np.float64)
        return PreferenceData(items=[as_trajectory(row) for row in vectors], first=first, second=second, label=label)


def cycle(items: int = 4) -> PreferenceData:
    """A few items in a circle, each preferred to the next one, and the last to the first."""
    vectors = np.eye(items)
    places = np.arange(items)
    return PreferenceData(
        items=[as_trajectory(row) for row in vectors], first=places, second=(places + 1) % items, label=np.ones(items)
    )


def rock_paper_scissors(comparisons: int, seed: int, sharpness: float = 2.0) -> PreferenceData:
    """Drawn comparisons of rock, paper and scissors, as items of three numbers; each is preferred to the next one."""
    generator = np.random.default_rng((seed, 4))
    pairs = np.asarray([(0, 1), (1, 2), (2, 0)])
    drawn = pairs[generator.integers(0, 3, size=comparisons)]
    label = (generator.random(comparisons) < 1.0 / (1.0 + np.exp(-sharpness))).astype(np.float64)
    return PreferenceData(
        items=[as_trajectory(row) for row in np.eye(3)], first=drawn[:, 0], second=drawn[:, 1], label=label
    )
