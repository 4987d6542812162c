"""Objectives: what an update of the policy optimises. `OBJECTIVES` names them; importing this room imports none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rewardlab.registry import Registry

if TYPE_CHECKING:
    from rewardlab.training.objectives.base import NonFiniteUpdate, Objective
    from rewardlab.training.objectives.policy_gradient import GRPO, RLOO, ReinforcePlusPlus
    from rewardlab.training.objectives.supervised import RAFT, Supervised

OBJECTIVES = Registry(
    "objective",
    {
        "grpo": "rewardlab.training.objectives.policy_gradient:GRPO",
        "rloo": "rewardlab.training.objectives.policy_gradient:RLOO",
        "reinforce_plus_plus": "rewardlab.training.objectives.policy_gradient:ReinforcePlusPlus",
        "supervised": "rewardlab.training.objectives.supervised:Supervised",
        "raft": "rewardlab.training.objectives.supervised:RAFT",
    },
    group="rewardlab.objectives",
)

_LAZY = {
    **{place.partition(":")[2]: place for place in OBJECTIVES.places().values() if place.startswith("rewardlab.")},
    "Objective": "rewardlab.training.objectives.base:Objective",
    "NonFiniteUpdate": "rewardlab.training.objectives.base:NonFiniteUpdate",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return OBJECTIVES.resolve(_LAZY[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "GRPO",
    "OBJECTIVES",
    "RAFT",
    "RLOO",
    "NonFiniteUpdate",
    "Objective",
    "ReinforcePlusPlus",
    "Supervised",
]
