"""What a designed reward may not change: the optimal policies of a finite world, as linear constraints on its table.

With a policy `pi` and its action values `Q = (I - discount P_pi)^-1 R`, the policy stays optimal with the gap that it had
when `(I_pi - I) Q >= b`, where `I_pi` looks up the policy's own action (Devidze, Radanovic, Kamalaruban & Singla 2021,
"Explicable Reward Design for Reinforcement Learning Agents").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.functional.tabular import action_values, evaluate_policy, optimal_actions, value_iteration

if TYPE_CHECKING:
    from rewardlab.environments.tabular import MarkovDecisionProcess

Floats = NDArray[np.float64]

SLACK = 1e-5
"""Gaps may shrink by this share, so that the original reward is feasible in spite of rounding (the authors' code)."""
MOST_POLICIES = 16
"""Longer lists of target policies are joined to one that mixes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariance:
    """The constraints of one world and its target policies.

    Args:
        policies: float[policy, state, action], what must stay optimal.
        gaps: float[state], by how much the best action beats the next under the original reward; 0 where all are optimal.
        optimal: bool[state, action], the actions that are optimal under the original reward.
        differences: float[policy, state * action, state * action], `(I_pi - I) (I - discount P_pi)^-1`.
        bounds: float[state * action], what the differences of the designed reward must reach.
        goals: int[...], the states where the original reward is not zero.
        live: bool[state], the states that are not terminal.
        notes: what a reader should know about the world: vacuous constraints, states that are never reached.
    """

    policies: Floats
    gaps: Floats
    optimal: NDArray[np.bool_]
    differences: Floats
    bounds: Floats
    goals: NDArray[np.intp]
    live: NDArray[np.bool_]
    notes: tuple[str, ...]

    def slacks(self, table: ArrayLike) -> Floats:
        """How far a table is above each constraint, the worst policy taken: float[state, action]; NaN on the policy's own.

        Args:
            table: float[state, action].
        """
        rewards = np.asarray(table, dtype=np.float64)
        slack = (self.differences @ rewards.ravel() - self.bounds).min(axis=0).reshape(rewards.shape)
        slack[(self.policies > 0).all(axis=0) & (self.policies == 1).any(axis=0)] = np.nan
        slack[~self.live] = np.nan
        return slack


def invariance(
    world: MarkovDecisionProcess,
    target_policy: ArrayLike | Sequence[ArrayLike] | None = None,
    *,
    tolerance: float = 1e-6,
) -> Invariance:
    """The constraints under which target policies stay optimal.

    Args:
        world: a finite world with a discount below 1.
        target_policy: int[state], float[state, action], a sequence of the first, or None for all optimal policies. There
            are exponentially many of those, and they all stay optimal exactly when the policy that mixes them does, so that
            one is taken; the same is done with lists of more than `MOST_POLICIES`.
        tolerance: how much worse than the best an action of a target may be.

    Raises:
        ValueError: a policy of the wrong shape, or one that is not optimal under the original reward. (A discount of 1,
            terminal states that pay, NaN and rows that do not sum to 1 are refused by `MarkovDecisionProcess`.)
    """
    live = ~np.asarray(world.terminal)
    if not (np.abs(world.rewards) > 0).any():
        raise ValueError(
            "the original reward is zero everywhere, so that every policy is optimal and there is nothing to keep"
        )
    _, q = value_iteration(world.transitions, world.rewards, world.discount)
    optimal = optimal_actions(q)
    best = q.max(axis=1)
    gaps = np.where(optimal.all(axis=1), 0.0, best - np.where(optimal, -np.inf, q).max(axis=1))
    policies = _policies(target_policy, optimal, live)
    for policy in policies:
        values = evaluate_policy(world.transitions, world.rewards, policy, world.discount)
        found = action_values(world.transitions, world.rewards, values, world.discount)
        short = np.where(live, found.max(axis=1) - values, 0.0)
        worst = int(short.argmax())
        if short[worst] > tolerance * max(1.0, float(np.abs(best).max())):
            raise ValueError(
                f"the target policy is not optimal under the original reward: in state {worst} it is worth "
                f"{values[worst]:.4g}, and action {int(found[worst].argmax())} is worth {found[worst].max():.4g}; give an "
                "optimal policy, or None for all of them"
            )
    differences = np.stack([_differences(world.transitions, policy, world.discount) for policy in policies])
    bounds = np.where(optimal | ~live[:, None], 0.0, gaps[:, None] / (1 + SLACK)).ravel()
    return Invariance(
        policies=policies,
        gaps=np.where(live, gaps, 0.0),
        optimal=optimal,
        differences=differences,
        bounds=bounds,
        goals=np.flatnonzero(np.abs(world.rewards).max(axis=1) > 0),
        live=live,
        notes=_notes(world, gaps, live, target_policy is None, optimal),
    )


def _policies(
    target: ArrayLike | Sequence[ArrayLike] | None, optimal: NDArray[np.bool_], live: NDArray[np.bool_]
) -> Floats:
    states, actions = optimal.shape
    if target is None:
        return (optimal / optimal.sum(axis=1, keepdims=True))[None]
    given = np.asarray(target)
    if given.dtype.kind in "iu" and given.shape in ((states,), (len(given), states)):
        if given.min() < 0 or given.max() >= actions:
            raise ValueError(f"target_policy names action {given.max()}, expected 0 to {actions - 1}")
        policies = np.eye(actions)[np.atleast_2d(given)]
    elif given.shape == (states, actions) and np.allclose(given.sum(axis=1)[live], 1.0):
        policies = given[None].astype(np.float64)
        policies[:, ~live] = 1.0 / actions
    else:
        raise ValueError(
            f"target_policy must be int[{states}], a list of those, or float[{states}, {actions}] with rows that sum to 1, "
            f"got {given.dtype}{list(given.shape)}"
        )
    if len(policies) > MOST_POLICIES:
        used = policies.any(axis=0)
        policies = (used / used.sum(axis=1, keepdims=True))[None]
    return policies


def _differences(transitions: Floats, policy: Floats, discount: float) -> Floats:
    states, actions = policy.shape
    size = states * actions
    chain = (transitions[..., None] * policy).reshape(size, size)
    return (own_action(policy) - np.eye(size)) @ np.linalg.inv(np.eye(size) - discount * chain)


def own_action(policy: Floats) -> Floats:
    """`I_pi`: float[state * action, state * action], from each action to those that the policy takes in its state."""
    states, actions = policy.shape
    return np.kron(np.eye(states), np.ones((actions, 1))) @ (np.eye(states)[:, :, None] * policy[None]).reshape(
        states, states * actions
    )


def within(transitions: Floats, policy: Floats, discount: float, horizon: int) -> Floats:
    """`(I_pi - I) sum_{t < horizon} (discount P_pi)^t`: how much the policy's action is better within a horizon of steps."""
    states, actions = policy.shape
    size = states * actions
    chain = discount * (transitions[..., None] * policy).reshape(size, size)
    total, power = np.eye(size), np.eye(size)
    for _ in range(1, horizon):
        power = power @ chain
        total = total + power
    return np.asarray((own_action(policy) - np.eye(size)) @ total)


def _notes(
    world: MarkovDecisionProcess, gaps: Floats, live: NDArray[np.bool_], every: bool, optimal: NDArray[np.bool_]
) -> tuple[str, ...]:
    notes = []
    vacuous = np.flatnonzero((gaps <= 0) & live)
    if vacuous.size:
        notes.append(
            f"all actions are optimal in {_some(vacuous)}: no gap to keep, and the constraint says nothing there"
        )
    reached = np.asarray(world.initial) > 0
    for _ in range(len(live)):
        further = reached | ((world.transitions[reached] > 0).any(axis=(0, 1)))
        if (further == reached).all():
            break
        reached = further
    missed = np.flatnonzero(~reached)
    if missed.size:
        notes.append(f"never reached from the start: {_some(missed)}; they are held to the constraints all the same")
    count = float(np.log10(optimal[live].sum(axis=1)).sum())
    if every and count > 0:
        notes.append(
            f"about 10^{count:.1f} deterministic policies are optimal; all are kept, by the policy that mixes them"
        )
    return tuple(notes)


def _some(states: NDArray[np.intp]) -> str:
    shown = ", ".join(str(state) for state in states[:8])
    return f"{'state' if len(states) == 1 else 'states'} {shown}{' ...' if len(states) > 8 else ''}"
