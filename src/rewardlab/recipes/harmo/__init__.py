"""HARMO (2025): hybrid accuracy, a length penalty over the group and a format reward, added up; with its claims as a proof.

The method is a composition of rewards, `harmo_reward`; training is the ordinary loop with GRPO, without the deviation.
"""

from __future__ import annotations

from rewardlab.recipes.harmo.arms import Arms, format_reward, group_advantage, harmo_reward
from rewardlab.recipes.harmo.proof import RECIPE
from rewardlab.recipes.harmo.world import World

__all__ = ["RECIPE", "Arms", "World", "format_reward", "group_advantage", "harmo_reward"]
