"""A reward inside a Stable-Baselines3 vector environment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.environments.control.ledger import Ledger, LedgerFront, OnFailure, copied, row_of
from rewardlab.environments.control.vectorised import with_rows
from rewardlab.extras import require
from rewardlab.rewards.base import Reward

require("stable_baselines3", extra="control", why="a reward for Stable-Baselines3")

from stable_baselines3.common.vec_env import VecEnvWrapper  # noqa: E402 - after the check that says which extra brings it


class RewardVecEnv(LedgerFront, VecEnvWrapper):
    """A Stable-Baselines3 vector environment that gives this reward, and keeps its own in each `info`.

    Each `info` holds `environment_reward` and `reward_parts`, and with the last step of a trajectory `reward_episode`, as
    for `RewardWrapper`. The reward of the last step sees `terminal_observation`; a time limit (`TimeLimit.truncated`) is no
    end. What `Monitor` writes under `episode` stays the environment's own return.

    Args:
        venv: the environment.
        reward: any algebra of transition rewards; see `rewardlab.rewards.online.online`.
        on_failure: "raise" stops with a `RewardFailure` where the simulator or the reward gives NaN or infinity; "flag"
            gives NaN until that trajectory ends, with the reason in `info["reward_failed"]`.
        total_steps: steps of single environments that training will take, from which scheduled rewards know the progress;
            or set `.progress`.
        keep_parts: whether each `info` holds the parts of each step; what trajectories came to is there in any case.
    """

    def __init__(
        self,
        venv: Any,
        reward: Reward,
        *,
        on_failure: OnFailure = "raise",
        total_steps: int | None = None,
        keep_parts: bool = True,
    ) -> None:
        super().__init__(venv)
        self._ledger = Ledger(reward, venv.observation_space, on_failure=on_failure, total_steps=total_steps)
        self._keep_parts = keep_parts
        self._last: Any = None
        self._actions: Any = None
        self._nowhere = np.zeros(venv.num_envs, dtype=np.bool_)

    def reset(self) -> Any:
        """Begin a trajectory in every environment."""
        observations = self.venv.reset()
        self._ledger.begin(self.num_envs)
        self._last = copied(observations)
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the actions."""
        self._actions = actions
        self.venv.step_async(actions)

    def step_wait(self) -> Any:
        """One step of all environments, with this reward."""
        observations, earned, ended, infos = self.venv.step_wait()
        earned = np.asarray(earned, dtype=np.float64)
        after = copied(observations)
        last, terminated = after, self._nowhere
        if ended.any():
            limit = np.array([info.get("TimeLimit.truncated", False) for info in infos], dtype=np.bool_)
            terminated = ended & ~limit
            last = with_rows(after, [info.get("terminal_observation") for info in infos], ended)
        told = _columns(infos) if self._ledger.stepping.reads_info else None
        values, parts = self._ledger.value(self._last, self._actions, last, terminated, told, earned)
        self._last = after
        if self._keep_parts:
            names, rows = list(parts), zip(*(part.tolist() for part in parts.values()), strict=True)
            for info, own, row in zip(infos, earned.tolist(), rows, strict=True):
                info["environment_reward"] = own
                info["reward_parts"] = dict(zip(names, row, strict=True))
        if self._ledger.failed is not None:
            for index, reason in self._ledger.reasons.items():
                infos[index]["reward_failed"] = reason
        if ended.any():
            summary = self._ledger.finished(ended)
            for index in np.flatnonzero(ended).tolist():
                infos[index]["reward_episode"] = row_of(summary, index)
            self._ledger.forget(ended)
        return observations, values.astype(np.float32), ended, infos


def _columns(infos: list[dict[str, Any]]) -> dict[str, Any]:
    """Infos of single environments as columns, in Gymnasium's vector layout.

    Where one says nothing of a name stands 0, or None among texts.
    """
    names = dict.fromkeys(name for info in infos for name, entry in info.items() if isinstance(entry, _TOLD))
    columns = {}
    for name in names:
        example = next(info[name] for info in infos if name in info)
        if isinstance(example, str):
            texts = np.empty(len(infos), dtype=object)
            texts[:] = [info.get(name) for info in infos]
            columns[name] = texts
            continue
        example = np.asarray(example)
        column = np.zeros((len(infos), *example.shape), dtype=example.dtype)
        for index, info in enumerate(infos):
            if name in info:
                column[index] = info[name]
        columns[name] = column
    return columns


_TOLD = (int, float, bool, str, np.number, np.bool_, np.ndarray)
