"""Off-policy adversarial imitation with a smooth reward (Blondé et al. 2022), with its proof on real demonstrations.

The method for users is `rewardlab.learning.demonstrations.OffPolicyGAIL`; the proof runs several arms of it side by side.
"""

from __future__ import annotations

from rewardlab.recipes.lipschitz_gail.arms import Arm, Budget, Imitation, Result
from rewardlab.recipes.lipschitz_gail.proof import ABLATIONS, RECIPE, grid, variants
from rewardlab.recipes.lipschitz_gail.world import Demonstrations, Pendulums, expert_trajectories

__all__ = [
    "ABLATIONS",
    "RECIPE",
    "Arm",
    "Budget",
    "Demonstrations",
    "Imitation",
    "Pendulums",
    "Result",
    "expert_trajectories",
    "grid",
    "variants",
]
