"""OPRL, later iStar (arXiv 2509.19199): implicit step rewards from a second model, added to outcome advantages.

The method is `ImplicitProcessReward` around a reward of whole trajectories, and the credit `EpisodePlusStep`; `oprl` puts
the two together. The proof's worlds are tables, so that many fit into a minute.
"""

from __future__ import annotations

from typing import Any

from rewardlab.learning.implicit import ImplicitProcessReward
from rewardlab.recipes.oprl.arms import Settings, run
from rewardlab.recipes.oprl.proof import RECIPE, proof
from rewardlab.recipes.oprl.world import Corridor
from rewardlab.rewards.base import Reward
from rewardlab.training.credit.mixtures import EpisodePlusStep
from rewardlab.training.credit.outcomes import Episode, EpisodeScale

__all__ = ["RECIPE", "Corridor", "Settings", "oprl", "proof", "run"]


def oprl(outcome: Reward, *, episode: Episode = "leave_one_out", weight: float = 1.0, **options: Any) -> dict[str, Any]:
    """The two seats of the method: give them to `rewardlab.training.train` as keywords.

    Args:
        outcome: says how good whole trajectories are.
        episode: the episode's baseline: "leave_one_out" (RLOO), "group" (GRPO) or "batch" (REINFORCE++).
        weight: alpha, of the steps' part.
        options: of `ImplicitProcessReward`.

    Returns:
        `reward` and `credit`.
    """
    scale: EpisodeScale = "none" if episode == "leave_one_out" else "std"
    rule = EpisodePlusStep(episode=episode, step_weight=weight, scale=scale, step_scale=scale)
    reward = ImplicitProcessReward(outcome=outcome, **options)
    plain = reward.lag and reward.granularity == "step"
    return {"reward": reward, "credit": rule if plain else reward.credit(rule)}
