"""Rewards of transitions, and what the algebra builds from them, asked for many transitions at once.

A potential, a map of a reward and a picture of its parts all need values of a reward at states that no trajectory holds.
The algebra is that of `rewardlab.rewards.online`, so the values are those that a learner gets. Rewards that remember, that
read what the simulator says or build on its own reward, and rewards of whole trajectories are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.base import Reward
from rewardlab.rewards.functions import FunctionReward

if TYPE_CHECKING:
    from rewardlab.rewards.online import OnlineReward

Parts = dict[str, NDArray[np.float64]]
KNOWN = {"observation", "action", "next_observation", "terminated"}


def count_rows(observation: Any) -> int:
    """How many observations stand in an array, or in a dict of arrays."""
    first = next(iter(observation.values())) if isinstance(observation, Mapping) else observation
    return int(np.shape(first)[0])


def is_by_transition(reward: Reward) -> bool:
    """Whether a reward is a function of single transitions, so that `transition_values` can compute it."""
    try:
        check_by_transition(reward)
    except TypeError:
        return False
    return True


def check_by_transition(reward: Reward) -> OnlineReward:
    """The reward as a stepping object.

    Raises:
        TypeError: some part is not a function of single transitions; the message names it and says why.
    """
    from rewardlab.rewards.online import CannotStep, online

    try:
        stepping = online(reward)
    except CannotStep as error:
        raise TypeError(f"{reward.label} is not a function of single transitions: {error}") from None
    for leaf in _leaves(reward):
        reason = _reason(leaf)
        if reason:
            raise TypeError(
                f"{reward.label} is not a function of single transitions: {leaf.label} ({type(leaf).__name__}) {reason}; "
                "expected functions of `observation`, `action`, `next_observation` and `terminated`, and what the algebra "
                "makes of them"
            )
    stepping.start(1)
    if stepping.state_dict():
        raise TypeError(f"{reward.label} is not a function of single transitions: it remembers what it has seen")
    return stepping


def transition_values(
    reward: Reward,
    *,
    observation: Any,
    action: Any,
    next_observation: Any,
    terminated: NDArray[np.bool_] | None = None,
    parts: Parts | None = None,
    ready: OnlineReward | None = None,
) -> NDArray[np.float64]:
    """The reward of N transitions.

    Args:
        reward: a transition reward, or a combination of such.
        observation: [N, ...], or a dict of such arrays.
        action: [N, ...], or None where the reward does not look at it.
        next_observation: like `observation`.
        terminated: bool[N]; none ended where not given.
        parts: filled with float64[N] for each part, by dotted name.
        ready: what `check_by_transition` gave for this reward, where it is asked often.

    Returns:
        float64[N].

    Raises:
        TypeError: some part is not a function of single transitions.
        ValueError: a reward returned another shape than one value for each transition.
    """
    count = count_rows(next_observation)
    ended = np.zeros(count, dtype=bool) if terminated is None else terminated
    stepping = check_by_transition(reward) if ready is None else ready
    stepping.start(count)
    values = stepping.step(observation, action, next_observation, ended)
    if parts is not None:
        parts.update({name: part for name, part in stepping.parts.items() if reward.children()})
    return values


def state_values(
    reward: Reward, observation: Any, *, parts: Parts | None = None, ready: OnlineReward | None = None
) -> NDArray[np.float64]:
    """What a reward says about states: it is asked about staying in each of them, without an action.

    Args:
        reward: a transition reward, or a combination of such, that looks at states alone.
        observation: [N, ...], or a dict of such arrays.
        parts: as in `transition_values`.
        ready: as in `transition_values`.

    Returns:
        float64[N].

    Raises:
        TypeError: some part is not a function of single transitions.
        ValueError: some part looks at the action, or returned another shape than one value for each state.
    """
    for part in _leaves(reward) if ready is None else ():
        if isinstance(part, FunctionReward) and "action" in part._arguments():
            raise ValueError(
                f"{part.label} looks at the action, and a state has none; a potential of state and action is "
                "rewardlab.rewards.shaping.ActionPotential"
            )
    return transition_values(
        reward,
        observation=observation,
        action=None,
        next_observation=observation,
        terminated=None,
        parts=parts,
        ready=ready,
    )


def check_values(found: Any, count: int, label: str, *, of: str = "transition") -> NDArray[np.float64]:
    """One value for each row as float64[N].

    Raises:
        ValueError: another shape.
    """
    values = np.asarray(found, dtype=np.float64)
    if values.shape != (count,):
        hint = " (take the column: values[:, 0])" if values.shape == (count, 1) else ""
        raise ValueError(
            f"{label} returned shape {values.shape} for {count} {of}s, expected ({count},), one value for each {of}{hint}"
        )
    return values


def _leaves(reward: Reward) -> list[Reward]:
    below = list(reward.children().values())
    return [leaf for child in below for leaf in _leaves(child)] if below else [reward]


def _reason(leaf: Reward) -> str | None:
    from rewardlab.rewards.recorded import EnvironmentReturn

    if isinstance(leaf, EnvironmentReturn):
        return "is the environment's own reward"
    if isinstance(leaf, FunctionReward):
        wrong = sorted(set(leaf._arguments()) - KNOWN)
        return f"asks for {', '.join(wrong)}" if wrong else None
    return "reads what the simulator says" if getattr(leaf, "reads_info", False) else None
