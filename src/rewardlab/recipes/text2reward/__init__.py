"""Text2Reward (Xie et al. 2024): a language model writes the dense reward of a task; with its proof.

The method is `rewardlab.learning.programs`; here are a world, a recording of programs, and a learner of
many rewards at once.
"""

from __future__ import annotations

from rewardlab.recipes.text2reward.proof import RECIPE, programs, proof, sample_states, train_arms
from rewardlab.recipes.text2reward.recorded import few_shot, revised, writer, zero_shot
from rewardlab.recipes.text2reward.wishes import FEEDBACK
from rewardlab.recipes.text2reward.world import INSTRUCTION, PickPlace, PickPlaceView, success

__all__ = [
    "FEEDBACK",
    "INSTRUCTION",
    "RECIPE",
    "PickPlace",
    "PickPlaceView",
    "few_shot",
    "programs",
    "proof",
    "revised",
    "sample_states",
    "success",
    "train_arms",
    "writer",
    "zero_shot",
]
