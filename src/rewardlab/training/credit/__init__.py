"""Credit: who earned the score. Each rule turns trajectories and their scores into an advantage for every step.

`CREDITS` names the rules for configuration files; importing this room imports none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rewardlab.lazy import lazy_names
from rewardlab.registry import Registry
from rewardlab.training.credit.base import Advantages, Credit

if TYPE_CHECKING:
    from rewardlab.training.credit.anchors import AnchorStates
    from rewardlab.training.credit.baselines import Batch, Group, LeaveOneOut
    from rewardlab.training.credit.extremes import Extremes
    from rewardlab.training.credit.mixtures import EpisodePlusStep
    from rewardlab.training.credit.potentials import PotentialBased
    from rewardlab.training.credit.returns import Redistributed, ReturnToGo, TurnRewards
    from rewardlab.training.credit.selection import Best

CREDITS = Registry(
    "credit",
    {
        "group": "rewardlab.training.credit.baselines:Group",
        "leave_one_out": "rewardlab.training.credit.baselines:LeaveOneOut",
        "batch": "rewardlab.training.credit.baselines:Batch",
        "best": "rewardlab.training.credit.selection:Best",
        "extremes": "rewardlab.training.credit.extremes:Extremes",
        "return_to_go": "rewardlab.training.credit.returns:ReturnToGo",
        "turn_rewards": "rewardlab.training.credit.returns:TurnRewards",
        "redistributed": "rewardlab.training.credit.returns:Redistributed",
        "potential_based": "rewardlab.training.credit.potentials:PotentialBased",
        "anchor_states": "rewardlab.training.credit.anchors:AnchorStates",
        "episode_plus_step": "rewardlab.training.credit.mixtures:EpisodePlusStep",
    },
    group="rewardlab.credits",
)

__getattr__, __dir__, _ = lazy_names(
    __name__,
    {
        "rewardlab.training.credit.anchors": ["AnchorStates"],
        "rewardlab.training.credit.baselines": ["Batch", "Group", "LeaveOneOut"],
        "rewardlab.training.credit.extremes": ["Extremes"],
        "rewardlab.training.credit.mixtures": ["EpisodePlusStep"],
        "rewardlab.training.credit.potentials": ["PotentialBased"],
        "rewardlab.training.credit.returns": ["Redistributed", "ReturnToGo", "TurnRewards"],
        "rewardlab.training.credit.selection": ["Best"],
    },
)

__all__ = [
    "CREDITS",
    "Advantages",
    "AnchorStates",
    "Batch",
    "Best",
    "Credit",
    "EpisodePlusStep",
    "Extremes",
    "Group",
    "LeaveOneOut",
    "PotentialBased",
    "Redistributed",
    "ReturnToGo",
    "TurnRewards",
]
