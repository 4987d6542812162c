"""What an honest table needs beside a reward model: a reward that looks at nothing but length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rewardlab.rewards.base import Reward, attempt, scores_from_verdicts
from rewardlab.rewards.spec import register
from rewardlab.rewards.verifiers.length import Unit, measure
from rewardlab.types import Scores, Trajectory


@register("response_length")
@dataclass(frozen=True, kw_only=True)
class ResponseLength(Reward):
    """How long the answer is: the baseline "longer wins", or "shorter wins" with `sign=-1`.

    Args:
        unit: `characters`, `words` or `tokens` (needs `Trajectory.tokens`).
        sign: 1 where longer is better, -1 where shorter is.
    """

    unit: Unit = "characters"
    sign: float = 1.0

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        return scores_from_verdicts([attempt(self._length, one) for one in trajectories])

    def _length(self, trajectory: Trajectory) -> float:
        return self.sign * float(measure(trajectory, self.unit))
