"""DeepTravel (Ning et al. 2025): a travel agent trained on a reward of two stages, with replay of failures; with its proof.

The method is a cascade of two verifiers, `hierarchical_reward`, and the curriculum `FailureReplay`; training is the ordinary
loop with GRPO. `TravelDesk` is the world, `CachedTools` the sandbox for other tools.
"""

from __future__ import annotations

from rewardlab.recipes.deeptravel.arms import REWARDS, Arms, hierarchical_reward
from rewardlab.recipes.deeptravel.clerk import Clerk, trips
from rewardlab.recipes.deeptravel.learning import ClerkGRPO, imitate
from rewardlab.recipes.deeptravel.measure import Measured, made_up, measure, stage_counts
from rewardlab.recipes.deeptravel.proof import ABLATIONS, RECIPE

__all__ = [
    "ABLATIONS",
    "RECIPE",
    "REWARDS",
    "Arms",
    "Clerk",
    "ClerkGRPO",
    "Measured",
    "hierarchical_reward",
    "imitate",
    "made_up",
    "measure",
    "stage_counts",
    "trips",
]
