"""The runs on the miniature arena: fixed weights over a grid, and the Lagrangian in its kinds, all side by side."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from rewardlab.recipes.reward_specification.arena import Arena, constraints
from rewardlab.training.multi_critic import MultiCritic, MultiCriticResult, Runs

GRID = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
LEVELS = (1, 2, 3)
SAMPLED = {1: 7, 2: 24, 3: 40}
"""How many weights of the grid are tried with one, two and three constraints, of 7, 49 and 343."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """All runs of one seed.

    Args:
        names: of the arm of each run, such as ("lagrangian", 2) or ("fixed", 3).
        result: of the learner.
    """

    names: list[tuple[str, int]]
    result: MultiCriticResult

    def rows(self, name: str, level: int) -> NDArray[np.bool_]:
        """bool[R], the runs of one arm."""
        return np.array([one == (name, level) for one in self.names])

    def acceptable(self, name: str, level: int) -> float:
        """Share of runs of an arm that succeed in nine of ten trajectories and keep every bound but for a small margin.

        The margin is .01, as in the first trials, but never more than half of the threshold.
        """
        runs = self.result.runs
        bounds = runs.signs < 0
        room = np.minimum(0.01, runs.thresholds / 2)
        kept = (self.result.mean_rates <= runs.thresholds + room) | ~runs.active
        good = kept[:, bounds].all(1) & (self.result.success >= 0.9)
        return float(good[self.rows(name, level)].mean())

    def shown_over(self, name: str, level: int) -> float:
        """Share of runs of an arm that are acceptable with no margin but a one-sided 95% bound."""
        return float(self.result.acceptable()[self.rows(name, level)].mean())


def study(seed: int, *, copies: int = 8, sampled: dict[int, int] | None = None, steps: int = 4000) -> Study:
    """Run part A.

    Args:
        seed: of everything random, the sample of the grid too.
        copies: runs of each kind of Lagrangian at each level.
        sampled: how many weights are tried at each level.
        steps: of each environment.
    """
    rules = constraints()
    thresholds = np.array([rule.threshold for rule in rules])
    draw = np.random.default_rng([seed, 10])
    names: list[tuple[str, int]] = []
    rows: list[tuple[list[bool], list[float], bool, bool, list[float]]] = []
    learned, loose = [float("nan")] * 5, [1.0, 1.0, 1.0, 0.0]
    for level in LEVELS:
        active = [place < level for place in range(3)]
        for name, normalise, bootstrap in (
            ("lagrangian", True, True),
            ("no bootstrap", True, False),
            ("unnormalised", False, True),
        ):
            names += [(name, level)] * copies
            rows += [([*active, True], learned, normalise, bootstrap, thresholds.tolist())] * copies
        grid = list(product(GRID, repeat=level))
        for place in draw.choice(len(grid), size=(sampled or SAMPLED)[level], replace=False):
            costs = [*grid[place], 0.0, 0.0][:3]
            names.append(("fixed", level))
            rows.append(([*active, False], [1.0, *(-cost for cost in costs), 0.0], True, False, thresholds.tolist()))
    for name, fixed in (("loose", learned), ("free", [1.0, 0.0, 0.0, 0.0, 0.0])):
        names += [(name, 0)] * copies
        rows += [([True] * 4, fixed, True, True, loose)] * copies
    active_rows, fixed_rows, normalised, bootstrapped, bounds = zip(*rows, strict=True)
    runs = Runs(
        thresholds=np.array(bounds),
        signs=np.array([rule.sign for rule in rules]),
        active=np.array(active_rows),
        fixed=np.array(fixed_rows),
        normalise=np.array(normalised),
        bootstrap=np.array(bootstrapped),
        success=3,
    )
    learner = MultiCritic(steps=steps)
    return Study(names=names, result=learner.learn(Arena(), runs, seed=seed))
