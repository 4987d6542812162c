"""What was written between two attempts at a task, rated by the change of the return (Retroformer, arXiv
2308.02151)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rewardlab.rewards.base import Abstention, Reward, ScoringFailure, attempt, scores_from_verdicts
from rewardlab.rewards.spec import register
from rewardlab.types import Scores, Trajectory, group_indices


@register("return_difference")
@dataclass(frozen=True, kw_only=True)
class ReturnDifference(Reward):
    """For each failed attempt, the return of the next one less its own; members of a group are attempts at one task.

    It reads `info["attempt"]` (0, 1, ...) and `info["return"]`. The last attempt and solved ones abstain; where
    either return is missing or not a number, the sample is failed and never 0.

    The plain difference holds more than the reflection: what is noisy improves after a failure by itself, and a near
    miss has little room above it. The baselines take that off.

    Args:
        baseline: None for the plain difference. `retry`: the next return less that of a retry without a reflection,
            which stands in the group under the same attempt number with `info["control"]` true. `group`: several
            retries of the same failure under one attempt number; each *retry* gets its return less the mean of theirs.
        success_at: the return of a solved attempt.
        scale: the range of returns in this environment; differences are divided by it.
    """

    baseline: Literal["retry", "group"] | None = None
    success_at: float = 1.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.scale > 0:
            raise ValueError(f"ReturnDifference: option 'scale' must be positive, got {self.scale}")

    @property
    def group_wise(self) -> bool:
        """Attempts are compared with one another."""
        return True

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        outcomes: list[Any] = [None] * len(trajectories)
        for members in group_indices(trajectories):
            numbered: dict[int, list[Trajectory]] = {}
            controls: dict[int, Trajectory] = {}
            for index in members:
                one = trajectories[int(index)]
                number = one.info.get("attempt")
                if not isinstance(number, int) or isinstance(number, bool):
                    continue
                if one.info.get("control"):
                    controls[number] = one
                else:
                    numbered.setdefault(number, []).append(one)
            for number, several in numbered.items():
                if len(several) > 1 and self.baseline != "group":
                    task = several[0].task
                    raise ValueError(
                        f"attempt {number} at task {task.id if task else several[0].group!r} is there {len(several)} times; "
                        'number attempts 0, 1, ... within a group, or use baseline="group" for several retries'
                    )
            for index in members:
                outcomes[int(index)] = attempt(self._rate, trajectories[int(index)], numbered, controls)
        return scores_from_verdicts(outcomes)

    def _rate(self, one: Trajectory, numbered: dict[int, list[Trajectory]], controls: dict[int, Trajectory]) -> float:
        number = one.info.get("attempt")
        if not isinstance(number, int) or isinstance(number, bool):
            raise ScoringFailure(f'info["attempt"] must be the number of the attempt, got {number!r:.60}')
        if one.info.get("control"):
            raise Abstention("a retry without a reflection is not rated")
        own = _return(one)
        if self.baseline == "group":
            several = numbered[number]
            if len(several) < 2:
                raise Abstention("there is no other retry of the same failure to compare with")
            return (own - sum(map(_return, several)) / len(several)) / self.scale
        if own >= self.success_at:
            raise Abstention("the attempt succeeded, so there was nothing to reflect on")
        if number + 1 not in numbered:
            raise Abstention("it is the last attempt")
        after = _return(numbered[number + 1][0])
        if self.baseline is None:
            return (after - own) / self.scale
        if number + 1 not in controls:
            raise ScoringFailure('there is no retry without a reflection (info["control"]) to compare with')
        return (after - _return(controls[number + 1])) / self.scale


def _return(one: Trajectory) -> float:
    value = one.info.get("return")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ScoringFailure(f"attempt {one.info.get('attempt')} has no return, got {value!r:.60}")
    return float(value)
