"""Losses of policies over sampled tokens: clipped surrogates (PPO, GRPO, Dr. GRPO, DAPO, GSPO), REINFORCE and supervised.

A loss is put together from three parts that do not know of one another: how a ratio of probabilities is taken
(`log_importance_weights`), what a token costs (`clipped_surrogate`), and how tokens are weighted (`token_weights`). The
weights take the totals of the *whole* batch, so that a batch may be cut into pieces, and spread over processes, and the
sum of the pieces' losses is the loss of the whole.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from rewardlab.functional.kl import LARGEST_LOG_RATIO, Estimator, kl_estimate

Level = Literal["token", "step", "step_product", "sequence", "trajectory"]
Normalise = Literal["sequence_mean", "token_mean", "constant", "step_mean", "step_sum"]


class Surrogate(NamedTuple):
    """What each token costs, and where the ratio was cut.

    Args:
        losses: float[batch, token].
        clipped: bool[batch, token]; True where clipping took the gradient away.
    """

    losses: Tensor
    clipped: Tensor


def log_importance_weights(
    logprobs: Tensor, behaviour_logprobs: Tensor, mask: Tensor, *, level: Level = "token", step: Tensor | None = None
) -> Tensor:
    """Logarithm of the ratio between the policy and the one that sampled.

    Source: level "token" is PPO (Schulman et al. 2017, arXiv 1707.06347, equation 6); "sequence" is the length-normalised
    ratio of GSPO (Zheng et al. 2025, arXiv 2507.18071, equation 7); "trajectory" is the ratio of whole sequences that
    REINFORCE and RLOO ask for (Ahmadian et al. 2024, arXiv 2402.14740). "step" and "step_product" are the same two over the
    tokens of one action of a multi-turn trajectory.

    Args:
        logprobs: float[batch, token], of the sampled tokens under the policy.
        behaviour_logprobs: float[batch, token], when they were sampled.
        mask: bool[batch, token], tokens that the policy wrote.
        level: "token", "sequence" (mean over a row's tokens) or "trajectory" (sum over them); "step" and "step_product" are
            mean and sum over the tokens of an action.
        step: int[batch, token], index of the action of each written token; for the last two.

    Returns:
        float[batch, token], or float[batch, 1] for "sequence" and "trajectory". Limited to +-20, so that its exponential
        stays finite.

    Raises:
        ValueError: shapes differ, or the level is unknown.
    """
    _check_shapes(mask, logprobs=logprobs, behaviour_logprobs=behaviour_logprobs)
    difference = torch.where(mask, logprobs - behaviour_logprobs, 0.0)
    if level == "sequence":
        difference = difference.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
    elif level == "trajectory":
        difference = difference.sum(-1, keepdim=True)
    elif level in ("step", "step_product"):
        place = _step_places(mask, step, f"level={level!r}")
        sums = _sum_of_steps(difference, place)
        if level == "step":
            sums = sums / _sum_of_steps(mask.to(sums.dtype), place).clamp(min=1.0)
        difference = torch.where(mask, sums.gather(1, place), 0.0)
    elif level != "token":
        raise ValueError(f"level must be one of {', '.join(get_args(Level))}, got {level!r}")
    return difference.clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)


def clipped_surrogate(
    log_weights: Tensor,
    advantages: Tensor,
    *,
    clip_low: float | None = 0.2,
    clip_high: float | None = 0.2,
    dual_clip: float | None = None,
) -> Surrogate:
    """Cost of each token: minus its advantage times the ratio, with no reward for moving the ratio out of a range.

    `-min(ratio * A, clip(ratio, 1 - clip_low, 1 + clip_high) * A)`, and with `dual_clip=c`, tokens of negative advantage
    cost at most `-c * A`.

    Source: Schulman et al. 2017 (arXiv 1707.06347), equation 7; different limits above and below are DAPO (Yu et al. 2025,
    arXiv 2503.14476, equation 10); the dual clip is Ye et al. 2020 (arXiv 1912.09729), equation 5, and TRL's `delta`.

    Args:
        log_weights: float[batch, token] or float[batch, 1], from `log_importance_weights`.
        advantages: float[batch, token].
        clip_low: how far below 1 the ratio is followed; None for no limit.
        clip_high: how far above 1; None for no limit.
        dual_clip: the largest ratio that counts where the advantage is negative (above 1 + clip_high), or None.

    Returns:
        Losses and clipped, both [batch, token].

    Raises:
        ValueError: shapes do not fit, or a limit is out of its range.
    """
    if advantages.ndim != 2 or log_weights.shape not in (advantages.shape, (advantages.shape[0], 1)):
        raise ValueError(
            f"log_weights must be [batch, token] or [batch, 1] for advantages of shape {tuple(advantages.shape)}, "
            f"got {tuple(log_weights.shape)}"
        )
    if clip_low is not None and not 0 <= clip_low <= 1:
        raise ValueError(f"clip_low must be in [0, 1] or None, got {clip_low}")
    if clip_high is not None and not clip_high >= 0:
        raise ValueError(f"clip_high must not be negative, got {clip_high}")
    if dual_clip is not None and not dual_clip > 1 + (clip_high or 0.0):
        raise ValueError(f"dual_clip must be above 1 + clip_high = {1 + (clip_high or 0.0)}, got {dual_clip}")
    ratio = log_weights.exp().expand_as(advantages)
    low = None if clip_low is None else 1 - clip_low
    high = None if clip_high is None else 1 + clip_high
    limited = ratio if low is None and high is None else ratio.clamp(min=low, max=high)
    clipped = torch.zeros_like(advantages, dtype=torch.bool)
    if low is not None:
        clipped = clipped | ((ratio < low) & (advantages < 0))
    if high is not None:
        clipped = clipped | ((ratio > high) & (advantages > 0))
    gain = torch.minimum(ratio * advantages, limited * advantages)
    if dual_clip is not None:
        beyond = (ratio > dual_clip) & (advantages < 0)
        gain = torch.where(beyond, dual_clip * advantages, gain)
        clipped = clipped | beyond
    return Surrogate(-gain, clipped)


def token_weights(
    mask: Tensor,
    *,
    normalise: Normalise = "sequence_mean",
    constant: float | None = None,
    sequences: int | None = None,
    tokens: int | None = None,
    step: Tensor | None = None,
    steps: int | None = None,
) -> Tensor:
    """Weight of each token in the loss; the loss of a batch is `(losses * weights).sum()`.

    Source: "sequence_mean" is GRPO (arXiv 2402.03300, equation 3), "token_mean" is DAPO (arXiv 2503.14476, equation 8),
    "constant" is Dr. GRPO (arXiv 2503.20783, section 3.2). TRL's names for them: grpo, dapo (and bnpo, which takes the mean
    over a micro-batch), dr_grpo with `constant=max_completion_length`.

    Args:
        mask: bool[batch, token], tokens that the policy wrote.
        normalise: "sequence_mean" (each sequence counts the same), "token_mean" (each token counts the same), or "constant"
            (each token weighs 1 / constant in its sequence, however long that is); "step_mean" (each action counts the same,
            whatever its length) or "step_sum" (the same, but added up in each sequence and not averaged).
        constant: the fixed length by which "constant" divides.
        sequences: sequences in the whole batch, where `mask` is a piece of it; its own rows by default.
        tokens: written tokens in the whole batch; those of `mask` by default.
        step: int[batch, token], index of the action of each written token; for "step_mean" and "step_sum".
        steps: actions in the whole batch; those of `step` by default.

    Returns:
        float32[batch, token]; 0 where the mask is False.

    Raises:
        ValueError: the mask is not two-dimensional, the name is unknown, or the constant is missing.
    """
    if mask.ndim != 2 or mask.dtype != torch.bool:
        raise ValueError(f"mask must be bool[batch, token], got {mask.dtype} of shape {tuple(mask.shape)}")
    written = mask.float()
    rows = mask.shape[0] if sequences is None else sequences
    if normalise == "sequence_mean":
        return written / (written.sum(-1, keepdim=True).clamp(min=1) * max(rows, 1))
    if normalise == "token_mean":
        return written / (written.sum().clamp(min=1) if tokens is None else float(max(tokens, 1)))
    if normalise == "constant":
        if constant is None or not constant > 0:
            raise ValueError(
                f'normalise="constant" needs constant=, the length to divide by (the longest answer allowed), got {constant}'
            )
        return written / (float(constant) * max(rows, 1))
    if normalise in ("step_mean", "step_sum"):
        place = _step_places(mask, step, f"normalise={normalise!r}")
        lengths = _sum_of_steps(written, place)
        if normalise == "step_sum":
            count = float(max(rows, 1))
        else:
            count = float(max(int((lengths > 0).sum()) if steps is None else steps, 1))
        return written / (lengths.gather(1, place).clamp(min=1.0) * count)
    raise ValueError(f"normalise must be one of {', '.join(get_args(Normalise))}, got {normalise!r}")


def grpo_loss(
    logprobs: Tensor,
    behaviour_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
    level: Level = "token",
    normalise: Normalise = "sequence_mean",
    constant: float | None = None,
    kl_coefficient: float = 0.0,
    kl_estimator: Estimator = "k3",
    reference_logprobs: Tensor | None = None,
) -> Tensor:
    """Loss of group-relative policy optimisation over one batch.

    Source: Shao et al. 2024 (arXiv 2402.03300), equation 3; the variants as named in the parts it is made of.

    Args:
        logprobs: float[batch, token], of the sampled tokens under the policy.
        behaviour_logprobs: float[batch, token], when they were sampled.
        advantages: float[batch, token].
        mask: bool[batch, token], tokens that the policy wrote.
        clip_low: see `clipped_surrogate`.
        clip_high: see `clipped_surrogate`.
        dual_clip: see `clipped_surrogate`.
        level: see `log_importance_weights`.
        normalise: see `token_weights`.
        constant: see `token_weights`.
        kl_coefficient: weight of the divergence from the reference.
        kl_estimator: see `kl_estimate`.
        reference_logprobs: float[batch, token], needed when `kl_coefficient` is not 0.

    Returns:
        A scalar.

    Raises:
        ValueError: shapes do not fit, or an option is out of its range.
    """
    _check_shapes(mask, logprobs=logprobs, behaviour_logprobs=behaviour_logprobs, advantages=advantages)
    log_weights = log_importance_weights(logprobs, behaviour_logprobs, mask, level=level)
    losses = clipped_surrogate(
        log_weights, advantages, clip_low=clip_low, clip_high=clip_high, dual_clip=dual_clip
    ).losses
    if kl_coefficient:
        if reference_logprobs is None:
            raise ValueError(f"kl_coefficient={kl_coefficient} needs reference_logprobs, got None")
        _check_shapes(mask, reference_logprobs=reference_logprobs)
        losses = losses + kl_coefficient * kl_estimate(logprobs, reference_logprobs, kl_estimator)
    weights = token_weights(mask, normalise=normalise, constant=constant)
    return torch.where(mask, losses * weights, 0.0).sum()


def reinforce_loss(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """Minus the advantage times the log-probability of a whole sequence, averaged over sequences.

    Source: Williams 1992, "Simple Statistical Gradient-Following Algorithms", equation 4; with leave-one-out advantages it
    is RLOO (Ahmadian et al. 2024, arXiv 2402.14740, equation 8).

    Args:
        logprobs: float[batch, token], of the sampled tokens under the policy.
        advantages: float[batch, token].
        mask: bool[batch, token], tokens that the policy wrote.

    Returns:
        A scalar.

    Raises:
        ValueError: shapes differ.
    """
    _check_shapes(mask, logprobs=logprobs, advantages=advantages)
    return torch.where(mask, -advantages * logprobs, 0.0).sum() / max(mask.shape[0], 1)


def negative_log_likelihood(logprobs: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
    """Cost of each token when answers are imitated: minus its log-probability, times a weight that must not be negative.

    Args:
        logprobs: float[batch, token], of the tokens under the policy.
        weights: float[batch, token]; 1 for plain imitation.
        mask: bool[batch, token], tokens to imitate.

    Returns:
        float[batch, token]; 0 where the mask is False. Average it with `token_weights`.

    Raises:
        ValueError: shapes differ.
    """
    _check_shapes(mask, logprobs=logprobs, weights=weights)
    return torch.where(mask, -weights * logprobs, 0.0)


def kl_in_advantages(advantages: Tensor, divergence: Tensor, mask: Tensor, coefficient: float) -> Tensor:
    """Advantages of tokens when every token also pays for its divergence from the reference.

    The reward of token t is `-coefficient * divergence[t]`, and the return of a token adds up what follows it:
    `A[t] - coefficient * sum_{u >= t} divergence[u]`.

    Source: Hu et al. 2025, "REINFORCE++" (arXiv 2501.03262), equations 4 and 5 (discount 1).

    Args:
        advantages: float[batch, token].
        divergence: float[batch, token], an estimate at each token, usually k1.
        mask: bool[batch, token], tokens that the policy wrote.
        coefficient: price of one nat.

    Returns:
        float[batch, token].

    Raises:
        ValueError: shapes differ.
    """
    _check_shapes(mask, advantages=advantages, divergence=divergence)
    paid = torch.where(mask, divergence, 0.0)
    return advantages - coefficient * paid.flip(-1).cumsum(-1).flip(-1)


def whiten(values: Tensor, mask: Tensor, *, epsilon: float = 1e-8) -> Tensor:
    """Shift and scale the masked entries to mean 0 and deviation 1, over the whole batch.

    Entries that are all equal become exactly 0.

    Source: the batch normalisation of Hu et al. 2025, "REINFORCE++" (arXiv 2501.03262), equation 7.

    Args:
        values: float[batch, token].
        mask: bool[batch, token].
        epsilon: added to the standard deviation.

    Returns:
        float[batch, token]; 0 where the mask is False.

    Raises:
        ValueError: shapes differ.
    """
    _check_shapes(mask, values=values)
    count = mask.sum().clamp(min=1)
    mean = torch.where(mask, values, 0.0).sum() / count
    deviation = torch.where(mask, values - mean, 0.0)
    largest = torch.where(mask, values.abs(), 0.0).max() if values.numel() else values.sum()
    rounding = deviation.abs().max() <= torch.finfo(values.dtype).eps * 4 * largest if values.numel() else True
    standard = (deviation.square().sum() / count).sqrt()
    return torch.where(torch.as_tensor(rounding, device=values.device), 0.0, deviation / (standard + epsilon))


def _step_places(mask: Tensor, step: Tensor | None, option: str) -> Tensor:
    if step is None or step.shape != mask.shape:
        raise ValueError(
            f"{option} needs step, the index of the action of each token, of shape {tuple(mask.shape)}, got "
            f"{None if step is None else tuple(step.shape)}"
        )
    return step.long().clamp(min=0)


def _sum_of_steps(values: Tensor, place: Tensor) -> Tensor:
    """float[batch, step]: what the tokens of each action add up to; tokens outside of actions must be 0."""
    size = int(place.max()) + 1 if place.numel() else 1
    return values.new_zeros(place.shape[0], size).scatter_add(1, place, values)


def _check_shapes(mask: Tensor, **tensors: Tensor) -> None:
    if mask.ndim != 2 or mask.dtype != torch.bool:
        raise ValueError(f"mask must be bool[batch, token], got {mask.dtype} of shape {tuple(mask.shape)}")
    for name, tensor in tensors.items():
        if tensor.shape != mask.shape:
            raise ValueError(f"{name} must have the shape of mask, {tuple(mask.shape)}, got {tuple(tensor.shape)}")
