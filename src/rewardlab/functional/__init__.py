"""Pure functions: advantages, returns, policy losses and estimates of the KL divergence on tensors, and intervals of shares.

No state, no models. Every function states its shapes, checks them on its first lines and names the paper and equation that
it follows. Names load on first use, so that what needs no torch works without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rewardlab.extras import require
from rewardlab.lazy import lazy_names

if TYPE_CHECKING:
    from rewardlab.functional.advantages import (
        RelativeAdvantages,
        batch_mean,
        best_of_group,
        group_relative,
        leave_one_out,
    )
    from rewardlab.functional.intervals import share_interval
    from rewardlab.functional.kl import kl_estimate
    from rewardlab.functional.policy_losses import (
        Surrogate,
        clipped_surrogate,
        grpo_loss,
        kl_in_advantages,
        log_importance_weights,
        negative_log_likelihood,
        reinforce_loss,
        token_weights,
        whiten,
    )
    from rewardlab.functional.returns import discounted_returns, generalised_advantage_estimation

__all__ = [
    "RelativeAdvantages",
    "Surrogate",
    "batch_mean",
    "best_of_group",
    "clipped_surrogate",
    "discounted_returns",
    "generalised_advantage_estimation",
    "group_relative",
    "grpo_loss",
    "kl_estimate",
    "kl_in_advantages",
    "leave_one_out",
    "log_importance_weights",
    "negative_log_likelihood",
    "reinforce_loss",
    "share_interval",
    "token_weights",
    "whiten",
]

_load, __dir__, _ = lazy_names(
    __name__,
    {
        "rewardlab.functional.advantages": [
            "RelativeAdvantages",
            "batch_mean",
            "best_of_group",
            "group_relative",
            "leave_one_out",
        ],
        "rewardlab.functional.intervals": ["share_interval"],
        "rewardlab.functional.kl": ["kl_estimate"],
        "rewardlab.functional.policy_losses": [
            "Surrogate",
            "clipped_surrogate",
            "grpo_loss",
            "kl_in_advantages",
            "log_importance_weights",
            "negative_log_likelihood",
            "reinforce_loss",
            "token_weights",
            "whiten",
        ],
        "rewardlab.functional.returns": ["discounted_returns", "generalised_advantage_estimation"],
    },
    rooms=["advantages", "intervals", "kl", "policy_losses", "returns", "selection"],
)
_PLAIN = ("intervals", "share_interval")


def __getattr__(name: str) -> Any:
    if name in __dir__() and name not in _PLAIN:
        require("torch", extra="torch", why=f"rewardlab.functional.{name}")
    return _load(name)
