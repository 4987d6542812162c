"""Users who each have an ideal point, mixed out of a few prototypes, and vectors of which they prefer the nearer ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.data import PreferenceData, as_trajectory
from rewardlab.types import Trajectory

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class World:
    """One seed's truth and data.

    Args:
        seed: of everything.
        prototypes: how many, at right angles to one another, so that users differ as much with every seed; 1 is the
            counter-world, in which all want the same.
        users: that are there from the start.
        newcomers: users that come later.
        comparisons: of each user who is there from the start, with noise.
        few: of each newcomer, with noise; the first of them are what fewer would be.
        tests: of each user, without noise.
        dimension: of an item.
        latent: of the space in which ideal points lie.
        concentration: of the Dirichlet distribution of the users' weights; small numbers make users of one prototype.
        sharpness: labels are drawn with the log-odds `sharpness * difference of distances`.
    """

    seed: int
    prototypes: int = 3
    users: int = 40
    newcomers: int = 40
    comparisons: int = 50
    few: int = 20
    tests: int = 200
    dimension: int = 12
    latent: int = 3
    concentration: float = 0.25
    sharpness: float = 3.0

    def __post_init__(self) -> None:
        if not 1 <= self.prototypes <= self.latent:
            raise ValueError(
                f"prototypes must be at least 1 and at most latent={self.latent}, because they stand at right angles; got "
                f"{self.prototypes}"
            )

    def names(self, new: bool) -> list[str]:
        """Names of the users, or of the newcomers."""
        return [f"new.{place}" if new else f"user {place}" for place in range(self.newcomers if new else self.users)]

    @cached_property
    def _net(self) -> tuple[Floats, Floats, Floats, Floats]:
        generator = np.random.default_rng((self.seed, 0))
        into = generator.normal(size=(self.dimension, 16)) / np.sqrt(self.dimension)
        out = generator.normal(size=(16, self.latent))
        raw = np.tanh(1.5 * generator.normal(size=(10_000, self.dimension)) @ into) @ out
        return into, out, raw.mean(0), raw.std(0)

    def place(self, items: Floats) -> Floats:
        """Where items lie, float64[item, latent]; each coordinate has deviation 1."""
        into, out, mean, deviation = self._net
        return np.asarray((np.tanh(1.5 * items @ into) @ out - mean) / deviation)

    @cached_property
    def points(self) -> tuple[Floats, Floats]:
        """Ideal points of users and newcomers, float64[user, latent] each."""
        generator = np.random.default_rng((self.seed, 1))
        turned, _ = np.linalg.qr(generator.normal(size=(self.latent, self.latent)))
        corners = 1.5 * turned[: self.prototypes]
        weights = generator.dirichlet(np.full(self.prototypes, self.concentration), size=self.users + self.newcomers)
        ideal = weights @ corners
        return ideal[: self.users], ideal[self.users :]

    @cached_property
    def train(self) -> PreferenceData:
        """Comparisons of the users."""
        return self._draw(new=False, each=self.comparisons, stream=2, noise=True)

    @cached_property
    def support(self) -> PreferenceData:
        """Comparisons of the newcomers."""
        return self._draw(new=True, each=self.few, stream=3, noise=True)

    def first_of_support(self, count: int) -> PreferenceData:
        """The first so many comparisons of each newcomer."""
        return self.support.select([row for row in range(len(self.support)) if row % self.few < count])

    def test(self, *, new: bool) -> PreferenceData:
        """Comparisons without noise, of users or of newcomers."""
        return self._draw(new=new, each=self.tests, stream=5 if new else 4, noise=False)

    @cached_property
    def pool(self) -> list[Trajectory]:
        """Items that the tests draw from."""
        return [as_trajectory(row) for row in self._pool]

    @cached_property
    def _pool(self) -> Floats:
        return np.random.default_rng((self.seed, 6)).normal(size=(2000, self.dimension))

    def _draw(self, *, new: bool, each: int, stream: int, noise: bool) -> PreferenceData:
        generator = np.random.default_rng((self.seed, stream))
        points = self.points[int(new)]
        user = np.repeat(np.arange(len(points)), each)
        if noise:
            vectors = generator.normal(size=(2 * len(user), self.dimension))
            items = [as_trajectory(row) for row in vectors]
            first, second = np.arange(len(user)), np.arange(len(user), 2 * len(user))
        else:
            vectors, items = self._pool, self.pool
            first = generator.integers(0, len(items), size=len(user))
            second = (first + generator.integers(1, len(items), size=len(user))) % len(items)
        places = self.place(vectors)
        distance = [np.linalg.norm(places[side] - points[user], axis=1) for side in (first, second)]
        log_odds = distance[1] - distance[0]
        chance = 1.0 / (1.0 + np.exp(-self.sharpness * log_odds)) if noise else (log_odds > 0).astype(np.float64)
        names = self.names(new)
        return PreferenceData(
            items=items,
            first=first,
            second=second,
            label=(generator.random(len(user)) < chance).astype(np.float64),
            annotators=[names[one] for one in user],
        )
