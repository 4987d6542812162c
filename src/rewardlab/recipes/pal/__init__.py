"""PAL (Chen et al. 2024): each user prefers what lies nearer to an ideal point, a mixture of a few shared prototypes.

`PAL` is the method as one object, over the head `ideal_point`, `rl.fit`, and `rewardlab.learning.users` for new users.
"""

from __future__ import annotations

from rewardlab.recipes.pal.model import PAL, PALUser
from rewardlab.recipes.pal.proof import RECIPE
from rewardlab.recipes.pal.world import World

__all__ = ["PAL", "RECIPE", "PALUser", "World"]
