"""Retroformer (Yao et al. 2023): reflections on failures by a model that learns which of them helped; with its proof.

The method is `Retrospective`, `ratings_of` and `RetroformerTrainer` of `rewardlab.training.retrospection`, and the reward
`ReturnDifference`.
"""

from __future__ import annotations

from rewardlab.recipes.retroformer.arms import Arms
from rewardlab.recipes.retroformer.proof import RECIPE
from rewardlab.recipes.retroformer.text import SlotActor, Slots, reflection_text, share_right, slot_tasks
from rewardlab.recipes.retroformer.world import World

__all__ = ["RECIPE", "Arms", "SlotActor", "Slots", "World", "reflection_text", "share_right", "slot_tasks"]
