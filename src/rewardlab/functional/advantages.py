"""Advantages from the outcomes of whole trajectories: how much better each did than its group, or than the batch.

One rule holds everywhere. Samples that were not scored leave every statistic, get advantage 0 and are not included. A group
whose scored values are all equal has advantage exactly 0, whatever the scaling. A group with a single scored member has
nothing to compare it with: its advantage is 0, and it is excluded unless the caller asks otherwise. The standard deviation
is always that of the *whole* group, the sample itself included, which bounds every advantage (see `group_relative`).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Scale = Literal["std", "none", "batch"]
Single = Literal["exclude", "zero"]

ROUNDING = 1e-9
"""A spread below this share of the largest magnitude in the group is rounding of equal rewards, and not a signal."""


class RelativeAdvantages(NamedTuple):
    """Advantages of samples, and what became of each.

    Args:
        advantages: float[sample]; 0 where the sample is not included.
        included: bool[sample]; whether the sample may take part in an update.
        zero_variance: bool[sample]; whether it belongs to a group of two or more scored members that are all equal.
        single: bool[sample]; whether it is the only scored member of its group.
    """

    advantages: Tensor
    included: Tensor
    zero_variance: Tensor
    single: Tensor


def group_relative(
    values: Tensor,
    group_ids: Tensor,
    scored_mask: Tensor,
    *,
    scale: Scale = "std",
    epsilon: float = 1e-4,
    ddof: int = 1,
    single: Single = "exclude",
) -> RelativeAdvantages:
    """Value minus the mean of its group, divided by a standard deviation.

    With n scored members and `scale="std"`, `|advantage| <= (n - 1) / sqrt(n) < sqrt(n)` for `ddof=1`, and
    `<= sqrt(n - 1)` for `ddof=0`, for every epsilon >= 0: the deviations d of a group add up to 0, so
    `(n - ddof) s^2 = sum d^2 >= d_i^2 + d_i^2 / (n - 1) = d_i^2 n / (n - 1)` by Cauchy-Schwarz on the other n - 1. With
    `scale="batch"` the same argument gives `sqrt(N - 1)` for N scored samples in the batch.

    Source: Shao et al. 2024, "DeepSeekMath" (arXiv 2402.03300), section 4.1.2; `scale="none"` is Liu et al. 2025,
    "Understanding R1-Zero-Like Training" (arXiv 2503.20783), equation 4. `ddof=1`, `epsilon=1e-4` are what TRL computes.

    Args:
        values: float[sample]; anything where `scored_mask` is False.
        group_ids: int[sample]; equal for members of one group.
        scored_mask: bool[sample].
        scale: divide by the standard deviation of the group's values ("std"), by that of all scored values of the batch
            ("batch"), or not at all ("none").
        epsilon: added to the standard deviation.
        ddof: 1 divides the sum of squares by n - 1, 0 by n.
        single: what happens to the only scored member of a group: "exclude" it, or keep it with advantage "zero" (it then
            still counts where a loss is averaged over samples).

    Returns:
        Advantages in the dtype of `values`.

    Raises:
        ValueError: shapes differ, a scored value is not finite, or an option is unknown.
    """
    _check(values, group_ids, scored_mask, scale, epsilon, ddof, single)
    return _relative(values, group_ids, scored_mask, scale, epsilon, ddof, single, leave_out=False)


def leave_one_out(
    values: Tensor,
    group_ids: Tensor,
    scored_mask: Tensor,
    *,
    scale: Scale = "none",
    epsilon: float = 1e-4,
    ddof: int = 1,
    single: Single = "exclude",
) -> RelativeAdvantages:
    """Value minus the mean of the *other* scored members of its group.

    This equals `n / (n - 1)` times the deviation from the group's mean. With `scale="std"` the divisor is the standard
    deviation of the whole group and never that of the others alone, which is 0 whenever the others agree and would blow a
    single dissenter up to 1 / epsilon. So `|advantage| <= sqrt(n)` for `ddof=1` (reached by one dissenter), and
    `<= n / sqrt(n - 1)` for `ddof=0`.

    Source: Ahmadian et al. 2024, "Back to Basics" (arXiv 2402.14740), equation 8; Kool et al. 2019, "Buy 4 REINFORCE
    Samples, Get a Baseline for Free!".

    Args:
        values: float[sample]; anything where `scored_mask` is False.
        group_ids: int[sample]; equal for members of one group.
        scored_mask: bool[sample].
        scale: as in `group_relative`.
        epsilon: as in `group_relative`.
        ddof: as in `group_relative`.
        single: as in `group_relative`.

    Returns:
        Advantages in the dtype of `values`.

    Raises:
        ValueError: shapes differ, a scored value is not finite, or an option is unknown.
    """
    _check(values, group_ids, scored_mask, scale, epsilon, ddof, single)
    return _relative(values, group_ids, scored_mask, scale, epsilon, ddof, single, leave_out=True)


def batch_mean(
    values: Tensor,
    scored_mask: Tensor,
    *,
    scale: Literal["std", "none"] = "none",
    epsilon: float = 1e-4,
    ddof: int = 1,
    single: Single = "exclude",
) -> RelativeAdvantages:
    """Value minus the mean of all scored values of the batch: `group_relative` with the whole batch as one group.

    Source: Williams 1992, REINFORCE with a reinforcement baseline (equation 11); with `scale="std"` the batch
    normalisation of Hu et al. 2025, "REINFORCE++" (arXiv 2501.03262).

    Args:
        values: float[sample]; anything where `scored_mask` is False.
        scored_mask: bool[sample].
        scale: divide by the standard deviation of the batch ("std"), or not ("none").
        epsilon: as in `group_relative`.
        ddof: as in `group_relative`.
        single: as in `group_relative`.

    Returns:
        Advantages in the dtype of `values`.

    Raises:
        ValueError: shapes differ, a scored value is not finite, or an option is unknown.
    """
    return group_relative(
        values,
        torch.zeros(values.shape, dtype=torch.long, device=values.device),
        scored_mask,
        scale=scale,
        epsilon=epsilon,
        ddof=ddof,
        single=single,
    )


def best_of_group(
    values: Tensor, group_ids: Tensor, scored_mask: Tensor, *, keep: int = 1, ties: Literal["skip", "share"] = "skip"
) -> RelativeAdvantages:
    """Weight of each sample when only the `keep` best scored members of each group are imitated.

    Members that tie for the last places share them: of three equally best members with `keep=1`, each gets 1/3, so that
    the order of the samples never decides. The weights of a group add up to `keep`, or to its number of scored members
    where that is less.

    Source: Dong et al. 2023, "RAFT" (arXiv 2304.06767), algorithm 1.

    Args:
        values: float[sample]; anything where `scored_mask` is False.
        group_ids: int[sample]; equal for members of one group.
        scored_mask: bool[sample].
        keep: how many of each group are kept.
        ties: a group whose scored values are all equal says nothing about what is better: "skip" it, or let its members
            "share" the weight. A single scored member counts as such a group.

    Returns:
        Weights in [0, 1] in the place of advantages; `included` where the weight is above 0.

    Raises:
        ValueError: shapes differ, a scored value is not finite, or an option is unknown.
    """
    _check(values, group_ids, scored_mask, "none", 0.0, 0, "exclude")
    if keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}")
    if ties not in ("skip", "share"):
        raise ValueError(f'ties must be "skip" or "share", got {ties!r}')
    dense, groups = _dense(group_ids)
    flags = _deviations(values, dense, groups, scored_mask)
    ranked = torch.where(scored_mask, values.double(), -torch.inf)
    order = torch.argsort(ranked, descending=True, stable=True)
    order = order[torch.argsort(dense[order], stable=True)]  # by group, and inside a group from best to worst
    member, score = dense[order], ranked[order]
    position = torch.arange(values.shape[0], device=values.device)
    fresh = torch.ones_like(member, dtype=torch.bool)
    fresh[1:] = (member[1:] != member[:-1]) | (score[1:] != score[:-1])
    run = torch.cumsum(fresh, 0) - 1  # samples of one group with one value form a run
    run_start = position[fresh]
    run_length = torch.bincount(run, minlength=int(fresh.sum()))
    group_fresh = torch.ones_like(fresh)
    group_fresh[1:] = member[1:] != member[:-1]
    group_start = position[group_fresh][torch.cumsum(group_fresh, 0) - 1]
    better = run_start[run] - group_start  # how many of the group did strictly better
    share = ((keep - better).clamp(min=0) / run_length[run]).clamp(max=1.0)
    weights = torch.zeros_like(values, dtype=torch.float64)
    weights[order] = share.double()
    weights = torch.where(scored_mask, weights, 0.0)
    if ties == "skip":
        weights = torch.where(flags.zero_variance | flags.single, 0.0, weights)
    return RelativeAdvantages(weights.to(values.dtype), weights > 0, flags.zero_variance, flags.single)


# ---- helpers ------------------------------------------------------------------------------------------------------------


class _Deviations(NamedTuple):
    deviation: Tensor  # float64[sample], from the mean of the group; 0 where not scored, and in groups of equal values
    members: Tensor  # float64[sample], scored members of the sample's group
    zero_variance: Tensor
    single: Tensor


def _relative(
    values: Tensor,
    group_ids: Tensor,
    scored: Tensor,
    scale: Scale,
    epsilon: float,
    ddof: int,
    single: Single,
    *,
    leave_out: bool,
) -> RelativeAdvantages:
    dense, groups = _dense(group_ids)
    found = _deviations(values, dense, groups, scored)
    advantages = found.deviation
    if leave_out:
        advantages = advantages * found.members / (found.members - 1).clamp(min=1)
    if scale == "std":
        unit, deviation = _standard(found.deviation, found.members, dense, groups, ddof)
        advantages = (advantages / unit) / (deviation + epsilon / unit)
    elif scale == "batch":
        everything = torch.zeros_like(dense)
        whole = _deviations(values, everything, 1, scored)
        unit, deviation = _standard(whole.deviation, whole.members, everything, 1, ddof)
        advantages = (advantages / unit) / (deviation + epsilon / unit)
    idle = ~scored | found.zero_variance | found.single
    advantages = torch.where(idle, 0.0, advantages).to(values.dtype)
    included = scored & ~found.single if single == "exclude" else scored.clone()
    return RelativeAdvantages(advantages, included, found.zero_variance, found.single)


def _deviations(values: Tensor, dense: Tensor, groups: int, scored: Tensor) -> _Deviations:
    """Deviations from the mean of each group, in float64, and which groups cannot be compared."""
    clean = torch.where(scored, values.double(), 0.0)
    count = _sum(scored.double(), dense, groups)
    mean = _sum(clean, dense, groups) / count.clamp(min=1)
    deviation = torch.where(scored, clean - mean[dense], 0.0)
    magnitude, spread = _largest(clean.abs(), dense, groups), _largest(deviation.abs(), dense, groups)
    # below the smallest normal number a spread is rounding too: many processors take such numbers for 0
    equal = spread <= (ROUNDING * magnitude).clamp(min=torch.finfo(torch.float64).tiny)
    zero_variance = scored & (equal & (count > 1))[dense]
    alone = scored & (count == 1)[dense]
    return _Deviations(torch.where(equal[dense], 0.0, deviation), count[dense], zero_variance, alone)


def _standard(deviation: Tensor, count: Tensor, dense: Tensor, groups: int, ddof: int) -> tuple[Tensor, Tensor]:
    """The largest deviation of each sample's group, and the group's standard deviation in units of it.

    Working in units of the largest deviation keeps squares from under- and overflowing, however tiny the spread.
    """
    unit = _largest(deviation.abs(), dense, groups)[dense]
    unit = torch.where(unit > 0, unit, 1.0)
    squares = _sum((deviation / unit) ** 2, dense, groups)[dense]
    standard = torch.sqrt(squares / (count - ddof).clamp(min=1))
    return unit, torch.where(standard > 0, standard, 1.0)


def _dense(group_ids: Tensor) -> tuple[Tensor, int]:
    found, dense = torch.unique(group_ids, return_inverse=True)
    return dense, int(found.numel())


def _sum(values: Tensor, dense: Tensor, groups: int) -> Tensor:
    return torch.zeros(groups, dtype=values.dtype, device=values.device).index_add_(0, dense, values)


def _largest(magnitudes: Tensor, dense: Tensor, groups: int) -> Tensor:
    start = torch.zeros(groups, dtype=magnitudes.dtype, device=magnitudes.device)
    return start.scatter_reduce_(0, dense, magnitudes, reduce="amax")


def _check(
    values: Tensor, group_ids: Tensor, scored: Tensor, scale: str, epsilon: float, ddof: int, single: str
) -> None:
    if values.ndim != 1 or not values.is_floating_point():
        raise ValueError(f"values must be float[sample], got {values.dtype} of shape {tuple(values.shape)}")
    if group_ids.shape != values.shape or group_ids.is_floating_point():
        raise ValueError(
            f"group_ids must be integers of shape {tuple(values.shape)}, one per value, "
            f"got {group_ids.dtype} of shape {tuple(group_ids.shape)}"
        )
    if scored.shape != values.shape or scored.dtype != torch.bool:
        raise ValueError(
            f"scored_mask must be bool of shape {tuple(values.shape)}, got {scored.dtype} of shape {tuple(scored.shape)}"
        )
    if scale not in ("std", "none", "batch"):
        raise ValueError(f'scale must be "std", "none" or "batch", got {scale!r}')
    if single not in ("exclude", "zero"):
        raise ValueError(f'single must be "exclude" or "zero", got {single!r}')
    if not epsilon >= 0:
        raise ValueError(f"epsilon must not be negative, got {epsilon}")
    if ddof not in (0, 1):
        raise ValueError(f"ddof must be 0 or 1, got {ddof}")
    wrong = scored & ~torch.isfinite(values)
    if wrong.any():
        index = int(wrong.nonzero()[0])
        raise ValueError(
            f"value {index} is {values[index].item()}, but scored_mask says that it was scored; "
            "mark samples without a finite value as not scored"
        )
