"""Objectives of several returns: scalarised inside or outside the expectation, in order of priority; and comparators that
see more than returns do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rewardlab.functional import tabular
from rewardlab.rewards.formal.objectives.base import (
    Floats,
    Objective,
    check_discount,
    expected_return,
    expected_table,
    scalar,
)
from rewardlab.rewards.formal.objectives.law import return_law, sampled_law
from rewardlab.rewards.formal.objectives.sums import Markov

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess
    from rewardlab.rewards.base import Reward


@dataclass(frozen=True, eq=False)
class OuterMultiObjective(Objective):
    """A function of several expected returns, `f(E G_1, ..., E G_k)`; a weighted sum where only weights are given.

    Args:
        rewards: name -> table [S], [S, A] or [S, A, S].
        function: of a mapping name -> expected return, to a number; None for the weighted sum.
        weights: name -> weight, 1 where not given; only without a function.
        discount: in [0, 1); that of the process for None.
    """

    rewards: Mapping[str, Any]
    function: Callable[[Mapping[str, float]], float] | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    discount: float | None = None
    formalism: ClassVar[str] = "OMORL"

    def __post_init__(self) -> None:
        _check_named(self.rewards, self.weights, "weights")
        if self.function is not None and self.weights:
            raise ValueError("give a function or weights, not both; the function can weigh as it likes")
        if self.function is None:
            object.__setattr__(self, "formalism", "MR")

    def returns(self, mdp: MarkovDecisionProcess, policy: Floats) -> dict[str, float]:
        """Expected return of each reward."""
        return {name: expected_return(mdp, policy, table, self.discount) for name, table in self.rewards.items()}

    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> float:
        """The function of the expected returns."""
        returns = self.returns(mdp, policy)
        if self.function is None:
            return float(sum(self.weights.get(name, 1.0) * value for name, value in returns.items()))
        return scalar(self.function(returns), f"the expected returns {_show(returns)}", "the scalariser")

    def to_reward(self, mdp: MarkovDecisionProcess, **options: Any) -> Reward:
        """The weighted sum of the tables; a function outside the expectation is no reward of trajectories."""
        if self.function is not None:
            return super().to_reward(mdp)
        total = sum(self.weights.get(name, 1.0) * expected_table(mdp, table) for name, table in self.rewards.items())
        return Markov(total).to_reward(mdp, **options)


@dataclass(frozen=True, eq=False)
class InnerMultiObjective(Objective):
    """The expected utility of several returns of one trajectory, `E f(G_1, ..., G_k)`.

    Args:
        rewards: name -> table [S], [S, A] or [S, A, S].
        function: of a mapping name -> return, to a number.
        discount: in [0, 1]; that of the process for None.
        samples: estimate from so many trajectories; None computes the law exactly.
        seed: of the sampling.
    """

    rewards: Mapping[str, Any]
    function: Callable[[Mapping[str, float]], float]
    discount: float | None = None
    samples: int | None = None
    seed: int = 0
    formalism: ClassVar[str] = "IMORL"

    def __post_init__(self) -> None:
        _check_named(self.rewards, {}, "rewards")

    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> float:
        """Expected utility."""
        share = mdp.discount if self.discount is None else self.discount
        tables = list(self.rewards.values())
        if self.samples is None:
            law = return_law(mdp, policy, tables, share)
        else:
            law = sampled_law(mdp, policy, tables, share, samples=self.samples, seed=self.seed)
        total = 0.0
        for values, probability in zip(law.returns.tolist(), law.probabilities.tolist(), strict=True):
            named = dict(zip(self.rewards, values, strict=True))
            total += probability * scalar(self.function(named), f"the returns {_show(named)}", "the scalariser")
        return total

    def to_reward(self, mdp: MarkovDecisionProcess, **options: Any) -> Reward:
        """The scalariser of a trajectory's returns."""
        from rewardlab.rewards.formal.objectives.rewards import ScalarisedReward

        parts = {name: Markov(table).to_reward(mdp, **options) for name, table in self.rewards.items()}
        share = mdp.discount if self.discount is None else self.discount
        return ScalarisedReward(parts=parts, function=self.function, discount=share)


@dataclass(frozen=True, eq=False)
class Lexicographic(Objective):
    """Several expected returns in order of priority: a later one decides only between policies that tie in the earlier ones.

    Args:
        rewards: pairs of a name and a table [S], [S, A] or [S, A, S], the most important first.
        enough: name -> the return beyond which more of it does not count.
        slack: how much less of an earlier return counts as a tie.
        discount: in [0, 1); that of the process for None.

    Source: Gabor, Kalmar and Szepesvari 1998, "Multi-criteria Reinforcement Learning" (thresholds).
    """

    rewards: Sequence[tuple[str, Any]]
    enough: Mapping[str, float] = field(default_factory=dict)
    slack: float = 0.0
    discount: float | None = None
    formalism: ClassVar[str] = "GOMORL"

    def __post_init__(self) -> None:
        names = [name for name, _ in self.rewards]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"two priorities have the name {twice[0]!r}; each needs its own, so that thresholds are clear"
            )
        _check_named(dict(self.rewards), self.enough, "enough")
        if not self.slack >= 0:
            raise ValueError(f"slack must be at least 0, got {self.slack}")

    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> tuple[float, ...]:
        """The expected returns in order, each up to what is enough."""
        return tuple(
            min(expected_return(mdp, policy, table, self.discount), self.enough.get(name, np.inf))
            for name, table in self.rewards
        )

    def _compare_values(self, mdp: MarkovDecisionProcess, first: Any, second: Any, tolerance: float) -> int:
        for (_, table), left, right in zip(self.rewards, first, second, strict=True):
            size = float(np.abs(expected_table(mdp, table)).max()) / (1 - check_discount(mdp, self.discount))
            if abs(left - right) > max(self.slack, max(tolerance, 1e-7) * max(size, abs(left), abs(right))):
                return 1 if left > right else -1
        return 0

    def solve(self, mdp: MarkovDecisionProcess) -> Floats:
        """An optimal policy float64[S, A], by one linear programme for each priority."""
        from rewardlab.rewards.formal.objectives.programmes import OccupancyProgramme

        programme = OccupancyProgramme(mdp, check_discount(mdp, self.discount))
        floors: list[tuple[str, Floats, float]] = []
        visits = None
        for name, table in self.rewards:
            expected = expected_table(mdp, table)
            visits, best = programme.maximise(expected, floors=floors)
            size = float(np.abs(expected).max()) / (1 - programme.discount)
            floors.append(
                (name, expected, min(best, self.enough.get(name, np.inf)) - self.slack - 1e-9 * max(size, 1e-12))
            )
        assert visits is not None
        return programme.policy(visits)


@dataclass(frozen=True, eq=False)
class OccupancyFunction(Objective):
    """Any function of the discounted visits float64[S, A], such as their entropy or their distance to an expert's.

    Args:
        function: of the visits, to a number.
        discount: in [0, 1); that of the process for None.
    """

    function: Callable[[Floats], float]
    discount: float | None = None
    formalism: ClassVar[str] = "FOMR"

    def visits(self, mdp: MarkovDecisionProcess, policy: Floats) -> Floats:
        """Discounted visits of a policy."""
        share = check_discount(mdp, self.discount)
        return tabular.occupancy(mdp.transitions, mdp.policy_table(policy), mdp.initial, share)

    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> float:
        """The function of the visits."""
        return scalar(self.function(self.visits(mdp, policy)), "these visits", "the function of the occupancy")


@dataclass(frozen=True, eq=False)
class PolicyFunction(Objective):
    """Any function of the policy itself, states that it never reaches included.

    Args:
        function: of a policy float64[S, A], to a number.
    """

    function: Callable[[Floats], float]
    formalism: ClassVar[str] = "FPR"

    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> float:
        """The function of the policy."""
        return scalar(self.function(mdp.policy_table(policy)), "this policy", "the function of the policy")


def _check_named(rewards: Mapping[str, Any], options: Mapping[str, Any], what: str) -> None:
    if not rewards:
        raise ValueError("an objective of several returns needs at least one reward")
    for name in options:
        if name not in rewards:
            raise ValueError(f"{what} names {name!r}; the rewards are {', '.join(rewards)}")


def _show(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in values.items())
