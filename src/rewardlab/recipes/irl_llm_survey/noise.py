"""The second proof: a classifier of single responses beside Bradley and Terry's model, under noise and across prompts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.simulated import noisy_labels
from rewardlab.recipes.irl_llm_survey.vectors import SIZE, Gold, fit_networks, scores, spearman
from rewardlab.recipes.ridge_logistic import ridge_logistic

Floats = NDArray[np.float64]
QUALITIES = (10.0, 1.0, 0.5, 0.1)


@dataclass(frozen=True, slots=True)
class Measured:
    """How good a reward is: gold's quantile of the best of 500 by it, and the correlation of its ranks with gold's."""

    best: float
    ranks: float


def orders(
    seed: int, *, pairs: int = 400, worlds: int = 8, epochs: int = 40, sets: int = 40
) -> dict[tuple[str, float], Measured]:
    """The three arms at every quality of labels, means over some worlds of one seed.

    Args:
        seed: of the worlds.
        pairs: comparisons in each.
        worlds: true rewards, each with its own comparisons.
        epochs: of the networks.
        sets: of 500 responses, of each of which the best is chosen.
    """
    golds = [Gold(seed * 100 + world) for world in range(worlds)]
    draw = np.random.default_rng([seed, 21])
    sides = draw.standard_normal((worlds, 2, pairs, SIZE))
    gaps = np.stack([gold(side[0]) - gold(side[1]) for gold, side in zip(golds, sides, strict=True)])
    settings = [(loss, q, world) for loss in ("bt", "classifier") for q in QUALITIES for world in range(worlds)]
    labels = {
        (q, world): noisy_labels(gaps[world], quality=q, seed=seed * 1000 + place * 10 + world)
        for place, q in enumerate(QUALITIES)
        for world in range(worlds)
    }
    networks = fit_networks(
        np.stack([sides[world, 0] for _, _, world in settings]),
        np.stack([sides[world, 1] for _, _, world in settings]),
        np.stack([labels[q, world] for _, q, world in settings]),
        [loss for loss, _, _ in settings],
        [seed * 100 + world for _, _, world in settings],
        epochs=epochs,
    )
    tests = draw.standard_normal((sets * 500, SIZE))
    said = scores(networks, tests)
    found: dict[tuple[str, float], list[Measured]] = {}
    for (loss, q, world), values in zip(settings, said, strict=True):
        found.setdefault((loss, q), []).append(measure(values, golds[world](tests)))
    for q in QUALITIES:
        for world in range(worlds):
            weights = ridge_logistic(sides[world, 0] - sides[world, 1], labels[q, world], 1.0)
            found.setdefault(("logistic", q), []).append(measure(tests @ weights, golds[world](tests)))
    return {
        key: Measured(float(np.mean([one.best for one in many])), float(np.mean([one.ranks for one in many])))
        for key, many in found.items()
    }


def measure(values: Floats, gold: Floats, n: int = 500) -> Measured:
    """Best-of-n and ranks, on rows that are cut into sets of n."""
    chosen = gold.reshape(-1, n)[np.arange(len(gold) // n), values.reshape(-1, n).argmax(1)]
    return Measured(float((np.sort(gold).searchsorted(chosen) / len(gold)).mean()), spearman(values, gold))


def across(seed: int, *, pairs: int = 400, worlds: int = 4, offset: float = 2.0, epochs: int = 40) -> dict[str, float]:
    """Pairs inside one prompt and across two, where prompts are worth nothing and where they are: Spearman with gold.

    Responses to one prompt are alike: each is the prompt's vector and half as much of its own. No prompt comes twice, so
    what a prompt is worth cannot be learned, and across prompts it is noise.

    Returns:
        By "within" or "across", with " offset" where prompts are worth something.
    """
    draw = np.random.default_rng([seed, 22])
    golds = [Gold(seed * 100 + 50 + world) for world in range(worlds)]
    settings = [
        (kind, worth, world) for kind in ("within", "across") for worth in (0.0, offset) for world in range(worlds)
    ]
    one, other, labels = [], [], []
    for place, (kind, worth, world) in enumerate(settings):
        prompts = draw.standard_normal((2, pairs, SIZE)) * np.sqrt(0.8)
        if kind == "within":
            prompts[1] = prompts[0]
        both = prompts + draw.standard_normal((2, pairs, SIZE)) * np.sqrt(0.2)
        values = draw.standard_normal((2, pairs)) * worth
        if kind == "within":
            values[1] = values[0]
        gap = golds[world](both[0]) - golds[world](both[1]) + values[0] - values[1]
        one.append(both[0])
        other.append(both[1])
        labels.append(noisy_labels(gap, quality=3.0, seed=seed * 1000 + 500 + place))
    networks = fit_networks(
        np.stack(one),
        np.stack(other),
        np.stack(labels),
        ["bt"] * len(settings),
        [seed * 100 + world for _, _, world in settings],
        epochs=epochs,
    )
    tests = draw.standard_normal((4000, SIZE))
    said = scores(networks, tests)
    found: dict[str, list[float]] = {}
    for (kind, worth, world), values in zip(settings, said, strict=True):
        name = f"{kind} offset" if worth else kind
        found.setdefault(name, []).append(spearman(values, golds[world](tests)))
    return {name: float(np.mean(many)) for name, many in found.items()}
