"""Credit with a potential: shaping that speeds learning up or slows it down, but never changes which policy is best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rewardlab.functional.credit import potential_terms
from rewardlab.training.credit.base import Advantages
from rewardlab.training.credit.returns import ReturnToGo
from rewardlab.training.credit.steps import describe, read_steps
from rewardlab.types import Scores, Trajectory


@dataclass(frozen=True, kw_only=True)
class PotentialBased(ReturnToGo):
    """Step values plus `discount * potential(next) - potential(now)`, then credited as `ReturnToGo` does.

    Shaping keeps the order of policies (Ng, Harada and Russell 1999, theorem 1) with the potential after a termination 0.
    After a truncation the last potential stands. Return-to-go without a baseline is then shifted by `-potential(now)`.

    Args:
        potential: `"info.NAME"` for the T + 1 numbers of `trajectory.info[NAME]`, or a function of a trajectory that returns
            T + 1 numbers, one for each observation.
        weight: of the shaping terms.
        discount: of the return, and of the shaping terms.
        source: as in `ReturnToGo`.
        baseline: as in `ReturnToGo`.
        within: as in `ReturnToGo`.
        scale: as in `ReturnToGo`.
        tail_key: as in `ReturnToGo`.
        single: as in `ReturnToGo`.
    """

    potential: str | Callable[[Trajectory], Any] = "info.potential"
    weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.potential, str) and not self.potential.startswith("info."):
            raise ValueError(f'potential must be "info.NAME" or a function, got {self.potential!r}')
        if not np.isfinite(self.weight):
            raise ValueError(f"weight must be finite, got {self.weight}")

    def __call__(self, trajectories: Sequence[Trajectory], scores: Scores) -> Advantages:
        """Assign credit."""
        steps = read_steps(trajectories, scores, self.source)
        rows = [self._potentials(trajectories, index) for index in steps.usable.tolist()]
        potentials = np.concatenate(rows) if rows else np.zeros(0)
        terms = potential_terms(potentials, steps.layout, steps.terminated, discount=self.discount)
        return self._finish(trajectories, steps, steps.values + self.weight * terms)

    def _potentials(self, trajectories: Sequence[Trajectory], index: int) -> np.ndarray:
        entry = trajectories[index]
        if callable(self.potential):
            found = self.potential(entry)
        else:
            found = entry.info.get(self.potential.removeprefix("info."))
        row = np.asarray([] if found is None else found, dtype=np.float64)
        if row.shape != (len(entry) + 1,) or not np.isfinite(row).all():
            raise ValueError(
                f"the potential of {describe(trajectories, index)} must be {len(entry) + 1} finite numbers, one for each "
                f"observation, got {'nothing' if found is None else f'shape {row.shape}'}"
            )
        return row
