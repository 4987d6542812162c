"""How steep a reward is where it is used: gradients of a learned one, and slopes between neighbours of any.

A critic bootstraps from a reward, so sharp peaks in it become sharp peaks in the value, and the policy's gradient through
them is useless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.models.transition_inputs import EncodedTransitions, TransitionBatch, Transitions
from rewardlab.rewards.transitions import TransitionReward
from rewardlab.types import Trajectory

QUANTILES = (0.5, 0.9, 0.99, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothness:
    """How steep a reward is.

    Args:
        points: how many were looked at.
        gradients: length of the gradient at the quantiles .5, .9, .99 and 1; None where the reward has none to ask for.
        above: share of points whose gradient is longer than the target; None likewise.
        slope: the largest difference of rewards between neighbours over their distance.
        steepest: the two points of that slope, by index.
    """

    points: int
    gradients: tuple[float, ...] | None
    above: float | None
    slope: float
    steepest: tuple[int, int]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def lipschitz(
    reward: TransitionReward,
    points: Transitions | Sequence[Trajectory],
    *,
    target: float = 1.0,
    neighbours: int = 5,
    most: int = 2_000,
    seed: int = 0,
) -> Smoothness:
    """Measure how steep a reward is at transitions.

    Distances, as gradients, are in the scale that a learned reward reads; for other rewards observation and action are
    standardised, each number by its own spread.

    Args:
        reward: any reward of transitions; gradients are there for `AdversarialReward`, of its logit.
        points: transitions, or array trajectories.
        target: the length that a gradient should not exceed.
        neighbours: with how many of the nearest points each is compared.
        most: more points than these are sampled, since all pairs are looked at.
        seed: of the sample.

    Raises:
        TypeError: the reward has no `transition`.
        ValueError: fewer than two points, or an option is out of range.
    """
    if not isinstance(reward, TransitionReward):
        raise TypeError(f"lipschitz needs a reward of transitions, got {getattr(reward, 'label', reward)!r}")
    if neighbours < 1 or most < 2:
        raise ValueError(f"neighbours must be at least 1 and most at least 2, got {neighbours} and {most}")
    batch: Any = TransitionBatch.from_trajectories(points) if isinstance(points, (list, tuple)) else points
    count = len(batch.observation)
    if count < 2:
        raise ValueError(f"a slope needs at least two points, got {count}")
    chosen = np.arange(count)
    if count > most:
        chosen = np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
    taken = TransitionBatch(
        observation=np.asarray(batch.observation)[chosen],
        action=np.asarray(batch.action)[chosen],
        next_observation=np.asarray(batch.next_observation)[chosen],
        terminated=np.asarray(batch.terminated)[chosen],
    )
    rewards = np.asarray(
        reward.transition(taken.observation, taken.action, taken.next_observation, taken.terminated),
        dtype=np.float64,
    )
    gradients, above = None, None
    ask = getattr(reward, "gradient_norms", None)
    if ask is not None:
        lengths = ask(taken)
        gradients = tuple(float(value) for value in np.quantile(lengths, QUANTILES))
        above = float((lengths > target).mean())
    slope, pair = _steepest(_rows(reward, taken), rewards, min(neighbours, len(chosen) - 1))
    return Smoothness(
        points=len(chosen),
        gradients=gradients,
        above=above,
        slope=slope,
        steepest=(int(chosen[pair[0]]), int(chosen[pair[1]])),
    )


def _rows(reward: TransitionReward, batch: TransitionBatch) -> NDArray[np.float64]:
    if isinstance(reward, EncodedTransitions):
        return reward.rows(batch).astype(np.float64)
    columns = [np.asarray(part).reshape(len(batch), -1) for part in (batch.observation, batch.action)]
    rows = np.concatenate(columns, axis=1).astype(np.float64)
    spread = rows.std(0)
    return rows / np.where(spread > 0, spread, 1.0)


def _steepest(
    rows: NDArray[np.float64], rewards: NDArray[np.float64], neighbours: int
) -> tuple[float, tuple[int, int]]:
    """The largest slope between points and their nearest; points at one place are no neighbours."""
    squares = (rows**2).sum(1)
    best, pair = 0.0, (0, 0)
    for place in range(len(rows)):
        distances = np.sqrt(np.maximum(squares + squares[place] - 2 * rows @ rows[place], 0.0))
        distances[distances < 1e-6] = np.inf
        near = np.argpartition(distances, neighbours - 1)[:neighbours]
        near = near[np.isfinite(distances[near])]
        if not near.size:
            continue
        slopes = np.abs(rewards[near] - rewards[place]) / distances[near]
        if slopes.max() > best:
            best, pair = float(slopes.max()), (place, int(near[slopes.argmax()]))
    return best, pair
