"""MiCRo (Shen et al. 2025): a mixture of Bradley-Terry rewards with a router, which Hedge adapts to stated contexts.

The method is `MixtureHead` of `rewardlab.rewards.models`, and `fit_mixture`, `adapt`, `reweight` and `head_report` of
`rewardlab.learning`; the recipe is a population with hidden attributes.
"""

from __future__ import annotations

from rewardlab.recipes.micro.arms import Arms
from rewardlab.recipes.micro.proof import RECIPE
from rewardlab.recipes.micro.world import World

__all__ = ["RECIPE", "Arms", "World"]
