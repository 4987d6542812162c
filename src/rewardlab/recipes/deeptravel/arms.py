"""The arms of DeepTravel's proof: one stage, the other, or both in a cascade; with replay of failures or without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from rewardlab.environments.travel_desk import TravelDesk
from rewardlab.policies.engines.base import Sampling
from rewardlab.recipes.deeptravel.clerk import Clerk, trips
from rewardlab.recipes.deeptravel.learning import ClerkGRPO, imitate
from rewardlab.recipes.deeptravel.measure import Measured, measure
from rewardlab.rewards.algebra import cascade
from rewardlab.rewards.base import Reward
from rewardlab.rewards.verifiers.itinerary import Grounded, ItineraryFeasible
from rewardlab.training.loop import StepReport, train
from rewardlab.training.replay import FailureReplay
from rewardlab.types import Task


def hierarchical_reward(
    trajectory_check: Reward | None = None, turn_check: Reward | None = None, *, dense: bool = False
) -> Reward:
    """The paper's reward: a trip that is not feasible scores 0 and nobody looks at its turns; else all turns must pass.

    Args:
        trajectory_check: the first stage; `ItineraryFeasible()` when not given.
        turn_check: the second, asked only about what passed the first; `Grounded()` when not given. A judge goes here.
        dense: score the share of turns that pass, instead of all or nothing (not the paper's).
    """
    first = ItineraryFeasible() if trajectory_check is None else trajectory_check
    second = Grounded(combine="mean" if dense else "all") if turn_check is None else turn_check
    return cascade(first, second)


REWARDS: dict[str, Callable[[], Reward]] = {
    "hierarchical": hierarchical_reward,
    "trajectory": ItineraryFeasible,
    "turn": Grounded,
    "dense": partial(hierarchical_reward, dense=True),
}
"""The rewards that are compared."""

MIXED, RARE, EVEN = (0.6, 0.3, 0.1), (0.8, 0.15, 0.05), (1.0, 1.0, 1.0)
"""How often trips of one, two and three days are trained on."""


@dataclass(kw_only=True)
class Arms:
    """The arms of one seed; all start from the same clerk.

    Args:
        seed: of everything.
        demonstrations: how many the starting clerk has seen.
        noise: chance, for each kind of name, that a demonstration makes it up.
        steps: supervised steps.
        learning_rate: of GRPO.
        shared: whether the clerk's habits are shared between trips of all lengths; see `Features`.
        held_out: trips that arms are measured on, one third of each length.
    """

    seed: int
    demonstrations: int = 600
    noise: float = 0.4
    steps: int = 60
    learning_rate: float = 0.03
    shared: bool = True
    held_out: int = 300
    start: Clerk = field(init=False)

    def __post_init__(self) -> None:
        desk = TravelDesk(noise=self.noise)
        shown = desk.demonstrations(desk.tasks("train", self.demonstrations, 1_000_000 + self.seed))
        self.start = Clerk.new(shared=self.shared)
        imitate(self.start, shown, TravelDesk, steps=self.steps, seed=self.seed)
        by_length = [TravelDesk(days=[length]).tasks("test", self.held_out // 3, self.seed) for length in (1, 2, 3)]
        self.test_tasks = [task for tasks in by_length for task in tasks]

    def untrained(self) -> Measured:
        """The starting clerk."""
        return self.measure(self.start)

    def train(
        self,
        reward: str = "hierarchical",
        *,
        updates: int,
        shares: tuple[float, ...] = MIXED,
        replay: dict[str, Any] | None = None,
        impossible: float = 0.0,
    ) -> Measured:
        """GRPO: 8 trips x 8 attempts, each batch used twice.

        Args:
            reward: a name in `REWARDS`.
            updates: how many batches.
            shares: how often each length is trained on.
            replay: options of `FailureReplay`; None for no replay.
            impossible: share of the training trips that cannot be met.
        """
        clerk = self.start.copy()
        tasks = self._tasks(shares, 8 * updates, impossible)
        curriculum: Any = "shuffled"
        if replay is not None:
            curriculum = FailureReplay(tasks=tasks, count=8, seed=self.seed, **replay)
        asked: list[float] = []
        result = train(
            clerk,
            TravelDesk,
            REWARDS[reward](),
            tasks,
            objective=ClerkGRPO(learning_rate=self.learning_rate),
            curriculum=curriculum,
            steps=updates,
            tasks_per_step=8,
            group_size=8,
            seed=self.seed,
            rollout=trips,
            trackers=(),
            callbacks=[partial(_asked, asked)] if reward == "hierarchical" else (),
        )
        return replace(
            self.measure(clerk),
            idle=float(np.mean([row["groups/zero_variance"] for row in result.metrics])),
            asked=float(np.mean(asked)) if asked else float("nan"),
            replay=curriculum.report() if isinstance(curriculum, FailureReplay) else None,
        )

    def measure(self, clerk: Clerk, *, temperature: float = 1.0) -> Measured:
        """One attempt at each held-out trip."""
        return measure(
            trips(clerk, TravelDesk, self.test_tasks, seed=self.seed, sampling=Sampling(temperature=temperature))
        )

    def _tasks(self, shares: tuple[float, ...], count: int, impossible: float) -> list[Task]:
        return TravelDesk(shares=shares, impossible=impossible).tasks("train", count, self.seed)


def _asked(shares: list[float], report: StepReport) -> None:
    """Note which share of the batch the second stage was asked about."""
    second = list(report.scores.parts.values())[-1]
    shares.append(1.0 - float(second.abstained.mean()))
