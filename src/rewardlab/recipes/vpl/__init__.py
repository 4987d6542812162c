"""VPL (Poddar et al. 2024): a reward with a latent user vector, which is read off a few answers.

The method is `LatentHead` of `rewardlab.rewards.models`, and `fit_latent`, `infer`, `remember_users`, `scaled_reward`,
`relabel`, `next_query` and `diagnose` of `rewardlab.learning`; the recipe is a population with hidden types.
"""

from __future__ import annotations

from rewardlab.recipes.vpl.arms import Arms
from rewardlab.recipes.vpl.proof import RECIPE
from rewardlab.recipes.vpl.room import Room
from rewardlab.recipes.vpl.world import World

__all__ = ["RECIPE", "Arms", "Room", "World"]
