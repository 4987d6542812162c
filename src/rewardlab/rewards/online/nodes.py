"""The tree that a reward becomes when it runs on-line: leaves that value transitions, and what combines them.

A node holds no state: `start` gives it, `advance` returns the next one. All arrays have a leading axis N, one row for each
environment.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.base import Reward
from rewardlab.rewards.functions import FunctionReward
from rewardlab.rewards.transitions import StatefulReward, TransitionReward

Floats = NDArray[np.float64]
Combine = Callable[[list[Floats], float | None], Floats]


class CannotStep(TypeError):
    """A reward that has no value at single transitions; the message names it and says why."""


@dataclass(slots=True)
class Transition:
    """One transition of N environments, and what the parts of a reward made of it.

    Args:
        observation: [N, ...] or a dict of such.
        action: [N, ...].
        next_observation: like `observation`.
        terminated: bool[N].
        info: what the simulators said, dict name -> array[N, ...].
        environment_reward: float64[N], the environments' own reward, or None.
        progress: share of training done, or None.
        real: bool[N], False where an environment was only reset in this step; None: everywhere True.
        parts: value of each part, by dotted name; filled by the nodes.
    """

    observation: Any
    action: Any
    next_observation: Any
    terminated: NDArray[np.bool_]
    info: Mapping[str, Any] | None = None
    environment_reward: Floats | None = None
    progress: float | None = None
    real: NDArray[np.bool_] | None = None
    parts: dict[str, Floats] = field(default_factory=dict)


class Node(ABC):
    """What a reward does at each transition.

    Args:
        reward: the reward that it stands for.
        path: its dotted name among the parts; empty for the outermost.
        children: the nodes of the rewards that it combines.
    """

    def __init__(self, reward: Reward, path: str, children: Sequence[Node] = ()) -> None:
        self.reward = reward
        self.path = path
        self.children = tuple(children)
        self.remembers: bool = any(child.remembers for child in self.children)

    def start(self, count: int) -> Any:
        """State of `count` environments that begin a trajectory; None where nothing below remembers anything."""
        return tuple(child.start(count) for child in self.children) if self.remembers else None

    @abstractmethod
    def advance(self, state: Any, transition: Transition) -> tuple[Floats, Any]:
        """The value of a transition, float64[N], and the state after it."""

    def reset(self, state: Any, mask: NDArray[np.bool_]) -> Any:
        """The state with the rows of `mask` as at the start of a trajectory."""
        if not self.remembers:
            return None
        return tuple(child.reset(inner, mask) for child, inner in zip(self.children, state, strict=True))

    def settle(self, state: Any) -> None:
        """Write what the state has learned over all trajectories (statistics) back into the reward."""
        if self.remembers:
            for child, inner in zip(self.children, state, strict=True):
                child.settle(inner)

    def walk(self) -> list[Node]:
        """This node and all below it."""
        return [self, *(node for child in self.children for node in child.walk())]

    def _children(self, state: Any, transition: Transition) -> tuple[list[Floats], Any]:
        """The values of all children, noted among the parts, and their states."""
        values = []
        if not self.remembers:
            for child in self.children:
                value, _ = child.advance(None, transition)
                transition.parts[child.path] = value
                values.append(value)
            return values, None
        states = []
        for child, inner in zip(self.children, state, strict=True):
            value, after = child.advance(inner, transition)
            transition.parts[child.path] = value
            values.append(value)
            states.append(after)
        return values, tuple(states)


class TransitionNode(Node):
    """A `TransitionReward`."""

    reward: TransitionReward

    def advance(self, state: Any, transition: Transition) -> tuple[Floats, Any]:  # noqa: D102 - documented on Node
        now = transition
        arguments = (now.observation, now.action, now.next_observation, now.terminated)
        if self.reward.reads_info:
            value = self.reward.transition(*arguments, info=now.info)  # type: ignore[call-arg]  # says `reads_info`
        else:
            value = self.reward.transition(*arguments)
        return column(value, len(now.terminated), self.reward), None


class StatefulNode(Node):
    """A `StatefulReward`."""

    reward: StatefulReward

    def __init__(self, reward: Reward, path: str) -> None:
        super().__init__(reward, path)
        self.remembers = True

    def start(self, count: int) -> Any:  # noqa: D102
        return self.reward.start(count)

    def advance(self, state: Any, transition: Transition) -> tuple[Floats, Any]:  # noqa: D102
        now = transition
        arguments = (state, now.observation, now.action, now.next_observation, now.terminated)
        value, after = (
            self.reward.advance(*arguments, info=now.info)
            if self.reward.reads_info
            else self.reward.advance(*arguments)
        )
        return column(value, len(now.terminated), self.reward), after

    def reset(self, state: Any, mask: NDArray[np.bool_]) -> Any:  # noqa: D102
        return self.reward.reset(state, mask)

    def settle(self, state: Any) -> None:  # noqa: D102
        return


class FunctionNode(Node):
    """A plain function of transitions."""

    reward: FunctionReward

    def __init__(self, reward: FunctionReward, path: str) -> None:
        super().__init__(reward, path)
        self._names = tuple(reward._arguments())
        self._call = functools.partial(reward.function, **reward.options) if reward.options else reward.function

    def advance(self, state: Any, transition: Transition) -> tuple[Floats, Any]:  # noqa: D102
        value = self._call(**{name: getattr(transition, name) for name in self._names})
        return column(value, len(transition.terminated), self.reward), None


class PotentialNode(Node):
    """Shaping by a potential: its phi is made a node once, and asked about the states left and reached.

    Args:
        reward: a `Potential`.
        path: its name among the parts.
        phi: the node of its phi, which is no part of its own.
    """

    def __init__(self, reward: Any, path: str, phi: Node) -> None:
        super().__init__(reward, path)
        self._phi, self._between = phi, reward.between

    def advance(self, state: Any, transition: Transition) -> tuple[Floats, Any]:  # noqa: D102
        now = transition
        left, reached = (
            self._phi.advance(None, Transition(place, None, place, np.zeros_like(now.terminated)))[0]
            for place in (now.observation, now.next_observation)
        )
        return self._between(left, reached, now.terminated), None


class EnvironmentNode(Node):
    """The environment's own reward."""

    def advance(self, state: Any, transition: Transition) -> tuple[Floats, Any]:  # noqa: D102
        if transition.environment_reward is None:
            raise ValueError(
                f"{self.reward.label} is the environment's own reward; give step(..., environment_reward=...)"
            )
        return transition.environment_reward, None


class Combination(Node):
    """A reward that combines the values of others at the same transition."""

    def __init__(self, reward: Reward, path: str, children: Sequence[Node], combine: Combine) -> None:
        super().__init__(reward, path, children)
        self._combine = combine

    def advance(self, state: Any, transition: Transition) -> tuple[Floats, Any]:  # noqa: D102
        values, after = self._children(state, transition)
        return self._combine(values, transition.progress), after


def column(value: Any, count: int, reward: Reward) -> Floats:
    """What a reward returned as float64[N].

    Raises:
        ValueError: another shape.
    """
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        result = value
    else:
        if hasattr(value, "detach"):  # a torch tensor, on whatever device
            value = value.detach().cpu().numpy()
        result = np.asarray(value, dtype=np.float64)
    if result.shape != (count,):
        raise ValueError(
            f"{reward.label} returned shape {result.shape} for {count} transitions; return one value each, float[N] "
            "(a reward sees N environments at once: reduce over the last axis, such as .sum(-1))"
        )
    # a view into the observations would change with them, where an environment writes into the same memory
    return result if result.base is None else result.copy()
