"""Linear programmes over discounted visits: constrained objectives solved exactly, or the limits named that cannot hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rewardlab.extras import require
from rewardlab.rewards.formal.objectives.base import (
    Floats,
    NotAReward,
    Objective,
    check_discount,
    expected_return,
    expected_table,
)

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess
    from rewardlab.rewards.base import Reward


class InfeasibleConstraints(ValueError):
    """No policy keeps every limit; the message names those that cannot hold."""


class OccupancyProgramme:
    """The set of discounted visits of all policies, as the constraints of a linear programme.

    Source: Puterman 1994, section 6.9; Altman 1999, "Constrained Markov Decision Processes", chapter 3.

    Args:
        mdp: the process.
        discount: in [0, 1).
    """

    def __init__(self, mdp: MarkovDecisionProcess, discount: float) -> None:
        self.mdp, self.discount = mdp, discount
        stay = np.repeat(np.eye(mdp.states), mdp.actions, axis=0)
        self.flow = (stay - discount * mdp.transitions.reshape(-1, mdp.states)).T

    def maximise(self, table: Floats, *, floors: Sequence[tuple[str, Floats, float]] = ()) -> tuple[Floats, float]:
        """Visits float64[S, A] of a best policy among those whose returns in `floors` reach their levels, and its return.

        Raises:
            InfeasibleConstraints: there is no such policy.
        """
        result = self.solve(table, floors)
        if result.status == 2:
            raise InfeasibleConstraints(self._why(floors))
        if result.status != 0:
            raise ArithmeticError(f"the linear programme did not finish: {result.message}")
        visits = np.maximum(result.x, 0.0).reshape(self.mdp.states, self.mdp.actions)
        return visits, float((visits * table).sum())

    def solve(self, table: Floats, floors: Sequence[tuple[str, Floats, float]] = ()) -> Any:
        """The solver's own result."""
        optimize = require("scipy.optimize", extra="control", why="a linear programme over policies")
        bounds: dict[str, Any] = {}
        if floors:
            bounds = {
                "A_ub": -np.stack([one.ravel() for _, one, _ in floors]),
                "b_ub": -np.array([level for _, _, level in floors]),
            }
        return optimize.linprog(
            -table.ravel(), A_eq=self.flow, b_eq=self.mdp.initial, bounds=(0, None), method="highs", **bounds
        )

    def policy(self, visits: Floats) -> Floats:
        """The policy that makes visits; even where it never comes."""
        total = visits.sum(-1, keepdims=True)
        even = np.full_like(visits, 1 / self.mdp.actions)
        seen = total > 1e-12
        return np.where(seen, visits / np.where(seen, total, 1.0), even)

    def _why(self, floors: Sequence[tuple[str, Floats, float]]) -> str:
        alone = []
        for name, table, level in floors:
            _, best = self.maximise(table)
            if best < level:
                alone.append(f"{name} can be brought to {best:.6g} at best")
        if alone:
            return "no policy keeps the limits: " + "; ".join(alone)
        kept = list(floors)
        for floor in list(kept):  # leave out what is not needed for the conflict
            rest = [one for one in kept if one is not floor]
            if rest and self.solve(np.zeros_like(floor[1]), rest).status == 2:
                kept = rest
        names = " and ".join(name for name, _, _ in kept)
        return f"no policy keeps {names} together, though each alone can be kept"


@dataclass(frozen=True)
class ConstrainedSolution:
    """The solution of a constrained objective.

    Args:
        policy: float64[S, A], in general a mixed one.
        value: expected return.
        costs: name -> expected cost.
        prices: name -> what the return would gain for each unit of a laxer limit (the multiplier), 0 where it does not bind.
        visits: float64[S, A].
    """

    policy: Floats
    value: float
    costs: Mapping[str, float]
    prices: Mapping[str, float]
    visits: Floats


@dataclass(frozen=True, eq=False)
class CMDP(Objective):
    """The highest expected return among policies whose expected costs keep their limits.

    As an order: a policy that keeps every limit is better than one that does not; the former are ordered by their return,
    the latter by how much they exceed the limits in all.

    Args:
        costs: name -> table [S], [S, A] or [S, A, S].
        limits: name -> the highest expected discounted cost.
        rewards: float[S], [S, A] or [S, A, S]; those of the process for None.
        discount: in [0, 1); that of the process for None.

    Source: Altman 1999, "Constrained Markov Decision Processes".
    """

    costs: Mapping[str, Any]
    limits: Mapping[str, float]
    rewards: Any = None
    discount: float | None = None
    formalism: ClassVar[str] = "GOMORL"

    def __post_init__(self) -> None:
        if set(self.costs) != set(self.limits) or not self.costs:
            raise ValueError(
                f"every cost needs a limit and every limit a cost, got costs {', '.join(self.costs) or 'none'} and limits "
                f"{', '.join(self.limits) or 'none'}"
            )
        for name, limit in self.limits.items():
            if not np.isfinite(limit):
                raise ValueError(f"the limit of {name} must be finite, got {limit}")

    def evaluate(self, mdp: MarkovDecisionProcess, policy: Floats) -> tuple[float, float]:
        """Minus the sum by which limits are exceeded, and then the return (0 where a limit is exceeded)."""
        spent = {name: expected_return(mdp, policy, table, self.discount) for name, table in self.costs.items()}
        excess = 0.0
        for name, cost in spent.items():
            size = float(np.abs(expected_table(mdp, self.costs[name])).max()) / (1 - check_discount(mdp, self.discount))
            over = cost - self.limits[name]
            excess += over if over > 1e-7 * max(size, 1e-12) else 0.0
        return (-excess, 0.0) if excess else (0.0, expected_return(mdp, policy, self.rewards, self.discount))

    def solve(self, mdp: MarkovDecisionProcess) -> ConstrainedSolution:
        """An optimal policy, by one linear programme over visits.

        Raises:
            InfeasibleConstraints: no policy keeps the limits; those that cannot hold are named.
        """
        programme = OccupancyProgramme(mdp, check_discount(mdp, self.discount))
        tables = {name: expected_table(mdp, table, f"cost {name!r}") for name, table in self.costs.items()}
        floors = [(f"-{name}", -tables[name], -self.limits[name]) for name in tables]
        table = expected_table(mdp, self.rewards)
        result = programme.solve(table, floors)
        if result.status == 2:
            raise InfeasibleConstraints(self._why(programme, tables))
        visits, value = programme.maximise(table, floors=floors)
        prices = {name: max(0.0, float(-price)) for name, price in zip(tables, result.ineqlin.marginals, strict=True)}
        costs = {name: float((visits * one).sum()) for name, one in tables.items()}
        return ConstrainedSolution(programme.policy(visits), value, costs, prices, visits)

    def to_reward(self, mdp: MarkovDecisionProcess, **options: Any) -> Reward:
        """Refused: what a cost weighs follows from the whole policy."""
        raise NotAReward(
            "a constrained objective is no reward of trajectories; solve(mdp) gives the exact policy of a finite process "
            "and the price of each limit, and a learner needs a Lagrangian whose multipliers are learned"
        )

    def _why(self, programme: OccupancyProgramme, tables: Mapping[str, Floats]) -> str:
        alone = []
        for name, table in tables.items():
            least = 0.0 - programme.maximise(-table)[1]
            if least > self.limits[name]:
                alone.append(
                    f"{name} is at most {self.limits[name]:g}, and the least that any policy can reach is {least:.6g}"
                )
        if alone:
            return "no policy keeps the limits: " + "; ".join(alone)
        kept = list(tables)
        for name in list(kept):
            rest = [one for one in kept if one != name]
            if rest:
                floors = [(one, -tables[one], -self.limits[one]) for one in rest]
                if programme.solve(np.zeros_like(tables[name]), floors).status == 2:
                    kept = rest
        return f"no policy keeps the limits of {' and '.join(kept)} together, though each alone can be kept"
