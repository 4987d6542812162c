"""The graded score of a visit to the shop as a reward."""

from __future__ import annotations

from dataclasses import dataclass

from rewardlab.environments.shop.purchase import score_purchase
from rewardlab.rewards.base import ScoringFailure, Verdict, Verifier
from rewardlab.rewards.spec import register
from rewardlab.types import Trajectory

_GOAL = ("attributes", "category", "options", "price", "title")
_BOUGHT = ("attributes", "category", "chosen", "price", "title")


@register("shop_score")
@dataclass(frozen=True, kw_only=True)
class ShopScore(Verifier):
    """How well the purchase is what was wanted, in [0, 1]; 0 where nothing was bought.

    Parts: `type`, `attributes`, `options`, `price` (see `PurchaseScore`; each abstains where nothing of it was wanted, and
    where nothing was bought), `bought`, and `exact` (the score is 1). What was bought stands in `info["bought"]`, so that
    stored trajectories can be scored without the shop.

    Args:
        strict: 1 for a purchase that fits in every point, and 0 for any other.
    """

    strict: bool = False

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Score the purchase against the goal."""
        goal = trajectory.reference
        if not isinstance(goal, dict) or any(key not in goal for key in _GOAL):
            raise ScoringFailure(
                f"the task has no goal as its reference; expected a mapping with {', '.join(_GOAL)}, as Shop().tasks "
                "makes it"
            )
        if "bought" not in trajectory.info and trajectory.terminated:
            raise ScoringFailure('the trajectory does not say what was bought: its info has no "bought"')
        bought = trajectory.info.get("bought")  # a limit of the rollout ends an attempt without a word of the shop's
        if bought is None:
            return Verdict(0.0, "nothing was bought", {"bought": 0.0, "exact": 0.0})
        if not isinstance(bought, dict) or any(key not in bought for key in _BOUGHT):
            raise ScoringFailure(f"info['bought'] must be a mapping with {', '.join(_BOUGHT)}, got {bought!r:.80}")
        found = score_purchase(goal, bought)
        parts = {
            "type": found.type,
            "attributes": found.attributes,
            "options": found.options,
            "price": found.price,
            "bought": 1.0,
            "exact": float(found.value == 1.0),
        }
        missed = [
            name
            for name in ("type", "attributes", "options", "price")
            if (parts[name] or 1.0) < 1.0 or parts[name] == 0
        ]
        note = f"not right: {', '.join(missed)}" if missed else None
        return Verdict(float(found.value == 1.0) if self.strict else found.value, note, parts)
