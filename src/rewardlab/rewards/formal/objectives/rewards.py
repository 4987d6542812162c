"""Objectives of a return as rewards in the algebra: the score of a trajectory is a utility of its discounted return."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.algebra.combine import check_parts, join_notes, score_children
from rewardlab.rewards.base import Reward, attempt
from rewardlab.rewards.spec import register
from rewardlab.rewards.transitions import TransitionReward
from rewardlab.types import Scores, Status, Trajectory

Floats = NDArray[np.float64]


def discounted(scores: Scores, trajectories: Sequence[Trajectory], discount: float) -> tuple[Floats, dict[int, str]]:
    """The discounted return of each trajectory from the scores of its steps, and why there is none.

    Without a discount the score itself is taken, so that rewards without steps will do.
    """
    if discount == 1.0:
        return scores.values, {}
    values, missing = np.full(len(trajectories), np.nan), {}
    for index in np.flatnonzero(scores.status == Status.SCORED).tolist():
        steps = None if scores.steps is None else scores.steps[index]
        if steps is None:
            missing[index] = "the reward values no steps, so it has no discounted return; use discount=1"
        else:
            values[index] = float(steps @ discount ** np.arange(len(steps)))
    return values, missing


@dataclass(frozen=True, kw_only=True)
class _OfReturn(Reward):
    reward: Reward
    discount: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.discount <= 1.0:
            raise ValueError(f"{type(self).__name__}: option 'discount' must be in [0, 1], got {self.discount}")

    def children(self) -> dict[str, Reward]:
        return {self.reward.label.replace(".", "_"): self.reward}

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        parts = score_children(self.children(), trajectories, progress)
        (scores,) = parts.values()
        returns, missing = discounted(scores, trajectories, self.discount)
        status = scores.status.copy()
        usable = np.flatnonzero((status == Status.SCORED) & np.isfinite(returns))
        status[(status == Status.SCORED) & ~np.isfinite(returns)] = Status.FAILED
        values = np.full(len(trajectories), np.nan)
        if usable.size:
            values[usable], wrong = self._utility(returns[usable])
            for position, reason in wrong.items():
                missing[int(usable[position])], status[usable[position]] = reason, Status.FAILED
        values[status != Status.SCORED] = np.nan
        return Scores(values=values, status=status, notes=join_notes(parts, status, missing), parts=parts)

    @abstractmethod
    def _utility(self, returns: Floats) -> tuple[Floats, dict[int, str]]:
        """float64[N] of the returns float64[N], and reasons by position for those that have none."""


@register("transition_table")
@dataclass(frozen=True, kw_only=True)
class TransitionTable(TransitionReward):
    """The entry of a table for state, action and next state, where what follows matters to a utility of the return.

    Args:
        values: `values[state][action][next_state]`; observations are state numbers.
    """

    values: tuple[tuple[tuple[float, ...], ...], ...]

    def transition(  # noqa: D102 - documented on TransitionReward
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
    ) -> Floats:
        table = np.array(self.values, dtype=np.float64)
        for name, column, size in zip(
            ("observation", "action", "next_observation"),
            (observation, action, next_observation),
            table.shape,
            strict=True,
        ):
            numbers = np.asarray(column)
            if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or (numbers.size and not 0 <= numbers.max() < size):
                raise ValueError(f"{self.label}: {name} must be whole numbers from 0 to {size - 1}, got {numbers[:3]}")
        return table[observation, action, next_observation]


@register("average")
@dataclass(frozen=True, kw_only=True)
class AverageReward(Reward):
    """The mean over the steps of a trajectory, as a limit average sees it.

    Args:
        reward: a reward with a value for each step, or any whose score is a sum over steps.
    """

    reward: Reward

    def children(self) -> dict[str, Reward]:  # noqa: D102 - documented on Reward
        return {self.reward.label.replace(".", "_"): self.reward}

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        parts = score_children(self.children(), trajectories, progress)
        (scores,) = parts.values()
        lengths = np.array([max(len(trajectory), 1) for trajectory in trajectories], dtype=np.float64)
        return Scores(
            values=scores.values / lengths,
            status=scores.status.copy(),
            notes=join_notes(parts, scores.status),
            parts=parts,
        )


@register("satisficing")
@dataclass(frozen=True, kw_only=True)
class SatisficingReward(_OfReturn):
    """`min(G, enough)`: a trajectory gains nothing by a return beyond what is enough.

    Args:
        enough: the return that suffices.
        reward: whose return it is.
        discount: of the return.
    """

    enough: float

    def _utility(self, returns: Floats) -> tuple[Floats, dict[int, str]]:
        return np.minimum(returns, self.enough), {}


@register("exponential_utility")
@dataclass(frozen=True, kw_only=True)
class ExponentialUtility(_OfReturn):
    """`(1 - exp(-aversion G)) / aversion`, whose expectation orders as the entropic risk does.

    Args:
        aversion: above 0 averse to risk, below 0 seeking it; not 0.
        reward: whose return it is.
        discount: of the return.
    """

    aversion: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (np.isfinite(self.aversion) and self.aversion != 0):
            raise ValueError(f"ExponentialUtility: option 'aversion' must be finite and not 0, got {self.aversion}")

    def _utility(self, returns: Floats) -> tuple[Floats, dict[int, str]]:
        with np.errstate(over="ignore"):
            values = -np.expm1(-self.aversion * returns) / self.aversion
        wrong = np.flatnonzero(~np.isfinite(values)).tolist()
        return values, {at: f"the utility of the return {returns[at]:g} overflows; lower the aversion" for at in wrong}


@register("tail")
@dataclass(frozen=True, kw_only=True)
class TailReward(_OfReturn):
    """What a trajectory gives to the mean of the worst returns (CVaR): `threshold - max(threshold - G, 0) / level`.

    Args:
        level: the share of worst returns, strictly between 0 and 1.
        threshold: the value at risk; None takes that of the batch.
        reward: whose return it is.
        discount: of the return.
    """

    level: float
    threshold: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.level < 1.0:
            raise ValueError(f"TailReward: option 'level' must be strictly between 0 and 1, got {self.level}")

    @property
    def group_wise(self) -> bool:  # noqa: D102 - documented on Reward
        return self.threshold is None or self.reward.group_wise

    def _utility(self, returns: Floats) -> tuple[Floats, dict[int, str]]:
        line = self.threshold
        if line is None:
            line = float(np.sort(returns)[max(int(np.ceil(self.level * len(returns) - 1e-9)) - 1, 0)])
        return line - np.maximum(line - returns, 0.0) / self.level, {}


@register("utility")
@dataclass(frozen=True, kw_only=True)
class UtilityReward(_OfReturn):
    """Any utility of the return of a trajectory.

    Args:
        function: of a return, to a number; a return where it is not defined fails that trajectory.
        reward: whose return it is.
        discount: of the return.
    """

    function: Callable[[float], Any]

    def _utility(self, returns: Floats) -> tuple[Floats, dict[int, str]]:
        return _gather([(f"the return {value:g}", attempt(self.function, value)) for value in returns.tolist()])


@register("scalarised")
@dataclass(frozen=True, kw_only=True)
class ScalarisedReward(Reward):
    """Any function of several returns of a trajectory.

    Args:
        parts: the rewards by name.
        function: of a mapping name -> return, to a number.
        discount: of the returns.
    """

    parts: dict[str, Reward]
    function: Callable[[Mapping[str, float]], Any]
    discount: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parts(self, self.parts)
        if not 0.0 <= self.discount <= 1.0:
            raise ValueError(f"ScalarisedReward: option 'discount' must be in [0, 1], got {self.discount}")

    def children(self) -> dict[str, Reward]:  # noqa: D102 - documented on Reward
        return dict(self.parts)

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        parts = score_children(self.parts, trajectories, progress)
        columns, missing = {}, {}
        status = np.full(len(trajectories), Status.SCORED, dtype=np.int8)
        for name, scores in parts.items():
            columns[name], without = discounted(scores, trajectories, self.discount)
            missing.update(without)
            status = np.where(
                status == Status.FAILED, status, np.where(scores.status == Status.SCORED, status, scores.status)
            )
        status[list(missing)] = Status.FAILED
        usable = np.flatnonzero(status == Status.SCORED)
        values = np.full(len(trajectories), np.nan)
        named = [{name: float(column[index]) for name, column in columns.items()} for index in usable.tolist()]
        values[usable], wrong = _gather([(f"the returns {one}", attempt(self.function, one)) for one in named])
        for position, reason in wrong.items():
            missing[int(usable[position])], status[usable[position]] = reason, Status.FAILED
        values[status != Status.SCORED] = np.nan
        return Scores(values=values, status=status, notes=join_notes(parts, status, missing), parts=parts)


def _gather(outcomes: Sequence[tuple[str, Any]]) -> tuple[Floats, dict[int, str]]:
    values, wrong = np.full(len(outcomes), np.nan), {}
    for position, (where, outcome) in enumerate(outcomes):
        if isinstance(outcome, tuple):
            wrong[position] = f"the utility failed at {where}: {outcome[1]}"
        elif isinstance(outcome, (int, float, np.number)) and np.isfinite(outcome):
            values[position] = float(outcome)
        else:
            wrong[position] = f"the utility gave {outcome!r:.40} at {where}; it must be a finite number there"
    return values, wrong
