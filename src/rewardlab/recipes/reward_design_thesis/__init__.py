"""Reward Design for Reinforcement Learning Agents (Devidze 2025): ExPRD, ExPAdaRD and ExploRS, with their proof.

The methods are `explicable`, `adaptive` and `explors` of `rewardlab.learning.design`; here are worlds, arms and claims.
"""

from __future__ import annotations

from rewardlab.recipes.reward_design_thesis.chain import ChainArms, distractor_chain
from rewardlab.recipes.reward_design_thesis.line_key import LineKeyArms, line_key_leaves
from rewardlab.recipes.reward_design_thesis.proof import ABLATIONS, RECIPE
from rewardlab.recipes.reward_design_thesis.rooms import RoomArms

__all__ = [
    "ABLATIONS",
    "RECIPE",
    "ChainArms",
    "LineKeyArms",
    "RoomArms",
    "distractor_chain",
    "line_key_leaves",
]
