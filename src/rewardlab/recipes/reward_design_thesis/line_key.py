"""ExPAdaRD on a line with a key: rewards by five leaves of a small tree, designed anew as the learner changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewardlab.environments.tabular import MarkovDecisionProcess
from rewardlab.environments.tabular_worlds import line_key
from rewardlab.learning.design.adaptation import adaptive, invariant_only
from rewardlab.learning.design.designer import Designer
from rewardlab.learning.design.programme import Leaves, explicable
from rewardlab.learning.design.rivals import FixedDesign
from rewardlab.learning.design.tabular_learning import LearningCurve, Reinforce, Run

HORIZON = 30
MAXIMUM = 10.0


def line_key_leaves(world: MarkovDecisionProcess) -> Leaves:
    """The five leaves of the published code: does it have the key, is it where the key lies, is it at the goal."""
    cells = (world.states - 1) // 2
    states = np.arange(world.states)
    live = states < 2 * cells
    return Leaves.from_predicates(
        {
            "has key": (states >= cells) & live,
            "at key": (states % cells == 0) & live,
            "at goal": states == 2 * cells - 1,
        }
    )


@dataclass(kw_only=True)
class LineKeyArms:
    """The arms of one seed.

    Args:
        seed: of the learners.
        copies: independent learners of each arm.
        episodes: of each learner.
    """

    seed: int
    copies: int = 3
    episodes: int = 2000

    def __post_init__(self) -> None:
        self.world = line_key(slip=0.1)
        self.leaves = line_key_leaves(self.world)

    def learn(self) -> dict[str, NDArray[np.float64]]:
        """Mean return over the learning curve for each arm: float[copy]."""
        invariant = invariant_only(self.world, structure=self.leaves, maximum=MAXIMUM).array
        informative = explicable(self.world, structure=self.leaves, maximum=MAXIMUM).array
        tables = np.repeat(np.stack([self.world.rewards, invariant, informative]), self.copies, axis=0)
        fixed = self._learn(FixedDesign(tables, len(tables))).area().reshape(3, self.copies)
        follower = adaptive(self.world, structure=self.leaves, maximum=MAXIMUM, copies=self.copies)
        return {
            "original": fixed[0],
            "invariance": fixed[1],
            "explicable": fixed[2],
            "adaptive": self._learn(follower).area(),
        }

    def sizes(self) -> dict[str, NDArray[np.float64]]:
        """The adaptive design beside the smallest of the rewards that are as informative as can be, which are many."""
        smallest = explicable(self.world, structure=self.leaves, maximum=MAXIMUM, penalty=1e-5)
        follower = adaptive(self.world, structure=self.leaves, maximum=MAXIMUM, copies=self.copies)
        return {
            "smallest": self._learn(FixedDesign(smallest.array, self.copies)).area(),
            "adaptive": self._learn(follower).area(),
        }

    def _learn(self, designer: Designer) -> LearningCurve:
        count = designer.copies
        run = Run(
            world=self.world,
            learner=Reinforce(self.world.states, self.world.actions, count, rate=0.01, discount=0.95),
            designer=designer,
            horizon=HORIZON,
            seed=self.seed,
            streams=np.arange(count) % self.copies,
        )
        return run.learn(self.episodes, every=max(1, self.episodes // 40))
