"""Rewards of transitions, and what the algebra builds from them, asked for many transitions at once.

A potential, a map of a reward and a picture of its parts all need values of a reward at states that no trajectory holds.
Sums, products, gates, limits and kinesthetic combinations of transition rewards are computed here transition by transition.
Rewards with a state of their own, those that read what the simulator says, and rewards of whole trajectories have no such
value, and are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.base import Reward
from rewardlab.rewards.functions import FunctionReward
from rewardlab.rewards.transitions import StatefulReward, TransitionReward

Parts = dict[str, NDArray[np.float64]]
KNOWN = {"observation", "action", "next_observation", "terminated"}


def count_rows(observation: Any) -> int:
    """How many observations stand in an array, or in a dict of arrays."""
    first = next(iter(observation.values())) if isinstance(observation, Mapping) else observation
    return int(np.shape(first)[0])


def is_by_transition(reward: Reward) -> bool:
    """Whether a reward is a function of single transitions, so that `transition_values` can compute it."""
    from rewardlab.rewards.algebra import Clip, Gate, Product, Sum
    from rewardlab.rewards.shaping.combination import Kinesthetic

    if isinstance(reward, TransitionReward):
        return not isinstance(reward, StatefulReward) and not reward.reads_info
    if isinstance(reward, FunctionReward):
        return reward.per == "transition" and set(reward._arguments()) <= KNOWN
    if isinstance(reward, (Sum, Product, Clip, Gate, Kinesthetic)):
        return all(is_by_transition(child) for child in reward.children().values())
    return False


def transition_values(
    reward: Reward,
    *,
    observation: Any,
    action: Any,
    next_observation: Any,
    terminated: NDArray[np.bool_] | None = None,
    parts: Parts | None = None,
    prefix: str = "",
) -> NDArray[np.float64]:
    """The reward of N transitions.

    Args:
        reward: a transition reward, or a combination of such.
        observation: [N, ...], or a dict of such arrays.
        action: [N, ...], or None where the reward does not look at it.
        next_observation: like `observation`.
        terminated: bool[N]; none ended where not given.
        parts: filled with float64[N] for each part, by dotted name.
        prefix: what stands before the names of parts.

    Returns:
        float64[N].

    Raises:
        TypeError: some part is not a reward of single transitions.
        ValueError: a reward returned another shape than one value for each transition.
    """
    from rewardlab.rewards.algebra import Clip, Gate, Product, Sum
    from rewardlab.rewards.shaping.combination import Kinesthetic, kinesthetic_mean

    count = count_rows(next_observation)
    ended = np.zeros(count, dtype=bool) if terminated is None else terminated
    columns = {
        "observation": observation,
        "action": action,
        "next_observation": next_observation,
        "terminated": ended,
    }
    if not is_by_transition(reward):
        raise TypeError(_refusal(reward))
    if isinstance(reward, TransitionReward):
        return check_values(reward.transition(**columns), count, reward.label)
    if isinstance(reward, FunctionReward):
        wanted = {name: columns[name] for name in reward._arguments()}
        return check_values(reward.function(**wanted, **reward.options), count, reward.label)
    below: Parts = {}
    for name, child in reward.children().items():
        below[name] = transition_values(child, **columns, parts=parts, prefix=f"{prefix}{name}.")
    if parts is not None:
        parts.update({prefix + name: values for name, values in below.items()})
    stacked = np.stack(list(below.values()))
    if isinstance(reward, Sum):
        weights = np.array([reward.weights.get(name, 1.0) for name in below])
        used = weights != 0.0
        return np.asarray(weights[used] @ stacked[used] + reward.bias)
    if isinstance(reward, Product):
        return np.asarray(stacked.prod(axis=0))
    if isinstance(reward, Clip):
        return np.clip(stacked[0], reward.low, reward.high)
    if isinstance(reward, Gate):
        gate, inner = stacked
        return np.where(np.isnan(gate), np.nan, np.where(gate >= reward.threshold, inner, reward.otherwise))
    assert isinstance(reward, Kinesthetic)
    stacked = reward.in_range(below)
    weights = np.array([reward.weights.get(name, 1.0) for name in below])
    values = kinesthetic_mean(stacked, weights, sign=reward.sign)
    return np.where(np.isnan(stacked).any(axis=0), np.nan, values)


def state_values(reward: Reward, observation: Any, *, parts: Parts | None = None) -> NDArray[np.float64]:
    """What a reward says about states: it is asked about staying in each of them, without an action.

    Args:
        reward: a transition reward, or a combination of such, that looks at states alone.
        observation: [N, ...], or a dict of such arrays.
        parts: as in `transition_values`.

    Returns:
        float64[N].

    Raises:
        TypeError: some part is not a reward of single transitions.
        ValueError: some part looks at the action, or returned another shape than one value for each state.
    """
    for part in _leaves(reward):
        if isinstance(part, FunctionReward) and "action" in part._arguments():
            raise ValueError(
                f"{part.label} looks at the action, and a state has none; a potential of state and action is "
                "rewardlab.rewards.shaping.ActionPotential"
            )
    return transition_values(
        reward, observation=observation, action=None, next_observation=observation, terminated=None, parts=parts
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


def _refusal(reward: Reward) -> str:
    wrong = next((leaf for leaf in _leaves(reward) if not is_by_transition(leaf)), reward)
    return (
        f"{wrong.label} ({type(wrong).__name__}) is not a function of single transitions; expected transition rewards, "
        "functions of `observation`, `action`, `next_observation`, `terminated` under @rewardlab.reward, or sums, products, "
        "gates, limits and kinesthetic combinations of them"
    )
