"""What designed rewards are compared with, behind the same interface: fixed tables, potentials, SORS and LIRPG.

Count bonuses, SelfRS and the original reward are `ExploRS` with one or both of its parts left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.learning.design.designer import Designer, Episodes, Floats, check_discount, discounted_sums, scatter

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess


class FixedDesign(Designer):
    """Rewards that never change: a table of states and actions for all copies, or one for each.

    Args:
        table: float[state, action] or float[copy, state, action].
        copies: how many learners there are.
        adds: add to the original reward, where by default the table replaces it.
    """

    every = 0
    arrays: ClassVar[tuple[str, ...]] = ("table",)

    def __init__(self, table: ArrayLike, copies: int = 1, *, adds: bool = False) -> None:
        given = np.asarray(table, dtype=np.float64)
        if given.ndim not in (2, 3) or not np.isfinite(given).all():
            raise ValueError(f"a table must be finite and float[state, action], got the shape {list(given.shape)}")
        self.table: Floats = np.broadcast_to(given, (copies, *given.shape[-2:]))
        self.copies, self.adds = copies, adds
        self._rows = np.arange(copies)

    def shape(  # noqa: D102 - documented on Designer
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
        reward: Floats,
    ) -> Floats:
        designed = self.table[self._rows, observation, action]
        return reward + designed if self.adds else designed


class PotentialDesign(Designer):
    """Potential-based shaping, by default with the optimal values, which no designer can know more than.

    Args:
        world: gives discount, terminal states and optimal values.
        copies: how many learners there are.
        potential: float[state]; the optimal values of the original reward when not given. Zero in terminal states.
    """

    every = 0
    arrays: ClassVar[tuple[str, ...]] = ("potential",)

    def __init__(self, world: MarkovDecisionProcess, copies: int = 1, potential: ArrayLike | None = None) -> None:
        from rewardlab.functional.tabular import value_iteration

        if potential is None:
            potential = value_iteration(world.transitions, world.rewards, world.discount)[0]
        values = np.asarray(potential, dtype=np.float64)
        if values.shape != world.terminal.shape:
            raise ValueError(f"the potential must be float[{len(world.terminal)}], got the shape {list(values.shape)}")
        self.potential: Floats = np.where(world.terminal, 0.0, values)
        self.discount, self.copies = world.discount, copies

    def shape(  # noqa: D102
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
        reward: Floats,
    ) -> Floats:
        return reward + self.discount * self.potential[next_observation] - self.potential[observation]


class _LearnedTable(Designer):
    """The original reward plus a learned table."""

    arrays: ClassVar[tuple[str, ...]] = ("designed",)

    def __init__(
        self, *, states: int, actions: int, copies: int = 1, discount: float = 0.99, rate: float = 0.01, every: int = 5
    ) -> None:
        check_discount(discount)
        self.states, self.actions, self.copies, self.every = states, actions, copies, every
        self.discount, self.rate = discount, rate
        self.designed: Floats = np.zeros((copies, states, actions))
        self._rows = np.arange(copies)

    def shape(
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
        reward: Floats,
    ) -> Floats:
        return reward + self.designed[self._rows, observation, action]


class SORS(_LearnedTable):
    """A table that ranks whole episodes as their original returns do (Memarian et al. 2021), added to the original reward.

    Args:
        states: number of states.
        actions: number of actions.
        copies: independent designers.
        discount: of the returns.
        rate: step size.
        every: episodes between updates.
        pairs: comparisons drawn for one update.
        seed: of the draws.
    """

    def __init__(self, *, pairs: int = 10, seed: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.pairs = pairs
        self._generator = np.random.default_rng(seed)

    def update(self, episodes: Episodes, policy: Floats | None = None) -> None:
        """A logistic step on pairs of episodes with different original returns; none where all are equal."""
        truth = episodes.returns(self.discount)[:, 0]  # [episode, copy]
        worth = self.designed[self._rows, episodes.observations, episodes.actions] * episodes.present
        judged = discounted_sums(worth, self.discount)[:, 0]
        share = np.zeros_like(truth)
        for copy in range(self.copies):
            better, worse = np.nonzero(truth[:, None, copy] > truth[None, :, copy])
            if not better.size:
                continue
            drawn = self._generator.integers(better.size, size=min(self.pairs, better.size))
            margin = judged[better[drawn], copy] - judged[worse[drawn], copy]
            weight = 1.0 / (1.0 + np.exp(np.clip(margin, -50, 50))) / len(drawn)
            np.add.at(share[:, copy], better[drawn], weight)
            np.add.at(share[:, copy], worse[drawn], -weight)
        fading = self.discount ** np.arange(episodes.actions.shape[1], dtype=np.float64)
        amount = share[:, None] * fading[:, None] * episodes.present
        step = scatter(self.copies, self.states, self.actions, (episodes.observations, episodes.actions), amount)
        self.designed = self.designed + self.rate * step


class LIRPG(_LearnedTable):
    """Intrinsic rewards by the meta-gradient of one policy-gradient step (Zheng, Oh & Singh 2018), for softmax tables.

    The gradient of the original return with respect to the policy is taken from the same window as the step, averaged over
    its steps.

    Args:
        states: number of states.
        actions: number of actions.
        copies: independent designers.
        discount: of the returns.
        rate: step size.
        every: episodes between updates.
    """

    def update(self, episodes: Episodes, policy: Floats | None = None) -> None:
        """Move rewards towards those whose policy step would have raised the original return."""
        present = episodes.present
        gained = np.where(present, episodes.returns(self.discount), 0.0)
        shape, index = (self.copies, self.states, self.actions), (episodes.observations, episodes.actions)
        outer = scatter(*shape, index, gained)
        for action in range(self.actions):
            spread = gained * episodes.probabilities[..., action]
            outer -= scatter(*shape, (episodes.observations, np.full_like(episodes.actions, action)), spread)
        outer /= np.maximum(present.sum(axis=(0, 1)), 1)[:, None, None]
        ahead = outer[self._rows, episodes.observations]  # how much the return gains by each action's logit
        chosen = np.take_along_axis(ahead, episodes.actions[..., None], -1)[..., 0]
        use = np.where(present, chosen - (episodes.probabilities * ahead).sum(-1), 0.0)
        # a reward at step k moves the logits of all steps t <= k, discounted by their distance
        credited = np.flip(discounted_sums(np.flip(use, 1), self.discount), 1) * present
        self.designed = self.designed + self.rate * scatter(*shape, index, credited)
