"""Reward design that follows the learner: every few episodes the reward from which it would gain the most right now.

The informativeness of a reward for a learner is how much one step of policy gradient on that reward improves what the
teacher values; with a horizon of one step that is linear in the reward, and the design is a small linear programme under the
same constraints as `explicable` (Devidze, Kamalaruban & Singla 2024, "Informativeness of Reward Functions in Reinforcement
Learning").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.functional.tabular import action_values, evaluate_policy, occupancy
from rewardlab.learning.design.designed import DesignedReward
from rewardlab.learning.design.designer import Designer, Episodes, Floats
from rewardlab.learning.design.programme import HORIZONS, Leaves, programme

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess


class AdaptiveDesigner(Designer):
    """A designer that is called with the learner's policy and returns the next reward; made by `adaptive`.

    Args:
        world: a finite world; its rewards are the original ones.
        target_policy: see `explicable`.
        structure: see `explicable`.
        maximum: bound on the size of an entry.
        every: episodes between two designs.
        exploring: share of random actions of the teacher, whose visits weigh the states.
        copies: learners that run side by side, each with a reward of its own.
        adds: add to the original reward, where by default the designed one replaces it.
    """

    arrays: ClassVar[tuple[str, ...]] = ("tables",)

    def __init__(
        self,
        world: MarkovDecisionProcess,
        target_policy: ArrayLike | Sequence[ArrayLike] | None = None,
        *,
        structure: Leaves | ArrayLike | Literal["state"] | None = None,
        maximum: float | None = None,
        every: int = 5,
        exploring: float = 0.3,
        copies: int = 1,
        adds: bool = False,
    ) -> None:
        if not 0.0 <= exploring <= 1.0:
            raise ValueError(f"exploring must lie in [0, 1], got {exploring}")
        if every < 1:
            raise ValueError(f"every must be at least 1 episode, got {every}")
        self.programme = programme(world, target_policy, structure=structure, horizons=HORIZONS[:1], maximum=maximum)
        self.world, self.every, self.copies, self.adds = world, every, copies, adds
        self._free = np.ones(self.programme.ties.shape[1], dtype=bool)
        teacher = self.programme.constraints.policies.mean(axis=0)
        values = evaluate_policy(world.transitions, world.rewards, teacher, world.discount)
        self._advantage = action_values(world.transitions, world.rewards, values, world.discount) - values[:, None]
        mixed = (1 - exploring) * teacher + exploring / teacher.shape[1]
        self._teacher_visits = self._visits(mixed)
        if self.programme.smallest_bound(self._free) is None or self._best(self._uniform()) is None:
            raise self.programme.infeasible(self._free, "this structure")
        self.tables: Floats = np.broadcast_to(world.rewards, (copies, *world.rewards.shape)).copy()
        self._rows = np.arange(copies)

    def objective(self, policy: ArrayLike) -> Floats:
        """What an entry of the reward is worth for a learner: float[state, action].

        Args:
            policy: float[state, action], the learner's.
        """
        learner = self._policy(policy)
        live = self.programme.constraints.live
        preferred = self._advantage - (learner * self._advantage).sum(axis=1, keepdims=True)
        visited = self._visits(learner)[:, None] * learner
        weight = self._teacher_visits[:, None] * visited * learner * preferred
        found: Floats = np.where(live[:, None], weight - learner * weight.sum(axis=1, keepdims=True), 0.0)
        return found

    def design(self, policy: ArrayLike) -> DesignedReward:
        """The reward for a learner as it is now.

        Args:
            policy: float[state, action].
        """
        table = self._best(self._policy(policy))
        assert table is not None  # the constraints do not depend on the policy, and were met before
        return self.programme.designed(table)

    def __call__(self, episode: int, policy: ArrayLike) -> DesignedReward | None:
        """The next reward when one is due after this many episodes, None otherwise."""
        return self.design(policy) if episode % self.every == 0 else None

    def shape(  # noqa: D102 - documented on Designer
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
        reward: Floats,
    ) -> Floats:
        designed = self.tables[self._rows, observation, action]
        return reward + designed if self.adds else designed

    def update(self, episodes: Episodes, policy: Floats | None = None) -> None:
        """Design anew for each copy.

        Raises:
            ValueError: there is no table of the policy, because the observations are not state numbers.
        """
        if policy is None:
            raise ValueError(
                "adaptive design needs the learner's policy as a table, float[copy, state, action]; with other observations "
                "give the environment state numbers (a discretising observation wrapper) or use policy_table"
            )
        for copy, own in enumerate(policy):
            found = self._best(own)
            assert found is not None
            self.tables[copy] = found

    def _best(self, policy: Floats) -> Floats | None:
        worth = self.objective(policy)
        return self.programme.best(worth / max(float(np.abs(worth).max()), 1e-300), self._free)

    def _visits(self, policy: Floats) -> Floats:
        """Share of time in each state that is not terminal."""
        world = self.world
        visits = occupancy(world.transitions, policy, world.initial, world.discount).sum(axis=1)
        visits = np.where(world.terminal, 0.0, visits)
        return np.asarray(visits / visits.sum())

    def _uniform(self) -> Floats:
        return np.full(self.world.rewards.shape, 1.0 / self.world.rewards.shape[1])

    def _policy(self, policy: ArrayLike) -> Floats:
        given = np.asarray(policy, dtype=np.float64)
        if given.shape != self.world.rewards.shape or not np.allclose(given.sum(axis=1), 1.0, atol=1e-6):
            states, actions = self.world.rewards.shape
            raise ValueError(
                f"the learner's policy must be float[{states}, {actions}] with rows that sum to 1, got {list(given.shape)}"
            )
        return given


def adaptive(
    world: MarkovDecisionProcess,
    target_policy: ArrayLike | Sequence[ArrayLike] | None = None,
    **options: Any,
) -> AdaptiveDesigner:
    """A designer for one world that follows its learner; for the options see `AdaptiveDesigner`.

    Call it as `designer(episode, policy)` in a loop of your own, which returns the next reward when one is due, or give it
    to `Run` or `DesignedEnvironment`.
    """
    return AdaptiveDesigner(world, target_policy, **options)


def invariant_only(
    world: MarkovDecisionProcess,
    target_policy: ArrayLike | Sequence[ArrayLike] | None = None,
    *,
    structure: Leaves | ArrayLike | Literal["state"] | None = None,
    maximum: float | None = None,
) -> DesignedReward:
    """A reward that meets the constraints and aims at nothing, the plainest of designs: the baseline of the adaptive one.

    Raises:
        Infeasible: nothing meets the constraints.
    """
    design = programme(world, target_policy, structure=structure, horizons=HORIZONS[:1], maximum=maximum)
    every = np.ones(design.ties.shape[1], dtype=bool)
    found = design.best(np.zeros(world.rewards.shape), every)
    if found is None:
        raise design.infeasible(every, "this structure")
    return design.designed(found)


def policy_table(
    policy: Callable[[NDArray[Any]], Any],
    observations: NDArray[Any],
    discretise: Callable[[NDArray[Any]], Any],
    *,
    states: int,
) -> Floats:
    """A policy over continuous observations as a table, by its mean over a sample of observations in each cell.

    Args:
        policy: observations [N, ...] -> float[N, action].
        observations: [N, ...], a sample of what the learner sees.
        discretise: observations [N, ...] -> int[N], the cell of each.
        states: number of cells; those without a sample get the uniform policy.

    Returns:
        float[state, action].
    """
    chances = np.asarray(policy(observations), dtype=np.float64)
    cells = np.asarray(discretise(observations))
    if cells.shape != (len(observations),) or cells.min() < 0 or cells.max() >= states:
        raise ValueError(
            f"discretise must give cells from 0 to {states - 1}, int[{len(observations)}], got {cells.shape}"
        )
    sums, counts = np.zeros((states, chances.shape[1])), np.zeros(states)
    np.add.at(sums, cells, chances)
    np.add.at(counts, cells, 1.0)
    table = np.full_like(sums, 1.0 / chances.shape[1])
    table[counts > 0] = sums[counts > 0] / counts[counts > 0, None]
    return np.asarray(table / table.sum(axis=1, keepdims=True))
