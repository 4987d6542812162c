"""ExploRS on the chain of its paper: a far goal on one side, and a small reward on the other that leads nowhere.

All arms and all copies of one seed run in one array, and the arms of a copy share their random numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.environments.tabular import MarkovDecisionProcess
from rewardlab.learning.design.designer import Designer, SideBySide
from rewardlab.learning.design.rivals import LIRPG, SORS
from rewardlab.learning.design.self_design import ExploRS
from rewardlab.learning.design.tabular_learning import LearningCurve, Reinforce, Run, return_within

HORIZON = 40
PARTS: dict[str, tuple[float, float]] = {
    "original": (0.0, 0.0),
    "bonus": (0.0, 1.0),
    "self": (0.01, 0.0),
    "explors": (0.01, 1.0),
}
"""Arm -> step of the learned part and strength of the bonus (the authors' constants)."""


def distractor_chain(distractor: float = 0.01) -> MarkovDecisionProcess:
    """62 states as in the published code: start 40, goal 60, and `distractor` for going left in state 25.

    Going right in the goal pays 1 at every step that is left of the 40; the left edge ends the episode.
    """
    places, end = 62, 61
    sure = np.zeros((places, 2, places))
    for place in range(end):
        sure[place, 0, place - 1 if place else end] = 1.0
        sure[place, 1, min(place + 1, end - 1)] = 1.0
    sure[end, :, end] = 1.0
    slip = 0.05
    transitions = (1 - slip) * sure + slip * sure.mean(axis=1, keepdims=True)
    rewards = np.zeros((places, 2))
    rewards[60, 1], rewards[25, 0] = 1.0, distractor
    return MarkovDecisionProcess(
        transitions,
        rewards,
        0.99,
        np.eye(places)[40],
        np.arange(places) == end,
        action_names=("left", "right"),
    )


@dataclass(kw_only=True)
class ChainArms:
    """The arms of one seed.

    Args:
        seed: of everything.
        copies: independent learners of each arm.
        episodes: of each learner.
        distractor: what the distractor pays.
    """

    seed: int
    copies: int = 4
    episodes: int = 6000
    distractor: float = 0.01

    def __post_init__(self) -> None:
        self.world = distractor_chain(self.distractor)

    @property
    def optimum(self) -> float:
        """The best return within the horizon, of the policy that always goes right."""
        return float(return_within(self.world, np.tile([0.0, 1.0], (62, 1)), HORIZON))

    def parts(self) -> dict[str, NDArray[np.float64]]:
        """Final return of the original reward, the bonus alone, SelfRS and ExploRS: float[copy] each."""
        count = self.copies * len(PARTS)
        designer = ExploRS(
            states=62,
            actions=2,
            copies=count,
            rate=np.repeat([rate for rate, _ in PARTS.values()], self.copies),
            bonus=np.repeat([bonus for _, bonus in PARTS.values()], self.copies),
        )
        curve = self._learn(designer, count)
        return dict(zip(PARTS, curve.values[-1].reshape(len(PARTS), self.copies), strict=True))

    def rivals(self) -> dict[str, NDArray[np.float64]]:
        """Final return of ExploRS, SORS and LIRPG: float[copy] each."""
        size: dict[str, Any] = {"states": 62, "actions": 2, "copies": self.copies}
        designer = SideBySide(
            {"explors": ExploRS(**size), "sors": SORS(**size, seed=self.seed), "lirpg": LIRPG(**size)}
        )
        final = self._learn(designer, designer.copies).values[-1]
        return {name: final[part] for name, part in designer.parts.items()}

    def _learn(self, designer: Designer, count: int) -> LearningCurve:
        run = Run(
            world=self.world,
            learner=Reinforce(62, 2, count, rate=0.1, discount=0.99),
            designer=designer,
            horizon=HORIZON,
            seed=self.seed,
            streams=np.arange(count) % self.copies,
        )
        return run.learn(self.episodes, every=self.episodes)
