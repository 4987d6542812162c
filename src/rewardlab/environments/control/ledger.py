"""What the three wrappers share: a reward beside N environments, its parts added up over each trajectory, its failures.

One call for all environments at each step; a loop over environments only where a trajectory ended.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.base import Reward
from rewardlab.rewards.online import online
from rewardlab.types.trees import tree_map, tree_paths

Floats = NDArray[np.float64]
OnFailure = Literal["raise", "flag"]

PENDING = 64
"""How many steps wait at most before they are added to the books of their trajectories."""


class RewardFailure(FloatingPointError):
    """A simulator or a reward gave a number that is none; the message names the environment, the step and the part."""


class Ledger:
    """A reward beside N environments.

    Args:
        reward: what `rewardlab.rewards.online.online` takes.
        observation_space: of one environment.
        on_failure: "raise" stops with a `RewardFailure`; "flag" gives NaN for the rest of that trajectory, and marks it.
        total_steps: how many steps of single environments training will take, so that scheduled rewards know the progress;
            None where it is set from outside, or not needed.
        keep: how many finished trajectories are remembered in `episodes`.
    """

    def __init__(
        self,
        reward: Reward,
        observation_space: Any,
        *,
        on_failure: OnFailure = "raise",
        total_steps: int | None = None,
        keep: int = 100,
    ) -> None:
        check_observation_space(observation_space)
        if on_failure not in ("raise", "flag"):
            raise ValueError(f"on_failure must be 'raise' or 'flag', got {on_failure!r}")
        if total_steps is not None and total_steps < 1:
            raise ValueError(f"total_steps must be at least 1, or None, got {total_steps}")
        self.on_failure = on_failure
        self.total_steps = total_steps
        self.steps = 0
        self.given_progress: float | None = None
        self.episodes: deque[dict[str, Any]] = deque(maxlen=keep)
        self.ended = 0
        self.count = 0
        self.failed: NDArray[np.bool_] | None = None
        self.reasons: dict[int, str] = {}
        self._take(reward)

    # ---- what changes between steps ---------------------------------------------------------------------------------

    def _take(self, reward: Reward) -> None:
        self.stepping = online(reward)
        self.reward = reward
        self._parts = self.stepping.part_names

    def swap(self, reward: Reward) -> None:
        """Go on with another reward from the next step on; what the old one learned is written back into it."""
        self.stepping.settle()
        self._take(reward)
        if self.count:
            self.begin(self.count)

    def begin(self, count: int) -> None:
        """All environments begin a new trajectory."""
        if self.count == count and self.stepping.count:
            self.forget(np.ones(count, dtype=np.bool_))
            return
        self.count = count
        self.stepping.start(count)
        self.failed, self.reasons = None, {}
        self._returns, self._earned = np.zeros(count), np.zeros(count)
        self._totals = [np.zeros(count) for _ in self._parts]
        self._clock, self._begun = 0, np.zeros(count, dtype=np.int64)
        self._pending: list[tuple[Floats, Floats, dict[str, Floats]]] = []

    def forget(self, mask: NDArray[np.bool_]) -> None:
        """The environments of `mask` begin a new trajectory."""
        self._add_up()
        self.stepping.reset(mask)
        for column in (self._returns, self._earned, *self._totals):
            column[mask] = 0
        self._begun[mask] = self._clock
        if self.failed is not None:
            self.failed = self.failed & ~mask
            self.reasons = {index: text for index, text in self.reasons.items() if self.failed[index]}
            if not self.reasons:
                self.failed = None

    @property
    def progress(self) -> float | None:
        """Share of training done, in [0, 1], or None where nobody said."""
        if self.given_progress is not None:
            return self.given_progress
        return None if self.total_steps is None else min(1.0, self.steps / self.total_steps)

    @progress.setter
    def progress(self, value: float | None) -> None:
        if value is not None and not 0.0 <= value <= 1.0:
            raise ValueError(f"progress must be in [0, 1], got {value}")
        self.given_progress = value

    # ---- each step --------------------------------------------------------------------------------------------------

    def value(
        self,
        observation: Any,
        action: Any,
        next_observation: Any,
        terminated: NDArray[np.bool_],
        info: Mapping[str, Any] | None,
        earned: Floats,
        fresh: NDArray[np.bool_] | None = None,
    ) -> tuple[Floats, dict[str, Floats]]:
        """Value a step of all environments and enter it.

        Args:
            observation: [N, ...] what the policy saw.
            action: [N, ...].
            next_observation: what it saw then, the last of a trajectory where one ended.
            terminated: bool[N].
            info: in Gymnasium's vector layout.
            earned: float64[N], the environments' own reward.
            fresh: bool[N], environments that were only reset in this step: they get 0, and nothing is entered.

        Returns:
            float64[N] and the parts.
        """
        stepping = self.stepping
        self._clock += 1
        if fresh is not None and fresh.all():
            self.forget(fresh)
            return np.zeros(self.count), {name: np.zeros(self.count) for name in self._parts}
        real = None if fresh is None else ~fresh
        values = stepping.step(
            observation,
            action,
            next_observation,
            terminated,
            info=info,
            environment_reward=earned,
            progress=self.progress,
            real=real,
        )
        parts = stepping.parts
        if real is None:
            self.steps += self.count
        else:
            assert fresh is not None
            self.forget(fresh)
            values = np.where(fresh, 0.0, values)
            parts = {name: np.where(fresh, 0.0, part) for name, part in parts.items()}
            earned = np.where(fresh, 0.0, earned)
            self.steps += int(real.sum())
        # what is not finite, or too large to be squared, is looked at value by value
        if self.failed is not None or not (_sane(values) and _all_sane(next_observation)):
            values = self._failures(values, next_observation, fresh)
        self._pending.append((values, earned, parts))
        if len(self._pending) >= PENDING:
            self._add_up()
        return values.copy(), parts  # whoever gets rewards may change them in place

    def _add_up(self) -> None:
        """Enter the steps that wait: adding many at once costs little more than adding one."""
        if not self._pending:
            return
        values, earned, parts = zip(*self._pending, strict=True)
        self._pending = []
        self._returns += np.add.reduce(values)
        self._earned += np.add.reduce(earned)
        for total, name in zip(self._totals, self._parts, strict=True):
            total += np.add.reduce([one[name] for one in parts])

    def finished(self, ended: NDArray[np.bool_]) -> dict[str, Any]:
        """The books of the trajectories that ended with this step, as columns with one row for each environment.

        Args:
            ended: bool[N].

        Returns:
            `return`, `environment_return`, `length` and `parts`, zero where nothing ended; each is also in `episodes`.
        """
        self._add_up()
        summary = {
            "return": np.where(ended, self._returns, 0.0),
            "environment_return": np.where(ended, self._earned, 0.0),
            "length": np.where(ended, self._clock - self._begun, 0),
            "parts": {name: np.where(ended, total, 0.0) for name, total in zip(self._parts, self._totals, strict=True)},
        }
        for index in np.flatnonzero(ended).tolist():
            one = row_of(summary, index)
            if index in self.reasons:
                one["failed"] = self.reasons[index]
            self.episodes.append(one)
            self.ended += 1
        return summary

    def _failures(self, values: Floats, next_observation: Any, fresh: NDArray[np.bool_] | None) -> Floats:
        """Raise, or mark the trajectories in which a number is none; they stay marked until they end."""
        steps = self._clock - 1 - self._begun
        known = np.zeros(self.count, dtype=np.bool_) if self.failed is None else self.failed
        wrong = ~np.isfinite(values)
        for index in np.flatnonzero(wrong & ~known).tolist():
            self.reasons[index] = f"step {steps[index]}: {self.stepping.failure(index)}"
        for path, column in tree_paths(next_observation):
            if column.dtype.kind not in "fc":
                continue
            rows = ~np.isfinite(column.reshape(self.count, -1)).all(axis=1)
            for index in np.flatnonzero(rows & ~known).tolist():
                flat = column[index].reshape(-1)
                where = f"observation ({path})" if path else "observation"
                self.reasons[index] = (
                    f"step {steps[index]}: the simulator's {where} holds {flat[~np.isfinite(flat)][0]}"
                )
            wrong |= rows
        if fresh is not None:
            wrong &= ~fresh
        wrong |= known
        if not wrong.any():
            return values
        if self.on_failure == "raise":
            index = int(np.flatnonzero(wrong)[0])
            raise RewardFailure(
                f"environment {index}, {self.reasons[index]}. The trajectory cannot be learned from; bound the actions or "
                "the time step of the simulator, or set on_failure='flag' to get NaN for it and go on"
            )
        self.failed = wrong
        self.reasons = {index: text for index, text in self.reasons.items() if wrong[index]}
        return np.where(wrong, np.nan, values)


class LedgerFront:
    """What the wrappers show of their ledger."""

    _ledger: Ledger

    @property
    def reward(self) -> Reward:
        """The reward that it gives now."""
        return self._ledger.reward

    @property
    def episodes(self) -> list[dict[str, Any]]:
        """What the last hundred trajectories came to."""
        return list(self._ledger.episodes)

    @property
    def ended(self) -> int:
        """How many trajectories have ended."""
        return self._ledger.ended

    def finished_since(self, before: int) -> list[dict[str, Any]]:
        """What the trajectories came to that ended after the first `before` ones; of many, the last hundred."""
        fresh = self._ledger.ended - before
        return list(self._ledger.episodes)[-fresh:] if fresh > 0 else []

    @property
    def progress(self) -> float | None:
        """Share of training done, for scheduled rewards; None where nobody said."""
        return self._ledger.progress

    @progress.setter
    def progress(self, value: float | None) -> None:
        self._ledger.progress = value

    def swap(self, reward: Reward) -> None:
        """Give another reward from the next step on; a stateful one begins in the middle of the trajectories."""
        self._ledger.swap(reward)

    def settle(self) -> None:
        """Write what running statistics have learned back into the reward, so that its spec holds it."""
        self._ledger.stepping.settle()


def row_of(columns: Any, index: int) -> Any:
    """One environment's row of nested columns, as plain numbers."""
    return tree_map(lambda column: column[index].item(), columns)


def copied(observation: Any) -> Any:
    """Observations that stay what they are when the environment, or its user, writes into the same memory."""
    if isinstance(observation, np.ndarray):
        return observation.copy()
    return tree_map(lambda leaf: np.array(leaf), observation)


def check_observation_space(space: Any) -> None:
    """Refuse observations that are not arrays, or dicts of arrays.

    Raises:
        TypeError: the space is, or holds, a Tuple or another space without arrays; the message names it and the way out.
    """
    from gymnasium import spaces

    def visit(inner: Any, path: str) -> None:
        where = f"observation_space{path}"
        if isinstance(inner, spaces.Dict):
            for key, below in inner.items():
                visit(below, f"{path}[{key!r}]")
        elif isinstance(inner, spaces.Tuple):
            raise TypeError(
                f"{where} is a Tuple of {len(inner)} spaces, whose parts have no names that a reward could ask for; make it "
                "a Dict (gymnasium.wrappers.TransformObservation), or one array (gymnasium.wrappers.FlattenObservation)"
            )
        elif not isinstance(inner, (spaces.Box, spaces.Discrete, spaces.MultiBinary, spaces.MultiDiscrete)):
            raise TypeError(
                f"{where} is {type(inner).__name__}, which does not hold arrays; expected Box, Discrete, MultiDiscrete, "
                "MultiBinary or a Dict of those"
            )

    visit(space, "")


def _sane(values: NDArray[Any]) -> bool:
    flat = values.ravel()
    return math.isfinite(flat.dot(flat))  # squares cannot cancel out, and this is the quickest way through an array


def _all_sane(observation: Any) -> bool:
    if isinstance(observation, np.ndarray):
        return observation.dtype.kind != "f" or _sane(observation)
    return all(leaf.dtype.kind != "f" or _sane(leaf) for _, leaf in tree_paths(observation))
