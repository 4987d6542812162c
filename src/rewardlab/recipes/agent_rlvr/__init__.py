"""Agent-RLVR (Da et al. 2025): failures are tried again with guidance, and learned from as if there had been none.

`AgentRLVR` is the method and `SFTBaseline` the paper's baseline; guidance itself is `rewardlab.training.guidance`.
"""

from __future__ import annotations

from rewardlab.recipes.agent_rlvr.arms import Arms, Budget
from rewardlab.recipes.agent_rlvr.learning import DPOWithLikelihood, Grouped, Imitation, Paired, imitate, prefer
from rewardlab.recipes.agent_rlvr.proof import ABLATIONS, RECIPE
from rewardlab.recipes.agent_rlvr.repair import repair_teacher
from rewardlab.recipes.agent_rlvr.selection import best_of_n, reward_model_from_pairs, success_curve
from rewardlab.recipes.agent_rlvr.system import AgentRLVR, Attempts, Round, SFTBaseline
from rewardlab.recipes.agent_rlvr.world import Base, World, measure

__all__ = [
    "ABLATIONS",
    "RECIPE",
    "AgentRLVR",
    "Arms",
    "Attempts",
    "Base",
    "Budget",
    "DPOWithLikelihood",
    "Grouped",
    "Imitation",
    "Paired",
    "Round",
    "SFTBaseline",
    "World",
    "best_of_n",
    "imitate",
    "measure",
    "prefer",
    "repair_teacher",
    "reward_model_from_pairs",
    "success_curve",
]
