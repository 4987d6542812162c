"""Constraints that a program can check on a text, and the reward that counts how many an answer satisfies."""

from rewardlab.rewards.verifiers.instructions import counts, structure, wording  # noqa: F401  # they register constraints
from rewardlab.rewards.verifiers.instructions.registry import (
    Relation,
    UnknownConstraint,
    bind,
    compare,
    constraint,
    constraints,
)
from rewardlab.rewards.verifiers.instructions.reward import Instructions, loose_versions, read_constraints

__all__ = [
    "Instructions",
    "Relation",
    "UnknownConstraint",
    "bind",
    "compare",
    "constraint",
    "constraints",
    "loose_versions",
    "read_constraints",
]
