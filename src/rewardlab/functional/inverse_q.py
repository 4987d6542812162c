"""Inverse soft-Q learning: action values whose soft policy explains demonstrations, and the reward that they imply.

The functions take action values `float[..., A]` and any leading axes, so that seeds, arms and agents are one call. There is
no reward network: the reward is what is left of the action values after the discounted value of what follows. The values of
next states are *not* detached anywhere here; pass `next_values.detach()`, or those of a target network, where that is meant.
The temperature is that of the policy, `softmax(Q / temperature)`; the paper's lambda is its inverse.

For one of several agents the action values are marginal, `Q(s, a_i)` with the others' actions averaged out: nothing else
changes then, because the others are part of the environment.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Phi = Literal["chi2", "tv", "kl"]
PHIS: tuple[str, ...] = ("chi2", "tv", "kl")


def soft_values(action_values: Tensor, *, temperature: float = 1.0, legal: Tensor | None = None) -> Tensor:
    """Soft values of states, `T log sum_a exp(Q(s, a) / T)` over the legal actions.

    Illegal actions are taken out before the sum; otherwise the value is too high by about the logarithm of their number.

    Source: Haarnoja et al. 2017, "Reinforcement Learning with Deep Energy-Based Policies", equation 3.

    Args:
        action_values: float[..., A].
        temperature: T, positive.
        legal: bool[..., A], or None where all actions are legal.

    Returns:
        float[...].

    Raises:
        ValueError: the temperature is not positive, the shapes differ, or a state has no legal action.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    return temperature * torch.logsumexp(masked(action_values, legal) / temperature, dim=-1)


def soft_log_policy(action_values: Tensor, *, temperature: float = 1.0, legal: Tensor | None = None) -> Tensor:
    """Log-probabilities of the Boltzmann policy, `(Q - V) / T`; minus infinity for illegal actions.

    Args:
        action_values: float[..., A].
        temperature: T, positive.
        legal: bool[..., A] or None.

    Returns:
        float[..., A].
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    return torch.log_softmax(masked(action_values, legal) / temperature, dim=-1)


def masked(action_values: Tensor, legal: Tensor | None) -> Tensor:
    """Action values with minus infinity at illegal actions.

    Raises:
        ValueError: the mask has another shape, or a state has no legal action.
    """
    if legal is None:
        return action_values
    if legal.shape != action_values.shape:
        raise ValueError(
            f"legal must have the shape of the action values, {tuple(action_values.shape)}, got {tuple(legal.shape)}"
        )
    legal = legal.to(torch.bool)
    if not bool(legal.any(-1).all()):
        place = (~legal.any(-1)).nonzero()[0].tolist()
        raise ValueError(f"the state at {place} has no legal action; a state needs one, also where an episode ended")
    return action_values.masked_fill(~legal, float("-inf"))


def recovered_rewards(
    action_values: Tensor, actions: Tensor, next_values: Tensor, terminated: Tensor, *, discount: float
) -> Tensor:
    """The reward that action values imply, `r(s, a, s') = Q(s, a) - discount (1 - d) V(s')`: the inverse Bellman operator.

    Source: Garg et al. 2021, "IQ-Learn: Inverse soft-Q Learning for Imitation", section 4; per agent, with marginal action
    values, "Multi-Agent Inverse Q-Learning from Demonstrations" (arXiv 2503.04679).

    Args:
        action_values: float[..., A] in s.
        actions: int64[...], what was done.
        next_values: float[...], V(s').
        terminated: bool[...], whether s' is an end by the environment's rules; the end of a time limit is none.
        discount: in [0, 1].

    Returns:
        float[...].

    Raises:
        ValueError: the shapes do not fit, or the discount is outside [0, 1].
    """
    _check_discount(discount)
    shape = action_values.shape[:-1]
    for name, value in (("actions", actions), ("next_values", next_values), ("terminated", terminated)):
        if value.shape != shape:
            raise ValueError(f"{name} must have shape {tuple(shape)}, one for each state, got {tuple(value.shape)}")
    taken = action_values.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
    return taken - discount * (~terminated.to(torch.bool)).to(taken.dtype) * next_values


def value_differences(values: Tensor, next_values: Tensor, terminated: Tensor, *, discount: float) -> Tensor:
    """`V(s) - discount (1 - d) V(s')` of transitions, whose mean is the value term of inverse soft-Q learning.

    Over the whole occupancy of any policy it telescopes to `(1 - discount) E[V(s_0)]`.

    Args:
        values: float[...], V(s).
        next_values: float[...], V(s').
        terminated: bool[...].
        discount: in [0, 1].

    Returns:
        float[...].

    Raises:
        ValueError: the shapes do not fit, or the discount is outside [0, 1].
    """
    _check_discount(discount)
    if not values.shape == next_values.shape == terminated.shape:
        raise ValueError(
            "values, next_values and terminated must have one shape, got "
            f"{tuple(values.shape)}, {tuple(next_values.shape)} and {tuple(terminated.shape)}"
        )
    return values - discount * (~terminated.to(torch.bool)).to(values.dtype) * next_values


def concave(rewards: Tensor, phi: Phi = "chi2") -> Tensor:
    """The concave function that bounds the demonstrator's recovered rewards, one for each statistical distance.

    `chi2` is `x - x^2 / 4`, greatest at 2, so the demonstrator's rewards are drawn to at most 2 whatever the true scale.
    `tv` is x up to 1 and constant beyond, because there rewards are bounded. `kl` (reverse) is `-exp(-(x + 1))`.

    Source: Garg et al. 2021, table of appendix A.

    Args:
        rewards: float[...].
        phi: which.

    Returns:
        float[...].

    Raises:
        ValueError: an unknown name.
    """
    if phi == "chi2":
        return rewards - rewards.square() / 4
    if phi == "tv":
        return rewards.clamp(max=1.0)
    if phi == "kl":
        return -torch.exp(-(rewards + 1))
    raise ValueError(f"phi must be one of {', '.join(PHIS)}, got {phi!r}")


def inverse_q_loss(
    rewards: Tensor, differences: Tensor, *, phi: Phi = "chi2", policy_rewards: Tensor | None = None
) -> Tensor:
    """The loss of inverse soft-Q learning: the value term less the concave mean of the demonstrator's rewards.

    With the value term on the demonstrator's own states and rewards below 1, `tv` makes it the negative log-likelihood of
    the demonstrator's actions times the temperature: behaviour cloning.

    Source: Garg et al. 2021, equation 10, negated.

    Args:
        rewards: float[..., N], recovered on the demonstrator's transitions.
        differences: float[..., M] from `value_differences`, on states of the policy, of the demonstrator or of both.
        phi: see `concave`.
        policy_rewards: float[..., K], recovered on the policy's transitions, or None. A quarter of their mean square is
            added (for `chi2`), because the value term alone is linear there and nothing else keeps it from falling.

    Returns:
        float[...], one loss for each element of the leading axes.

    Raises:
        ValueError: leading axes differ, an axis is empty, or `policy_rewards` with another phi than `chi2`.
    """
    if rewards.shape[:-1] != differences.shape[:-1] or not rewards.shape[-1] or not differences.shape[-1]:
        raise ValueError(
            "rewards and differences must have equal leading axes and at least one entry in the last, got "
            f"{tuple(rewards.shape)} and {tuple(differences.shape)}"
        )
    loss = differences.mean(-1) - concave(rewards, phi).mean(-1)
    if policy_rewards is None:
        return loss
    if phi != "chi2":
        raise ValueError(f"policy_rewards are regularised by the square of chi2, got phi {phi!r}; leave them out")
    return loss + policy_rewards.square().mean(-1) / 4


def marginal_action_values(joint: Tensor, others: Tensor) -> Tensor:
    """Action values of one agent with the others averaged out: `sum_b others(b | s) Q(s, a, b)`.

    Args:
        joint: float[..., A, B], action values for each own action and each joint action of the others.
        others: float[..., B], how likely the others do what; rows sum to 1.

    Returns:
        float[..., A].

    Raises:
        ValueError: the shapes do not fit.
    """
    if joint.dim() < 2 or joint.shape[-1] != others.shape[-1]:
        raise ValueError(
            "joint must be [..., A, B] and others [..., B] with one B, got "
            f"{tuple(joint.shape)} and {tuple(others.shape)}"
        )
    return (joint * others.unsqueeze(-2)).sum(-1)


def _check_discount(discount: float) -> None:
    if not 0 <= discount <= 1:
        raise ValueError(f"discount must be in [0, 1], got {discount}")
