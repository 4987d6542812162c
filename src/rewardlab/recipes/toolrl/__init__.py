"""ToolRL (Qian et al. 2025): one rule-based reward for tool calls, format plus graded correctness; with its proof.

The method is two verifiers and a sum, `toolrl_reward`; training is the ordinary loop with GRPO and no KL term.
"""

from __future__ import annotations

from rewardlab.recipes.toolrl.arms import REWARDS, Arms, toolrl_reward
from rewardlab.recipes.toolrl.proof import ABLATIONS, RECIPE
from rewardlab.recipes.toolrl.world import EASY, RARE, Regime, World

__all__ = ["ABLATIONS", "EASY", "RARE", "RECIPE", "REWARDS", "Arms", "Regime", "World", "toolrl_reward"]
