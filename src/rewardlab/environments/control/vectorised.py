"""A reward inside a vector of Gymnasium environments: one call for all, whatever their way of starting again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.environments.control.ledger import Ledger, LedgerFront, OnFailure, copied
from rewardlab.extras import require
from rewardlab.rewards.base import Reward
from rewardlab.types.trees import tree_map

require("gymnasium", extra="gym", why="a reward inside a vector of environments")

from gymnasium.vector import AutoresetMode, VectorWrapper  # noqa: E402 - after the check that says which extra brings it


class VectorRewardWrapper(LedgerFront, VectorWrapper):
    """A vector of environments that gives this reward, and keeps its own in `infos`.

    At each step `infos["environment_reward"]` holds the environments' own reward, float[N], and `infos["reward_parts"]` each
    part's. Where trajectories ended, `infos["reward_episode"]` holds what they came to (`return`, `environment_return`,
    `length`, `parts`), with the mask `infos["_reward_episode"]`; the last hundred are in `episodes`.

    All three ways of starting again are known. In NEXT_STEP mode the step in which an environment is only reset gives 0 and
    counts for nothing; in SAME_STEP mode the reward sees the last observation, not that after the reset; in DISABLED mode a
    trajectory begins where `reset(options={"reset_mask": ...})` says so.

    Args:
        env: the vector of environments.
        reward: any algebra of transition rewards; see `rewardlab.rewards.online.online`.
        on_failure: "raise" stops with a `RewardFailure` where the simulator or the reward gives NaN or infinity; "flag"
            gives NaN until that trajectory ends, marked in `infos["reward_failed"]`.
        total_steps: steps of single environments that training will take, from which scheduled rewards know the progress;
            or set `.progress`.
    """

    def __init__(
        self, env: Any, reward: Reward, *, on_failure: OnFailure = "raise", total_steps: int | None = None
    ) -> None:
        super().__init__(env)
        self._mode = env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        self._ledger = Ledger(reward, env.single_observation_space, on_failure=on_failure, total_steps=total_steps)
        self._last: Any = None
        self._ended: NDArray[np.bool_] | None = None
        self._everywhere = np.ones(env.num_envs, dtype=np.bool_)
        self._everywhere.flags.writeable = False

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin trajectories: everywhere, or where `options["reset_mask"]` says."""
        mask = None if options is None else options.get("reset_mask")
        if mask is not None:
            mask = np.array(mask, dtype=np.bool_)  # the environment takes it out of the options
        observations, infos = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]  # takes lists, too
        if mask is None or not self._ledger.count:
            self._ledger.begin(self.num_envs)
            self._ended = None
        else:
            self._ledger.forget(mask)
            if self._ended is not None:
                self._ended = self._ended & ~mask
        self._last = copied(observations)
        return observations, infos

    def step(
        self, actions: Any
    ) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One step of all environments, with this reward."""
        observations, earned, terminated, truncated, infos = self.env.step(actions)
        earned = np.asarray(earned, dtype=np.float64)
        same_step = self._mode == AutoresetMode.SAME_STEP
        after, told = copied(observations), infos
        last = after
        if same_step and "final_obs" in infos:
            last = with_rows(after, infos["final_obs"], infos["_final_obs"])
            told = final_info(infos) if self._ledger.stepping.reads_info else infos
        fresh = self._ended if self._mode == AutoresetMode.NEXT_STEP else None
        values, parts = self._ledger.value(self._last, actions, last, terminated, told, earned, fresh)
        infos["environment_reward"], infos["_environment_reward"] = earned, self._everywhere
        infos["reward_parts"], infos["_reward_parts"] = parts, self._everywhere
        if self._ledger.failed is not None:
            infos["reward_failed"], infos["_reward_failed"] = self._ledger.failed.copy(), self._everywhere
        self._last, self._ended = after, None
        ended = terminated | truncated
        if np.count_nonzero(ended):  # quicker than `any`
            infos["reward_episode"], infos["_reward_episode"] = self._ledger.finished(ended), ended.copy()
            if same_step:
                self._ledger.forget(ended)
            else:
                self._ended = ended
        return observations, values, terminated, truncated, infos


def with_rows(observations: Any, rows: Any, mask: NDArray[np.bool_]) -> Any:
    """Observations with the rows of `mask` replaced by single observations.

    Args:
        observations: [N, ...], or a dict of such.
        rows: N single observations; those outside the mask are not looked at.
        mask: bool[N].
    """
    replaced = tree_map(np.copy, observations)

    def put(column: Any, row: Any, index: int) -> None:
        column[index] = row

    for index in np.flatnonzero(mask).tolist():
        tree_map(lambda column, row, index=index: put(column, row, index), replaced, rows[index])
    return replaced


def final_info(infos: dict[str, Any]) -> dict[str, Any]:
    """What simulators said in the last step of a trajectory, in place of what they said at the reset after it."""
    told = dict(infos)
    for name, column in infos.get("final_info", {}).items():
        mask = infos["final_info"].get(f"_{name}")
        if name.startswith("_") or mask is None or not isinstance(column, np.ndarray):
            continue
        if name in told and isinstance(told[name], np.ndarray):
            merged = told[name].copy()
            merged[mask] = column[mask]
            told[name] = merged
        else:
            told[name] = column
    return told
