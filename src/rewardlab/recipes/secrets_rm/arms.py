"""The arms of the comparison: one student, fitted to the same pairs after different repairs."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rewardlab.learning.data import PreferenceData, as_trajectory
from rewardlab.learning.fitting import fit
from rewardlab.learning.meta_reward import MetaRewardTrainer, spread
from rewardlab.learning.pair_loss import PairLoss, soften_below_zero
from rewardlab.learning.preference_strength import PreferenceStrength, StrengthReport
from rewardlab.recipes.secrets_rm.world import World
from rewardlab.rewards.models.model import RewardModel

REPAIRS: dict[str, PairLoss] = {
    "bt": PairLoss(),
    "drop": PairLoss(drop=0.2),
    "flip": PairLoss(flip=0.2),
    "margin": PairLoss(margin="strength", margin_clip=1.0),
    "flip_margin": PairLoss(flip=0.2, margin="strength", margin_clip=1.0),
    "soft": PairLoss(smoothing=soften_below_zero()),
    "soft_margin": PairLoss(smoothing=soften_below_zero(), margin="strength", margin_clip=1.0),
}
"""The arms that differ in the repair alone."""


@dataclass(frozen=True, kw_only=True)
class Arms:
    """Everything that one seed trains.

    Args:
        world: the data.
        hidden: layers of a student. Two of 64 for 20 epochs learn wrong labels by heart, the regime of the claims.
        epochs: of students and voters.
        voter_hidden: layers of a voter.
        voters: how many.
        learning_rate: of all.
    """

    world: World
    hidden: Sequence[int] = (64, 64)
    epochs: float = 20.0
    voter_hidden: Sequence[int] = (32,)
    voters: int = 10
    learning_rate: float = 1e-3
    options: dict[str, Any] = field(default_factory=lambda: {"batch_size": 32, "schedule": "constant", "warmup": 0.0})

    @cached_property
    def report(self) -> StrengthReport:
        """The votes on the training pairs."""
        estimator = PreferenceStrength(
            make=lambda seed: self._model(self.voter_hidden, 1000 + seed),
            voters=self.voters,
            epochs=self.epochs,
            seed=self.world.seed,
            options={"learning_rate": self.learning_rate, **self.options},
        )
        return estimator.fit(self.world.train)

    def student(self, name: str) -> RewardModel:
        """A student of one of `REPAIRS`."""
        repair = REPAIRS[name]
        return self.fitted(repair.apply(self.world.train, self.report), loss=repair.loss())

    def random_flip(self) -> RewardModel:
        """The control: as many pairs turned round as by `flip`, at random."""
        generator = np.random.default_rng((self.world.seed, 5))
        drawn = np.zeros(len(self.world.train), dtype=np.bool_)
        drawn[generator.permutation(len(drawn))[: len(drawn) // 5]] = True
        return self.fitted(PairLoss(flip=drawn).apply(self.world.train))

    def early_stopped(self) -> RewardModel:
        """The strong control: stopped where clean pairs say so, which nobody has in practice."""
        return self.fitted(self.world.train, validation=self.world.dev, patience=10_000, evaluate_every=21)

    def fitted(self, data: PreferenceData, **options: Any) -> RewardModel:
        """A student fitted to some data."""
        model = self._model(self.hidden, self.world.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = fit(
                model,
                data,
                epochs=self.epochs,
                learning_rate=self.learning_rate,
                seed=self.world.seed,
                **{**self.options, **options},
            )
        return result.model

    def accuracy(self, model: RewardModel, data: PreferenceData | None = None) -> float:
        """Share of the clean test pairs that a model orders as the truth does."""
        tested = self.world.test if data is None else data
        values = model(tested.items).values
        return float(((values[tested.first] > values[tested.second]) == (tested.label > 0.5)).mean())

    def meta(self, start: RewardModel, *, eta: float, steps: int = 200) -> tuple[float, float, float]:
        """Further steps on the flipped pairs, with the spread of shifted samples climbed (`eta` above 0) or not.

        Returns:
            The spread on held-out shifted samples, the same with values divided by their deviation, and the clean accuracy.
        """
        groups = self.world.shifted(prompts=64, answers=4)
        samples = [[as_trajectory(answer.astype(np.float32)) for answer in group] for group in groups]
        model = RewardModel.around(copy.deepcopy(start.network))
        pairs = REPAIRS["flip"].apply(self.world.train, self.report)
        seed = self.world.seed
        MetaRewardTrainer(model, pairs, samples[:32], eta=eta, alpha=1e-2, batch_size=32, prompts=16, seed=seed).train(
            steps
        )
        with torch.no_grad():
            outputs = model.outputs([one for group in samples[32:] for one in group])
            values = model.network.head.value(outputs).reshape(32, 4)
            raw, relative = float(spread(values)), float(spread(values / values.std()))
        return raw, relative, self.accuracy(model)

    def _model(self, hidden: Sequence[int], seed: int) -> RewardModel:
        encoder = {
            "type": "mlp",
            "inputs": self.world.dimension,
            "hidden": list(hidden),
            "activation": "relu",
            "seed": seed,
        }
        return RewardModel.make(encoder, {"type": "scalar", "seed": seed})


def decile_accuracies(arms: Arms, which: Sequence[int] = (0, 1, 2, 9)) -> NDArray[np.float64]:
    """Clean accuracy of students fitted to single tenths of the pairs, by strength."""
    tenths = arms.report.deciles()
    return np.array([arms.accuracy(arms.fitted(arms.world.train.select(tenths[one]))) for one in which])
