"""General preference model (Zhang et al. 2024): responses as vectors, compared by a turn, and GPO, self-play on them.

`PreferenceEmbedding` is the method as one object, over the head `general_preference`, its loss and `PreferenceAgainst`;
`self_play` is GPO in the training loop. `diagnose_intransitivity` says whether comparisons need any of it.
"""

from __future__ import annotations

from rewardlab.functional.intransitivity import diagnose_intransitivity
from rewardlab.recipes.gpm.model import PreferenceEmbedding
from rewardlab.recipes.gpm.proof import RECIPE
from rewardlab.recipes.gpm.self_play import self_play
from rewardlab.recipes.gpm.world import World

__all__ = ["RECIPE", "PreferenceEmbedding", "World", "diagnose_intransitivity", "self_play"]
