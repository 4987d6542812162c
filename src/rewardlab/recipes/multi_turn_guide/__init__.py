"""A practitioner's guide to multi-turn agentic reinforcement learning (Wang and Ammanabrolu 2025), with its proof.

The guide varies environment, reward and policy one at a time. Its parts are the library's: PPO with credit `gae`, turn
rewards (`rewardlab.rewards.turns`), step-wise credit for group estimators, and `rewardlab.config.audit` with its
findings as checks.
"""

from __future__ import annotations

from rewardlab.recipes.multi_turn_guide.budget import Split, split_budget, transfer_matrix
from rewardlab.recipes.multi_turn_guide.curriculum import Complexity
from rewardlab.recipes.multi_turn_guide.proof import RECIPE, TRANSFER, Setting, spend
from rewardlab.recipes.multi_turn_guide.simulation import Arm, Network
from rewardlab.recipes.multi_turn_guide.world import BASE, COMPLEX, Level, Quest

__all__ = [
    "BASE",
    "COMPLEX",
    "RECIPE",
    "TRANSFER",
    "Arm",
    "Complexity",
    "Level",
    "Network",
    "Quest",
    "Setting",
    "Split",
    "spend",
    "split_budget",
    "transfer_matrix",
]
