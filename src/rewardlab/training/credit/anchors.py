"""Credit by anchor states: steps that members of a group took in the same state are compared with one another (GiGPO)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional.credit import StepScale, check_choice, returns_to_go, step_relative
from rewardlab.functional.segments import dense
from rewardlab.training.credit.base import Advantages, Source
from rewardlab.training.credit.outcomes import EPISODES, Episode, EpisodeScale, episode_advantages
from rewardlab.training.credit.steps import (
    SOURCES,
    Single,
    Steps,
    describe,
    read_steps,
    tail_values,
    to_advantages,
)
from rewardlab.types import Scores, Trajectory, message_text


@dataclass(frozen=True, kw_only=True)
class AnchorStates:
    """Episode advantages plus, for each step, its return compared with those of the steps taken in the same state.

    A step in a state that nobody else of the group came to gets only the episode's advantage. The share of such steps is
    the statistic `step_groups_single`: near 1, this rule is the outcome rule. Source: Feng et al. 2025, "Group-in-Group
    Policy Optimization" (arXiv 2505.10978).

    Args:
        state: what makes two steps alike: the "observation" before the action (for a chat, roles and texts of the messages
            that arrived), `"info.NAME"` for the T entries of `trajectory.info[NAME]`, or a function of a trajectory and a
            step that returns something hashable.
        discount: of the return that follows a step, in [0, 1].
        source: step values from the reward ("scores"), the "environment", or the "outcome" on the last step.
        episode: the baseline of the episode's part: "group", "leave_one_out", "batch", or "none" to leave it out.
        step_weight: of the steps' part.
        scale: divide both parts by their standard deviation ("std"), or not ("none").
        tail_key: a truncated trajectory's `info[tail_key]` is taken as the value of what would have followed; None for 0.
        single: "exclude" the only usable member of a group, or keep it with advantage "zero".
    """

    state: str | Callable[[Trajectory, int], Hashable] = "observation"
    discount: float = 0.95
    source: Source = "outcome"
    episode: Episode = "group"
    step_weight: float = 1.0
    scale: StepScale = "std"
    tail_key: str | None = None
    single: Single = "exclude"

    needs_groups: ClassVar[bool] = True

    def __post_init__(self) -> None:
        named = isinstance(self.state, str)
        if named and self.state != "observation" and not str(self.state).startswith("info."):
            raise ValueError(f'state must be "observation", "info.NAME" or a function, got {self.state!r}')
        if not 0.0 <= self.discount <= 1.0:
            raise ValueError(f"discount must be in [0, 1], got {self.discount}")
        if not np.isfinite(self.step_weight):
            raise ValueError(f"step_weight must be finite, got {self.step_weight}")
        check_choice("source", self.source, SOURCES)
        check_choice("episode", self.episode, EPISODES)
        check_choice("scale", self.scale, ("none", "std"))
        check_choice("single", self.single, ("exclude", "zero"))

    def __call__(self, trajectories: Sequence[Trajectory], scores: Scores) -> Advantages:
        """Assign credit."""
        steps = read_steps(trajectories, scores, self.source)
        tails = tail_values(trajectories, steps, self.tail_key)
        returns = returns_to_go(
            steps.values, steps.layout, discount=self.discount, tails=tails, terminated=steps.terminated
        )
        states = state_numbers(trajectories, steps, self.state)
        found = step_relative(returns, dense(steps.groups[steps.layout.owner], states), scale=self.scale)
        scale: EpisodeScale = self.scale
        values = episode_advantages(steps, steps.outcomes, self.episode, scale, self.single)
        values = values + self.step_weight * found.advantages
        alone = float(found.single.mean()) if found.single.size else float("nan")
        return to_advantages(trajectories, steps, values, {"step_groups_single": alone})


def state_numbers(
    trajectories: Sequence[Trajectory], steps: Steps, state: str | Callable[[Trajectory, int], Hashable]
) -> NDArray[np.int64]:
    """int64[step]: the same number for steps in the same state.

    Raises:
        ValueError: `info[NAME]` is missing, or has another number of entries than there are steps.
        TypeError: a state is not hashable.
    """
    numbers: dict[Hashable, int] = {}
    result = np.empty(steps.layout.size, dtype=np.int64)
    place = 0
    for index in steps.usable.tolist():
        for key in _states(trajectories, index, state):
            try:
                result[place] = numbers.setdefault(key, len(numbers))
            except TypeError:
                raise TypeError(
                    f"a state of {describe(trajectories, index)} is a {type(key).__name__}, which is not hashable; "
                    "return a string, a number or a tuple"
                ) from None
            place += 1
    return result


def _states(
    trajectories: Sequence[Trajectory], index: int, state: str | Callable[[Trajectory, int], Hashable]
) -> Sequence[Hashable]:
    entry = trajectories[index]
    if callable(state):
        return [state(entry, step) for step in range(len(entry))]
    if state != "observation":
        name = state.removeprefix("info.")
        found = entry.info.get(name)
        if found is None or len(found) != len(entry):
            count = "nothing" if found is None else f"{len(found)} entries"
            raise ValueError(
                f"info[{name!r}] of {describe(trajectories, index)} must have one state for each of its {len(entry)} "
                f"steps, got {count}"
            )
        return list(found)
    return [observed(entry.observations[step]) for step in range(len(entry))]


def observed(observation: Any) -> Hashable:
    """An observation as something hashable: roles and texts of messages, or the bytes of an array."""
    if isinstance(observation, list):
        if len(observation) == 1:
            return observation[0]["role"], message_text(observation[0])
        return tuple((message["role"], message_text(message)) for message in observation)
    array = np.ascontiguousarray(observation)
    return array.shape, array.dtype.str, array.tobytes()
