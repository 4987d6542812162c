"""Shop-R1 (Zhang et al. 2025): a person's next action on a shop's pages, rewarded level by level; with its proof.

The method is `shop_r1_reward`, a sum of three of the library's rewards; training is the ordinary loop with GRPO.
"""

from __future__ import annotations

from rewardlab.recipes.shop_r1.arms import Arm, Arms, binary, graded
from rewardlab.recipes.shop_r1.proof import RECIPE
from rewardlab.recipes.shop_r1.reward import binary_reward, shop_r1_reward
from rewardlab.recipes.shop_r1.sessions import balanced, next_action_tasks, type_shares, whole_sessions
from rewardlab.recipes.shop_r1.world import World

__all__ = [
    "RECIPE",
    "Arm",
    "Arms",
    "World",
    "balanced",
    "binary",
    "binary_reward",
    "graded",
    "next_action_tasks",
    "shop_r1_reward",
    "type_shares",
    "whole_sessions",
]
