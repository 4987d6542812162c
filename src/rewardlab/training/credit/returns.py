"""Credit from values of single steps: what followed each action, over a baseline.

`TurnRewards` is the one to take where the policy decides when to stop: its baseline is unbiased (see
`rewardlab.functional.credit`). `ReturnToGo` has the simpler baselines, and needs no groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional.credit import (
    Absent,
    above,
    check_choice,
    position_baseline,
    redistribute,
    returns_to_go,
    turn_baseline,
    turn_index_advantages,
)
from rewardlab.training.credit.base import Advantages, Source
from rewardlab.training.credit.steps import SOURCES, Single, Steps, read_steps, tail_values, to_advantages
from rewardlab.types import Scores, Trajectory

Baseline = Literal["none", "batch", "position", "leave_one_out"]
BASELINES = ("none", "batch", "position", "leave_one_out")


@dataclass(frozen=True, kw_only=True)
class ReturnToGo:
    """The discounted sum of the step values from each action on, minus a baseline (Sutton and Barto 2018, section 13.4).

    Args:
        discount: in [0, 1]; 0 credits each action with its own value alone.
        source: step values from the reward ("scores"), the "environment", or the "outcome" on the last step.
        baseline: nothing ("none"), the mean over all steps ("batch"), over all steps at the same turn ("position"), or the
            mean at the same turn over the other trajectories ("leave_one_out", which alone is unbiased).
        within: whether "position" and "leave_one_out" compare over the "batch" or inside each "group".
        scale: divide by the standard deviation of all advantages of the batch ("std"), or not ("none").
        tail_key: a truncated trajectory's `info[tail_key]` is taken as the value of what would have followed; None for 0.
        single: "exclude" the only usable member of a group that is compared inside, or keep it with advantage "zero".
    """

    discount: float = 1.0
    source: Source = "scores"
    baseline: Baseline = "leave_one_out"
    within: Literal["batch", "group"] = "batch"
    scale: Literal["none", "std"] = "none"
    tail_key: str | None = None
    single: Single = "exclude"

    def __post_init__(self) -> None:
        _check_share("discount", self.discount)
        check_choice("source", self.source, SOURCES)
        check_choice("baseline", self.baseline, BASELINES)
        check_choice("within", self.within, ("batch", "group"))
        check_choice("scale", self.scale, ("none", "std"))
        check_choice("single", self.single, ("exclude", "zero"))

    @property
    def needs_groups(self) -> bool:
        """Whether trajectories of one task are compared."""
        return self.within == "group" and self.baseline in ("position", "leave_one_out")

    def __call__(self, trajectories: Sequence[Trajectory], scores: Scores) -> Advantages:
        """Assign credit."""
        steps = read_steps(trajectories, scores, self.source)
        return self._finish(trajectories, steps, steps.values)

    def _finish(self, trajectories: Sequence[Trajectory], steps: Steps, values: NDArray[np.float64]) -> Advantages:
        tails = tail_values(trajectories, steps, self.tail_key)
        returns = returns_to_go(values, steps.layout, discount=self.discount, tails=tails, terminated=steps.terminated)
        groups = steps.groups if self.within == "group" else np.zeros_like(steps.groups)
        advantages = returns
        if self.baseline == "batch":
            advantages = above(returns, np.full_like(returns, returns.mean() if returns.size else 0.0))
        elif self.baseline == "position":
            advantages = above(returns, position_baseline(returns, steps.layout, groups))
        elif self.baseline == "leave_one_out":
            advantages = above(returns, turn_baseline(returns, steps.layout, groups))
        if self.needs_groups:
            advantages = settle_single(steps, advantages, self.single)
        return to_advantages(trajectories, steps, scaled(advantages, steps, self.scale))


@dataclass(frozen=True, kw_only=True)
class TurnRewards:
    """Dense turn rewards: the return-to-go of each turn over the other group members' at the same turn, without bias.

    With `baseline="turn_index"` rewards are normalised turn by turn before they are summed, as is often done. That is
    biased where the policy decides when to stop, and is here for comparison.

    Args:
        discount: in [0, 1]; only 1 with `baseline="turn_index"`.
        source: step values from the reward ("scores"), the "environment", or the "outcome" on the last step.
        baseline: the other members at the same "turn", or "turn_index" (biased).
        absent: what stands in where no other member reached the turn: the others' mean over all their steps ("all_steps"),
            or "zero".
        scale: divide by the standard deviation of all advantages of the batch ("std"), or not ("none").
        tail_key: a truncated trajectory's `info[tail_key]` is taken as the value of what would have followed; None for 0.
        single: "exclude" the only usable member of a group, or keep it with advantage "zero".
    """

    discount: float = 1.0
    source: Source = "scores"
    baseline: Literal["turn", "turn_index"] = "turn"
    absent: Absent = "all_steps"
    scale: Literal["none", "std"] = "none"
    tail_key: str | None = None
    single: Single = "exclude"

    needs_groups = True

    def __post_init__(self) -> None:
        _check_share("discount", self.discount)
        check_choice("source", self.source, SOURCES)
        check_choice("baseline", self.baseline, ("turn", "turn_index"))
        check_choice("absent", self.absent, ("all_steps", "zero"))
        check_choice("scale", self.scale, ("none", "std"))
        check_choice("single", self.single, ("exclude", "zero"))
        if self.baseline == "turn_index" and (self.discount != 1.0 or self.tail_key is not None):
            raise ValueError('baseline="turn_index" is only defined with discount=1 and without tail_key')

    def __call__(self, trajectories: Sequence[Trajectory], scores: Scores) -> Advantages:
        """Assign credit."""
        steps = read_steps(trajectories, scores, self.source)
        if self.baseline == "turn_index":
            advantages = turn_index_advantages(steps.values, steps.layout, steps.groups)
        else:
            tails = tail_values(trajectories, steps, self.tail_key)
            returns = returns_to_go(
                steps.values, steps.layout, discount=self.discount, tails=tails, terminated=steps.terminated
            )
            advantages = above(returns, turn_baseline(returns, steps.layout, steps.groups, absent=self.absent))
        advantages = settle_single(steps, advantages, self.single)
        return to_advantages(trajectories, steps, scaled(advantages, steps, self.scale))


@dataclass(frozen=True, kw_only=True)
class Redistributed(ReturnToGo):
    """The score of the whole split over the steps so that they add up to it, then credited as `ReturnToGo` does.

    Args:
        how: every step the same ("equal"); in proportion to the positive part of the step values ("proportional"); the step
            values, and what is missing on the last step ("residual_last") or spread equally ("rescale").
        discount: in [0, 1]; 0 credits each action with its share alone.
        source: what is taken for the steps' contributions; not read with "equal".
        baseline: as in `ReturnToGo`.
        within: as in `ReturnToGo`.
        scale: as in `ReturnToGo`.
        tail_key: as in `ReturnToGo`.
        single: as in `ReturnToGo`.
    """

    how: Literal["equal", "proportional", "residual_last", "rescale"] = "residual_last"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("how", self.how, ("equal", "proportional", "residual_last", "rescale"))

    def __call__(self, trajectories: Sequence[Trajectory], scores: Scores) -> Advantages:
        """Assign credit."""
        steps = read_steps(trajectories, scores, "outcome" if self.how == "equal" else self.source)
        return self._finish(trajectories, steps, redistribute(steps.outcomes, steps.layout, steps.values, how=self.how))


def scaled(advantages: NDArray[np.float64], steps: Steps, scale: str, epsilon: float = 1e-4) -> NDArray[np.float64]:
    """Advantages divided by their standard deviation over the included steps of the batch: one positive number for all."""
    if scale == "none":
        return advantages
    kept = advantages[~steps.excluded[steps.layout.owner]]
    return advantages / (float(kept.std()) + epsilon) if kept.size else advantages


def settle_single(steps: Steps, advantages: NDArray[np.float64], single: Single) -> NDArray[np.float64]:
    """The only usable members of groups left out, or kept with advantage 0."""
    steps.exclude_single_members()
    advantages = np.where(steps.excluded[steps.layout.owner], 0.0, advantages)
    if single == "zero":
        steps.excluded[:] = False
    return advantages


def _check_share(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must be in [0, 1], got {value}")
