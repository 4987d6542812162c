"""Self-play on preferences: a policy is drawn to what is preferred to its own samples.

One convention for scores: `s(i, j)` is the score of one pair, as the model gives it, and the target is its mean over the
opponents. (The authors' program of GPO adds `s(i, j) - s(j, i)`, which is twice that; halve such scores first.)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


def mean_scores(scores: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean score of each response against the responses of a group, itself included; float[..., response].

    Antisymmetric scores with equal weights give means that add up to 0, which is why GPO needs no normaliser.

    Args:
        scores: float[..., response, response], of row against column.
        weights: float[..., response] of the opponents, adding up to 1 (the policy, for exact means); None for equal ones.

    Raises:
        ValueError: the table is not square, or weights do not fit.
    """
    if scores.ndim < 2 or scores.shape[-1] != scores.shape[-2]:
        raise ValueError(f"scores must be [..., response, response], got shape {tuple(scores.shape)}")
    if weights is None:
        return scores.mean(-1)
    if weights.shape != scores.shape[:-1]:
        raise ValueError(f"weights must have shape {tuple(scores.shape[:-1])}, got {tuple(weights.shape)}")
    return (scores * weights.unsqueeze(-2)).sum(-1)


def gpo_loss(logprobs: Tensor, behaviour_logprobs: Tensor, scores: Tensor, *, beta: float) -> Tensor:
    """`(log pi(y) - log pi_t(y) - s(y) / beta)^2`, the regression of General Preference Optimisation.

    Source: Zhang et al. 2024, "Beyond Bradley-Terry Models" (arXiv 2410.02197), section 5, with the normaliser taken as 1.

    Args:
        logprobs: float[response], of whole responses under the policy.
        behaviour_logprobs: float[response], under the policy that sampled them.
        scores: float[response], mean score of each against samples of that policy (`mean_scores`).
        beta: how far one iteration goes: large is careful. Positive.

    Returns:
        float[response].

    Raises:
        ValueError: shapes differ, or beta is not positive.
    """
    if not logprobs.shape == behaviour_logprobs.shape == scores.shape:
        raise ValueError(
            f"logprobs, behaviour_logprobs and scores must have one shape, got {tuple(logprobs.shape)}, "
            f"{tuple(behaviour_logprobs.shape)} and {tuple(scores.shape)}"
        )
    if not 0 < beta < math.inf:
        raise ValueError(f"beta must be positive and finite, got {beta}")
    return (logprobs - behaviour_logprobs - scores / beta) ** 2


class SelfPlay(NamedTuple):
    """What self-play on a table gave.

    Args:
        policies: float64[iteration + 1, response], the first is the start.
        average: float64[response], the mean over all iterations, which comes near the equilibrium.
    """

    policies: Tensor
    average: Tensor

    @property
    def last(self) -> Tensor:
        """The policy of the last iteration, which may go round in circles."""
        return self.policies[-1]


def gpo_on_table(
    scores: Tensor, *, beta: float, iterations: int = 1000, start: Tensor | None = None, descents: int = 8
) -> SelfPlay:
    """GPO for a policy that is a softmax over a few responses, with exact expectations.

    Every iteration minimises the expected `gpo_loss` over the present policy's own samples by Gauss-Newton steps, each of
    which is a weighted least squares in the log-probabilities.

    Args:
        scores: float[response, response], antisymmetric, of one pair.
        beta: as in `gpo_loss`.
        iterations: of self-play.
        start: float[response], positive probabilities; None for equal ones.
        descents: Gauss-Newton steps in each iteration.

    Raises:
        ValueError: the table is not square, the start is no distribution, or beta is not positive.
    """
    table = scores.detach().cpu().double()
    count = len(table)
    policy = torch.full((count,), 1.0 / count, dtype=torch.float64) if start is None else start.detach().cpu().double()
    if policy.shape != (count,) or bool((policy <= 0).any()) or abs(float(policy.sum()) - 1.0) > 1e-6:
        raise ValueError(f"start must be {count} positive probabilities that add up to 1, got {policy.tolist()}")
    found = [policy]
    for _ in range(iterations):
        behaviour = policy.log()
        target = mean_scores(table, policy)
        logits = behaviour.clone()
        for _ in range(descents):
            logits = _gauss_newton(logits, behaviour, target, policy, beta)
        policy = logits.softmax(0).clamp(min=1e-300)
        found.append(policy)
    policies = torch.stack(found)
    return SelfPlay(policies, policies.mean(0))


def _gauss_newton(logits: Tensor, behaviour: Tensor, target: Tensor, weights: Tensor, beta: float) -> Tensor:
    """One step on `sum weights (log softmax(logits) - behaviour - target / beta)^2`."""
    probabilities = logits.softmax(0)
    jacobian = torch.eye(len(logits), dtype=logits.dtype) - probabilities
    residual = logits.log_softmax(0) - behaviour - target / beta
    root = weights.sqrt().unsqueeze(-1)
    step = torch.linalg.pinv(root * jacobian) @ (root.squeeze(-1) * residual)
    return logits - step
