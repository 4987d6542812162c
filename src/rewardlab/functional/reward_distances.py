"""How far two rewards are apart, whatever shaping and scale make of their numbers: EPIC and STARC.

Both bring a reward to a canonical form that potential shaping does not change, divide by its size, and measure what is left.
EPIC's form averages over a coverage distribution and knows no dynamics; STARC's is by the environment's dynamics, and bounds
the regret of optimising one reward for the other. Exact forms take arrays `[S, A, S]`; sampled ones take values that a
reward gave on transitions, so that the reward may stand in another process or library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional.tabular import evaluate_policy

Floats = NDArray[np.float64]
FLAT = 1e-10
"""A canonical reward whose size is below this share of the raw one's is rounding: the reward is trivial."""


def epic_canonical(
    rewards: Floats, discount: float, *, states: Floats | None = None, actions: Floats | None = None
) -> Floats:
    """`R(s,a,s') + E[discount R(s',A,S') - R(s,A,S') - discount R(S,A,S')]` with S, S' and A drawn independently.

    Source: Gleave et al. 2021 (arXiv 2006.13900), definition 4.1.

    Args:
        rewards: float64[S, A, S]; [S, A] does not depend on the next state.
        discount: in [0, 1].
        states: float64[S], the law of S and S'; None for uniform.
        actions: float64[A], the law of A; None for uniform.

    Returns:
        float64[S, A, S], which potential shaping does not change.
    """
    table = _full(rewards)
    count, choices, _ = table.shape
    place = _law("states", states, count)
    choice = _law("actions", actions, choices)
    mean = np.einsum("sat,a,t->s", table, choice, place)
    canonical: Floats = table + discount * mean[None, None, :] - mean[:, None, None] - discount * float(mean @ place)
    return canonical


def pearson_distance(first: Floats, second: Floats, weights: Floats | None = None) -> float:
    """`sqrt((1 - correlation) / 2)`, in [0, 1]; 0 for positive affine copies, 1 for negative ones.

    Args:
        first, second: the same shape.
        weights: of the entries, same shape; None for equal ones.

    Returns:
        The distance; NaN where one of both is constant, which has no correlation with anything.
    """
    one, two = np.ravel(first).astype(float), np.ravel(second).astype(float)
    if one.shape != two.shape or not one.size:
        raise ValueError(f"both rewards need the same, non-empty shape, got {np.shape(first)} and {np.shape(second)}")
    share = np.full(one.size, 1.0 / one.size) if weights is None else np.ravel(weights) / np.sum(weights)
    one, two = one - share @ one, two - share @ two
    sizes = np.sqrt((share @ one**2) * (share @ two**2))
    if not (share @ one**2 > FLAT**2 * max(1.0, np.abs(first).max() ** 2)) or not (
        share @ two**2 > FLAT**2 * max(1.0, np.abs(second).max() ** 2)
    ):
        return float("nan")
    correlation = float(np.clip((share @ (one * two)) / sizes, -1.0, 1.0))
    return float(np.sqrt((1.0 - correlation) / 2.0))


def epic(
    first: Floats,
    second: Floats,
    discount: float,
    *,
    states: Floats | None = None,
    actions: Floats | None = None,
    coverage: Floats | None = None,
) -> float:
    """EPIC distance of two tables of rewards: the Pearson distance of their canonical forms.

    Args:
        first, second: float64[S, A, S] or [S, A].
        discount: in [0, 1].
        states, actions: laws of the canonical form; None for uniform.
        coverage: float64[S, A, S], over which the correlation is taken; None for the product of `states` and `actions`.

    Returns:
        In [0, 1]; NaN where one reward is trivial (shaping of a constant).
    """
    one, two = (epic_canonical(table, discount, states=states, actions=actions) for table in (first, second))
    count, choices, _ = one.shape
    place, choice = _law("states", states, count), _law("actions", actions, choices)
    weights = place[:, None, None] * choice[None, :, None] * place if coverage is None else np.asarray(coverage)
    return pearson_distance(one, two, weights)


def value_canonical(rewards: Floats, transitions: Floats, discount: float, *, policy: Floats | None = None) -> Floats:
    """`E[R(s,a,S') - V(s) + discount V(S')]`, with V the value of a fixed policy: STARC's value-adjusted levelling.

    Source: Skalse et al. 2024, "STARC" (arXiv 2309.15257), definition 7.

    Args:
        rewards: float64[S, A, S] or [S, A].
        transitions: float64[S, A, S].
        discount: in [0, 1).
        policy: float64[S, A]; None for uniform.

    Returns:
        float64[S, A]; neither shaping nor moving reward among next states changes it.
    """
    moves = np.asarray(transitions, dtype=np.float64)
    expected = (_full(rewards) * moves).sum(-1)
    chosen = np.full(expected.shape, 1.0 / expected.shape[1]) if policy is None else np.asarray(policy)
    values = evaluate_policy(moves, expected, chosen, discount)
    return expected - values[:, None] + discount * moves @ values


def minimal_canonical(rewards: Floats, transitions: Floats, discount: float) -> Floats:
    """The smallest reward (in L2, over states and actions) that shaping makes of this one's expectation over next states.

    Source: Skalse et al. 2024 (arXiv 2309.15257), definition 8, for expected rewards.

    Args:
        rewards: float64[S, A, S] or [S, A].
        transitions: float64[S, A, S].
        discount: in [0, 1).

    Returns:
        float64[S, A].
    """
    moves = np.asarray(transitions, dtype=np.float64)
    expected = (_full(rewards) * moves).sum(-1)
    states, actions = expected.shape
    shaping = (discount * moves - np.eye(states)[:, None, :]).reshape(states * actions, states)
    potential = np.linalg.lstsq(shaping, -expected.ravel(), rcond=None)[0]
    return expected + (shaping @ potential).reshape(states, actions)


def starc(
    first: Floats,
    second: Floats,
    transitions: Floats,
    discount: float,
    *,
    canonical: Literal["value", "minimal"] = "value",
    policy: Floats | None = None,
) -> float:
    """STARC distance of two tables of rewards: canonical forms, divided by their L2 norm, and the L2 norm of the difference.

    Args:
        first, second: float64[S, A, S] or [S, A].
        transitions: float64[S, A, S].
        discount: in [0, 1).
        canonical: the form: "value" by the values of a policy, "minimal" by the least norm.
        policy: of the value form; None for uniform.

    Returns:
        In [0, 2]: 0 where both order all policies alike, 2 where one is the other's opposite. A trivial reward is 0 after
        division, so that its distance to any other is 1, and to another trivial one 0.
    """
    if canonical not in ("value", "minimal"):
        raise ValueError(f"canonical must be 'value' or 'minimal', got {canonical!r}")
    forms = []
    for table in (first, second):
        form = (
            value_canonical(table, transitions, discount, policy=policy)
            if canonical == "value"
            else minimal_canonical(table, transitions, discount)
        )
        forms.append(_unit(form, float(np.abs(table).max(initial=0.0))))
    return float(np.linalg.norm(forms[0] - forms[1]))


@dataclass(frozen=True, slots=True)
class SampledEpic:
    """The transitions on which two rewards are asked for a sampled EPIC distance.

    Args:
        observation, action, next_observation: [count, ...] transitions of the coverage distribution.
        draws: how many of them stand for the independent S' and A.
    """

    observation: NDArray[Any]
    action: NDArray[Any]
    next_observation: NDArray[Any]
    draws: int = 64

    def queries(self) -> dict[str, NDArray[Any]]:
        """Columns of all transitions that must be rewarded; ask with `terminated` False everywhere."""
        count, draws = len(self.action), self.draws
        if not 1 <= draws <= count:
            raise ValueError(f"draws must be between 1 and the {count} transitions, got {draws}")
        # the actions and next states of other transitions, which are independent of one another once both are shifted
        pick = np.linspace(0, count - 1, draws).astype(int)
        action, following = self.action[pick], self.next_observation[np.roll(pick, draws // 2)]
        columns: dict[str, list[NDArray[Any]]] = {
            "observation": [self.observation],
            "action": [self.action],
            "next_observation": [self.next_observation],
        }
        for start in (self.observation, self.next_observation):
            columns["observation"].append(np.repeat(start, draws, axis=0))
            columns["action"].append(np.tile(action, (count, *[1] * (action.ndim - 1))))
            columns["next_observation"].append(np.tile(following, (count, *[1] * (following.ndim - 1))))
        return {name: np.concatenate(parts) for name, parts in columns.items()}

    def canonical(self, values: Floats, discount: float) -> Floats:
        """The canonical reward of the transitions, up to a constant, from the values of all `queries`: float64[count]."""
        count, draws = len(self.action), self.draws
        values = np.asarray(values, dtype=np.float64)
        if values.shape != (count * (1 + 2 * draws),):
            raise ValueError(f"expected {count * (1 + 2 * draws)} values, one for each query, got shape {values.shape}")
        here, there = values[count:].reshape(2, count, draws).mean(-1)
        return values[:count] + discount * there - here

    def distance(self, first: Floats, second: Floats, discount: float) -> float:
        """EPIC distance of two rewards from their values on all `queries`."""
        return pearson_distance(self.canonical(first, discount), self.canonical(second, discount))


def sampled_starc(first: Floats, second: Floats, features: Floats, next_features: Floats, discount: float) -> float:
    """STARC distance from values on transitions of one policy, with that policy's values linear in features (LSTD).

    Args:
        first, second: float64[N], what the rewards gave on the transitions.
        features, next_features: float64[N, K] of the state before and after; 0 after a termination. They should hold a
            constant.
        discount: in [0, 1).

    Returns:
        In [0, 2], as `starc`; exact where the features can express the values, as one-hot ones can.
    """
    before, after = np.asarray(features, dtype=np.float64), np.asarray(next_features, dtype=np.float64)
    difference = before - discount * after
    system = before.T @ difference
    forms = []
    for values in (first, second):
        values = np.asarray(values, dtype=np.float64)
        if values.shape != (len(before),):
            raise ValueError(f"expected {len(before)} values, one for each transition, got shape {values.shape}")
        weights = np.linalg.lstsq(system, before.T @ values, rcond=None)[0]
        forms.append(_unit(values - difference @ weights, float(np.abs(values).max(initial=0.0))))
    return float(np.linalg.norm(forms[0] - forms[1]))


def _unit(form: Floats, size: float) -> Floats:
    norm = float(np.linalg.norm(form))
    return np.zeros_like(form) if norm <= FLAT * max(size, 1e-300) * np.sqrt(form.size) else form / norm


def _full(rewards: Floats) -> Floats:
    table = np.asarray(rewards, dtype=np.float64)
    if table.ndim == 2:
        return np.broadcast_to(table[:, :, None], (*table.shape, table.shape[0]))
    if table.ndim != 3 or table.shape[0] != table.shape[2]:
        raise ValueError(f"rewards must be [S, A, S] or [S, A], got shape {table.shape}")
    return table


def _law(name: str, law: Floats | None, count: int) -> Floats:
    if law is None:
        return np.full(count, 1.0 / count)
    chances = np.asarray(law, dtype=np.float64)
    if chances.shape != (count,) or (chances < 0).any() or abs(chances.sum() - 1) > 1e-8:
        raise ValueError(f"{name} must be {count} probabilities that sum to 1, got {chances.tolist()!r:.200}")
    return chances
