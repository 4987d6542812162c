"""Behavior Alignment via Reward Function Optimization (Gupta et al. 2023): hints that may mislead, blended by their effect.

The method is `align` of `rewardlab.learning.alignment`; here are a world, arms and claims.
"""

from __future__ import annotations

from rewardlab.recipes.barfi.arms import ARMS, OPTIONS, GridArms, helpful_hint, misleading_hint
from rewardlab.recipes.barfi.proof import RECIPE

__all__ = ["ARMS", "OPTIONS", "RECIPE", "GridArms", "helpful_hint", "misleading_hint"]
