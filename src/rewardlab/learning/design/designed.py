"""A designed table with what can be said for it: that it keeps the optimal policies, and how informative it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.spec import register
from rewardlab.rewards.table import TableReward


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """How far a designed reward is above every constraint.

    Args:
        slack: float[state, action]; NaN where there is no constraint (the policy's own action, terminal states).
        gaps: float[state], the gap of the original reward that each constraint keeps.
        notes: what a reader should know: constraints that say nothing, states that are never reached.
    """

    slack: NDArray[np.float64]
    gaps: NDArray[np.float64]
    notes: tuple[str, ...]

    @property
    def smallest(self) -> float:
        """The slack of the tightest constraint."""
        return float(np.nanmin(self.slack))

    @property
    def holds(self) -> bool:
        """Whether every constraint is met, up to the tolerance of the solver."""
        return self.smallest >= -1e-6

    def __str__(self) -> str:
        count = int(np.isfinite(self.slack).sum())
        verdict = "hold" if self.holds else "do not all hold"
        state, action = np.unravel_index(int(np.nanargmin(self.slack)), self.slack.shape)
        tightest = f"the tightest is state {state}, action {action}, with slack {self.smallest:.3g}"
        return "\n".join([f"{count} constraints {verdict}; {tightest}", *self.notes])


@register("designed")
@dataclass(frozen=True, kw_only=True)
class DesignedReward(TableReward):
    """A table that a designer made, with its certificate; made by `explicable` and `adaptive`.

    Args:
        active: the states that were free to carry reward; empty with leaves.
        maximum: the bound on every entry.
        slacks: slack of each constraint, None where there is none.
        gaps: gap of each state.
        informative: informativeness of this table.
        original_informative: informativeness of the original reward.
        notes: see `Certificate`.
    """

    active: tuple[int, ...] = ()
    maximum: float = 0.0
    slacks: tuple[tuple[float | None, ...], ...] = ()
    gaps: tuple[float, ...] = ()
    informative: float = 0.0
    original_informative: float = 0.0
    notes: tuple[str, ...] = ()

    def certificate(self) -> Certificate:
        """The slack of every invariance constraint."""
        return Certificate(slack=np.array(self.slacks, dtype=np.float64), gaps=np.array(self.gaps), notes=self.notes)

    def informativeness(self) -> float:
        """How much of the gaps shows within the horizons; 0 is the most, and see `original_informative`."""
        return self.informative
