"""What an objective is: it orders the stationary policies of a finite process; most do so by a number.

An objective is more than a reward. Every reward states an objective, and the reverse fails: a limit average, a constraint or
an order of priorities is not the expected sum of any reward of transitions. `to_reward` gives the reward where there is one,
and says why where there is none.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional import tabular

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess
    from rewardlab.rewards.base import Reward

Floats = NDArray[np.float64]


class NotAReward(TypeError):
    """The objective is no reward of transitions or trajectories; the message says why, and what to use instead."""


class Objective(ABC):
    """An order over the stationary policies of a finite process."""

    formalism: ClassVar[str]
    """The least of the seventeen formalisms that states it; see `rewardlab.rewards.formal.expressivity`."""

    @abstractmethod
    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> Any:
        """How good a policy float64[S, A] (or an action for each state) is: a number, or a tuple compared in order."""

    def compare(self, mdp: MarkovDecisionProcess, first: Floats, second: Floats, *, tolerance: float = 1e-9) -> int:
        """1 where the first policy is better, -1 where the second is, 0 where they tie.

        Args:
            mdp: the process.
            first: float64[S, A].
            second: float64[S, A].
            tolerance: share of the scale of the objective's values up to which they tie.
        """
        return self._compare_values(mdp, self.evaluate(mdp, first), self.evaluate(mdp, second), tolerance)

    def order(
        self, mdp: MarkovDecisionProcess, policies: Sequence[Floats], *, tolerance: float = 1e-9
    ) -> list[list[int]]:
        """Policies by number in tiers, from worst to best; those of one tier tie."""
        values = [self.evaluate(mdp, policy) for policy in policies]

        def weigh(one: int, other: int) -> int:
            return self._compare_values(mdp, values[one], values[other], tolerance)

        by_value = functools.cmp_to_key(weigh)
        tiers: list[list[int]] = []
        for index in sorted(range(len(policies)), key=by_value):
            if tiers and self._compare_values(mdp, values[tiers[-1][0]], values[index], tolerance) == 0:
                tiers[-1].append(index)
            else:
                tiers.append([index])
        return tiers

    def to_reward(self, mdp: MarkovDecisionProcess, **options: Any) -> Reward:
        """The reward of trajectories whose expectation orders policies as this objective does.

        Raises:
            NotAReward: there is none.
        """
        raise NotAReward(f"{type(self).__name__} orders policies, and no reward of single trajectories does the same")

    def scale(self, mdp: MarkovDecisionProcess) -> float:
        """Magnitude of the values, to which tolerances are relative; 0 for the larger of the two compared."""
        return 0.0

    def _compare_values(self, mdp: MarkovDecisionProcess, first: Any, second: Any, tolerance: float) -> int:
        scale = self.scale(mdp)
        for left, right in zip(np.atleast_1d(first), np.atleast_1d(second), strict=True):
            if abs(left - right) > tolerance * max(scale, abs(left), abs(right)):
                return 1 if left > right else -1
        return 0


def reward_table(mdp: MarkovDecisionProcess, rewards: Any, what: str = "rewards") -> Floats:
    """Rewards of the next state too: float64[S, A, S]; those of the process for None.

    Raises:
        ValueError: another shape, or a number that is not finite.
    """
    table = np.asarray(mdp.rewards if rewards is None else rewards, dtype=np.float64)
    if table.shape == (mdp.states,):
        table = np.broadcast_to(table[:, None], (mdp.states, mdp.actions))
    if table.shape == (mdp.states, mdp.actions):
        table = np.broadcast_to(table[:, :, None], mdp.transitions.shape)
    if table.shape != mdp.transitions.shape:
        raise ValueError(
            f"{what} must be [{mdp.states}], [{mdp.states}, {mdp.actions}] or [{mdp.states}, {mdp.actions}, {mdp.states}], "
            f"got shape {np.shape(mdp.rewards if rewards is None else rewards)}"
        )
    if not np.isfinite(table).all():
        raise ValueError(
            f"{what} hold {table[~np.isfinite(table)][0]} at {np.argwhere(~np.isfinite(table))[0].tolist()}"
        )
    leaks = (table != 0).any((1, 2)) & mdp.terminal
    if leaks.any():
        raise ValueError(
            f"{what} pay in state {int(np.flatnonzero(leaks)[0])}, which is terminal, and so for ever; set them to 0 there, "
            "as in table * ~mdp.terminal[:, None], or leave the state out of terminal"
        )
    return table


def expected_table(mdp: MarkovDecisionProcess, rewards: Any, what: str = "rewards") -> Floats:
    """Rewards in expectation over the next state: float64[S, A]."""
    return (reward_table(mdp, rewards, what) * mdp.transitions).sum(-1)


def check_discount(mdp: MarkovDecisionProcess, discount: float | None) -> float:
    """The objective's own discount, or that of the process for None; in [0, 1)."""
    share = mdp.discount if discount is None else discount
    if not 0.0 <= share < 1.0:
        raise ValueError(f"discount must be in [0, 1), got {share}; without a discount use Episodic or LimitAverage")
    return share


def expected_return(mdp: MarkovDecisionProcess, policy: Floats, rewards: Any, discount: float | None) -> float:
    """Expected discounted return of a policy."""
    share = check_discount(mdp, discount)
    visits = tabular.occupancy(mdp.transitions, mdp.policy_table(policy), mdp.initial, share)
    return float((visits * expected_table(mdp, rewards)).sum())


def magnitude(mdp: MarkovDecisionProcess, rewards: Any, discount: float | None) -> float:
    """The largest return that rewards of this size could give."""
    return float(np.abs(expected_table(mdp, rewards)).max()) / (1.0 - check_discount(mdp, discount))


def scalar(value: Any, at: Any, what: str) -> float:
    """The number that a user's function gave, checked.

    Raises:
        ValueError: it is not a finite number; the message names where it was asked.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(f"{what} returned {value!s:.60} at {at}; it must be defined, and finite, there")
    return number
