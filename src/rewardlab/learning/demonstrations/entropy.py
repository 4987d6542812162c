"""Maximum causal entropy inverse reinforcement learning in finite worlds, exactly.

The world's dynamics are known (or were estimated), so that every gradient is exact: features that the demonstrator visited
less those that the soft-optimal policy of the present reward visits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rewardlab.environments.tabular import MarkovDecisionProcess
from rewardlab.functional.tabular import occupancy, value_iteration
from rewardlab.learning.demonstrations.base import DemonstrationFit, Imitation, Run, positive
from rewardlab.learning.demonstrations.spaces import SpaceCode, columns_of
from rewardlab.learning.demonstrations.tables import TablePolicy, TableReward
from rewardlab.learning.demonstrations.worlds import Progress
from rewardlab.types import Trajectory

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MaximumCausalEntropy(Imitation):
    """The reward, linear in features, whose soft-optimal policy visits them as often as the demonstrations do.

    `steps` of `fit` is the most gradient steps. `environment` is a `MarkovDecisionProcess`, whose rewards are not looked at,
    or a Gymnasium environment with a table `P`.

    Source: Ziebart, Bagnell and Dey 2010 (maximum causal entropy); the gradient is theorem 3's.

    Args:
        features: float64[S, K] of states, or float64[S, A, K]; None for a number of its own for each state.
        learning_rate: of Adam.
        tolerance: a largest difference of discounted feature counts below this share of the horizon ends the fit.
        l2: weight of half the squared weights, which picks one of many rewards that explain few demonstrations alike.
        discount: where the world comes from Gymnasium.
    """

    features: Any = None
    learning_rate: float = 0.1
    tolerance: float = 1e-4
    l2: float = 1e-3
    discount: float = 0.95

    short_name: ClassVar[str] = "maximum_causal_entropy"
    default_steps: ClassVar[int] = 1_000

    def __post_init__(self) -> None:
        positive("MaximumCausalEntropy", learning_rate=self.learning_rate, tolerance=self.tolerance)
        if self.l2 < 0:
            raise ValueError(f"MaximumCausalEntropy: option 'l2' must not be negative, got {self.l2}")

    def fit(
        self,
        demonstrations: Sequence[Trajectory],
        environment: Any,
        *,
        steps: int | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> DemonstrationFit:
        """See `Imitation.fit`; the environment is a finite one whose dynamics are known."""
        world = self._world(environment)
        observation = SpaceCode("discrete", "observation", count=world.states)
        action = SpaceCode("discrete", "action", count=world.actions)
        columns = columns_of(demonstrations, observation, action)
        run = Run(columns, observation, action, world, self.default_steps if steps is None else steps, seed, progress)
        return self._finished(run, self._fit(run))

    def _world(self, environment: Any) -> MarkovDecisionProcess:
        if isinstance(environment, MarkovDecisionProcess):
            return environment
        if isinstance(environment, str):
            import gymnasium

            environment = gymnasium.make(environment)
        if not hasattr(getattr(environment, "unwrapped", environment), "P"):
            raise TypeError(
                f"maximum causal entropy needs a finite world whose dynamics are known: a MarkovDecisionProcess, or a "
                f"Gymnasium environment with a table P; got {environment!r:.100}. For other worlds use GAIL or AIRL"
            )
        return MarkovDecisionProcess.from_gymnasium(environment, discount=self.discount)

    def _described(self) -> dict[str, Any]:
        options = {name: getattr(self, name) for name in ("learning_rate", "tolerance", "l2", "discount")}
        return {**options, "features": None if self.features is None else list(np.shape(self.features))}

    def _fit(self, run: Run) -> dict[str, Any]:
        world: MarkovDecisionProcess = run.environment
        features = self._features(world)
        horizon = 1.0 / (1.0 - world.discount)
        wanted = np.einsum("sa,sak->k", demonstrated_occupancy(run, world.discount), features)
        weights = np.zeros(features.shape[-1])
        mean, square = np.zeros_like(weights), np.zeros_like(weights)
        rewards = policy = np.zeros((world.states, world.actions))
        for step in range(1, run.steps + 1):
            rewards = features @ weights
            policy = soft_policy(world, rewards)
            found = np.einsum(
                "sa,sak->k", occupancy(world.transitions, policy, world.initial, world.discount), features
            )
            gradient = (wanted - found) / horizon - self.l2 * weights
            apart = float(np.abs(gradient).max())
            if step % 50 == 0 or step == 1 or apart < self.tolerance or step == run.steps:
                run.note(step=step, difference=apart)
            run.done = step
            if apart < self.tolerance:
                break
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.999 * square + 0.001 * gradient**2
            size = np.sqrt(square / (1 - 0.999**step)) + 1e-8
            weights = weights + self.learning_rate * (mean / (1 - 0.9**step)) / size
        return {
            "reward": TableReward.around(rewards),
            "policy": TablePolicy(probabilities=policy, seed=run.seed),
        }

    def _features(self, world: MarkovDecisionProcess) -> Floats:
        """float64[S, A, K]; those of a terminal state count once, for the action that leads there."""
        table = np.eye(world.states) if self.features is None else np.asarray(self.features, dtype=np.float64)
        if table.ndim == 2 and len(table) == world.states:
            entered = world.transitions[..., world.terminal] @ table[world.terminal]
            table = table[:, None, :] + entered
        if table.ndim != 3 or table.shape[:2] != (world.states, world.actions):
            raise ValueError(
                f"MaximumCausalEntropy: option 'features' must be [{world.states}, K] or "
                f"[{world.states}, {world.actions}, K] for this world, got shape {np.shape(self.features)}"
            )
        return np.where(world.terminal[:, None, None], 0.0, table)


def soft_policy(world: MarkovDecisionProcess, rewards: Floats) -> Floats:
    """The policy float64[S, A] with the highest return and entropy together."""
    values, actions = value_iteration(world.transitions, rewards, world.discount, temperature=1.0)
    policy: Floats = np.exp(actions - values[:, None])
    return policy / policy.sum(-1, keepdims=True)


def demonstrated_occupancy(run: Run, discount: float) -> Floats:
    """Mean discounted visits float64[S, A]; a demonstration that a limit cut off is taken to go on as it did so far."""
    columns = run.columns
    found = np.zeros((run.observation.count, run.action.count))
    for number in range(int(columns.trajectory[-1]) + 1):
        rows = np.flatnonzero(columns.trajectory == number)
        weights = discount ** np.arange(len(rows))
        if not columns.terminated[rows[-1]]:
            weights = weights / (1.0 - discount ** len(rows))
        states, actions = (np.asarray(one)[rows].reshape(-1) for one in (columns.observation, columns.action))
        np.add.at(found, (states.astype(np.int64), actions.astype(np.int64)), weights)
    return found / (int(columns.trajectory[-1]) + 1)
