"""The product of a Gymnasium environment and a reward machine, in which rewards are Markov again."""

from __future__ import annotations

from typing import Any

import numpy as np

from rewardlab.extras import require
from rewardlab.rewards.formal.ltlf import LTLf
from rewardlab.rewards.formal.machines import RewardMachine
from rewardlab.types.trees import tree_map

require("gymnasium", extra="gym", why="the product of an environment and a reward machine")

from gymnasium import Wrapper, spaces  # noqa: E402 - after the check that says which extra brings it
from gymnasium.utils import RecordConstructorArgs  # noqa: E402


class MachineWrapper(Wrapper, RecordConstructorArgs):
    """An environment that pays what a machine says and shows its state.

    A `Discrete` observation `s` becomes the number `s * states + u`, as in `RewardMachine.product`; a flat `Box` gets one
    more entry for each state of the machine, 1 for the state it is in; a `Dict` gets the key `machine`, and any other space
    becomes a `Dict` of `observation` and `machine`. `info` has `machine_state` (its name) and `environment_reward`.

    Args:
        env: the environment.
        machine: a reward machine with a labelling, or an `LTLf`.
        observe: whether the observation shows the machine's state; without, only `info` does.
        end: whether a trajectory ends where the machine's task is over. What a limit cuts off stays cut off.
    """

    def __init__(self, env: Any, machine: RewardMachine | LTLf, *, observe: bool = True, end: bool = True) -> None:
        RecordConstructorArgs.__init__(self, machine=machine, observe=observe, end=end)
        super().__init__(env)
        self.machine = machine.machine if isinstance(machine, LTLf) else machine
        if self.machine.labels is None:
            raise ValueError("the machine has no labelling, so it cannot read the environment; give it labels=")
        if self.machine.labels.chat:
            raise ValueError("the machine's labelling is one of chats, and this is a Gymnasium environment")
        self.observe, self.end = observe, end
        self._state = self.machine.start(1)
        self._last: Any = None
        if observe:
            self.observation_space = self._space(env.observation_space)

    def _space(self, inner: Any) -> Any:
        count = len(self.machine.states)
        if isinstance(inner, spaces.Discrete):
            if inner.start != 0:
                raise ValueError(f"the observations of a Discrete space must start at 0, got {inner.start}")
            return spaces.Discrete(int(inner.n) * count)
        if isinstance(inner, spaces.Box) and len(inner.shape) == 1:
            dtype: Any = np.result_type(inner.dtype, np.float32)
            low = np.concatenate([inner.low, np.zeros(count)]).astype(dtype)
            high = np.concatenate([inner.high, np.ones(count)]).astype(dtype)
            return spaces.Box(low, high, dtype=dtype)
        if isinstance(inner, spaces.Dict):
            if "machine" in inner.spaces:
                raise ValueError("the Dict observation already has the key 'machine'; use observe=False, or rename it")
            return spaces.Dict({**inner.spaces, "machine": spaces.Discrete(count)})
        return spaces.Dict({"observation": inner, "machine": spaces.Discrete(count)})

    def _shown(self, observation: Any) -> Any:
        if not self.observe:
            return observation
        count, state = len(self.machine.states), int(self._state[0])
        space = self.observation_space
        if isinstance(space, spaces.Discrete):
            return np.int64(int(observation) * count + state)
        if isinstance(space, spaces.Box):
            return np.concatenate([observation, np.eye(count)[state]]).astype(space.dtype)
        if isinstance(self.env.observation_space, spaces.Dict):
            return {**observation, "machine": np.int64(state)}
        return {"observation": observation, "machine": np.int64(state)}

    @property
    def machine_state(self) -> str:
        """The name of the state that the machine is in."""
        return self.machine.states[int(self._state[0])]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a trajectory, with the machine at its start."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._state = self.machine.start(1)
        self._last = _row(observation)
        return self._shown(observation), {**info, "machine_state": self.machine_state}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step of both."""
        observation, earned, terminated, truncated, info = self.env.step(action)
        after = _row(observation)
        told = {name: np.asarray(entry)[None] for name, entry in info.items()} if self.machine.reads_info else None
        values, self._state = self.machine.advance(
            self._state, self._last, np.asarray(action)[None], after, np.array([bool(terminated)]), told
        )
        if not np.isfinite(values[0]):
            raise ValueError(
                f"the machine paid {values[0]} in state {self.machine_state!r}; did the simulator give NaN?"
            )
        self._last = after
        over = self.end and bool(self.machine.table.terminal[self._state[0]])
        info = {**info, "machine_state": self.machine_state, "environment_reward": float(earned)}
        return self._shown(observation), float(values[0]), bool(terminated) or over, truncated, info


def _row(observation: Any) -> Any:
    """One observation as a row of its own, copied, since many environments write into the same array at each step."""
    return tree_map(lambda leaf: np.array(leaf)[None], observation)
