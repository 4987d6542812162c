"""Credit that adds an episode's advantage to those of its steps, each over a baseline of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional.credit import above, check_choice, position_baseline, returns_to_go, step_relative
from rewardlab.functional.segments import bin_sums, dense, segment_sums
from rewardlab.training.credit.base import Advantages, Source
from rewardlab.training.credit.outcomes import EPISODES, Episode, EpisodeScale, episode_advantages
from rewardlab.training.credit.steps import SOURCES, Single, Steps, read_steps, to_advantages
from rewardlab.types import Scores, Trajectory

StepBaseline = Literal["all_steps", "other_members", "first_step", "position", "none"]
STEP_BASELINES = ("all_steps", "other_members", "first_step", "position", "none")


@dataclass(frozen=True, kw_only=True)
class EpisodePlusStep:
    """`A = A_episode + step_weight * A_step`, as in OPRL (arXiv 2509.19199).

    The statistics hold `step_to_episode`, the ratio of mean magnitudes, and `sign_conflicts`, the share of steps whose two
    parts pull in different directions.

    Args:
        episode: the episode's baseline: the "group" (GRPO), its other members ("leave_one_out", RLOO), the "batch"
            (REINFORCE++), or "none".
        step_weight: alpha.
        step_baseline: what is subtracted from a step's value: the mean of "all_steps" of the group, of the steps of the
            "other_members" (unbiased), of the group's first steps ("first_step", with the factor n / (n - 1) of RLOO
            where that is the episode's), of those at the same "position", or "none".
        scale: divide the episode's part by a standard deviation ("std": the group's, or the batch's), or not ("none").
        step_scale: divide the step's part by the deviation of the group's step values ("std"), of the batch's ("batch"), or
            not ("none").
        combine: add the two parts ("sum"); add `step_weight` times the sum of the step values to the outcome, and take
            one episode advantage ("merged"); or leave the episode out ("step_only").
        source: step values from the reward ("scores"), or the "environment".
        discount: None credits a step with its own value; a number in [0, 1] with the discounted sum from it on.
        single: "exclude" the only usable member of a group, or keep it with advantage "zero".
    """

    episode: Episode = "leave_one_out"
    step_weight: float = 1.0
    step_baseline: StepBaseline = "all_steps"
    scale: EpisodeScale = "none"
    step_scale: Literal["none", "std", "batch"] = "none"
    combine: Literal["sum", "merged", "step_only"] = "sum"
    source: Source = "scores"
    discount: float | None = None
    single: Single = "exclude"

    needs_groups: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_choice("episode", self.episode, EPISODES)
        check_choice("step_baseline", self.step_baseline, STEP_BASELINES)
        check_choice("scale", self.scale, ("none", "std"))
        check_choice("step_scale", self.step_scale, ("none", "std", "batch"))
        check_choice("combine", self.combine, ("sum", "merged", "step_only"))
        check_choice("source", self.source, SOURCES)
        check_choice("single", self.single, ("exclude", "zero"))
        if not np.isfinite(self.step_weight):
            raise ValueError(f"step_weight must be finite, got {self.step_weight}")
        if self.discount is not None and not 0.0 <= self.discount <= 1.0:
            raise ValueError(f"discount must be in [0, 1] or None, got {self.discount}")
        if self.combine == "merged" and self.episode == "none":
            raise ValueError('combine="merged" makes one episode advantage, so episode must not be "none"')

    def __call__(self, trajectories: Sequence[Trajectory], scores: Scores) -> Advantages:
        """Assign credit."""
        steps = read_steps(trajectories, scores, self.source)
        values, statistics = self.of_steps(steps)
        return to_advantages(trajectories, steps, values, statistics)

    def of_steps(self, steps: Steps) -> tuple[NDArray[np.float64], dict[str, float]]:
        """The same for step values that are laid out already: float64[step], and statistics.

        What is left out is marked in `steps.excluded`.
        """
        if self.combine == "merged":
            merged = steps.outcomes + self.step_weight * segment_sums(steps.values, steps.layout)
            return episode_advantages(steps, merged, self.episode, self.scale, self.single), {}
        whole = episode_advantages(steps, steps.outcomes, self.episode, self.scale, self.single)
        own = self.step_weight * self._step_advantages(steps)
        own = np.where(steps.excluded[steps.layout.owner], 0.0, own)
        return (own if self.combine == "step_only" else whole + own), _compare(whole, own)

    def _step_advantages(self, steps: Steps) -> NDArray[np.float64]:
        values = steps.values
        if self.discount is not None:
            values = returns_to_go(values, steps.layout, discount=self.discount)
        numbers = dense(steps.groups)
        of_steps = numbers[steps.layout.owner]
        if not values.size:
            return values
        if self.step_baseline == "all_steps":
            advantages = step_relative(values, of_steps).advantages
        elif self.step_baseline == "position":
            advantages = above(values, position_baseline(values, steps.layout, steps.groups))
        elif self.step_baseline == "other_members":
            own_sum, own_size = segment_sums(values, steps.layout), steps.lengths
            rest = bin_sums(numbers, own_sum)[numbers] - own_sum
            count = bin_sums(numbers, own_size)[numbers] - own_size
            advantages = above(values, (rest / np.maximum(count, 1))[steps.layout.owner])
        elif self.step_baseline == "first_step":
            some = steps.lengths > 0
            first = values[steps.layout.starts[some]]
            members = np.bincount(numbers[some], minlength=int(numbers.max()) + 1)
            mean = np.bincount(numbers[some], weights=first, minlength=members.size) / np.maximum(members, 1)
            factor = members / np.maximum(members - 1, 1) if self.episode == "leave_one_out" else np.ones(members.size)
            advantages = above(values, mean[of_steps]) * factor[of_steps]
        else:
            advantages = values
        if self.step_scale == "none":
            return advantages
        divided = of_steps if self.step_scale == "std" else np.zeros_like(of_steps)
        return advantages / (_deviation(values, divided) + 1e-8)


def _deviation(values: NDArray[np.float64], numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[step]: the standard deviation of each step's group of values."""
    counts = np.maximum(np.bincount(numbers), 1)
    mean = bin_sums(numbers, values) / counts
    variance = bin_sums(numbers, (values - mean[numbers]) ** 2) / counts
    deviation: NDArray[np.float64] = np.sqrt(variance)[numbers]
    return deviation


def _compare(whole: NDArray[np.float64], own: NDArray[np.float64]) -> dict[str, float]:
    """How the two parts of a mixture compare."""
    if not whole.size:
        return {}
    both = (whole != 0) & (own != 0)
    size = float(np.abs(whole).mean())
    return {
        "step_to_episode": float(np.abs(own).mean()) / size if size else float("nan"),
        "sign_conflicts": float((np.sign(whole) != np.sign(own))[both].mean()) if both.any() else float("nan"),
    }
