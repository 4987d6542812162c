"""Potential-based shaping: `discount * phi(next state) - phi(state)`, which leaves the best policies as they are.

The rule at the end: phi is 0 after a true termination, and phi of the last state where a limit cut the trajectory off,
because there the task would have gone on. A trajectory begins with the state that reset returned, so its first transition
has a state before it like every other. Discounted sums over a trajectory telescope to `discount^T * phi(s_T) - phi(s_0)`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.algebra.combine import Sum
from rewardlab.rewards.base import Reward
from rewardlab.rewards.shaping.by_transition import check_by_transition, check_values, count_rows, state_values
from rewardlab.rewards.spec import register
from rewardlab.rewards.transitions import TransitionReward
from rewardlab.types import Scores, Trajectory
from rewardlab.types.trees import tree_map


@dataclass(frozen=True, kw_only=True)
class StateReward(TransitionReward):
    """A reward of the state that a transition led to; as such it is a potential, too. Subclasses define `state`."""

    @abstractmethod
    def state(self, observation: Any) -> NDArray[np.float64]:
        """Value of N states.

        Args:
            observation: [N, ...], or a dict of such arrays.

        Returns:
            float64[N].
        """

    def transition(  # noqa: D102 - documented on TransitionReward
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        return self.state(next_observation)


@register("state_function")
@dataclass(frozen=True, kw_only=True)
class StateFunction(StateReward):
    """A plain function of the observations as a reward of states.

    Args:
        function: takes `observation` [N, ...] and returns float[N].
    """

    function: Callable[..., Any]

    @property
    def label(self) -> str:  # noqa: D102
        return self.name or getattr(self.function, "__name__", "function").strip("<>")

    def state(self, observation: Any) -> NDArray[np.float64]:
        """What the function returns, checked for its shape."""
        return check_values(self.function(observation), count_rows(observation), self.label, of="state")


@register("potential")
@dataclass(frozen=True, kw_only=True)
class Potential(TransitionReward):
    """Shaping by a potential of states (Ng, Harada and Russell 1999).

    `discount * phi(s') - phi(s)`, with phi(s') = 0 where the environment ended the trajectory. With `negative_slope` other
    than 1, losses of potential are multiplied by it, and the guarantee is gone: going round in circles may then pay.

    Args:
        phi: a reward of states, or a combination of such.
        discount: that of the learner, in (0, 1]; with another one the guarantee is gone, too.
        negative_slope: what negative values are multiplied by.
    """

    phi: Reward
    discount: float
    negative_slope: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_discount(self)
        if not (math.isfinite(self.negative_slope) and self.negative_slope >= 0):
            raise ValueError(
                f"Potential: option 'negative_slope' must be a number from 0 on, got {self.negative_slope}; "
                "1 keeps the shaping potential-based"
            )
        check_by_transition(self.phi)

    @property
    def deterministic(self) -> bool:  # noqa: D102 - documented on Reward
        return self.phi.deterministic

    def state(self, observation: Any) -> NDArray[np.float64]:
        """The potential itself.

        Args:
            observation: [N, ...], or a dict of such arrays.

        Returns:
            float64[N].
        """
        if isinstance(self.phi, StateReward):
            return check_values(self.phi.state(observation), count_rows(observation), self.phi.label, of="state")
        values = state_values(self.phi, observation, ready=self.__dict__.get("_ready"))
        if "_ready" not in self.__dict__:  # asked at every step of training, so looked through once
            self.__dict__["_ready"] = check_by_transition(self.phi)
        return values

    def __getstate__(self) -> dict[str, Any]:
        """What is copied and pickled: the options."""
        return {name: value for name, value in self.__dict__.items() if name != "_ready"}

    def transition(  # noqa: D102 - documented on TransitionReward
        self,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        both = self.state(tree_map(lambda now, later: np.concatenate([now, later]), observation, next_observation))
        now, later = np.split(both, 2)
        return self.between(now, later, terminated)

    def between(
        self, now: NDArray[np.float64], later: NDArray[np.float64], terminated: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """The shaping between states whose potentials are known already.

        Args:
            now: float64[...], phi of the states left.
            later: float64[...], phi of the states reached.
            terminated: bool[...].
        """
        gained = self.discount * np.where(terminated, 0.0, later) - now
        return gained if self.negative_slope == 1.0 else np.where(gained < 0, self.negative_slope * gained, gained)

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        """With a sum as phi its terms are shaping of their own, which add up: they are the parts."""
        scores = super()._score(trajectories, progress)
        if not isinstance(self.phi, Sum) or self.negative_slope != 1.0:
            return scores
        parts = {}
        for name, term in self.phi.parts.items():
            weighted = Sum(parts={name: term}, weights={name: self.phi.weights.get(name, 1.0)})
            parts[name] = Potential(phi=weighted, discount=self.discount)._score_alone(trajectories)
        return replace(scores, parts=parts)

    def _score_alone(self, trajectories: Sequence[Trajectory]) -> Scores:
        return super()._score(trajectories, None)


def potential(
    phi: Reward | Callable[[Any], Any], discount: float, negative_slope: float = 1.0, *, name: str | None = None
) -> Potential:
    """Shaping by a potential of states; see `Potential`.

    Args:
        phi: a reward of states (`rewardlab.rewards.shaping.shape` has some), a combination of them, or a function that takes
            observations [N, ...] and returns float[N].
        discount: that of the learner.
        negative_slope: what negative values are multiplied by; anything but 1 gives up the guarantee.
        name: what it is called among the parts of a larger reward.

    Raises:
        TypeError: phi is neither a reward of single transitions nor a function.
        ValueError: the discount is not in (0, 1].
    """
    if not isinstance(phi, Reward):
        if not callable(phi):
            raise TypeError(f"phi must be a reward or a function of observations, got {phi!r:.80}")
        phi = StateFunction(function=phi)
    return Potential(phi=phi, discount=discount, negative_slope=negative_slope, name=name)


def discount_from_half_life(seconds: float, steps_per_second: float) -> float:
    """The discount with which a reward counts half after so many seconds: `exp(ln(1/2) / (seconds * steps_per_second))`.

    Args:
        seconds: of the half-life; positive.
        steps_per_second: how often the policy acts; positive.

    Raises:
        ValueError: a number is not positive.
    """
    if not (seconds > 0 and steps_per_second > 0):
        raise ValueError(f"seconds and steps_per_second must be positive, got {seconds} and {steps_per_second}")
    return math.exp(math.log(0.5) / (seconds * steps_per_second))


def check_discount(reward: Any) -> None:
    """Raise a ValueError where the option `discount` of a shaping reward is out of range."""
    if not 0.0 < reward.discount <= 1.0:
        raise ValueError(f"{type(reward).__name__}: option 'discount' must be in (0, 1], got {reward.discount}")
