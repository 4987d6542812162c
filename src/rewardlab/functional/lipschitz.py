"""Smoothness of a learned reward: penalties on the length of its gradient, and what they say about the value function.

The gradient is that of the logit, with respect to state and action together, so there is one length for both. Rows may have
more axes in front (copies of a network that run side by side); each row must depend on its own inputs alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

PenaltyPoints = Literal["wgan", "dragan", "nagard"]
Network = Callable[[Tensor], Tensor]


def penalty_points(
    agent: Tensor,
    expert: Tensor,
    kind: PenaltyPoints = "wgan",
    *,
    split: int | None = None,
    noise: float = 10.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Where a gradient penalty is taken.

    Source: "wgan" is Gulrajani et al. 2017 (arXiv 1704.00028), "dragan" Kodali et al. 2017 (arXiv 1705.07215), "nagard" the
    latter around agent points; compared for imitation in Blondé et al. 2022 (arXiv 2006.16785).

    Args:
        agent: float[..., batch, width], what the agent did.
        expert: float[..., batch, width], what the expert did.
        kind: on the segments between agent and expert ("wgan"), around expert points ("dragan") or agent points ("nagard").
        split: where the action begins in a row; with it, state and action lie at places of their own on the segment.
        noise: standard deviation around the points; 10 is the released default, which is far outside of standardised data.
        generator: of the random numbers.

    Returns:
        float[..., batch, width], without history.

    Raises:
        ValueError: shapes differ, or an option is unknown or out of range.
    """
    if agent.shape != expert.shape or agent.dim() < 2:
        raise ValueError(
            f"agent and expert must both be [..., batch, width], got {tuple(agent.shape)} and {tuple(expert.shape)}"
        )
    if kind not in get_args(PenaltyPoints):
        raise ValueError(f"kind must be one of {', '.join(get_args(PenaltyPoints))}, got {kind!r}")
    agent, expert = agent.detach(), expert.detach()
    if kind == "wgan":
        width = agent.shape[-1]
        if split is not None and not 0 < split < width:
            raise ValueError(f"split must lie inside a row of width {width}, got {split}")
        parts = (width,) if split is None else (split, width - split)
        shares = torch.rand(
            (*agent.shape[:-1], len(parts)), generator=generator, dtype=agent.dtype, device=agent.device
        )
        share = shares.repeat_interleave(torch.tensor(parts, device=agent.device), dim=-1)
        return share * agent + (1.0 - share) * expert
    if not noise >= 0 or math.isinf(noise):
        raise ValueError(f"noise must be a standard deviation, finite and not negative, got {noise}")
    centre = expert if kind == "dragan" else agent
    return centre + noise * torch.randn(centre.shape, generator=generator, dtype=agent.dtype, device=agent.device)


def gradient_norms(network: Network, points: Tensor, *, create_graph: bool = False) -> Tensor:
    """Length of the gradient of a network's output at points.

    Args:
        network: float[..., batch, width] to float[..., batch] or float[..., batch, 1], row by row.
        points: float[..., batch, width].
        create_graph: whether the lengths can be differentiated.

    Returns:
        float[..., batch]; the length 0 has the gradient 0.

    Raises:
        TypeError: half precision or autocast, in which gradients of gradients are not to be trusted.
        ValueError: the network returned something else than one number a row.
    """
    if torch.is_autocast_enabled(points.device.type) or points.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"a gradient penalty needs full precision, got {points.dtype} with autocast "
            f"{'on' if torch.is_autocast_enabled(points.device.type) else 'off'}; compute it in float32 outside autocast"
        )
    with torch.enable_grad():
        inputs = points.detach().requires_grad_(True)
        outputs = network(inputs)
        if outputs.numel() != math.prod(points.shape[:-1]):
            raise ValueError(
                f"the network must return one number for each of {math.prod(points.shape[:-1])} rows, got shape "
                f"{tuple(outputs.shape)}"
            )
        if not outputs.requires_grad:
            return points.new_zeros(points.shape[:-1])  # a constant
        (gradient,) = torch.autograd.grad(outputs.sum(), inputs, create_graph=create_graph, allow_unused=True)
        if gradient is None:
            return points.new_zeros(points.shape[:-1])
        squares = gradient.square().sum(-1)
        some = squares > 0  # the square root has no slope at 0
        return torch.where(some, torch.where(some, squares, 1.0).sqrt(), 0.0)


def norm_penalty(norms: Tensor, *, target: float = 1.0, one_sided: bool = True) -> Tensor:
    """Squared distance of gradient lengths from a target, averaged over the batch.

    Args:
        norms: float[..., batch].
        target: the length that is wanted.
        one_sided: whether shorter gradients cost nothing.

    Returns:
        float[...].
    """
    excess = norms - target
    return (excess.clamp(min=0.0) if one_sided else excess).square().mean(-1)


def gradient_penalty(
    network: Network,
    agent: Tensor,
    expert: Tensor,
    kind: PenaltyPoints = "wgan",
    *,
    target: float = 1.0,
    one_sided: bool = True,
    split: int | None = None,
    noise: float = 10.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Gradient penalty of a discriminator, to be added to its loss times a weight (10 in the paper).

    Source: Blondé et al. 2022, "Lipschitzness Is All You Need To Tame Off-policy Generative Adversarial Imitation Learning"
    (arXiv 2006.16785); the one-sided form is the default of its released code.

    Args:
        network: the logit; see `gradient_norms`.
        agent: float[..., batch, width].
        expert: float[..., batch, width].
        kind: see `penalty_points`, as `split`, `noise` and `generator`.
        target: the length that is wanted.
        one_sided: whether shorter gradients cost nothing.

    Returns:
        float[...], one number for each copy of the network.

    Raises:
        ValueError: shapes differ, or an option is unknown.
        TypeError: half precision or autocast.
    """
    points = penalty_points(agent, expert, kind, split=split, noise=noise, generator=generator)
    return norm_penalty(gradient_norms(network, points, create_graph=True), target=target, one_sided=one_sided)


def q_lipschitz_bound(
    reward: float,
    dynamics: float,
    policy: float,
    discount: float,
    *,
    kind: Literal["triangle", "paper"] = "triangle",
    horizon: int | None = None,
) -> float:
    """Lipschitz constant of the action value, from those of reward, deterministic dynamics and policy.

    With `C = dynamics^2 * max(1, policy^2)`, adding lengths by the triangle inequality gives
    `reward / (1 - discount sqrt(C))`, which is reached (s' = s, r = s, a constant policy). The form in the paper,
    `reward / sqrt(1 - discount^2 C)`, lies below that, and is *not* a bound without further assumptions.

    Source: Blondé et al. 2022 (arXiv 2006.16785), as it is quoted; the proof was not available.

    Args:
        reward: bound on the gradient of the reward.
        dynamics: bound on the Jacobian of the next state with respect to state and action.
        policy: bound on the Jacobian of the policy.
        discount: in [0, 1].
        kind: a bound ("triangle"), or the form in the paper ("paper").
        horizon: number of steps that are left; None for no end.

    Returns:
        The constant.

    Raises:
        ValueError: a negative constant, a discount out of range, an unknown kind, or a sum that diverges.
    """
    for name, value in (("reward", reward), ("dynamics", dynamics), ("policy", policy)):
        if not 0 <= value < math.inf:
            raise ValueError(f"the Lipschitz constant of the {name} must be finite and not negative, got {value}")
    if not 0 <= discount <= 1:
        raise ValueError(f"discount must be in [0, 1], got {discount}")
    if kind not in ("triangle", "paper"):
        raise ValueError(f"kind must be 'triangle' or 'paper', got {kind!r}")
    growth = discount * dynamics * max(1.0, policy)  # discount * sqrt(C)
    ratio = growth if kind == "triangle" else growth * growth
    if horizon is not None:
        if horizon < 1:
            raise ValueError(f"horizon must be at least 1 step, got {horizon}")
        total = math.fsum(ratio**step for step in range(horizon))
    elif ratio >= 1:
        raise ValueError(
            f"discount * sqrt(C) is {growth:.4g}, which must be below 1 for a finite constant; give horizon= for the bound "
            "over a finite number of steps"
        )
    else:
        total = 1.0 / (1.0 - ratio)
    return reward * (total if kind == "triangle" else math.sqrt(total))


def pessimism(lengths: Tensor, *, target: float, scale: float = 1.0, floor: float = 0.7) -> Tensor:
    """Multiplier of a reward, small where a gradient is long: `exp(-max(0, length - target)^2 / scale)`, at least `floor`.

    Source: "PURPLE" in Blondé et al. 2022 (arXiv 2006.16785), in the form of its released code.

    Args:
        lengths: float[...], gradients of the reward, or Jacobians of the dynamics.
        target: the length up to which nothing is taken off.
        scale: positive.
        floor: in (0, 1].

    Returns:
        float[...] in [floor, 1].

    Raises:
        ValueError: the scale is not positive, or the floor is out of range.
    """
    if not 0 < floor <= 1 or not scale > 0:
        raise ValueError(f"floor must be in (0, 1] and scale positive, got {floor} and {scale}")
    return torch.exp(-(lengths - target).clamp(min=0.0).square() / scale).clamp(min=floor)


def n_step_targets(
    rewards: Tensor, bootstrap: Tensor, *, discount: float, lengths: Tensor | None = None, ended: Tensor | None = None
) -> Tensor:
    """Targets of an action value from n rewards and the value behind them.

    Args:
        rewards: float[..., n], from the step on.
        bootstrap: float[...], value of where the last counted reward led to.
        discount: in [0, 1].
        lengths: int[...], how many of the n rewards count (a trajectory may end before); None for all.
        ended: bool[...], whether the environment ended the trajectory there, so that nothing follows; a limit is no end.

    Returns:
        float[...], `sum_k discount^k r[k] + discount^length * bootstrap`.

    Raises:
        ValueError: shapes differ, or a length is outside [1, n].
    """
    if rewards.shape[:-1] != bootstrap.shape:
        raise ValueError(f"bootstrap must have shape {tuple(rewards.shape[:-1])}, got {tuple(bootstrap.shape)}")
    if not 0 <= discount <= 1:
        raise ValueError(f"discount must be in [0, 1], got {discount}")
    steps = rewards.shape[-1]
    place = torch.arange(steps, device=rewards.device)
    if lengths is None:
        lengths = torch.full(bootstrap.shape, steps, device=rewards.device)
    elif bool(((lengths < 1) | (lengths > steps)).any()):
        raise ValueError(f"lengths must be in [1, {steps}], got {lengths.tolist()}")
    powers = torch.as_tensor(discount, dtype=rewards.dtype, device=rewards.device) ** place
    total = torch.where(place < lengths.unsqueeze(-1), rewards * powers, 0.0).sum(-1)
    later = torch.as_tensor(discount, dtype=rewards.dtype, device=rewards.device) ** lengths * bootstrap
    return total + (later if ended is None else torch.where(ended, 0.0, later))
