"""Which step earned what: returns, baselines, step groups, redistribution and mixtures over ragged batches, in numpy.

A batch is flat: `values: float64[step]` holds the steps of all trajectories one after another, and `lengths:
int[trajectory]` says where each ends (`rewardlab.functional.segments`). The rules for groups are those of
`rewardlab.functional.advantages`: a group of equal values has advantage exactly 0, and so has a single member.

On bias. A baseline leaves the policy gradient unbiased when it does not depend on the action that it is subtracted from. The
action decides, among other things, whether there are further turns at all. So what is subtracted from *later* turns, and
only if they happen, depends on it: `turn_index_advantages`, which normalises rewards turn by turn and adds up what follows,
is biased. `turn_baseline` is subtracted from the return of a turn that is already there, and comes from the other members of
the group, so it is not. `tests/functional/test_credit_bias.py` computes both against the exact gradient.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional.segments import (
    Floats,
    Integers,
    Lengths,
    Ragged,
    TokenRuns,
    bin_sums,
    check_flat,
    dense,
    ragged,
    reverse_scan,
    segment_sums,
)

ROUNDING = 1e-9
"""A spread below this share of the largest magnitude is rounding of equal values, as in `functional.advantages`."""

StepScale = Literal["none", "std"]
Absent = Literal["all_steps", "zero"]


class StepAdvantages(NamedTuple):
    """Advantages of steps inside their groups, and which groups could not be compared.

    Args:
        advantages: float64[step].
        zero_variance: bool[step]; the step belongs to a group of two or more equal values.
        single: bool[step]; the step is the only one of its group.
    """

    advantages: Floats
    zero_variance: NDArray[np.bool_]
    single: NDArray[np.bool_]


def returns_to_go(
    rewards: Floats,
    lengths: Lengths,
    *,
    discount: float = 1.0,
    tails: Floats | None = None,
    terminated: NDArray[np.bool_] | None = None,
) -> Floats:
    """Discounted sum of the rewards from each step on: `G[t] = r[t] + discount * G[t + 1]`.

    Where a limit cut a trajectory off, what would have followed can be put in by its estimated value (bootstrapping); where
    the environment ended it, nothing follows.

    Source: Sutton and Barto 2018, equation 3.9 and chapter 7.

    Args:
        rewards: float64[step].
        lengths: int[trajectory].
        discount: in [0, 1].
        tails: float64[trajectory], estimated value of what follows the last step, or None for 0.
        terminated: bool[trajectory]; the tail of a terminated trajectory counts as 0. Needed where there are tails.

    Returns:
        float64[step].

    Raises:
        ValueError: shapes differ, a value is not finite, or the discount is outside [0, 1].
    """
    layout = ragged(lengths)
    check_flat("rewards", rewards, layout)
    _check_share("discount", discount)
    if tails is not None:
        if terminated is None or terminated.shape != layout.lengths.shape or tails.shape != layout.lengths.shape:
            raise ValueError("tails and terminated must both have one entry for each trajectory")
        following = np.where(terminated, 0.0, tails)
        if not np.isfinite(following).all():
            raise ValueError(f"the tail of trajectory {np.flatnonzero(~np.isfinite(following))[0]} is not finite")
        rewards = rewards.copy()
        rewards[layout.last] += discount * following[layout.some]
    return reverse_scan(rewards, discount, layout)


def turn_baseline(returns: Floats, lengths: Lengths, groups: Integers, *, absent: Absent = "all_steps") -> Floats:
    """For each step the mean return-to-go of the *other* members of the group at the same turn: an unbiased baseline.

    It does not depend on anything that its own trajectory did, so `E[grad log pi(a_t) * baseline] = 0` at every turn that
    is reached, whoever decides when to stop. Members that had stopped before the turn do not count there.

    Source: Kool et al. 2019, "Buy 4 REINFORCE Samples, Get a Baseline for Free!", applied turn by turn.

    Args:
        returns: float64[step], as from `returns_to_go`.
        lengths: int[trajectory].
        groups: int64[trajectory], not negative, equal for members of one group.
        absent: what stands in where no other member reached the turn: the mean over all steps of the other members
            ("all_steps"; 0 where they have none), or "zero".

    Returns:
        float64[step].

    Raises:
        ValueError: shapes differ, a value is not finite, or an option is unknown.
    """
    layout = ragged(lengths)
    check_flat("returns", returns, layout)
    _check_groups(groups, layout)
    check_choice("absent", absent, ("all_steps", "zero"))
    if not returns.size:
        return np.zeros(0)
    cell = dense(groups[layout.owner], layout.position)
    others = np.bincount(cell)[cell] - 1
    total = bin_sums(cell, returns)[cell] - returns
    if absent == "zero":
        stand_in = np.zeros_like(returns)
    else:
        numbers = dense(groups)
        sums, size = segment_sums(returns, layout), layout.lengths
        rest = bin_sums(numbers, sums)[numbers] - sums
        count = bin_sums(numbers, size)[numbers] - size
        stand_in = np.where(count > 0, rest / np.maximum(count, 1), 0.0)[layout.owner]
    return np.where(others > 0, total / np.maximum(others, 1), stand_in)


def position_baseline(returns: Floats, lengths: Lengths, groups: Integers) -> Floats:
    """For each step the mean return at the same turn over all members of the group, its own trajectory included.

    The own return in the mean shrinks a turn that m members reached by (m - 1) / m: a bias where m varies.

    Args:
        returns: float64[step].
        lengths: int[trajectory].
        groups: int64[trajectory], not negative; all equal for the whole batch.

    Returns:
        float64[step].
    """
    layout = ragged(lengths)
    check_flat("returns", returns, layout)
    _check_groups(groups, layout)
    if not returns.size:
        return np.zeros(0)
    cell = dense(groups[layout.owner], layout.position)
    return (bin_sums(cell, returns) / np.maximum(np.bincount(cell), 1))[cell]


def above(returns: Floats, baseline: Floats) -> Floats:
    """`returns - baseline`, and exactly 0 where they differ by rounding alone, so that equal members give no update."""
    difference = returns - baseline
    difference[np.abs(difference) <= ROUNDING * np.abs(returns)] = 0.0
    return difference


def turn_index_advantages(
    rewards: Floats, lengths: Lengths, groups: Integers, *, scale: StepScale = "std", epsilon: float = 1e-4
) -> Floats:
    """Rewards normalised over the group at each turn, then summed from each step on. *Biased* where the policy can stop.

    The mean of a later turn is only subtracted if that turn happens, which the action decides: a policy that earns 1 at
    every turn learns nothing about going on. Here to be compared with; use `turn_baseline`.

    Source: Shao et al. 2024, "DeepSeekMath" (arXiv 2402.03300), section 4.1.3, with the mean taken turn by turn.

    Args:
        rewards: float64[step].
        lengths: int[trajectory].
        groups: int64[trajectory], not negative.
        scale: divide by the standard deviation at the turn ("std"), or not ("none").
        epsilon: added to the standard deviation.

    Returns:
        float64[step].
    """
    layout = ragged(lengths)
    check_flat("rewards", rewards, layout)
    _check_groups(groups, layout)
    cell = dense(groups[layout.owner], layout.position)
    return reverse_scan(step_relative(rewards, cell, scale=scale, epsilon=epsilon).advantages, 1.0, layout)


def step_relative(
    values: Floats, step_groups: Integers, *, scale: StepScale = "none", epsilon: float = 1e-4, ddof: int = 1
) -> StepAdvantages:
    """Value minus the mean of its group of steps, divided by a standard deviation if asked for.

    With groups of steps that were taken in the same state of the same task (*anchor states*) this is the step-level part of
    GiGPO: actions from one state are compared with one another, which needs no further rollouts.

    Source: Feng et al. 2025, "Group-in-Group Policy Optimization" (arXiv 2505.10978), the step-level
    advantage.

    Args:
        values: float64[step], all finite.
        step_groups: int64[step], not negative, equal for steps that are compared.
        scale: divide by the group's standard deviation ("std"), or not ("none").
        epsilon: added to the standard deviation.
        ddof: 1 divides the sum of squares by n - 1, 0 by n.

    Returns:
        Advantages; exactly 0 in groups of equal values and of a single step.

    Raises:
        ValueError: shapes differ, or an option is unknown.
    """
    check_choice("scale", scale, ("none", "std"))
    if values.ndim != 1 or values.shape != step_groups.shape:
        raise ValueError(f"values and step_groups must be [step], got shapes {values.shape} and {step_groups.shape}")
    if ddof not in (0, 1) or not epsilon >= 0:
        raise ValueError(f"ddof must be 0 or 1 and epsilon not negative, got {ddof} and {epsilon}")
    if not values.size:
        nothing = np.zeros(0, dtype=np.bool_)
        return StepAdvantages(np.zeros(0), nothing, nothing)
    counts = np.bincount(step_groups)
    mean = bin_sums(step_groups, values) / np.maximum(counts, 1)
    deviation = values - mean[step_groups]
    # sums over a group, as its spread and its magnitude, differ from the largest member by at most its number
    spread = bin_sums(step_groups, np.abs(deviation))
    size = bin_sums(step_groups, np.abs(values))
    equal = (spread <= ROUNDING * size) | (spread < np.finfo(np.float64).tiny)
    alone = counts == 1
    deviation = np.where((equal | alone)[step_groups], 0.0, deviation)
    if scale == "std":
        # in units of the mean deviation, so that squares neither under- nor overflow
        unit = np.where(equal | alone, 1.0, spread / np.maximum(counts, 1))
        scaled = deviation / unit[step_groups]
        variance = bin_sums(step_groups, scaled * scaled) / np.maximum(counts - ddof, 1)
        divisor = np.where(variance > 0, np.sqrt(variance), 1.0) + epsilon / unit
        deviation = scaled / divisor[step_groups]
    return StepAdvantages(deviation, (equal & ~alone)[step_groups], alone[step_groups])


def redistribute(
    outcomes: Floats,
    lengths: Lengths,
    contributions: Floats | None = None,
    *,
    how: Literal["equal", "proportional", "residual_last", "rescale"] = "equal",
) -> Floats:
    """Split the outcome of each trajectory over its steps, so that the steps add up to it.

    Source: Arjona-Medina et al. 2019, "RUDDER" (arXiv 1806.07857): return-equivalent redistribution;
    "rescale" and "residual_last" are the two ways in which estimated contributions can be made exact.

    Args:
        outcomes: float64[trajectory], finite.
        lengths: int[trajectory].
        contributions: float64[step], what each step is thought to have contributed; not needed for "equal".
        how: every step gets the same ("equal"); shares proportional to the positive part of the contributions, equal where
            none is positive ("proportional"); the contributions, and what is missing on the last step
            ("residual_last"); the contributions, and what is missing spread equally ("rescale").

    Returns:
        float64[step]; a trajectory without steps gets nothing.

    Raises:
        ValueError: shapes differ, a value is not finite, or an option is unknown.
    """
    check_choice("how", how, ("equal", "proportional", "residual_last", "rescale"))
    layout = ragged(lengths)
    if outcomes.shape != layout.lengths.shape:
        raise ValueError(
            f"outcomes must have one entry for each of {layout.lengths.size} trajectories, got {outcomes.shape}"
        )
    if not np.isfinite(outcomes).all():
        index = np.flatnonzero(~np.isfinite(outcomes))[0]
        raise ValueError(f"the outcome of trajectory {index} is {outcomes[index]}; leave out what was not scored")
    if how == "equal":
        return np.repeat(outcomes / np.maximum(layout.lengths, 1), layout.lengths)
    if contributions is None:
        raise ValueError(f'how="{how}" needs the contributions of the steps')
    check_flat("contributions", contributions, layout)
    if how == "proportional":
        positive = np.maximum(contributions, 0.0)
        largest = np.zeros(layout.lengths.size)
        np.maximum.at(largest, layout.owner, positive)
        shares = positive / np.where(largest > 0, largest, 1.0)[layout.owner]
        total = segment_sums(shares, layout)[layout.owner]
        even = np.repeat(outcomes / np.maximum(layout.lengths, 1), layout.lengths)
        return np.where(total > 0, outcomes[layout.owner] * shares / np.where(total > 0, total, 1.0), even)
    missing = outcomes - segment_sums(contributions, layout)
    if how == "rescale":
        return contributions + np.repeat(missing / np.maximum(layout.lengths, 1), layout.lengths)
    result = contributions.copy()
    result[layout.last] += missing[layout.some]
    return result


def potential_terms(
    potentials: Floats, lengths: Lengths, terminated: NDArray[np.bool_], *, discount: float = 1.0
) -> Floats:
    """Shaping rewards `discount * potential(next) - potential(now)`, which leave every policy's rank as it was.

    The potential after a termination counts as 0, whatever was given; after a truncation it stands, as its tail would.

    Source: Ng, Harada and Russell 1999, "Policy Invariance Under Reward Transformations", theorem 1.

    Args:
        potentials: float64[step + trajectory]: for each trajectory the potentials of its T + 1 observations.
        lengths: int[trajectory], the T of each.
        terminated: bool[trajectory].
        discount: that of the return.

    Returns:
        float64[step], to be added to rewards.

    Raises:
        ValueError: shapes differ, or a value is not finite.
    """
    layout, points = ragged(lengths), ragged(ragged(lengths).lengths + 1)
    _check_share("discount", discount)
    check_flat("potentials", potentials, points)
    if terminated.shape != layout.lengths.shape:
        raise ValueError(f"terminated must have one entry for each trajectory, got {terminated.shape}")
    now = np.arange(layout.size) + layout.owner  # one more point than steps in every trajectory before
    following = potentials[now + 1]
    following[layout.last[terminated[layout.some]]] = 0.0
    return discount * following - potentials[now]


def step_log_ratios(log_ratios: NDArray[np.floating], runs: TokenRuns) -> Floats:
    """Sum of the log-ratios of each step's tokens; times beta, this is an implicit process reward.

    Source: Yuan et al. 2024, "Free Process Rewards without Process Labels" (arXiv 2412.01981), summed over actions as in
    arXiv 2509.19199.

    Args:
        log_ratios: float[token], log-probability under the reward's model minus that under the reference; anything
            finite on tokens that nobody wrote. Tokens of a step are added up in this precision.
        runs: the tokens of each step, from `rewardlab.functional.segments.token_runs`.

    Returns:
        float64[step]; 0 for a step without tokens.

    Raises:
        ValueError: there is not one log-ratio for each token.
    """
    if log_ratios.shape != (runs.tokens,):
        raise ValueError(f"log_ratios must have one entry for each of {runs.tokens} tokens, got {log_ratios.shape}")
    if not runs.first.size:
        return np.zeros(runs.layout.size)
    sums = np.add.reduceat(log_ratios, runs.first)
    # place -1 goes to a bin of its own before the steps
    return bin_sums(runs.place + 1, sums, runs.layout.size + 1)[1:]


def spread_to_tokens(values: Floats, runs: TokenRuns) -> NDArray[np.float32]:
    """Give every token the value of its step; 0 on tokens that nobody wrote.

    Args:
        values: float64[step].
        runs: the tokens of each step, from `rewardlab.functional.segments.token_runs`.

    Returns:
        float32[token].

    Raises:
        ValueError: there is not one value for each step.
    """
    if values.shape != (runs.layout.size,):
        raise ValueError(f"values must have one entry for each of {runs.layout.size} steps, got {values.shape}")
    table = np.append(values, 0.0).astype(np.float32)  # place -1 reads the 0 at the end
    return np.repeat(table[runs.place], np.diff(runs.first, append=runs.tokens))


# ---- helpers ------------------------------------------------------------------------------------------------------------


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise where an option is none of its choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def _check_groups(groups: Integers, layout: Ragged) -> None:
    if groups.shape != layout.lengths.shape or groups.dtype.kind not in "iu" or (groups < 0).any():
        raise ValueError(
            f"groups must be integers from 0 on, one for each of {layout.lengths.size} trajectories, "
            f"got {groups.dtype} of shape {groups.shape}"
        )


def _check_share(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must be in [0, 1], got {value}")
