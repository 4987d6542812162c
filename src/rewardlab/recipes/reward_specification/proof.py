"""The proof: constraints whose weights are learned beside a grid of fixed ones, and ASAF from any generator."""

from __future__ import annotations

from collections.abc import Mapping

from rewardlab.recipes.proof import Claim, Outcome, Recipe
from rewardlab.recipes.reward_specification.behaviour import LEVELS, study
from rewardlab.recipes.reward_specification.chain import imitate_chain


def proof(seed: int) -> Mapping[str, Outcome]:
    """One seed of the proof: about 150 runs on the arena side by side, and two fits on the chain."""
    found = study(seed)
    returns = found.result.returns
    fits = [imitate_chain(seed, window=window) for window in (1, 5)]
    worst = max(float(fit["asaf"].max()) for fit in fits)
    return {
        "grid-falls": Outcome(method=found.acceptable("fixed", 1) / 2, baseline=found.acceptable("fixed", 3)),
        "one-run": Outcome(
            method=min(found.acceptable("lagrangian", level) for level in LEVELS),
            baseline=0.0,
        ),
        "beside-grid": Outcome(method=found.acceptable("lagrangian", 3), baseline=found.acceptable("fixed", 3)),
        "bootstrap": Outcome(method=found.acceptable("lagrangian", 2), baseline=found.acceptable("no bootstrap", 2)),
        "nothing-active": Outcome(
            method=float(returns[found.rows("loose", 0)].mean()), baseline=float(returns[found.rows("free", 0)].mean())
        ),
        "normalised": Outcome(
            method=found.acceptable("lagrangian", 3),
            baseline=found.acceptable("unnormalised", 3),
        ),
        "exact-bound": Outcome(method=found.shown_over("lagrangian", 3), baseline=found.shown_over("fixed", 3)),
        "asaf": Outcome(method=-worst, baseline=0.0),
        "asaf-cloning": Outcome(method=-worst, baseline=-float(fits[0]["cloning"].max())),
    }


RECIPE = Recipe(
    title="Effective reward specification",
    source="Roy, PhD thesis, Polytechnique Montréal 2024, arXiv 2412.07177",
    claims=(
        Claim(
            name="grid-falls",
            statement="fixed weights: the share that is acceptable under three constraints is below half of that under one",
            unit="share of runs",
        ),
        Claim(
            name="one-run",
            statement="Lagrangian, normalised with bootstrap: acceptable runs under one, two, three constraints, the least",
            margin=0.85,
            unit="share of runs",
        ),
        Claim(
            name="beside-grid",
            statement="three constraints: the Lagrangian's runs are acceptable more often than fixed weights of the grid",
            margin=0.5,
            unit="share of runs",
        ),
        Claim(
            name="bootstrap",
            statement="two constraints and a sparse success: with the bootstrap and without",
            margin=0.5,
            unit="share of runs",
        ),
        Claim(
            name="nothing-active",
            statement="thresholds that nothing breaks: return under the Lagrangian and without constraints",
            margin=-0.05,
            unit="return",
        ),
        Claim(
            name="normalised",
            statement="three constraints: normalised multipliers and unnormalised ones, both with bootstrap",
            gated=False,
            unit="share of runs",
        ),
        Claim(
            name="exact-bound",
            statement="three constraints, no margin but a one-sided 95% bound: the Lagrangian and fixed weights",
            gated=False,
            unit="share of runs",
        ),
        Claim(
            name="asaf",
            statement="ASAF on a chain from three generators, windows of 1 and 5: worst divergence from the demonstrator",
            margin=-0.012,
            unit="minus KL",
        ),
        Claim(
            name="asaf-cloning",
            statement="the same beside cloning, which needs no environment there",
            gated=False,
            unit="minus KL",
        ),
    ),
    proof=proof,
    minutes=0.5,
)
