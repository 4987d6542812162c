"""Objectives: what an update of the policy optimises. `OBJECTIVES` names them; importing this room imports none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rewardlab.lazy import lazy_names
from rewardlab.registry import Registry

if TYPE_CHECKING:
    from rewardlab.training.objectives.base import NonFiniteUpdate, Objective
    from rewardlab.training.objectives.policy_gradient import GRPO, RLOO, ReinforcePlusPlus, StepGRPO, StepRLOO
    from rewardlab.training.objectives.preference import DPO
    from rewardlab.training.objectives.self_play import GPO
    from rewardlab.training.objectives.supervised import RAFT, RejectionSampling, Supervised
    from rewardlab.training.objectives.values import AWR, PPO

OBJECTIVES = Registry(
    "objective",
    {
        "grpo": "rewardlab.training.objectives.policy_gradient:GRPO",
        "rloo": "rewardlab.training.objectives.policy_gradient:RLOO",
        "reinforce_plus_plus": "rewardlab.training.objectives.policy_gradient:ReinforcePlusPlus",
        "step_grpo": "rewardlab.training.objectives.policy_gradient:StepGRPO",
        "step_rloo": "rewardlab.training.objectives.policy_gradient:StepRLOO",
        "ppo": "rewardlab.training.objectives.values:PPO",
        "awr": "rewardlab.training.objectives.values:AWR",
        "dpo": "rewardlab.training.objectives.preference:DPO",
        "gpo": "rewardlab.training.objectives.self_play:GPO",
        "supervised": "rewardlab.training.objectives.supervised:Supervised",
        "raft": "rewardlab.training.objectives.supervised:RAFT",
        "rejection_sampling": "rewardlab.training.objectives.supervised:RejectionSampling",
    },
    group="rewardlab.objectives",
)

__getattr__, __dir__, _ = lazy_names(
    __name__,
    {
        "rewardlab.training.objectives.base": ["NonFiniteUpdate", "Objective"],
        "rewardlab.training.objectives.policy_gradient": [
            "GRPO",
            "RLOO",
            "ReinforcePlusPlus",
            "StepGRPO",
            "StepRLOO",
        ],
        "rewardlab.training.objectives.preference": ["DPO"],
        "rewardlab.training.objectives.self_play": ["GPO"],
        "rewardlab.training.objectives.supervised": ["RAFT", "RejectionSampling", "Supervised"],
        "rewardlab.training.objectives.values": ["AWR", "PPO"],
    },
)

__all__ = [
    "AWR",
    "DPO",
    "GPO",
    "GRPO",
    "OBJECTIVES",
    "PPO",
    "RAFT",
    "RLOO",
    "NonFiniteUpdate",
    "Objective",
    "ReinforcePlusPlus",
    "RejectionSampling",
    "StepGRPO",
    "StepRLOO",
    "Supervised",
]
