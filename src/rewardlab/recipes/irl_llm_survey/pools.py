"""The fourth proof: which pairs to have labelled, in a pool that mostly repeats itself and in one that does not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.active_pairs import choose, information, sigmoid
from rewardlab.learning.simulated import noisy_labels
from rewardlab.recipes.irl_llm_survey.vectors import spearman
from rewardlab.recipes.ridge_logistic import ridge_logistic

Floats = NDArray[np.float64]
RULES = ("d-optimal", "random", "entropy", "gap")
WIDTH = 12


def label_pools(
    seed: int, *, worlds: int = 20, pairs: int = 2000, rounds: int = 6, budget: int = 10, repeated: float = 0.9
) -> dict[tuple[str, bool], float]:
    """Spearman of what is learned with the true linear reward, by rule and by whether the pool repeats itself.

    Args:
        seed: of the worlds.
        worlds: true rewards, each with its own pools; the means are given.
        pairs: in a pool.
        rounds: of labelling; the reward is fitted anew after each.
        budget: labels in a round.
        repeated: share of the repeating pool's pairs that differ in two directions only.
    """
    found: dict[tuple[str, bool], list[float]] = {}
    for world in range(worlds):
        draw = np.random.default_rng([seed, 41, world])
        truth = draw.standard_normal(WIDTH)
        tests = draw.standard_normal((2000, WIDTH))
        isotropic = draw.standard_normal((pairs, WIDTH))
        plane = np.linalg.qr(draw.standard_normal((WIDTH, 2)))[0]
        narrow = isotropic.copy()
        few = draw.permutation(pairs)[: round(repeated * pairs)]
        narrow[few] = draw.standard_normal((len(few), 2)) @ plane.T * np.sqrt(WIDTH / 2)  # as long as the others
        for repeats, pool in ((True, narrow), (False, isotropic)):
            labels = noisy_labels(pool @ truth, quality=1.0, seed=seed * 1000 + world)
            for rule in RULES:
                weights = _learn(pool, labels, rule, rounds, budget, seed * 1000 + world)
                found.setdefault((rule, repeats), []).append(spearman(tests @ weights, tests @ truth))
    return {key: float(np.mean(many)) for key, many in found.items()}


def _learn(pool: Floats, labels: Floats, rule: str, rounds: int, budget: int, seed: int) -> Floats:
    draw = np.random.default_rng([seed, 42])
    weights, known = np.zeros(pool.shape[1]), np.zeros(0, np.int64)
    for _ in range(rounds):
        free = np.setdiff1d(np.arange(len(pool)), known)
        odds = pool @ weights
        if rule == "d-optimal":
            before = information(pool[known], sigmoid(odds[known]))
            rows, _ = choose(pool[free], odds[free], budget, known=before)
        elif rule == "random" or not len(known):  # nothing is known of outcomes in the first round
            rows = draw.permutation(len(free))[:budget]
        else:
            rows, _ = choose(pool[free], odds[free], budget, rule)  # type: ignore[arg-type]
        known = np.concatenate([known, free[rows]])
        weights = ridge_logistic(pool[known], labels[known], 1.0)
    return weights
