"""Environments as the methods here take them: an id, a function that makes one, one that is there, or a vector of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from rewardlab.extras import require

if TYPE_CHECKING:
    from collections.abc import Iterator

Environment = Any
"""A Gymnasium id, a function without arguments that makes an environment, an environment, or a vector of environments."""


def vector_of(environment: Environment, count: int) -> tuple[Any, bool]:
    """A vector of `count` environments.

    An id whose environment Gymnasium can step natively as arrays (CartPole) is made so, which is many times faster.

    Returns:
        The vector, and whether it was made here and is closed here.

    Raises:
        TypeError: it is none of the kinds above.
    """
    gymnasium = require("gymnasium", extra="control", why="Learning from demonstrations")
    if isinstance(environment, gymnasium.vector.VectorEnv):
        return environment, False
    if isinstance(environment, str):
        native = gymnasium.spec(environment).vector_entry_point is not None
        mode = "vector_entry_point" if native else "sync"
        return gymnasium.make_vec(environment, num_envs=count, vectorization_mode=mode), True
    if isinstance(environment, gymnasium.Env):
        if environment.spec is None:
            return gymnasium.vector.SyncVectorEnv([lambda: environment]), False
        specification = environment.spec
        return gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make(specification)] * count), True
    if callable(environment):
        return gymnasium.vector.SyncVectorEnv([environment] * count), True
    raise TypeError(
        f"environment must be a Gymnasium id, an environment, a vector of them or a function that makes one, got a "
        f"{type(environment).__name__}"
    )


def spaces_of(environment: Environment) -> tuple[Any, Any]:
    """Observation and action space of one environment."""
    gymnasium = require("gymnasium", extra="control", why="Learning from demonstrations")
    if isinstance(environment, gymnasium.vector.VectorEnv):
        return environment.single_observation_space, environment.single_action_space
    if isinstance(environment, gymnasium.Env):
        return environment.observation_space, environment.action_space
    with opened(environment, 1) as vector:
        return vector.single_observation_space, vector.single_action_space


@contextmanager
def opened(environment: Environment, count: int) -> Iterator[Any]:
    """A vector of environments, closed afterwards where it was made here."""
    vector, own = vector_of(environment, count)
    try:
        yield vector
    finally:
        if own:
            vector.close()


def mean_return(policy: Any, environment: Environment, *, episodes: int, seed: int, count: int = 10) -> float:
    """Mean return, as the environment rewards it, of a policy that acts deterministically.

    Every one of `count` parallel environments contributes equally many trajectories, so that short ones are not preferred.

    Args:
        policy: has `act(observations, deterministic=True)`.
        environment: where.
        episodes: how many trajectories at least; rounded up to a multiple of `count`.
        seed: of the first resets.
        count: how many run side by side.
    """
    returns = trajectory_returns(policy, environment, episodes=episodes, seed=seed, count=count)
    return float(np.mean(returns))


def trajectory_returns(
    policy: Any, environment: Environment, *, episodes: int, seed: int, count: int = 10, deterministic: bool = True
) -> list[float]:
    """The returns that `mean_return` averages."""
    with opened(environment, min(count, episodes)) as vector:
        number = vector.num_envs
        each = -(-episodes // number)
        observations, _ = vector.reset(seed=seed)
        running, found = np.zeros(number), [[] for _ in range(number)]  # type: ignore[var-annotated]
        between = np.zeros(number, dtype=bool)
        next_step = next_step_reset(vector)
        while min(len(one) for one in found) < each:
            observations, rewards, terminated, truncated, _ = vector.step(
                policy.act(observations, deterministic=deterministic)
            )
            running += np.where(between, 0.0, rewards)
            ended = (terminated | truncated) & ~between
            for index in np.flatnonzero(ended):
                found[index].append(float(running[index]))
                running[index] = 0.0
            between = ended if next_step else np.zeros(number, dtype=bool)
        return [value for one in found for value in one[:each]]


def next_step_reset(vector: Any) -> bool:
    """Whether a vector resets an environment in the step after its end (its action is ignored, its reward no reward).

    Raises:
        ValueError: the vector never resets by itself.
    """
    mode = vector.metadata.get("autoreset_mode")
    name = getattr(mode, "name", str(mode))
    if name == "DISABLED":
        raise ValueError("the vector of environments has autoreset_mode=DISABLED; use NEXT_STEP or SAME_STEP")
    return name != "SAME_STEP"


Progress = Callable[[dict[str, Any]], None]
"""Called with each line of the history as it is written."""
