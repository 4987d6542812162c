"""The law of a policy's return: exactly, as atoms, where there are not too many; by sampling where there are.

Non-linear utilities and risk measures need more than the mean. The exact law is found by following every reachable pair
(state, return so far) forward and merging equal ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rewardlab.functional import tabular
from rewardlab.rewards.formal.objectives.base import Floats, reward_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from rewardlab.environments.tabular import MarkovDecisionProcess

ATOMS = 5_000
"""How many different returns are followed at once before sampling is asked for."""
LEFT = 1e-10
"""Probability, or share of the largest return, that may be left out at the end."""


class ReturnLaw(NamedTuple):
    """Returns and their probabilities.

    Args:
        returns: float64[atom, reward].
        probabilities: float64[atom], sums to 1.
    """

    returns: Floats
    probabilities: Floats


class TooManyReturns(ValueError):
    """The exact law of the return has more atoms than are followed."""


def return_law(mdp: MarkovDecisionProcess, policy: Floats, rewards: Sequence[Any], discount: float) -> ReturnLaw:
    """The exact joint law of the discounted returns of some rewards.

    Args:
        mdp: the process.
        policy: float64[S, A].
        rewards: tables [S], [S, A], [S, A, S], or None for the rewards of the process.
        discount: in [0, 1]; 1 only where everything is earned in the end.

    Raises:
        TooManyReturns: the law has too many atoms; sample it.
        ValueError: without a discount, and rewards never cease.
    """
    _check(discount)
    policy = mdp.policy_table(policy)
    tables = np.stack([reward_table(mdp, table) for table in rewards], -1)
    joint = policy[:, :, None] * mdp.transitions
    rows = []
    for state in range(mdp.states):
        actions, following = np.nonzero(joint[state])
        rows.append((following, tables[state, actions, following], joint[state, actions, following]))
    over = _spent(joint, tables)
    states = np.flatnonzero(mdp.initial)
    totals, mass = np.zeros((len(states), tables.shape[-1])), mdp.initial[states]
    done: list[tuple[Floats, Floats]] = []
    largest, weight = np.abs(tables).max(), 1.0
    step = 0
    while True:
        finished = over[states]
        if finished.any():
            done.append((totals[finished], mass[finished]))
        states, totals, mass = states[~finished], totals[~finished], mass[~finished]
        rest = weight * largest / (1 - discount) if discount < 1 else np.inf
        if not len(states) or mass.sum() <= LEFT or rest <= LEFT * largest / max(1 - discount, 1e-3):
            done.append((totals, mass))
            break
        if step > 1_000_000 or (discount == 1 and step > 100 * mdp.states and mass.sum() > 0.5):
            raise ValueError(
                "without a discount a return needs rewards that cease, and they go on; give a discount below 1"
            )
        counts = np.array([len(rows[state][0]) for state in states])
        if counts.sum() > 20 * ATOMS:
            raise TooManyReturns(_too_many(step))
        following = np.concatenate([rows[state][0] for state in states])
        earned = np.concatenate([rows[state][1] for state in states])
        share = np.concatenate([rows[state][2] for state in states])
        totals = np.repeat(totals, counts, axis=0) + weight * earned
        states, totals, mass = _merge(following, totals, np.repeat(mass, counts) * share, largest)
        if len(states) > ATOMS:
            raise TooManyReturns(_too_many(step))
        weight *= discount
        step += 1
    totals, mass = np.concatenate([part for part, _ in done]), np.concatenate([part for _, part in done])
    _, totals, mass = _merge(np.zeros(len(mass), dtype=np.int64), totals, mass, largest)
    return ReturnLaw(totals, mass / mass.sum())


def sampled_law(
    mdp: MarkovDecisionProcess, policy: Floats, rewards: Sequence[Any], discount: float, *, samples: int, seed: int
) -> ReturnLaw:
    """As `return_law`, from sampled trajectories, each with the same probability."""
    from rewardlab.environments.tabular import draw

    _check(discount)
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    policy = mdp.policy_table(policy)
    tables = np.stack([reward_table(mdp, table) for table in rewards], -1)
    over = _spent(policy[:, :, None] * mdp.transitions, tables)
    generator = np.random.default_rng(seed)
    states = draw(np.broadcast_to(mdp.initial, (samples, mdp.states)), generator)
    totals, weight = np.zeros((samples, tables.shape[-1])), 1.0
    limit = 100_000 if discount in (0.0, 1.0) else int(np.ceil(np.log(1e-8) / np.log(discount))) + 1
    for _ in range(max(limit, 1)):
        live = np.flatnonzero(~over[states])
        if not len(live):
            return ReturnLaw(totals, np.full(samples, 1 / samples))
        now = states[live]
        actions = draw(policy[now], generator)
        following = draw(mdp.transitions[now, actions], generator)
        totals[live] += weight * tables[now, actions, following]
        states[live] = following
        weight *= discount
    if discount == 1.0:
        raise ValueError(
            "without a discount a return needs rewards that cease, and they go on; give a discount below 1"
        )
    return ReturnLaw(totals, np.full(samples, 1 / samples))


def _check(discount: float) -> None:
    if not 0.0 <= discount <= 1.0:
        raise ValueError(f"discount must be in [0, 1], got {discount}")


def _too_many(step: int) -> str:
    return f"more than {ATOMS} different returns are possible after {step + 1} steps; give samples= to estimate the law"


def _spent(joint: Floats, tables: Floats) -> np.ndarray:
    """bool[S]: states after which the policy earns nothing more."""
    paying = ((joint[..., None] > tabular.POSITIVE) & (tables != 0)).any((1, 2, 3))
    leads = joint.sum(1) > tabular.POSITIVE
    while True:
        further = paying | (leads & paying[None, :]).any(1)
        if (further == paying).all():
            return ~paying
        paying = further


def _merge(states: np.ndarray, totals: Floats, mass: Floats, largest: float) -> tuple[np.ndarray, Floats, Floats]:
    """Atoms with the same state and return, up to rounding, become one."""
    unit = max(largest, 1e-300) * 1e-11
    keys = np.column_stack([states.astype(np.float64), np.round(totals / unit)])
    _, first, place = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return states[first], totals[first], np.bincount(place.ravel(), weights=mass).astype(np.float64)
