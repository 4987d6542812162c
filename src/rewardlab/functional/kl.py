"""Estimates of the KL divergence between two policies from tokens that one of them sampled.

Which one to choose depends on where it is used. As a *number* (a metric, a penalty inside the reward) all three estimate
KL(policy || reference) on the policy's own samples, k2 with a bias that is small when the policies are close. As a *loss
that is differentiated*, they are not equal: the expected gradient of k1 is zero, that of k2 is the gradient of
KL(policy || reference), and that of k3 is the gradient of the reverse, KL(reference || policy) (Tang and Munos 2025, "On a
few pitfalls in KL divergence gradient estimation for RL", arXiv 2506.09477). GRPO as published uses k3 in the loss.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Estimator = Literal["k1", "k2", "k3"]

LARGEST_LOG_RATIO = 20.0
"""Log-ratios are limited to this magnitude before they are exponentiated, so that one odd token cannot overflow a sum."""


def kl_estimate(logprobs: Tensor, reference_logprobs: Tensor, estimator: Estimator = "k3") -> Tensor:
    """Estimate KL(policy || reference) at each sampled token.

    With `r = reference / policy` at the sampled token: k1 is `-log r` (unbiased, may be negative), k2 is `(log r)^2 / 2`
    (biased, low variance), k3 is `r - 1 - log r` (unbiased, never negative).

    Source: Schulman 2020, "Approximating KL Divergence" (joschu.net/blog/kl-approx.html).

    Args:
        logprobs: float[...], of the sampled tokens under the policy.
        reference_logprobs: float[...], same shape, of the same tokens under the reference.
        estimator: "k1", "k2" or "k3".

    Returns:
        float[...], same shape; differentiable in both.

    Raises:
        ValueError: shapes differ, or the estimator is unknown.
    """
    if logprobs.shape != reference_logprobs.shape:
        raise ValueError(
            f"logprobs and reference_logprobs must have one shape, got {tuple(logprobs.shape)} and "
            f"{tuple(reference_logprobs.shape)}"
        )
    log_ratio = reference_logprobs - logprobs
    if estimator == "k1":
        return -log_ratio
    if estimator == "k2":
        return 0.5 * log_ratio**2
    if estimator == "k3":
        limited = log_ratio.clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
        return torch.expm1(limited) - limited
    raise ValueError(f'estimator must be "k1", "k2" or "k3", got {estimator!r}')
