"""Which direction to ask for next: those that were tried and never reached are asked for less often."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class GoalSampler:
    """A table over goals. Those never tried, and those reached at least once, weigh 1; those tried in vain weigh less.

    Source: Roy et al. 2023 (arXiv 2306.04620), appendix on the tabular goal sampler.

    Args:
        goals: [G, ...], such as `rewardlab.functional.focus_region.positive_directions` gives.
        in_vain: weight of a goal that was tried and never reached.
    """

    def __init__(self, goals: NDArray[Any], *, in_vain: float = 0.1) -> None:
        if not len(goals):
            raise ValueError("there are no goals to sample from")
        if not 0.0 < in_vain <= 1.0:
            raise ValueError(f"in_vain must be in (0, 1], got {in_vain}; with 0 a goal would never be tried again")
        self.goals, self.in_vain = np.asarray(goals), in_vain
        self.tried, self.reached = np.zeros(len(goals), dtype=np.int64), np.zeros(len(goals), dtype=np.int64)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """float64[G]."""
        weights = np.where((self.tried > 0) & (self.reached == 0), self.in_vain, 1.0)
        return np.asarray(weights / weights.sum())

    def sample(self, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Numbers of `count` goals, int[count]."""
        return np.asarray(generator.choice(len(self.goals), size=count, p=self.probabilities))

    def observe(self, chosen: NDArray[np.int64], reached: NDArray[np.bool_]) -> None:
        """Take note of which goals were tried, int[N], and whether each was reached, bool[N]."""
        np.add.at(self.tried, chosen, 1)
        np.add.at(self.reached, chosen, np.asarray(reached, dtype=np.int64))

    def state_dict(self) -> dict[str, list[int]]:
        """Counts as plain values."""
        return {"tried": self.tried.tolist(), "reached": self.reached.tolist()}

    def load_state_dict(self, state: dict[str, list[int]]) -> None:
        """Take back what `state_dict` gave.

        Raises:
            ValueError: it is that of another number of goals.
        """
        if len(state["tried"]) != len(self.goals):
            raise ValueError(f"the state is that of {len(state['tried'])} goals, and there are {len(self.goals)}")
        self.tried, self.reached = np.array(state["tried"]), np.array(state["reached"])
