"""The third proof: how far the best of n by a learned reward is from what it promises, alone and as an ensemble."""

from __future__ import annotations

import numpy as np

from rewardlab.audit.overoptimisation import Overoptimisation, curves
from rewardlab.learning.simulated import noisy_labels
from rewardlab.recipes.irl_llm_survey.vectors import SIZE, Gold, fit_networks, scores

NS = (1, 4, 64, 1024)


def optimise(
    seed: int,
    *,
    pairs: int = 400,
    members: int = 5,
    worlds: int = 5,
    sets: int = 10,
    samples: int = 2048,
    epochs: int = 40,
) -> dict[str, Overoptimisation]:
    """Best of n by single members, by their mean, minimum, and mean less variance; means over some worlds of one seed.

    Labels are `sigmoid(3 d)`, and a quarter of them is turned round besides. A member sees the pairs as often as a draw with
    replacement gives them.
    """
    draw = np.random.default_rng([seed, 31])
    golds = [Gold(seed * 100 + 70 + world) for world in range(worlds)]
    sides = draw.standard_normal((worlds, 2, pairs, SIZE))
    labels = [
        noisy_labels(gold(side[0]) - gold(side[1]), quality=3.0, flips=0.25, seed=seed * 1000 + 700 + world)
        for world, (gold, side) in enumerate(zip(golds, sides, strict=True))
    ]
    copies = [world for world in range(worlds) for _ in range(members)]
    often = np.stack([draw.multinomial(pairs, np.full(pairs, 1 / pairs)) for _ in copies]).astype(float)
    networks = fit_networks(
        sides[copies, 0],
        sides[copies, 1],
        np.stack([labels[world] for world in copies]),
        ["bt"] * len(copies),
        [seed * 1000 + number for number in range(len(copies))],
        weights=often,
        held_out=0.0,
        epochs=epochs,
    )
    found: dict[str, list[Overoptimisation]] = {}
    for world in range(worlds):
        tests = draw.standard_normal((sets, samples, SIZE))
        said = scores(networks, tests.reshape(-1, SIZE))[world * members : (world + 1) * members]
        said = ((said - said.mean(1, keepdims=True)) / said.std(1, keepdims=True)).reshape(members, sets, samples)
        gold = golds[world](tests)
        ways = {
            "mean": said.mean(0),
            "minimum": said.min(0),
            "mean less variance": said.mean(0) - said.var(0),
        }
        for name, values in ways.items():
            found.setdefault(name, []).append(curves(list(values), list(gold), NS))
        found.setdefault("single", []).extend(curves(list(one), list(gold), NS) for one in said)
    return {name: _mean(many) for name, many in found.items()}


def _mean(many: list[Overoptimisation]) -> Overoptimisation:
    def over(name: str) -> tuple[float, ...]:
        return tuple(np.mean([getattr(one, name) for one in many], axis=0).tolist())

    first = many[0]
    return Overoptimisation(
        ns=first.ns,
        kl=first.kl,
        proxy=over("proxy"),
        gold=over("gold"),
        best=over("best"),
        prompts=sum(one.prompts for one in many),
        left_out=0,
    )
