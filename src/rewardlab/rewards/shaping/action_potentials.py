"""Potentials of more than the state: of state and action (Wiewiora et al. 2003), and of state and time (Devlin 2012).

Advice about actions changes which action looks best to the learner, so look-ahead advice keeps the best policy only where
the policy is chosen by `Q + phi`; look-back advice needs no such correction, and works on-line. A potential that changes
with time keeps the best policy as long as each state is left with the potential it was entered with, as is done here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.base import Reward
from rewardlab.rewards.shaping.by_transition import check_by_transition, check_values, count_rows, transition_values
from rewardlab.rewards.shaping.potentials import check_discount
from rewardlab.rewards.spec import register
from rewardlab.rewards.transitions import StatefulReward, TransitionReward
from rewardlab.types import Scores, Trajectory


@register("action_potential")
@dataclass(frozen=True, kw_only=True)
class ActionPotential(StatefulReward):
    """Shaping by a potential of states and actions (Wiewiora, Cottrell and Elkan 2003).

    Look-back: `phi(s, a) - phi(s_before, a_before) / discount`, where the pair before the first counts 0, and so does a pair
    that ends the trajectory, which makes every ended trajectory sum to 0. Look-ahead: `discount * phi(s', a') - phi(s, a)`,
    with phi(s', a') = 0 after the end; it needs the next action, so it scores stored trajectories only. Where a limit cut
    the trajectory off, the last action has no next one, and gets 0, as if the limit had been a step earlier.

    Args:
        phi: a reward of transitions that looks at `observation` and `action`.
        discount: that of the learner.
        advice: "look_back" or "look_ahead".
    """

    phi: Reward
    discount: float
    advice: Literal["look_back", "look_ahead"] = "look_back"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_discount(self)
        check_by_transition(self.phi)

    @property
    def deterministic(self) -> bool:  # noqa: D102 - documented on Reward
        return self.phi.deterministic

    def pair(self, observation: Any, action: Any) -> NDArray[np.float64]:
        """The potential of N states and actions; what to add to Q-values when choosing, with look-ahead advice.

        Args:
            observation: [N, ...].
            action: [N, ...].

        Returns:
            float64[N].
        """
        return transition_values(self.phi, observation=observation, action=action, next_observation=observation)

    def start(self, count: int) -> NDArray[np.float64]:  # noqa: D102
        return np.zeros(count)

    def advance(  # noqa: D102
        self,
        state: Any,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
        info: Mapping[str, Any] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.advice == "look_ahead":
            raise ValueError(
                f"{self.label}: look-ahead advice needs the next action, which is not known while acting; "
                "set advice='look_back', or score stored trajectories"
            )
        now = np.where(terminated, 0.0, self.pair(observation, action))
        return now - state / self.discount, now

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        if self.advice == "look_back":
            return super()._score(trajectories, progress)
        scores = _Pairs(potential=self)._score(trajectories, progress)
        steps: list[NDArray[np.float64] | None] = []
        values = scores.values.copy()
        for index, (trajectory, pairs) in enumerate(
            zip(trajectories, scores.steps or [None] * len(trajectories), strict=True)
        ):
            if pairs is None:
                steps.append(None)
                continue
            gained = self.discount * np.append(pairs[1:], 0.0) - pairs
            if not trajectory.terminated:
                gained[-1] = 0.0
            steps.append(gained)
            values[index] = gained.sum()
        return replace(scores, values=values, steps=steps)


@dataclass(frozen=True, kw_only=True)
class _Pairs(TransitionReward):
    """The potential of each state and action, with all the checks that scoring makes."""

    potential: Any

    def transition(
        self, observation: Any, action: Any, next_observation: Any, terminated: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self.potential.pair(observation, action)
        return found


@register("time_potential")
@dataclass(frozen=True, kw_only=True)
class TimePotential(StatefulReward):
    """Shaping by a potential that changes with time (Devlin and Kudenko 2012): `discount * phi(s', t + 1) - phi(s, t)`.

    Time counts the actions of the trajectory. The rule at the end is that of `Potential`.

    Args:
        phi: takes `observation` [N, ...] and `time` int64[N], returns float[N].
        discount: that of the learner.
    """

    phi: Callable[..., Any]
    discount: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_discount(self)

    def state(self, observation: Any, time: NDArray[np.int64]) -> NDArray[np.float64]:
        """The potential of N states at their times."""
        found = self.phi(observation, time)
        return check_values(found, count_rows(observation), f"the potential of {self.label}", of="state")

    def start(self, count: int) -> NDArray[np.int64]:  # noqa: D102 - documented on StatefulReward
        return np.zeros(count, dtype=np.int64)

    def advance(  # noqa: D102
        self,
        state: Any,
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
        info: Mapping[str, Any] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        later = np.where(terminated, 0.0, self.state(next_observation, state + 1))
        return self.discount * later - self.state(observation, state), state + 1
