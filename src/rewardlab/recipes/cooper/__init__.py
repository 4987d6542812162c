"""Cooper (Hong et al. 2025): policy and reward model trained together, on pairs that a rule vouches for.

`verify.py` is the model that reads the reference (`VerifyRM`), `arms.py` has the method as a reward for the loop
(`cooper_reward`, around `rewardlab.training.CoTrained`), `world.py` and `proof.py` the proof.
"""

from __future__ import annotations

from rewardlab.recipes.cooper.arms import Arms, cooper_reward
from rewardlab.recipes.cooper.proof import COUNTER, RECIPE
from rewardlab.recipes.cooper.verify import VerifyRM
from rewardlab.recipes.cooper.world import World

__all__ = ["COUNTER", "RECIPE", "Arms", "VerifyRM", "World", "cooper_reward"]
