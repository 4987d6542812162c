"""Which pairs to have labelled next: those that say most about a reward, by one of four rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.functional.optimal_design import check_budget, d_optimal
from rewardlab.learning.data import PreferenceData
from rewardlab.rewards.models.model import RewardModel

Rule = Literal["d-optimal", "entropy", "gap", "random"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """Pairs to have labelled, most wanted first.

    Args:
        rows: int64[budget], of the pool.
        worth: float64[budget], by the rule: nats of information, nats of entropy, or the gap of rewards.
        pairs: the pairs themselves, with the labels of the pool, which nobody has read.
    """

    rows: NDArray[np.int64]
    worth: NDArray[np.float64]
    pairs: PreferenceData


def select(
    pool: PreferenceData,
    reward: RewardModel,
    budget: int,
    rule: Rule = "d-optimal",
    *,
    labelled: PreferenceData | None = None,
    ridge: float = 1.0,
    seed: int = 0,
) -> Selected:
    """Choose pairs of a pool whose labels would say most about a reward; the pool's labels are not read.

    "d-optimal" takes pairs one after the other, each for what it adds to the log-determinant of the Fisher information of a
    linear head on the encoder's features, so that a batch does not say the same thing many times. "entropy" takes those
    whose outcome is least sure, "gap" those whose rewards differ most, "random" any.

    Source: Shen, Sun and Ton 2025, "Reviving the Classics: Active Reward Modeling in Large Language Model Alignment" (arXiv
    2502.04354).

    Args:
        pool: candidates.
        reward: of the moment; its encoder gives the features.
        budget: how many pairs.
        rule: see above.
        labelled: pairs that are labelled already, whose information "d-optimal" starts from; None for none.
        ridge: information of the prior in every direction, in the unit of the features.
        seed: for "random".

    Raises:
        ValueError: an unknown rule, or a budget above the pool.
    """
    if rule not in get_args(Rule):
        raise ValueError(f"rule must be one of {', '.join(get_args(Rule))}, got {rule!r}")
    check_budget(budget, len(pool))
    if rule == "random":
        rows = np.random.default_rng(seed).permutation(len(pool))[:budget]
        return Selected(rows=rows, worth=np.zeros(budget), pairs=pool.select(rows))
    differences, log_odds = _read(pool, reward, features=rule == "d-optimal")
    known = None
    if labelled is not None and rule == "d-optimal":
        before, odds = _read(labelled, reward, features=True)
        known = information(before, sigmoid(odds))
    rows, worth = choose(differences, log_odds, budget, rule, ridge=ridge, known=known)
    return Selected(rows=rows, worth=worth, pairs=pool.select(rows))


def choose(
    differences: ArrayLike,
    log_odds: ArrayLike,
    budget: int,
    rule: Literal["d-optimal", "entropy", "gap"] = "d-optimal",
    *,
    ridge: float = 1.0,
    known: ArrayLike | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """`select` on arrays.

    Args:
        differences: float[row, feature], features of the first minus those of the second; read by "d-optimal" alone.
        log_odds: float[row], that the first is preferred, by the reward of the moment.
        budget: how many rows.
        rule: see `select`.
        ridge, known: see `rewardlab.functional.d_optimal`.

    Returns:
        int64[budget] and float64[budget], rows and what each is worth, best first; of ties the first row.
    """
    odds = np.asarray(log_odds, np.float64)
    if rule == "d-optimal":
        return d_optimal(differences, sigmoid(odds), budget, ridge=ridge, known=known)
    check_budget(budget, len(odds))
    worth = np.abs(odds)
    if rule == "entropy":
        chance = sigmoid(-worth)
        worth = -(chance * np.log(np.maximum(chance, 1e-300)) + (1 - chance) * np.log1p(-chance))
    rows = np.argsort(-worth, kind="stable")[:budget]
    return rows, worth[rows]


def information(differences: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
    """Fisher information of comparisons about a linear reward: the sum of `p (1 - p) x x^T`, float64[feature, feature]."""
    rows, chances = np.asarray(differences, np.float64), np.asarray(probabilities, np.float64)
    return (rows * (chances * (1.0 - chances))[:, None]).T @ rows


def sigmoid(log_odds: ArrayLike) -> NDArray[np.float64]:
    """Probabilities of log-odds."""
    return 1.0 / (1.0 + np.exp(-np.clip(np.asarray(log_odds, np.float64), -500, 500)))


def _read(
    pool: PreferenceData, reward: RewardModel, *, features: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Differences of features and log-odds of every pair."""
    import torch

    used = pool.without_unused_items()
    network = reward.network
    with torch.no_grad():
        encoded = network.encode(used.items, batch_length=reward.batch_length)
        outputs = network.head.eval()(encoded)
        sides = [torch.from_numpy(side).to(network.device) for side in (used.first, used.second)]
        first, second = ({name: column[side] for name, column in outputs.items()} for side in sides)
        odds = network.head.preference(first, second, reward.context(len(used))).double().cpu().numpy()
        one, other = (encoded.response[side] for side in sides)
        differences = (one - other).double().cpu().numpy() if features else np.zeros((len(used), 0))
    return differences, odds
