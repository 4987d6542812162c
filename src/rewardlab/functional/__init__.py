"""Pure functions on tensors: advantages, returns, policy losses and estimates of the KL divergence. No state, no models.

Every function states its shapes, checks them on its first lines and names the paper and equation that it follows.
"""

from __future__ import annotations

from rewardlab.extras import require

require("torch", extra="torch", why="rewardlab.functional")

from rewardlab.functional.advantages import (  # noqa: E402  (after the check that torch is there)
    RelativeAdvantages,
    batch_mean,
    best_of_group,
    group_relative,
    leave_one_out,
)
from rewardlab.functional.kl import kl_estimate  # noqa: E402
from rewardlab.functional.policy_losses import (  # noqa: E402
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
from rewardlab.functional.returns import discounted_returns, generalised_advantage_estimation  # noqa: E402

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
    "token_weights",
    "whiten",
]
