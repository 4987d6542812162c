"""ExPRD in four rooms with Q-learning: a few rewarded states, chosen by a teacher, against as many chosen at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewardlab.environments.tabular_worlds import four_rooms
from rewardlab.functional.tabular import optimal_actions, value_iteration
from rewardlab.learning.design.designed import DesignedReward
from rewardlab.learning.design.designer import Designer
from rewardlab.learning.design.programme import explicable
from rewardlab.learning.design.rivals import FixedDesign, PotentialDesign
from rewardlab.learning.design.tabular_learning import QLearning, Run, return_within

HORIZON = 30
BUDGET = 5
MAXIMUM = 10.0


@dataclass(kw_only=True)
class RoomArms:
    """The arms of one seed; the world and the designed reward are the same for all seeds.

    Args:
        seed: of the learners and of the random rewards.
        copies: independent learners of each arm.
        episodes: of each learner.
        budget: states that may carry reward beside the goal's.
    """

    seed: int
    copies: int = 20
    episodes: int = 400
    budget: int = BUDGET

    def __post_init__(self) -> None:
        self.world = four_rooms()
        self.designed: DesignedReward = explicable(self.world, budget=self.budget, maximum=MAXIMUM)
        self.random = self._random_tables()

    def keeps(self, table: NDArray[np.float64]) -> bool:
        """Whether every policy that is optimal for a table is optimal for the original reward, by value iteration."""
        allowed = optimal_actions(value_iteration(self.world.transitions, self.world.rewards, self.world.discount)[1])
        found = optimal_actions(value_iteration(self.world.transitions, table, self.world.discount)[1])
        return bool((~found | allowed)[~self.world.terminal].all())

    def learn(self) -> dict[str, NDArray[np.float64]]:
        """Episodes until the greedy policy first has 90% of the best return, for each arm: float[copy].

        A learner that never gets there counts as the number of episodes.
        """
        states, actions = self.world.rewards.shape
        tables = np.concatenate(
            [
                np.broadcast_to(self.world.rewards, (self.copies, states, actions)),
                np.broadcast_to(self.designed.array, (self.copies, states, actions)),
                self.random,
            ]
        )
        fixed = self._episodes(FixedDesign(tables, len(tables))).reshape(3, self.copies)
        potential = self._episodes(PotentialDesign(self.world, self.copies))
        return {"original": fixed[0], "explicable": fixed[1], "random": fixed[2], "potential": potential}

    def _episodes(self, designer: Designer) -> NDArray[np.float64]:
        learner = QLearning(
            self.world.states, self.world.actions, designer.copies, rate=0.5, discount=0.95, epsilon=0.1
        )
        run = Run(
            world=self.world,
            learner=learner,
            designer=designer,
            horizon=HORIZON,
            seed=self.seed,
            streams=np.arange(designer.copies) % self.copies,
        )
        best = float(return_within(self.world, self.world.optimal_policy(), HORIZON))
        return run.learn(self.episodes, every=2).until(0.9 * best)

    def _random_tables(self) -> NDArray[np.float64]:
        """The original reward with as many other states as the budget, and entries within the same bound, at random."""
        generator = np.random.default_rng(self.seed)
        goals = np.abs(self.world.rewards).max(axis=1) > 0
        others = np.flatnonzero(~goals & ~self.world.terminal)
        tables = np.tile(self.world.rewards, (self.copies, 1, 1))
        for table in tables:
            chosen = generator.choice(others, self.budget, replace=False)
            table[chosen] = generator.uniform(-MAXIMUM, MAXIMUM, size=(self.budget, table.shape[1]))
        return tables
