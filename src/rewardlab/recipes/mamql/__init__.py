"""Multi-Agent Inverse Q-Learning from Demonstrations (MAMQL, ICRA 2025), with its proof.

The method is `MarginalQ` of `rewardlab.learning.marginal_q`; here are a world of two agents, the arms and the claims.
"""

from __future__ import annotations

from rewardlab.recipes.mamql.arms import Critics, train
from rewardlab.recipes.mamql.proof import RECIPE
from rewardlab.recipes.mamql.world import Log, TwoGems, demonstrations

__all__ = ["RECIPE", "Critics", "Log", "TwoGems", "demonstrations", "train"]
