"""The arms of the comparison: a square world with a hint that misleads, and with one that helps, all learners at once.

Every arm sees as many episodes and makes as many updates of the policy; what sets them apart is whether the blend may move,
and from where it begins.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rewardlab.environments.tabular import MarkovDecisionProcess
from rewardlab.environments.tabular_worlds import centre_box, grid_cells, open_grid
from rewardlab.learning.alignment import (
    AlignmentOptions,
    Bilevel,
    Blend,
    CategoricalPolicy,
    Reading,
    TableEpisodes,
)

OPTIONS = AlignmentOptions(
    episodes=2000,
    every=12,
    inner_steps=60,
    outer_batch=45,
    policy_rate=2e-3,
    reward_rate=0.05,
    buffer=300,
    wait_for_signal=True,
)
"""Chosen on seeds from 100 on; every arm has the same."""

ARMS = {
    "aligned": ("misleading", 1.0, True),
    "frozen": ("misleading", 1.0, False),
    "without": ("misleading", 0.0, False),
    "aligned_helpful": ("helpful", 1.0, True),
    "frozen_helpful": ("helpful", 1.0, False),
}
"""Arm -> which hint it is given, the hint's weight at the start, and whether the blend learns."""


def misleading_hint(world: MarkovDecisionProcess, size: int = 8, worth: float = 50.0) -> NDArray[np.float64]:
    """Pays for every step into the four cells in the middle: float64[S, A], expected over where a step leads."""
    return _on_arrival(world, worth * centre_box(size).astype(np.float64))


def helpful_hint(world: MarkovDecisionProcess, size: int = 8, worth: float = 4.0) -> NDArray[np.float64]:
    """Costs the squared distance to the goal, at most `worth`: float64[S, A]."""
    cells = grid_cells(["." * size] * size)
    distance = np.square(cells - (size - 1)).sum(1)
    return _on_arrival(world, -worth * distance / distance.max())


def _on_arrival(world: MarkovDecisionProcess, values: NDArray[np.float64]) -> NDArray[np.float64]:
    hint = world.transitions @ values
    hint[world.terminal] = 0.0  # nothing is paid after the end
    return np.asarray(hint)


@dataclass(frozen=True, kw_only=True)
class GridArms:
    """The arms on one seed.

    Args:
        seed: of everything random.
        copies: independent learners of each arm.
        size: cells along a side.
        horizon: longest episode.
        options: of all learners.
    """

    seed: int
    copies: int = 4
    size: int = 8
    horizon: int = 50
    options: AlignmentOptions = field(default_factory=lambda: OPTIONS)

    def run(self) -> dict[str, NDArray[np.float64]]:
        """Mean primary return of the last tenth of the episodes, float64[copy] for each arm.

        Also `naive_misleading` and `naive_helpful` (REINFORCE on the sum of both rewards, on fresh episodes alone), and
        `weight`, the hint's mean weight in the middle that the aligned learners ended with.
        """
        world = open_grid(self.size)
        hints = {"misleading": misleading_hint(world, self.size), "helpful": helpful_hint(world, self.size)}
        names = list(ARMS)
        rows = [ARMS[name] for name in names for _ in range(self.copies)]
        run = self._learner(
            world,
            np.stack([hints[hint] for hint, _, _ in rows]),
            np.array([start for _, start, _ in rows]),
            np.array([learns for _, _, learns in rows]),
            self.options,
        )
        run.run()
        results = dict(zip(names, self._last(run).reshape(len(names), self.copies), strict=True))
        middle = torch.from_numpy(centre_box(self.size))
        weights = run.blend.reading.table.detach()[: self.copies, middle, 2]
        results["weight"] = weights.mean(1).double().numpy()
        naive = self._learner(
            world,
            np.repeat(np.stack([hints["misleading"], hints["helpful"]]), self.copies, axis=0),
            np.ones(2 * self.copies),
            np.zeros(2 * self.copies, dtype=bool),
            # all episodes are warm-up: one update on each fresh batch and no replay, at the rate that suits that best
            replace(self.options, warm_up=self.options.episodes, warm_up_steps=0, policy_rate=NAIVE_RATE),
        )
        naive.run()
        results["naive_misleading"], results["naive_helpful"] = self._last(naive).reshape(2, self.copies)
        return results

    def _learner(
        self,
        world: MarkovDecisionProcess,
        hints: NDArray[np.float64],
        starts: NDArray[np.float64],
        learns: NDArray[np.bool_],
        options: AlignmentOptions,
    ) -> Bilevel:
        copies = len(starts)
        source = TableEpisodes(world, hints[:, None], copies=copies, horizon=self.horizon, seed=self.seed)
        policy = CategoricalPolicy(
            Reading("table", world.states, world.actions, copies=copies, start=torch.zeros(world.actions))
        )
        begin = torch.tensor(np.stack([np.zeros(copies), np.ones(copies), starts], axis=1))
        blend = Blend(Reading("table", world.states, 3, copies=copies, start=begin), options.primary_discount)
        return Bilevel(source, policy, blend, replace(options, seed=self.seed), learns=learns)

    def _last(self, run: Bilevel) -> NDArray[np.float64]:
        returns: Any = np.stack([line["primary_return"] for line in run.history])
        return np.asarray(returns[-max(1, len(returns) // 10) :].mean(0))


NAIVE_RATE = 0.05
"""Step size of plain REINFORCE, which makes one update where the others make fifteen; tuned on seeds from 100 on."""
