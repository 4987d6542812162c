"""Finite Markov decision processes as arrays: values, optimal values, occupancies and stationary laws, exactly, in numpy.

Arrays have named axes: `transitions: float64[..., S, A, S]`, `rewards: float64[..., S, A]` (expected over the next state),
`policy: float64[..., S, A]` (rows sum to 1). Leading axes are batches and broadcast against one another, so that many
policies, rewards or discounts are solved in one call. A terminal state is one that leads to itself and earns nothing.

Everything is solved by linear algebra, not by sweeps, so the answers are exact up to rounding at every discount below 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

POSITIVE = 1e-14
"""A transition probability up to this is rounding, and no way from one state to another."""


def policy_transitions(transitions: Floats, policy: Floats) -> Floats:
    """The Markov chain of states that a policy makes of a decision process.

    Args:
        transitions: float64[..., S, A, S].
        policy: float64[..., S, A].

    Returns:
        float64[..., S, S], `P[s, t] = sum_a policy[s, a] transitions[s, a, t]`.

    Raises:
        ValueError: the shapes do not fit.
    """
    transitions, policy = _transitions(transitions), _table("policy", policy, transitions)
    return (policy[..., None, :] @ transitions)[..., 0, :]


def evaluate_policy(transitions: Floats, rewards: Floats, policy: Floats, discount: float | Floats) -> Floats:
    """Expected discounted return from each state: the solution of `V = r_pi + discount P_pi V`.

    Source: Sutton and Barto 2018, equation 4.4.

    Args:
        transitions: float64[..., S, A, S].
        rewards: float64[..., S, A].
        policy: float64[..., S, A].
        discount: in [0, 1); an array has one for each element of the leading axes.

    Returns:
        float64[..., S].

    Raises:
        ValueError: the shapes do not fit, or a discount is outside [0, 1).
    """
    chain = policy_transitions(transitions, policy)
    earned = (_table("rewards", rewards, transitions) * policy).sum(-1)
    return _solve(chain, earned, _discount(discount))


def action_values(transitions: Floats, rewards: Floats, values: Floats, discount: float | Floats) -> Floats:
    """Value of each action from the values of the states that follow: `Q = r + discount P V`.

    Args:
        transitions: float64[..., S, A, S].
        rewards: float64[..., S, A].
        values: float64[..., S].
        discount: in [0, 1].

    Returns:
        float64[..., S, A].
    """
    transitions, rewards = _transitions(transitions), _table("rewards", rewards, transitions)
    share = np.asarray(discount, dtype=np.float64)
    if not ((share >= 0) & (share <= 1)).all():
        raise ValueError(f"discount must be in [0, 1], got {discount}")
    return rewards + share[..., None, None] * (transitions @ np.asarray(values)[..., None, :, None])[..., 0]


def value_iteration(
    transitions: Floats,
    rewards: Floats,
    discount: float | Floats,
    *,
    temperature: float = 0.0,
    tolerance: float = 1e-10,
) -> tuple[Floats, Floats]:
    """Optimal values, or soft optimal values where an entropy bonus of `temperature` is earned at every step.

    Each sweep evaluates the greedy (or softmax) policy exactly. That is Newton's method on the Bellman equation, and needs
    some ten sweeps where plain backups need thousands at a discount near 1.

    Source: Howard 1960 (policy iteration); Puterman and Brumelle 1979 (as Newton's method); Ziebart 2010 (soft values).

    Args:
        transitions: float64[..., S, A, S].
        rewards: float64[..., S, A].
        discount: in [0, 1).
        temperature: 0 for the maximum over actions, above 0 for `temperature * log sum exp(Q / temperature)`.
        tolerance: how far the returned values may be from the fixed point, relative to the largest where that is above 1.

    Returns:
        Values float64[..., S] and action values float64[..., S, A].

    Raises:
        ValueError: the shapes do not fit, a discount is outside [0, 1), or the temperature is negative.
        ArithmeticError: the sweeps did not come to rest, which only happens where inputs are not finite.
    """
    if not (np.isfinite(temperature) and temperature >= 0):
        raise ValueError(f"temperature must be 0 or a positive number, got {temperature}")
    transitions, share = _transitions(transitions), _discount(discount)
    rewards = _table("rewards", rewards, transitions)
    batch = np.broadcast_shapes(transitions.shape[:-3], rewards.shape[:-2], share.shape)
    values = np.zeros((*batch, transitions.shape[-1]))
    for _ in range(10_000):
        actions = action_values(transitions, rewards, values, share)
        better, policy = _greedy(actions, temperature)
        bound = tolerance * np.maximum(1.0, np.abs(better).max(-1)) * (1.0 - share)
        if (
            np.abs(better - values).max(-1) <= np.maximum(bound, 64 * np.finfo(float).eps * np.abs(better).max(-1))
        ).all():
            return values, actions
        bonus = 0.0 if not temperature else -temperature * (policy * np.log(np.maximum(policy, 1e-300))).sum(-1)
        earned = (rewards * policy).sum(-1) + bonus
        values = _solve(policy_transitions(transitions, policy), earned, share)
    raise ArithmeticError("value iteration did not come to rest; are transitions and rewards finite?")


def optimal_actions(action_values: Floats, tolerance: float = 1e-9) -> NDArray[np.bool_]:
    """Which actions are as good as the best one of their state.

    Args:
        action_values: float64[..., S, A].
        tolerance: how much worse an action may be and still count, relative to the largest magnitude where that is above 1.

    Returns:
        bool[..., S, A], at least one in every state.
    """
    action_values = np.asarray(action_values, dtype=np.float64)
    if action_values.ndim < 2 or not np.isfinite(action_values).all():
        raise ValueError(f"action values must be finite and [..., S, A], got shape {action_values.shape}")
    scale = np.maximum(1.0, np.abs(action_values).max((-2, -1), keepdims=True))
    return action_values >= action_values.max(-1, keepdims=True) - tolerance * scale


def occupancy(transitions: Floats, policy: Floats, initial: Floats, discount: float | Floats) -> Floats:
    """Expected discounted number of visits to each state and action; the return is its inner product with the rewards.

    Source: Puterman 1994, section 6.9 (the dual of the linear programme).

    Args:
        transitions: float64[..., S, A, S].
        policy: float64[..., S, A].
        initial: float64[..., S], the law of the first state.
        discount: in [0, 1).

    Returns:
        float64[..., S, A], which sums to `1 / (1 - discount)`.
    """
    chain = policy_transitions(transitions, policy)
    start = np.asarray(initial, dtype=np.float64)
    if start.shape[-1:] != chain.shape[-1:]:
        raise ValueError(f"initial must be [..., {chain.shape[-1]}], one for each state, got shape {start.shape}")
    visits = _solve(np.swapaxes(chain, -1, -2), start, _discount(discount))
    return visits[..., None] * policy


def limiting_matrix(chain: Floats) -> Floats:
    """Long-run share of time in each state from each start: `lim 1/N sum_{t<N} P^t`.

    It exists for every finite chain. Where the chain is periodic it is the average over the period; where there is more
    than one recurrent class it depends on the start, and rows differ.

    Source: Puterman 1994, appendix A.4 (recurrent classes, absorption, the limiting matrix).

    Args:
        chain: float64[..., S, S], rows sum to 1.

    Returns:
        float64[..., S, S], rows sum to 1.
    """
    chain = np.asarray(chain, dtype=np.float64)
    if chain.ndim < 2 or chain.shape[-1] != chain.shape[-2]:
        raise ValueError(f"chain must be [..., S, S], got shape {chain.shape}")
    flat = chain.reshape(-1, *chain.shape[-2:])
    return np.stack([_limit(one) for one in flat]).reshape(chain.shape)


def recurrent_classes(chain: Floats) -> list[NDArray[np.intp]]:
    """The sets of states that one chain float64[S, S] never leaves and visits again and again."""
    reach = (chain > POSITIVE) | np.eye(len(chain), dtype=bool)
    while True:
        further = (reach.astype(np.float64) @ reach.astype(np.float64)) > 0
        if (further == reach).all():
            break
        reach = further
    mutual = reach & reach.T
    closed = (reach == mutual).all(1)
    first = {int(np.flatnonzero(row)[0]) for row in mutual[closed]}
    return [np.flatnonzero(mutual[state]) for state in sorted(first)]


def stationary_distribution(transitions: Floats, policy: Floats, initial: Floats) -> Floats:
    """Long-run share of time that a policy spends in each state from the law of the first state.

    Args:
        transitions: float64[..., S, A, S].
        policy: float64[..., S, A].
        initial: float64[..., S]; `np.eye(S)` gives the answer for each start state.

    Returns:
        float64[..., S], sums to 1. For periodic and multichain processes see `limiting_matrix`.
    """
    limit = limiting_matrix(policy_transitions(transitions, policy))
    return (np.asarray(initial, dtype=np.float64)[..., None, :] @ limit)[..., 0, :]


def _limit(chain: Floats) -> Floats:
    count = len(chain)
    limit = np.zeros((count, count))
    classes = recurrent_classes(chain)
    recurrent = np.concatenate(classes)
    transient = np.setdiff1d(np.arange(count), recurrent)
    rest = np.eye(len(transient)) - chain[np.ix_(transient, transient)]
    for states in classes:
        size = len(states)
        equations = np.vstack([np.eye(size) - chain[np.ix_(states, states)].T, np.ones((1, size))])
        law = np.linalg.lstsq(equations, np.r_[np.zeros(size), 1.0], rcond=None)[0]
        law = np.maximum(law, 0.0) / np.maximum(law, 0.0).sum()
        limit[np.ix_(states, states)] = law
        if len(transient):
            absorbed = np.linalg.solve(rest, chain[np.ix_(transient, states)].sum(1))
            limit[np.ix_(transient, states)] = absorbed[:, None] * law
    return limit


def _greedy(actions: Floats, temperature: float) -> tuple[Floats, Floats]:
    """The backed-up values, and the policy that attains them."""
    best = actions.max(-1, keepdims=True)
    if not temperature:
        policy = np.zeros_like(actions)
        np.put_along_axis(policy, actions.argmax(-1)[..., None], 1.0, -1)
        return best[..., 0], policy
    weights = np.exp((actions - best) / temperature)
    total = weights.sum(-1, keepdims=True)
    return (best + temperature * np.log(total))[..., 0], weights / total


def _solve(chain: Floats, right: Floats, discount: Floats) -> Floats:
    """`(I - discount chain)^-1 right` over leading axes."""
    system = np.eye(chain.shape[-1]) - discount[..., None, None] * chain
    shape = np.broadcast_shapes(system.shape[:-1], right.shape)
    rows, columns = np.broadcast_to(system, (*shape, shape[-1])), np.broadcast_to(right, shape)[..., None]
    solution: Floats = np.linalg.solve(rows, columns)[..., 0].astype(np.float64, copy=False)
    return solution


def _transitions(transitions: Floats) -> Floats:
    transitions = np.asarray(transitions, dtype=np.float64)
    if transitions.ndim < 3 or transitions.shape[-1] != transitions.shape[-3]:
        raise ValueError(f"transitions must be [..., S, A, S], got shape {transitions.shape}")
    return transitions


def _table(name: str, table: Floats, transitions: Floats) -> Floats:
    table = np.asarray(table, dtype=np.float64)
    if table.shape[-2:] != np.shape(transitions)[-3:-1]:
        states, actions = np.shape(transitions)[-3:-1]
        raise ValueError(
            f"{name} must be [..., {states}, {actions}] for {states} states and {actions} actions, got shape {table.shape}"
        )
    return table


def _discount(discount: float | Floats) -> Floats:
    share = np.asarray(discount, dtype=np.float64)
    if not ((share >= 0) & (share < 1)).all():
        raise ValueError(f"discount must be in [0, 1), got {discount}")
    return share
