"""What acts on arrays: policies of control, and trajectories collected with them in a vector of Gymnasium environments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rewardlab.extras import require
from rewardlab.rewards.transitions import STEP_INFO
from rewardlab.types import Trajectory
from rewardlab.types.trees import tree_map


@runtime_checkable
class ControlPolicy(Protocol):
    """Acts in N environments at once."""

    def act(self, observations: Any, deterministic: bool = False) -> NDArray[Any]:
        """Actions for N observations.

        Args:
            observations: [N, ...]; a dict of such where the space is a Dict.
            deterministic: the likeliest action instead of a drawn one.

        Returns:
            [N, ...].
        """


class RandomPolicy:
    """Draws actions uniformly from an action space; the baseline that every learner should leave behind.

    Args:
        action_space: of one environment.
        seed: of the draws.
    """

    def __init__(self, action_space: Any, seed: int = 0) -> None:
        self.action_space = action_space
        self._batched: dict[int, Any] = {}
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Begin the draws again."""
        self._seed = seed
        for space in self._batched.values():
            space.seed(seed)

    def act(self, observations: Any, deterministic: bool = False) -> NDArray[Any]:
        """Draw an action for each observation; there is no likeliest one."""
        count = _rows(observations)
        if count not in self._batched:
            utils = require("gymnasium.vector.utils", extra="gym", why="drawing actions")
            self._batched[count] = utils.batch_space(self.action_space, count)
            self._batched[count].seed(self._seed)
        return np.asarray(self._batched[count].sample())


class FunctionPolicy:
    """A function of N observations as a policy.

    Args:
        function: takes observations [N, ...] and returns actions [N, ...].
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def act(self, observations: Any, deterministic: bool = False) -> NDArray[Any]:
        """What the function returns."""
        return np.asarray(self.function(observations))


def collect(
    policy: ControlPolicy | Callable[[Any], Any],
    environment: Any,
    *,
    episodes: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    deterministic: bool = False,
    info: Sequence[str] = (),
) -> list[Trajectory]:
    """Let a policy act in a vector of environments, and keep what happened.

    Every environment gives the same number of trajectories (or one more): taking whatever ends first favours short ones.

    Args:
        policy: a `ControlPolicy`, or a function of N observations.
        environment: a `gymnasium.vector` environment, in any of its ways of starting again; its rewards are kept as they
            come, so wrap it with `VectorRewardWrapper` for another reward than its own.
        episodes: how many trajectories.
        steps: or how many steps in all, rounded up to whole rows; those that are still open then are cut off (truncated).
        seed: of the environments, and of what the policy draws.
        deterministic: the likeliest action instead of a drawn one.
        info: names of what the simulators say that is kept in `trajectory.info["steps"]`, for rewards that read it.

    Returns:
        Array trajectories. One whose reward failed has the reason in `info["failed"]`.

    Raises:
        ValueError: neither or both of `episodes` and `steps`, or a name in `info` that the simulators never say.
        TypeError: not a vector of environments.
    """
    if (episodes is None) == (steps is None):
        raise ValueError("give episodes= or steps=, one of the two")
    for name, value in (("episodes", episodes), ("steps", steps)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    vector = require("gymnasium.vector", extra="gym", why="collecting trajectories")
    if not isinstance(environment, vector.VectorEnv):
        raise TypeError(
            f"expected a vector of environments, got {type(environment).__name__}; make one with "
            "gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make(...)] * 8)"
        )
    acting = policy if isinstance(policy, ControlPolicy) else FunctionPolicy(policy)
    if not deterministic and hasattr(acting, "seed"):
        acting.seed(seed)
    return _Collection(environment, tuple(info)).run(acting, episodes, steps, seed, deterministic)


class _Collection:
    """Columns of what happened in N environments, cut into trajectories where they ended."""

    def __init__(self, environment: Any, names: tuple[str, ...]) -> None:
        self.environment = environment
        self.names = names
        self.count = environment.num_envs
        mode = getattr(environment.metadata.get("autoreset_mode"), "value", "NextStep")
        self.same_step, self.next_step, self.disabled = (mode == one for one in ("SameStep", "NextStep", "Disabled"))
        self.seen: list[Any] = []
        self.actions: list[NDArray[Any]] = []
        self.rewards: list[NDArray[np.float64]] = []
        self.told: dict[str, list[Any]] = {name: [] for name in names}
        self.start = np.zeros(self.count, dtype=np.int64)
        self.failed: dict[int, str] = {}
        self.finished: list[tuple[int, int, Trajectory]] = []

    def run(
        self, policy: ControlPolicy, episodes: int | None, steps: int | None, seed: int, deterministic: bool
    ) -> list[Trajectory]:
        quota = np.full(self.count, np.iinfo(np.int64).max)
        if episodes is not None:
            quota = np.array([(episodes + self.count - 1 - index) // self.count for index in range(self.count)])
        done = np.zeros(self.count, dtype=np.int64)
        total = 0
        fresh = np.zeros(self.count, dtype=np.bool_)
        observations, _ = self.environment.reset(seed=seed)
        while (steps is None or total < steps) and (done < quota).any():
            before = tree_map(np.array, observations)
            actions = policy.act(before, deterministic)
            observations, rewards, terminated, truncated, infos = self.environment.step(actions)
            self._enter(before, actions, rewards, infos)
            total += int((~fresh).sum())
            ended = (terminated | truncated) & ~fresh
            step = len(self.actions) - 1
            self.start[fresh] = step + 1
            for index in np.flatnonzero(ended).tolist():
                if done[index] < quota[index]:
                    last = self._last(observations, infos, index)
                    self._cut(index, step, last, bool(terminated[index]), bool(truncated[index]))
                done[index] += 1
                self.start[index] = step + 1
                self.failed.pop(index, None)
            fresh = ended if self.next_step else np.zeros(self.count, dtype=np.bool_)
            if self.disabled and ended.any():
                observations, _ = self.environment.reset(options={"reset_mask": ended})
        if steps is not None:
            for index in range(self.count):
                if not fresh[index] and self.start[index] < len(self.actions):
                    last = tree_map(lambda column, index=index: np.array(column[index]), observations)
                    self._cut(index, len(self.actions) - 1, last, False, True)
        return [trajectory for _, _, trajectory in sorted(self.finished, key=lambda entry: entry[:2])]

    def _enter(self, before: Any, actions: NDArray[Any], rewards: Any, infos: dict[str, Any]) -> None:
        self.seen.append(before)
        self.actions.append(np.array(actions))
        self.rewards.append(np.array(rewards, dtype=np.float64))
        if "reward_failed" in infos:
            for index in np.flatnonzero(infos["reward_failed"]).tolist():
                self.failed.setdefault(index, f"the reward failed at step {len(self.actions) - 1 - self.start[index]}")
        if not self.names:
            return
        if self.same_step and "final_info" in infos:
            from rewardlab.environments.control.vectorised import final_info

            infos = final_info(infos)
        for name in self.names:
            if name not in infos:
                said = ", ".join(entry for entry in infos if not entry.startswith("_")) or "nothing"
                if not self.next_step or len(self.actions) == 1:
                    raise ValueError(f"info names {name!r}, which the simulators do not say; they say {said}")
                self.told[name].append(np.zeros_like(self.told[name][-1]))  # every environment was only reset
            else:
                self.told[name].append(np.array(infos[name]))

    def _last(self, observations: Any, infos: dict[str, Any], index: int) -> Any:
        if self.same_step:
            return tree_map(np.array, infos["final_obs"][index])
        return tree_map(lambda column: np.array(column[index]), observations)

    def _cut(self, index: int, step: int, last: Any, terminated: bool, truncated: bool) -> None:
        first = int(self.start[index])
        rows = slice(first, step + 1)
        observations = tree_map(
            lambda end, *columns: np.stack([*(column[index] for column in columns), end]), last, *self.seen[rows]
        )
        info: dict[str, Any] = {}
        if self.names:
            info[STEP_INFO] = {
                name: np.stack([row[index] for row in column[rows]]) for name, column in self.told.items()
            }
        if index in self.failed:
            info["failed"] = self.failed[index]
        trajectory = Trajectory(
            observations=observations,
            actions=np.stack([row[index] for row in self.actions[rows]]),
            rewards=np.array([row[index] for row in self.rewards[rows]]),
            terminated=terminated,
            truncated=truncated and not terminated,
            info=info,
        )
        self.finished.append((index, first, trajectory))


def _rows(observations: Any) -> int:
    while isinstance(observations, dict):
        observations = next(iter(observations.values()))
    return len(observations)
