"""Lucy-SKG (2023): utilities that only make sense together, joined by a signed geometric mean; with its proof.

The method is `rewardlab.kinesthetic` over shapes, at every step or inside `rewardlab.potential`; the learner is PPO.
"""

from __future__ import annotations

from rewardlab.recipes.lucy_skg.arms import components, goal, kinesthetic, linear, task_reward
from rewardlab.recipes.lucy_skg.learner import Learning, Options, learn
from rewardlab.recipes.lucy_skg.proof import POTENTIAL, RECIPE
from rewardlab.recipes.lucy_skg.world import Kick

__all__ = [
    "POTENTIAL",
    "RECIPE",
    "Kick",
    "Learning",
    "Options",
    "components",
    "goal",
    "kinesthetic",
    "learn",
    "linear",
    "task_reward",
]
