"""A reward inside one Gymnasium environment."""

from __future__ import annotations

from typing import Any

import numpy as np

from rewardlab.environments.control.ledger import Ledger, LedgerFront, OnFailure, copied, row_of
from rewardlab.extras import require
from rewardlab.rewards.base import Reward
from rewardlab.types.trees import tree_map

require("gymnasium", extra="gym", why="a reward inside an environment")

from gymnasium import Wrapper  # noqa: E402 - after the check that says which extra brings it


class RewardWrapper(LedgerFront, Wrapper):
    """A Gymnasium environment that gives this reward, and keeps its own in `info`.

    At each step `info["environment_reward"]` holds the environment's own reward and `info["reward_parts"]` the value of each
    part. With the last step of a trajectory, `info["reward_episode"]` holds what they came to: `return`,
    `environment_return`, `length`, `parts`; the last hundred of these are in `episodes`.

    Args:
        env: the environment.
        reward: any algebra of transition rewards; see `rewardlab.rewards.online.online`.
        on_failure: what happens where the simulator or the reward gives NaN or infinity: "raise" stops with a
            `RewardFailure` that names the step; "flag" gives NaN until the trajectory ends, with the reason in
            `info["reward_failed"]`.
        total_steps: steps that training will take, from which scheduled rewards know the progress; or set `.progress`.
    """

    def __init__(
        self, env: Any, reward: Reward, *, on_failure: OnFailure = "raise", total_steps: int | None = None
    ) -> None:
        super().__init__(env)
        self._ledger = Ledger(reward, env.observation_space, on_failure=on_failure, total_steps=total_steps)
        self._last: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a trajectory."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._ledger.begin(1)
        self._last = _alone(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step, with this reward."""
        observation, earned, terminated, truncated, info = self.env.step(action)
        after = _alone(observation)
        told = (
            {name: np.asarray(entry)[None] for name, entry in info.items()}
            if self._ledger.stepping.reads_info
            else None
        )
        values, parts = self._ledger.value(
            self._last, np.asarray(action)[None], after, np.array([bool(terminated)]), told, np.array([float(earned)])
        )
        self._last = after
        info = {**info, "environment_reward": float(earned), "reward_parts": row_of(parts, 0)}
        if self._ledger.failed is not None:
            info["reward_failed"] = self._ledger.reasons[0]
        if terminated or truncated:
            info["reward_episode"] = row_of(self._ledger.finished(np.ones(1, dtype=np.bool_)), 0)
        return observation, float(values[0]), terminated, truncated, info


def _alone(observation: Any) -> Any:
    """One observation as a row of its own, copied, since many environments write into the same array at each step."""
    return tree_map(lambda leaf: np.asarray(leaf)[None], copied(observation))
