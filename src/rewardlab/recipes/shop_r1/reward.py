"""Shop-R1's reward as a sum of the library's parts, and the all-or-nothing reward that it is compared with."""

from __future__ import annotations

from typing import Any

from rewardlab.rewards.base import Reward
from rewardlab.rewards.models.self_certainty import Direction, SelfCertainty
from rewardlab.rewards.verifiers.actions import SHOP_SCALE, HierarchicalAction
from rewardlab.rewards.verifiers.json_answer import JSONFormat

FORMAT = JSONFormat(keys={"rationale": "string", "action": "object"}, weight=0.5)
"""Half a point for one JSON object with a rationale and an action."""


def shop_r1_reward(
    *,
    factor: float = 1000.0,
    alpha: float = 0.005,
    direction: Direction = "u||p",
    form: JSONFormat = FORMAT,
    **options: Any,
) -> Reward:
    """The paper's reward: format, then the action level by level, then the certainty of the rationale.

    Nothing but the format counts in an answer that is not well formed.

    Args:
        factor: what a full likeness of a long text is worth (the paper's difficulty-aware scaling).
        alpha: weight of the rationale's self-certainty; 0 leaves the part out.
        direction: of the self-certainty; `u||p` is what the paper's figures fit, `p||u` what it prints.
        form: the format that is asked for.
        options: of `HierarchicalAction`.
    """
    scale = {name: factor if value == 1000.0 else value for name, value in SHOP_SCALE.items()}
    graded = HierarchicalAction(**{"scale": scale, **options})
    reward = form + graded.gated_by(form, threshold=form.weight).named("action")
    if alpha:
        certainty = SelfCertainty(weight=alpha, direction=direction)
        reward = reward + certainty.gated_by(form, threshold=form.weight).named("certainty")
    return reward


def binary_reward(*, form: JSONFormat = FORMAT) -> Reward:
    """The baseline: the same format reward, and 1 for an action that is exactly right."""
    return form + HierarchicalAction(granularity="binary").gated_by(form, threshold=form.weight).named("action")
