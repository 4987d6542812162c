"""Credit: who earned the score. Each rule turns trajectories and their scores into an advantage for every step.

`CREDITS` names the rules for configuration files; importing this room imports none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rewardlab.lazy import lazy_names
from rewardlab.registry import Registry
from rewardlab.training.credit.base import Advantages, Credit

if TYPE_CHECKING:
    from rewardlab.training.credit.baselines import Batch, Group, LeaveOneOut
    from rewardlab.training.credit.extremes import Extremes
    from rewardlab.training.credit.selection import Best

CREDITS = Registry(
    "credit",
    {
        "group": "rewardlab.training.credit.baselines:Group",
        "leave_one_out": "rewardlab.training.credit.baselines:LeaveOneOut",
        "batch": "rewardlab.training.credit.baselines:Batch",
        "best": "rewardlab.training.credit.selection:Best",
        "extremes": "rewardlab.training.credit.extremes:Extremes",
    },
    group="rewardlab.credits",
)

__getattr__, __dir__, _ = lazy_names(
    __name__,
    {
        "rewardlab.training.credit.baselines": ["Batch", "Group", "LeaveOneOut"],
        "rewardlab.training.credit.extremes": ["Extremes"],
        "rewardlab.training.credit.selection": ["Best"],
    },
)

__all__ = ["CREDITS", "Advantages", "Batch", "Best", "Credit", "Extremes", "Group", "LeaveOneOut"]
