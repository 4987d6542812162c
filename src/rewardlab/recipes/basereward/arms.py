"""The arms: one pretrained trunk, tuned with one choice changed at a time, for equally many steps."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rewardlab.learning.ablation import joined
from rewardlab.learning.data import PreferenceData
from rewardlab.learning.fitting import fit
from rewardlab.recipes.basereward.encoder import PatchTextEncoder
from rewardlab.recipes.basereward.trunk import pretrained, tuned_copy
from rewardlab.recipes.basereward.world import Source, World
from rewardlab.rewards.base import Reward
from rewardlab.rewards.models.heads.mlp import MLPHead
from rewardlab.rewards.models.model import RewardModel


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Accuracies on the test.

    Args:
        all: on all pairs.
        image: on those that the picture decides.
        rule: on those that the instruction decides.
    """

    all: float
    image: float
    rule: float


@dataclass(frozen=True, kw_only=True)
class Arms:
    """Everything that one seed trains.

    Args:
        world: the data.
        width: of the trunk.
        pretraining: steps of the trunk before anything is compared.
        steps: of every fit.
        learning_rate: of every fit that tunes the trunk.
    """

    world: World
    width: int = 32
    pretraining: int = 500
    steps: int = 300
    learning_rate: float = 2e-3

    @cached_property
    def trunk(self) -> PatchTextEncoder:
        """What every arm starts from."""
        return pretrained(self.world, width=self.width, steps=self.pretraining)

    def mixed(self, **shares: int) -> PreferenceData:
        """Several sources, each as many times as is said: a small one is repeated, so that it is not drowned."""
        return joined([self.world.sources[name] for name, times in shares.items() for _ in range(times)])  # type: ignore[index]

    def fitted(
        self,
        data: PreferenceData | None = None,
        *,
        layers: int = 2,
        frozen: bool = False,
        seed: int | None = None,
        **options: Any,
    ) -> RewardModel:
        """A model fitted to some data, by default the comparisons with pictures.

        Args:
            data: comparisons.
            layers: of the head.
            frozen: whether the trunk stays as it is.
            seed: of the head and the order; the world's by default.
            options: of `fit`.
        """
        chosen = self.world.seed if seed is None else seed
        model = RewardModel.make(tuned_copy(self.trunk, frozen=frozen), MLPHead(self.width, layers=layers, seed=chosen))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the fitter remarks on repeated comparisons, which mixtures have
            return fit(
                model,
                self.world.sources["pictures"] if data is None else data,
                steps=self.steps,
                learning_rate=2 * self.learning_rate if frozen else self.learning_rate,
                weight_decay=1e-2,
                seed=chosen,
                **options,
            ).model

    def accuracy(self, model: Reward) -> Splits:
        """Shares of the test that a model orders right."""
        test = self.world.test
        values = model(test.items).values
        right = (values[test.first] > values[test.second]) == (test.label > 0.5)
        factor = np.array([row["factor"] for row in test.metadata or []])
        return Splits(
            all=float(right.mean()),
            image=float(right[factor == "image"].mean()),
            rule=float(right[factor == "rule"].mean()),
        )

    def added(self, source: Source) -> PreferenceData:
        """The pictures and one other source, in equal shares as far as whole repetitions allow."""
        own, other = len(self.world.sources["pictures"]), len(self.world.sources[source])
        return self.mixed(pictures=max(1, round(other / own)), **{source: 1})
