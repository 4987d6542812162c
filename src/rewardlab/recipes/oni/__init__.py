"""ONI (Zheng et al. 2025): intrinsic rewards from labels of a language model, given while the agent trains; with its proof.

The method is `rewardlab.IntrinsicReward` beside a `rewardlab.OnlineAnnotator`; the proof drives the same queue and models in
a dungeon whose messages a scripted annotator labels late and few.
"""

from __future__ import annotations

from rewardlab.recipes.oni.arms import Arm, Teacher
from rewardlab.recipes.oni.dungeon import Dungeons, World
from rewardlab.recipes.oni.learner import Settings, learn
from rewardlab.recipes.oni.proof import RECIPE

__all__ = ["RECIPE", "Arm", "Dungeons", "Settings", "Teacher", "World", "learn"]
