"""Effective reward specification (Roy 2024): constraints whose weights are learned, and imitation by ASAF, with its proof.

The other two methods are parts of the library: objectives of teams in `rewardlab.functional.team_losses`, directions in
`rewardlab.functional.focus_region`.
"""

from __future__ import annotations

from rewardlab.recipes.reward_specification.arena import Arena, constraints
from rewardlab.recipes.reward_specification.behaviour import Study, study
from rewardlab.recipes.reward_specification.chain import imitate_chain
from rewardlab.recipes.reward_specification.proof import RECIPE

__all__ = ["RECIPE", "Arena", "Study", "constraints", "imitate_chain", "study"]
