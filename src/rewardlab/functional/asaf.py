"""The loss of ASAF: a discriminator between demonstrations and an agent's own actions whose only parameters are a policy's.

With `q(w)` the product of a policy's action probabilities over a window w, `D(w) = q_new(w) / (q_new(w) + q_old(w))` is best
where the new policy is the demonstrator's, whatever the old one was that gathered the agent's windows (Barde et al. 2020,
"Adversarial Soft Advantage Fitting", arXiv 2006.13258, theorem 1). Dynamics cancel, so nothing else is learned.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

FLOOR = -30.0
"""Old log-probabilities below this are raised to it: an action that the old policy never takes makes the loss infinite."""


def window_log_ratios(new: Tensor, old: Tensor, mask: Tensor | None = None) -> Tensor:
    """`sum over the window of log pi_new - log pi_old`, the logit of D.

    Args:
        new: float[N, window], log-probabilities of the actions under the policy that learns.
        old: float[N, window], the same under the policy that gathered; no gradient flows into it.
        mask: bool[N, window], False past the end of a trajectory.

    Returns:
        float[N].
    """
    ratios = new - old.detach().clamp(min=FLOOR)
    if mask is not None:
        ratios = torch.where(mask, ratios, torch.zeros_like(ratios))
    return ratios.sum(-1)


def asaf_loss(expert: Tensor, agent: Tensor) -> Tensor:
    """`-mean log D(expert) - mean log(1 - D(agent))`, from logits, so that long windows do not overflow.

    Args:
        expert: float[N], log-ratios of demonstrated windows.
        agent: float[M], log-ratios of the agent's own.
    """
    return softplus(-expert).mean() + softplus(agent).mean()
