"""Running normalisation on-line: rewards divided by the deviation of the discounted return, as training goes on.

The statistics belong to the reward and are shared by all environments; the discounted return belongs to each environment,
and begins again with each trajectory. Stored trajectories are scored with the statistics that the reward holds, so that no
score depends on what else is in the batch.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.algebra.normalise import Normalise, RunningStatistics
from rewardlab.rewards.base import Reward
from rewardlab.rewards.online.nodes import Floats, Node, Transition
from rewardlab.rewards.spec import register
from rewardlab.rewards.transitions import StatefulReward
from rewardlab.types import Scores, Trajectory


@register("running_normalise")
@dataclass(frozen=True, kw_only=True)
class RunningNormalise(StatefulReward):
    """A reward divided by the running deviation of its discounted return, so that a critic sees targets of one size.

    Nothing is taken off: a constant off every step would change which policy is best where trajectories differ in length.

    Args:
        reward: what is normalised.
        discount: of the return whose deviation is the scale; 0 takes the deviation of single rewards.
        limit: results are limited to [-limit, limit], or None.
        epsilon: added to the variance.
        learn: whether the statistics go on changing on-line.
        count: how many returns were seen (state; written to the spec).
        mean: their mean.
        squares: sum of their squared deviations.
    """

    reward: Reward
    discount: float = 0.99
    limit: float | None = 10.0
    epsilon: float = 1e-8
    learn: bool = True
    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.discount <= 1.0:
            raise ValueError(f"RunningNormalise: option 'discount' must be in [0, 1], got {self.discount}")
        if self.epsilon < 0:
            raise ValueError(f"RunningNormalise: option 'epsilon' must not be negative, got {self.epsilon}")
        if self.limit is not None and self.limit <= 0:
            raise ValueError(f"RunningNormalise: option 'limit' must be positive or None, got {self.limit}")

    def children(self) -> dict[str, Reward]:  # noqa: D102 - documented on Reward
        return {self.reward.label.replace(".", "_"): self.reward}

    @property
    def statistics(self) -> RunningStatistics:
        """What was seen so far."""
        return RunningStatistics(self.count, self.mean, self.squares)

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        return {**super().state_dict(), "": {"count": self.count, "mean": self.mean, "squares": self.squares}}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: D102
        if "" in state:
            self._replace(RunningStatistics(**state[""]))
        super().load_state_dict({name: entry for name, entry in state.items() if name})

    def _replace(self, statistics: RunningStatistics) -> None:
        for name in ("count", "mean", "squares"):
            object.__setattr__(self, name, getattr(statistics, name))
        self.__dict__.pop("spec_hash", None)

    def start(self, count: int) -> Any:  # noqa: D102
        return self._node.start(count)

    def advance(  # noqa: D102
        self,
        state: Any,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
        info: Mapping[str, Any] | None = None,
    ) -> tuple[Floats, Any]:
        return self._node.advance(state, Transition(observation, action, next_observation, terminated, info))

    def reset(self, state: Any, mask: NDArray[np.bool_]) -> Any:  # noqa: D102
        return self._node.reset(state, mask)

    @functools.cached_property
    def _node(self) -> Node:
        from rewardlab.rewards.online.stepping import node_of

        return node_of(self)

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        from rewardlab.rewards.online.stepping import score_node

        frozen = self if not self.learn else replace(self, learn=False)
        return score_node(frozen._node, trajectories, progress)


class RunningNode(Node):
    """Running normalisation: of a `RunningNormalise`, or of the running kind of `Normalise` (single rewards, centred).

    The state is (state of the child, discounted return of each environment, statistics of all). Statistics are plain floats.
    """

    reward: RunningNormalise | Normalise

    def __init__(self, reward: RunningNormalise | Normalise, path: str, child: Node) -> None:
        super().__init__(reward, path, [child])
        self.remembers = True
        own = isinstance(reward, RunningNormalise)
        self._discount = reward.discount if isinstance(reward, RunningNormalise) else 0.0
        self._learn = reward.learn if isinstance(reward, RunningNormalise) else True
        self._centre = False if own else reward.centre  # type: ignore[union-attr]  # only Normalise has it
        self._inside = reward.epsilon if own else 0.0
        self._outside = 0.0 if own else reward.epsilon

    def start(self, count: int) -> Any:  # noqa: D102 - documented on Node
        known = self.reward.statistics
        return self.children[0].start(count), np.zeros(count), (known.count, known.mean, known.squares)

    def advance(self, state: Any, transition: Transition) -> tuple[Floats, Any]:  # noqa: D102
        inner, returns, statistics = state
        child = self.children[0]
        value, inner = child.advance(inner, transition)
        transition.parts[child.path] = value
        returns = returns * self._discount + value
        if self._learn:
            statistics = _take_in(statistics, returns if transition.real is None else returns[transition.real])
        count, mean, squares = statistics
        shift = mean if self._centre and count else 0.0
        # before two values were seen there is no scale to speak of
        variance = squares / count if count > 1 and squares > 0 else 1.0
        result = (value - shift) / ((variance + self._inside) ** 0.5 + self._outside)
        if self.reward.limit is not None:
            result = np.minimum(np.maximum(result, -self.reward.limit), self.reward.limit)
        return result, (inner, returns, statistics)

    def reset(self, state: Any, mask: NDArray[np.bool_]) -> Any:  # noqa: D102
        inner, returns, statistics = state
        return self.children[0].reset(inner, mask), np.where(mask, 0.0, returns), statistics

    def settle(self, state: Any) -> None:  # noqa: D102
        inner, _, (count, mean, squares) = state
        self.reward._replace(RunningStatistics(int(count), float(mean), float(squares)))
        self.children[0].settle(inner)


def _take_in(statistics: tuple[float, float, float], values: Floats) -> tuple[float, float, float]:
    """Count, mean and squares with one more row of values (pairwise update of Chan, Golub and LeVeque, 1979)."""
    count, mean, squares = statistics
    total = float(np.add.reduce(values))
    if total - total != 0.0:  # a failed value counts for nothing
        values = values[np.isfinite(values)]
        total = float(np.add.reduce(values))
    size = len(values)
    if not size:
        return statistics
    here = total / size
    apart = values - here
    gap = here - mean
    whole = count + size
    return whole, mean + gap * size / whole, squares + float(apart @ apart) + gap * gap * count * size / whole
