"""The arms of the proof: one network and one fitter, with labels of different origin."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

import rewardlab as rl
from rewardlab.learning.data import StepLabelData
from rewardlab.learning.evaluation.evaluating import units_of
from rewardlab.learning.evaluation.units import Units
from rewardlab.learning.item_losses import ProcessLoss
from rewardlab.recipes.step_labels.baselines import StepPrior
from rewardlab.recipes.step_labels.world import INPUTS, World, labelled, outcomes, people
from rewardlab.rewards.base import Reward
from rewardlab.rewards.models.heads.process import ProcessHead, Whole
from rewardlab.rewards.models.model import RewardModel


@dataclass(frozen=True, slots=True)
class Measured:
    """What one arm reaches on held-out solutions.

    Args:
        f1: ProcessBench's first-error F1.
        area: under the curve of single steps.
        best: share of tasks where a solution without mistakes is picked out of eight.
    """

    f1: float
    area: float
    best: float


@dataclass(frozen=True, kw_only=True)
class Arms:
    """Models of one world.

    Args:
        world: the solutions.
        steps: of each fit.
        learning_rate: of each fit.
        hidden: widths of the encoder's layers.
    """

    world: World
    steps: int = 1000
    learning_rate: float = 3e-3
    hidden: tuple[int, ...] = (128, 128)

    def training(self, origin: str) -> StepLabelData:
        """The training data with labels of some origin.

        Args:
            origin: `people` (up to the first mistake), `careless` (a fifth of them misplaced), `shares` (of continuations),
                `outcomes` (whether the answer is right), or `more` (the same of five times as many solutions).
        """
        world = self.world
        if origin == "more":
            return labelled(world.more, outcomes(world.more), "more")
        labels = {
            "people": lambda: people(world.training),
            "careless": lambda: world.careless(people(world.training)),
            "shares": lambda: world.shares(world.training),
            "outcomes": lambda: outcomes(world.training),
        }[origin]()
        return labelled(world.training, labels, "training")

    def fit(self, origin: str) -> RewardModel:
        """A process model of labels of some origin."""
        encoder = {
            "type": "mlp",
            "inputs": INPUTS,
            "hidden": list(self.hidden),
            "activation": "relu",
            "seed": self.world.seed,
        }
        model = RewardModel.make(encoder, {"type": "process", "seed": self.world.seed})
        return rl.fit(
            model,
            self.training(origin),
            loss=ProcessLoss(form="soft"),
            steps=self.steps,
            batch_size=64,
            learning_rate=self.learning_rate,
            weight_decay=0.1,
            seed=self.world.seed,
        ).model

    def one_step(self) -> Arms:
        """The counter-world: solutions of one step, as many labelled steps in all."""
        world = self.world
        return replace(self, world=replace(world, steps=1, labelled=world.steps * world.labelled))

    def prior(self) -> StepPrior:
        """The baseline that only looks at the place of a step."""
        return StepPrior.fitted(self.training("people"))

    def measure(self, reward: Reward) -> Measured:
        """What a reward reaches; its threshold is chosen on validation solutions that people labelled."""
        units = units_of(reward, self.world.test, threshold=self.world.validation)
        return Measured(
            f1=_value(units, "first-error F1"), area=_value(units, "step AUC"), best=self._picked(reward)
        )  # fmt: skip

    def area(self, reward: Reward) -> float:
        """Area under the curve of single steps alone."""
        return _value(units_of(reward, self.world.test), "step AUC")

    def _picked(self, reward: Reward) -> float:
        return _value(units_of(reward, self.world.best_of_eight), "best of n")

    def picks(self, model: RewardModel, whole: Whole) -> float:
        """Share of tasks where a model picks a solution without mistakes, when steps make the whole in some way."""
        network = model.network
        head = ProcessHead(**{**network.head.options(), "whole": whole})
        head.load_state_dict(network.head.state_dict())
        other = RewardModel.around(type(network)(network.encoder, head))
        return self._picked(other)


def _value(units: Units, name: str) -> float:
    """A measure without its interval, which the proof takes over seeds."""
    return units.measure(name, np.ones(len(units), np.bool_)).value


def smaller(world: World, share: float) -> World:
    """The same world with less of everything, for tests."""
    return replace(
        world,
        labelled=max(8, int(world.labelled * share)),
        held_out=max(20, int(world.held_out * share)),
        choices=max(10, int(world.choices * share)),
    )
