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
    from rewardlab.training.credit.duration import DurationAware, Outcome, RewardRate
    from rewardlab.training.credit.extremes import Extremes
    from rewardlab.training.credit.gae import GAE
    from rewardlab.training.credit.mixtures import EpisodePlusStep
    from rewardlab.training.credit.potentials import PotentialBased
    from rewardlab.training.credit.returns import Redistributed, ReturnToGo, TurnRewards
    from rewardlab.training.credit.selection import Best
    from rewardlab.training.credit.threshold import Threshold

CREDITS = Registry(
    "credit",
    {
        "group": "rewardlab.training.credit.baselines:Group",
        "leave_one_out": "rewardlab.training.credit.baselines:LeaveOneOut",
        "batch": "rewardlab.training.credit.baselines:Batch",
        "best": "rewardlab.training.credit.selection:Best",
        "extremes": "rewardlab.training.credit.extremes:Extremes",
        "threshold": "rewardlab.training.credit.threshold:Threshold",
        "gae": "rewardlab.training.credit.gae:GAE",
        "return_to_go": "rewardlab.training.credit.returns:ReturnToGo",
        "turn_rewards": "rewardlab.training.credit.returns:TurnRewards",
        "redistributed": "rewardlab.training.credit.returns:Redistributed",
        "potential_based": "rewardlab.training.credit.potentials:PotentialBased",
        "anchor_states": "rewardlab.training.credit.anchors:AnchorStates",
        "episode_plus_step": "rewardlab.training.credit.mixtures:EpisodePlusStep",
        "duration_aware": "rewardlab.training.credit.duration:DurationAware",
        "reward_rate": "rewardlab.training.credit.duration:RewardRate",
    },
    group="rewardlab.credits",
)

__getattr__, __dir__, _ = lazy_names(
    __name__,
    {
        "rewardlab.training.credit.anchors": ["AnchorStates"],
        "rewardlab.training.credit.baselines": ["Batch", "Group", "LeaveOneOut"],
        "rewardlab.training.credit.duration": ["DurationAware", "Outcome", "RewardRate"],
        "rewardlab.training.credit.extremes": ["Extremes"],
        "rewardlab.training.credit.gae": ["GAE"],
        "rewardlab.training.credit.mixtures": ["EpisodePlusStep"],
        "rewardlab.training.credit.potentials": ["PotentialBased"],
        "rewardlab.training.credit.returns": ["Redistributed", "ReturnToGo", "TurnRewards"],
        "rewardlab.training.credit.selection": ["Best"],
        "rewardlab.training.credit.threshold": ["Threshold"],
    },
)

__all__ = [
    "CREDITS",
    "GAE",
    "Advantages",
    "AnchorStates",
    "Batch",
    "Best",
    "Credit",
    "DurationAware",
    "EpisodePlusStep",
    "Extremes",
    "Group",
    "LeaveOneOut",
    "Outcome",
    "PotentialBased",
    "Redistributed",
    "ReturnToGo",
    "RewardRate",
    "Threshold",
    "TurnRewards",
]
