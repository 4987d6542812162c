"""Users of a few types, whose wishes share a part and differ in the rest; nobody says who is of which type."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.data import PreferenceData


@dataclass(frozen=True, kw_only=True)
class World:
    """Linear rewards over 8 numbers, one for each type of user.

    Args:
        seed: of everything.
        types: of users; 1 is a population of one mind.
        users: in the fit.
        test_users: of whom some answers are read and others predicted.
        read, asked: answers of each user that are read, and those that are predicted.
    """

    seed: int
    types: int = 4
    users: int = 800
    test_users: int = 400
    read: int = 8
    asked: int = 8
    width: int = 8

    @cached_property
    def wishes(self) -> NDArray[np.float64]:
        """float64[type, width]: .3 of a shared part, and a part of their own."""
        draw = np.random.default_rng((self.seed, 0))
        return 0.3 * draw.normal(size=(1, self.width)) + draw.normal(size=(self.types, self.width))

    @cached_property
    def training(self) -> PreferenceData:
        """Comparisons with noisy labels; the annotator is a number for the user, and not the type."""
        return self._answers(self.users, 1)[0]

    @cached_property
    def context(self) -> PreferenceData:
        """The answers of test users that are read, with noisy labels."""
        return self._tests[0]

    @cached_property
    def targets(self) -> PreferenceData:
        """Those that are predicted, with labels that the user's wishes give without noise."""
        return self._tests[1]

    @cached_property
    def divergent(self) -> NDArray[np.bool_]:
        """bool[target], whether types disagree about it."""
        return self._tests[2]

    @cached_property
    def _tests(self) -> tuple[PreferenceData, PreferenceData, NDArray[np.bool_]]:
        data, margins, who = self._answers(self.test_users, 2)
        place = np.arange(len(data)) % (self.read + self.asked)
        later = place >= self.read
        targets = data.select(later)
        targets.label = (margins[np.arange(len(data)), who] > 0)[later].astype(np.float64)
        disagree = ~np.logical_or((margins > 0).all(1), (margins < 0).all(1))
        return data.select(~later), targets, disagree[later]

    def first_read(self, count: int) -> PreferenceData:
        """The first so many answers of each test user."""
        return self.context.select(np.flatnonzero(np.arange(len(self.context)) % self.read < count))

    def _answers(self, users: int, stream: int) -> tuple[PreferenceData, NDArray[np.float64], NDArray[np.int64]]:
        draw = np.random.default_rng((self.seed, stream))
        each = self.read + self.asked
        who = draw.integers(self.types, size=users).repeat(each)
        first, second = draw.normal(size=(2, users * each, self.width))
        margins = (first - second) @ self.wishes.T
        own = margins[np.arange(len(who)), who]
        label = draw.random(len(who)) < 1 / (1 + np.exp(-own))
        names = [f"user_{number}" for number in np.arange(users).repeat(each)]
        return PreferenceData.from_arrays(first, second, label.astype(np.float64), annotators=names), margins, who
