"""Explicable reward design: the most informative reward of few entries that leaves the optimal policies as they are.

A linear programme over the entries of a table (Devidze, Radanovic, Kamalaruban & Singla 2021): the constraints of
`Invariance`, a bound, and few free entries, either a budget of states that a greedy search picks or the leaves of a tree.
Informative means that the optimal action is better by its whole gap within short horizons already, so that a learner need
not wait for the goal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.extras import require
from rewardlab.learning.design.designed import DesignedReward
from rewardlab.learning.design.invariance import Invariance, invariance, within

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess

Floats = NDArray[np.float64]
HORIZONS = (1, 4, 8, 16, 32)


class Infeasible(ValueError):
    """No reward of this structure and bound keeps the optimal policies.

    Args:
        message: what was asked, and what would do.
        smallest: the smallest bound that is feasible; None where no bound is.
    """

    def __init__(self, message: str, smallest: float | None) -> None:
        super().__init__(message)
        self.smallest = smallest


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaves:
    """The leaves of a tree of yes-or-no questions about states; all states of a leaf share one reward for each action.

    Args:
        of_state: int[state], the leaf of each state.
        names: what each leaf stands for.
    """

    of_state: NDArray[np.int64]
    names: tuple[str, ...]

    @classmethod
    def from_predicates(cls, predicates: Mapping[str, ArrayLike]) -> Leaves:
        """One leaf for each combination of answers that some state gives.

        Args:
            predicates: the question -> bool[state].
        """
        if not predicates:
            raise ValueError("a tree needs at least one predicate, such as {'has key': bool[state]}")
        answers = np.stack([np.asarray(answer, dtype=bool) for answer in predicates.values()], axis=1)
        found, of_state = np.unique(answers, axis=0, return_inverse=True)
        names = tuple(
            " and ".join(name if yes else f"not {name}" for name, yes in zip(predicates, row, strict=True))
            for row in found
        )
        return cls(of_state=of_state.reshape(-1).astype(np.int64), names=names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """The constraints and the objective of one world, for any set of free entries.

    Args:
        world: the world.
        constraints: what must stay.
        maximum: bound on the size of every entry.
        ties: float[state * action, variable], which entries each variable sets.
        horizons: numbers of steps within which an action should look better; 1 is the reward itself.
        penalty: weight of the sum of absolute entries, subtracted from the informativeness.
    """

    world: MarkovDecisionProcess
    constraints: Invariance
    maximum: float
    ties: Floats
    horizons: tuple[int, ...]
    penalty: float
    short: Floats
    """float[horizon, pair, state * action], advantage within each horizon of the target over each action that is not
    optimal."""
    pairs: NDArray[np.int64]
    """int[pair, 2], those states and actions."""

    def informativeness(self, table: ArrayLike) -> float:
        """`-mean_h mean_s max_a [gap(s) - advantage_h(s, a)]_+`; 0 is the most that there can be."""
        missing = self.constraints.gaps[self.pairs[:, 0]] - self.short @ np.asarray(table, dtype=np.float64).ravel()
        worst = np.zeros((len(self.horizons), len(self.constraints.gaps)))
        for row, entries in zip(worst, missing, strict=True):
            np.maximum.at(row, self.pairs[:, 0], entries)
        return float(-worst.mean())

    def solve(self, free: NDArray[np.bool_]) -> tuple[float, Floats] | None:
        """The best table with these variables free and all others zero; None where there is none.

        Args:
            free: bool[variable].

        Returns:
            Its objective, and float[state, action].
        """
        ties = self.ties[:, free]
        states = np.unique(self.pairs[:, 0])
        row_of = np.full(len(self.constraints.gaps), -1)
        row_of[states] = np.arange(len(states))
        count, horizons, variables = len(states), len(self.horizons), ties.shape[1]
        hinges = horizons * count
        invariant, bounds = self._invariant(ties)
        # gap - advantage <= hinge, one for each horizon and action that is not optimal
        local = np.concatenate([-(short @ ties) for short in self.short]) if hinges else np.zeros((0, variables))
        which = np.concatenate([row_of[self.pairs[:, 0]] + count * number for number in range(horizons)])
        hinge = np.zeros((len(local), hinges))
        hinge[np.arange(len(local)), which] = -1.0
        right = np.tile(-self.constraints.gaps[self.pairs[:, 0]], horizons)
        moves = np.abs(local).max(axis=1) > 1e-12 if variables else np.zeros(len(local), dtype=bool)
        rows, low = local[moves], np.zeros(hinges)
        # where no variable moves the advantage, the hinge is a constant
        np.maximum.at(low, which[~moves], -right[~moves])
        cost = np.r_[np.zeros(variables), np.full(hinges, 1.0 / (horizons * len(self.constraints.gaps)))]
        left = np.block([[-invariant, np.zeros((len(bounds), hinges))], [rows, hinge[moves]]])
        limit = np.r_[-bounds, right[moves]]
        spans: list[tuple[float | None, float | None]] = [(-self.maximum, self.maximum)] * variables
        spans = spans + [(value, None) for value in low]
        if self.penalty:
            share = np.abs(ties).sum(axis=0)
            cost = np.r_[cost, self.penalty * share]
            size = np.eye(variables)
            gap = np.zeros((variables, hinges))
            left = np.block([[left, np.zeros((len(left), variables))], [size, gap, -size], [-size, gap, -size]])
            limit = np.r_[limit, np.zeros(2 * variables)]
            spans = spans + [(0.0, None)] * variables
        solution = linear_programme(cost, left, limit, spans)
        if solution is None:
            return None
        table = (ties @ solution[:variables]).reshape(self.world.rewards.shape)
        return self.informativeness(table) - self.penalty * float(np.abs(table).sum()), table

    def best(self, objective: Floats, free: NDArray[np.bool_]) -> Floats | None:
        """The table that maximises a linear objective float[state, action] under the constraints; None if there is none."""
        ties = self.ties[:, free]
        invariant, bounds = self._invariant(ties)
        cost = -(objective.ravel() @ ties)
        solution = linear_programme(cost, -invariant, -bounds, [(-self.maximum, self.maximum)] * ties.shape[1])
        return None if solution is None else (ties @ solution).reshape(self.world.rewards.shape)

    def smallest_bound(self, free: NDArray[np.bool_]) -> float | None:
        """The smallest bound on the entries under which the constraints can be met; None where no bound is enough."""
        ties = self.ties[:, free]
        invariant, bounds = self._invariant(ties)
        variables = ties.shape[1]
        size = np.eye(variables)
        left = np.block(
            [
                [-invariant, np.zeros((len(bounds), 1))],
                [size, -np.ones((variables, 1))],
                [-size, -np.ones((variables, 1))],
            ]
        )
        limit = np.r_[-bounds, np.zeros(2 * variables)]
        cost = np.r_[np.zeros(variables), 1.0]
        solution = linear_programme(cost, left, limit, [(None, None)] * variables + [(0.0, None)])
        return None if solution is None else float(solution[-1])

    def infeasible(self, free: NDArray[np.bool_], what: str) -> Infeasible:
        """The error for what cannot be met."""
        smallest = self.smallest_bound(free)
        if smallest is None:
            return Infeasible(
                f"no reward with {what} keeps the optimal policies, whatever the bound; free more states or use finer "
                "leaves",
                None,
            )
        return Infeasible(
            f"no reward with {what} and maximum={self.maximum:g} keeps the optimal policies; the smallest feasible maximum "
            f"is {smallest:.6g}",
            smallest,
        )

    def designed(self, table: Floats, *, active: Sequence[int] = ()) -> DesignedReward:
        """A table as a reward with its certificate."""
        clean = np.where(np.abs(table) < 1e-9, 0.0, np.round(table, 10)) + 0.0
        return DesignedReward(
            values=tuple(map(tuple, clean.tolist())),
            actions=self.world.action_names or (),
            states=self.world.state_names or (),
            active=tuple(int(state) for state in active),
            maximum=self.maximum,
            slacks=tuple(
                tuple(None if np.isnan(slack) else slack for slack in row)
                for row in self.constraints.slacks(clean).tolist()
            ),
            gaps=tuple(self.constraints.gaps.tolist()),
            informative=self.informativeness(clean),
            original_informative=self.informativeness(self.world.rewards),
            notes=self.constraints.notes,
        )

    def _invariant(self, ties: Floats) -> tuple[Floats, Floats]:
        """The rows that say something, and what they must reach."""
        live = np.repeat(self.constraints.live, self.world.rewards.shape[1])
        rows = np.concatenate([(difference @ ties)[live] for difference in self.constraints.differences])
        bounds = np.tile(self.constraints.bounds[live], len(self.constraints.differences))
        matter = (np.abs(rows).max(axis=1, initial=0.0) > 1e-12) | (bounds > 0)
        return rows[matter], bounds[matter]


def linear_programme(
    cost: Floats, left: Floats, limit: Floats, spans: Sequence[tuple[float | None, float | None]]
) -> Floats | None:
    """Minimise `cost @ x` under `left @ x <= limit` and spans; None where nothing is feasible.

    Raises:
        ArithmeticError: the solver gave up for another reason.
    """
    optimise = require("scipy.optimize", extra="control", why="reward design")
    # the last digits of a constraint are rounding of the inverse; without that the original reward can be infeasible
    result = optimise.linprog(cost, A_ub=left, b_ub=limit + 1e-9, bounds=list(spans), method="highs")
    if result.status == 2:
        return None
    if result.status != 0:
        raise ArithmeticError(f"the linear programme was not solved: {result.message}")
    return np.asarray(result.x, dtype=np.float64)


def programme(
    world: MarkovDecisionProcess,
    target_policy: ArrayLike | Sequence[ArrayLike] | None = None,
    *,
    structure: Leaves | ArrayLike | Literal["state"] | None = None,
    horizons: Sequence[int] = HORIZONS,
    maximum: float | None = None,
    penalty: float = 0.0,
) -> Programme:
    """The constraints and the objective of `explicable` and `adaptive`; see there for the arguments."""
    constraints = invariance(world, target_policy)
    steps = tuple(int(horizon) for horizon in horizons)
    if not steps:
        raise ValueError("horizons is empty; give at least one number of steps, such as (1, 4, 8, 16, 32)")
    if min(steps) < 1:
        raise ValueError(f"horizons must be numbers of steps from 1 (the reward itself), got {min(steps)}")
    bound = float(np.abs(world.rewards).max()) if maximum is None else float(maximum)
    if not (np.isfinite(bound) and bound > 0):
        raise ValueError(f"maximum must be a positive number, got {maximum}")
    if penalty < 0:
        raise ValueError(f"penalty must not be negative, got {penalty}")
    chosen = (constraints.policies > 0).any(axis=0)
    pairs = np.argwhere(~constraints.optimal & ~chosen & constraints.live[:, None])
    flat = pairs[:, 0] * world.rewards.shape[1] + pairs[:, 1]
    policy = constraints.policies.mean(axis=0)
    short = np.stack([within(world.transitions, policy, world.discount, horizon)[flat] for horizon in steps])
    return Programme(
        world=world,
        constraints=constraints,
        maximum=bound,
        ties=_ties(world, constraints, structure),
        horizons=steps,
        penalty=penalty,
        short=short,
        pairs=pairs,
    )


def explicable(
    world: MarkovDecisionProcess,
    target_policy: ArrayLike | Sequence[ArrayLike] | None = None,
    budget: int = 5,
    *,
    structure: Leaves | ArrayLike | Literal["state"] | None = None,
    horizons: Sequence[int] = HORIZONS,
    maximum: float | None = None,
    penalty: float = 0.0,
    active: Sequence[int] | None = None,
) -> DesignedReward:
    """The most informative reward with few free entries that keeps the optimal policies and their gaps.

    Args:
        world: a finite world, exact or estimated; its rewards are the original ones.
        target_policy: int[state], a list of those, float[state, action], or None for all optimal policies.
        budget: states that may carry reward beside those where the original reward is not zero; a greedy search adds one
            after the other. Left out with `structure` of leaves, and with `active`.
        structure: `Leaves`, or int[state] with the leaf of each state: one reward for each leaf and action. int[state,
            action]: one reward for each number, none for -1. "state": one for each state, whatever the action.
        horizons: numbers of steps within which the optimal action should look better; 1 is the reward itself.
        maximum: bound on the size of an entry; that of the original reward by default.
        penalty: weight of the sum of absolute entries.
        active: the states that carry reward, without any search; must hold those where the original reward is not zero.

    Returns:
        The reward, with `.certificate()`, `.informativeness()`, `.table()` and `.plot()`.

    Raises:
        Infeasible: nothing meets the constraints; the smallest feasible maximum is in the message and on the error.
        ValueError: options that cannot be meant; the message names them.
    """
    design = programme(world, target_policy, structure=structure, horizons=horizons, maximum=maximum, penalty=penalty)
    if structure is not None and not (isinstance(structure, str) and structure == "state"):
        every = np.ones(design.ties.shape[1], dtype=bool)
        found = design.solve(every)
        if found is None:
            raise design.infeasible(every, "this structure")
        return design.designed(found[1])
    goals = [int(state) for state in design.constraints.goals]
    if active is not None:
        missing = [goal for goal in goals if goal not in set(active)]
        if missing:
            raise ValueError(f"active leaves out state {missing[0]}, where the original reward is not zero; add it")
        chosen = sorted({int(state) for state in active})
        if chosen[0] < 0 or chosen[-1] >= world.rewards.shape[0]:
            raise ValueError(f"active names state {chosen[-1]}, expected 0 to {world.rewards.shape[0] - 1}")
        found = design.solve(_free(design, chosen))
        if found is None:
            raise design.infeasible(_free(design, chosen), f"the {len(chosen)} active states")
        return design.designed(found[1], active=chosen)
    if not isinstance(budget, (int, np.integer)) or budget < 0:
        raise ValueError(f"budget must be a number of states from 0, got {budget!r}")
    others = [int(state) for state in np.flatnonzero(design.constraints.live) if state not in set(goals)]
    chosen, table = goals, None
    found = design.solve(_free(design, chosen))
    if budget >= len(others):  # nothing to search
        chosen = sorted([*goals, *others])
        found = design.solve(_free(design, chosen))
    else:
        for _ in range(budget):
            chosen, found = _add(design, chosen, others)
    if found is None:
        raise design.infeasible(_free(design, chosen), f"the {len(chosen)} active states")
    table = found[1]
    return design.designed(table, active=sorted(chosen))


def _add(design: Programme, chosen: list[int], others: list[int]) -> tuple[list[int], tuple[float, Floats] | None]:
    """The active states with the one more that gives the best objective; the first of equals."""
    best: tuple[float, Floats] | None = None
    winner = chosen
    for state in others:
        if state in chosen:
            continue
        found = design.solve(_free(design, [*chosen, state]))
        if found is not None and (best is None or found[0] > best[0] + 1e-9):
            best, winner = found, [*chosen, state]
    if best is None:  # none is feasible yet; with more states it may become so
        winner = [*chosen, next(state for state in others if state not in chosen)]
    return winner, best


def _free(design: Programme, states: Sequence[int]) -> NDArray[np.bool_]:
    entries = np.zeros(design.world.rewards.shape, dtype=bool)
    entries[list(states)] = True
    return np.asarray((design.ties[entries.ravel()] != 0).any(axis=0))


def _ties(
    world: MarkovDecisionProcess, constraints: Invariance, structure: Leaves | ArrayLike | Literal["state"] | None
) -> Floats:
    states, actions = world.rewards.shape
    if isinstance(structure, str) and structure != "state":
        raise ValueError(f"structure must be Leaves, an array, 'state' or None, got {structure!r}")
    if structure is None:
        groups: NDArray[Any] = np.arange(states * actions).reshape(states, actions)
    elif isinstance(structure, str):
        groups = np.repeat(np.arange(states)[:, None], actions, axis=1)
    else:
        groups = np.asarray(structure.of_state if isinstance(structure, Leaves) else structure)
        if groups.dtype.kind not in "iu" or groups.shape not in ((states,), (states, actions)):
            raise ValueError(
                f"structure must be int[{states}] (a leaf for each state) or int[{states}, {actions}], "
                f"got {groups.dtype}{list(groups.shape)}"
            )
        if groups.ndim == 1:
            groups = np.where(groups[:, None] < 0, -1, groups[:, None] * actions + np.arange(actions))
    groups = np.where(constraints.live[:, None], groups, -1).ravel()  # an end that pays would pay for ever
    used = np.unique(groups[groups >= 0])
    return np.asarray(groups[:, None] == used, dtype=np.float64)
