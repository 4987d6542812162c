"""The claims of OPRL, and what shows them: success at equal and at tuned learning rates, and what step rewards point at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rewardlab.recipes.oprl.arms import Settings, run
from rewardlab.recipes.oprl.world import Corridor
from rewardlab.recipes.proof import Claim, Outcome, Recipe

EQUAL = Settings(rate=0.1)
"""What all arms use that are compared at one learning rate: a small one, at which a batch does not settle everything."""

TUNED_RLOO, TUNED_OPRL = Settings(rate=0.5), Settings(rate=0.4, weight=0.25)
"""The best after 20 updates of a grid on seeds 100 and 101, for each arm (OPRL within .003 of it)."""

WORLDS = 12
"""Worlds to a seed; they share nothing, and their mean is what a seed gives."""


def proof(seed: int, *, worlds: int = WORLDS, updates: int = 20) -> dict[str, Outcome]:
    """All arms of one seed.

    Args:
        seed: of everything.
        worlds: how many copies.
        updates: of the policy; success is measured half-way and at the end.
    """
    corridor, single = Corridor(seed=seed, worlds=worlds), Corridor(seed=seed, worlds=worlds, steps=1)
    equal = replace(EQUAL, updates=updates)
    rloo, oprl = run(corridor, "rloo", equal), run(corridor, "oprl", equal)
    shuffled, oracle = run(corridor, "shuffled", equal), run(corridor, "oracle", equal)
    more = run(corridor, "rloo", replace(equal, epochs=equal.epochs + equal.model_steps))
    tuned_rloo = run(corridor, "rloo", replace(TUNED_RLOO, updates=updates))
    tuned_oprl = run(corridor, "oprl", replace(TUNED_OPRL, updates=updates))
    short_rloo, short_oprl = run(single, "rloo", equal), run(single, "oprl", equal)
    half, end = 1, 2
    return {
        "early": Outcome(method=oprl.success[half], baseline=rloo.success[half]),
        "late": Outcome(method=oprl.success[end], baseline=rloo.success[end]),
        "localises": Outcome(method=mean(oprl.localisation), baseline=0.5),
        "control": Outcome(method=mean(oprl.localisation), baseline=mean(shuffled.localisation)),
        "pairs": Outcome(method=mean(oprl.accuracy), baseline=0.5),
        "shuffled": Outcome(method=rloo.success[end], baseline=shuffled.success[end]),
        "tuned_early": Outcome(method=tuned_oprl.success[half], baseline=tuned_rloo.success[half]),
        "tuned": Outcome(method=tuned_oprl.success[end], baseline=tuned_rloo.success[end]),
        "same_steps": Outcome(method=oprl.success[end], baseline=more.success[end]),
        "confidence": Outcome(method=late(oprl.localisation), baseline=late(oprl.confidence)),
        "ceiling": Outcome(method=oracle.success[end], baseline=oprl.success[end]),
        "one_step": Outcome(method=short_oprl.success[half], baseline=short_rloo.success[half]),
    }


def mean(column: list[float]) -> float:
    """Over the updates after the first, at which the model is the policy and all rewards are 0."""
    return float(np.nanmean(column[1:])) if len(column) > 1 else column[0]


def late(column: list[float]) -> float:
    """Over the second half of the updates."""
    return float(np.nanmean(column[len(column) // 2 :]))


RECIPE = Recipe(
    title="OPRL: implicit step rewards from pairs of trajectories",
    source="arXiv 2509.19199 (later iStar)",
    claims=(
        Claim(name="early", statement="at one learning rate, OPRL succeeds more often than RLOO after 10 updates"),
        Claim(name="late", statement="at one learning rate, OPRL succeeds more often than RLOO after 20 updates"),
        Claim(
            name="localises",
            statement="implicit rewards tell right from wrong steps of failed attempts better than chance (AUROC)",
            margin=0.2,
        ),
        Claim(
            name="control",
            statement="implicit rewards do so better than those learned from shuffled outcomes (AUROC)",
            margin=0.2,
        ),
        Claim(name="pairs", statement="the model orders pairs that it has not seen better than chance", margin=0.1),
        Claim(
            name="shuffled", statement="with shuffled outcomes for the model, OPRL is no better than RLOO", margin=-0.02
        ),
        Claim(
            name="tuned_early",
            statement="each at its own tuned rate, OPRL succeeds more often than RLOO after 10 updates",
            gated=False,
        ),
        Claim(
            name="tuned",
            statement="each at its own tuned rate, OPRL succeeds more often than RLOO after 20 updates",
            margin=0.03,
            gated=False,
        ),
        Claim(
            name="same_steps",
            statement="OPRL succeeds more often than RLOO with as many gradient steps, at one rate",
            gated=False,
        ),
        Claim(
            name="confidence",
            statement="implicit rewards tell right from wrong steps better than the policy's own log-probabilities (AUROC)",
            margin=0.05,
            gated=False,
        ),
        Claim(name="ceiling", statement="true step rewards leave room above OPRL", gated=False),
        Claim(
            name="one_step",
            statement="with a single step, where there is nothing to tell apart, OPRL succeeds more often",
            gated=False,
        ),
    ),
    proof=proof,
    minutes=0.5,
)

__all__ = ["EQUAL", "RECIPE", "TUNED_OPRL", "TUNED_RLOO", "proof"]
