"""SPA-RL (Wang et al. 2025): contributions of steps that add up to the outcome as step rewards; with its proof.

The method is a `ProgressEstimator`, the rewards `StepProgress` and `GroundedActions`, and credit by returns to go.
"""

from __future__ import annotations

from rewardlab.recipes.spa_rl.arms import Arms
from rewardlab.recipes.spa_rl.proof import RECIPE
from rewardlab.recipes.spa_rl.stages import Refresh, Replayed, explore, spa_reward
from rewardlab.recipes.spa_rl.world import Corridor

__all__ = ["RECIPE", "Arms", "Corridor", "Refresh", "Replayed", "explore", "spa_reward"]
