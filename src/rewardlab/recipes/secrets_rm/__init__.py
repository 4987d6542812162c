"""Secrets of RLHF part II (Wang et al. 2024): preference strength by voting, repairs, contrastive features, and MetaRM.

The method is `PreferenceStrength` and `PairLoss` of `rewardlab.learning`; the recipe is a world in which a quarter of the
labels are wrong, and one student fitted to the same pairs after different repairs.
"""

from __future__ import annotations

from rewardlab.learning.contrastive import ContrastiveAux
from rewardlab.learning.meta_reward import MetaRewardTrainer
from rewardlab.learning.pair_loss import PairLoss, soften_below_zero
from rewardlab.learning.preference_strength import PreferenceStrength, StrengthReport
from rewardlab.recipes.secrets_rm.arms import REPAIRS, Arms
from rewardlab.recipes.secrets_rm.proof import RECIPE
from rewardlab.recipes.secrets_rm.world import World

__all__ = [
    "REPAIRS",
    "RECIPE",
    "Arms",
    "ContrastiveAux",
    "MetaRewardTrainer",
    "PairLoss",
    "PreferenceStrength",
    "StrengthReport",
    "World",
    "soften_below_zero",
]
