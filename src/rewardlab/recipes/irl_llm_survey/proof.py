"""The claims of the survey's distinctive lines: demonstrations, order consistency, over-optimisation, choice of pairs.

The survey has no experiments of its own. Each claim stands in a world where it should hold; where the idea has a
counter-world (demonstrations without an accent, a pool that does not repeat itself, prompts that are worth something), that
is here too.
"""

from __future__ import annotations

import torch

from rewardlab.recipes.irl_llm_survey.demonstrations import compare
from rewardlab.recipes.irl_llm_survey.noise import QUALITIES, across, orders
from rewardlab.recipes.irl_llm_survey.overoptimised import NS, optimise
from rewardlab.recipes.irl_llm_survey.pools import label_pools
from rewardlab.recipes.proof import Claim, Outcome, Recipe

_QUALITY = "mean quality of what best-of-16 chose"
_RANKS = "Spearman with gold"
_QUANTILE = "gold's quantile of the best of 500"
_GOLD = "gold of the pick, in deviations"

CLAIMS = (
    Claim(name="sft", statement="init-SFT best-of-16 against fine-tuning alone", margin=0.15, unit=_QUALITY),
    Claim(name="sft_demo", statement="accent: init-SFT against SFT-demo", margin=0.07, unit=_QUALITY),
    Claim(name="init_demo", statement="accent: init-SFT against init-demo", margin=0.05, unit=_QUALITY),
    Claim(
        name="accent",
        statement="the accent's part: init-SFT minus init-demo, with the accent against without it",
        margin=0.04,
        unit=_QUALITY,
    ),
    Claim(name="likelihood", statement="init-SFT against best-of-16 by log-likelihood", margin=0.10, unit=_QUALITY),
    Claim(
        name="shuffled", statement="init-SFT against the same samples with shuffled labels", margin=0.10, unit=_QUALITY
    ),
    Claim(name="beyond", statement="extrapolation: init-SFT against the demonstrations themselves", unit=_QUALITY),
    Claim(
        name="equal",
        statement="accent: init-SFT with only as many samples as demonstrations against init-demo",
        gated=False,
        unit=_QUALITY,
    ),
    Claim(name="ratio", statement="init-SFT against the exact log-ratio of both policies", gated=False, unit=_QUALITY),
    Claim(
        name="symptom",
        statement="accent: held-out accuracy of init-demo against that of init-SFT",
        margin=0.10,
        unit="held-out accuracy",
    ),
    Claim(
        name="classifier_clean",
        statement="order consistency: classifier against Bradley-Terry at quality 10, not worse by .02",
        margin=-0.02,
        unit=_QUANTILE,
    ),
    Claim(
        name="classifier_noisy",
        statement="order consistency: classifier against Bradley-Terry at quality .5 and .1, not worse by .01",
        margin=-0.01,
        unit=_QUANTILE,
    ),
    *(
        Claim(
            name=f"ranks_{q:g}".replace(".", "_"),
            statement=f"order consistency: classifier against Bradley-Terry at quality {q:g}",
            gated=False,
            unit=_RANKS,
        )
        for q in QUALITIES
    ),
    Claim(
        name="logistic_noisy",
        statement="logistic regression on differences against Bradley-Terry's network at quality .5",
        gated=False,
        unit=_RANKS,
    ),
    Claim(
        name="across",
        statement="pairs across prompts against pairs inside them, prompts worth nothing",
        unit=_RANKS,
    ),
    Claim(
        name="across_offset",
        statement="counter-world: pairs inside prompts against pairs across them, prompts worth something",
        margin=0.05,
        unit=_RANKS,
    ),
    Claim(name="mean", statement="ensemble mean against a single member, best of 64", margin=0.1, unit=_GOLD),
    Claim(name="minimum", statement="ensemble minimum against a single member, best of 64", margin=0.05, unit=_GOLD),
    Claim(
        name="gap",
        statement="a single member: proxy minus gold at n = 1,024 against n = 4",
        margin=0.5,
        unit="deviations",
    ),
    Claim(
        name="variance",
        statement="mean less variance against the plain mean, best of 1,024",
        gated=False,
        unit=_GOLD,
    ),
    Claim(
        name="turn",
        statement="gold turns down: best of 64 against best of 1,024 by a single member",
        gated=False,
        unit=_GOLD,
    ),
    Claim(name="d_optimal", statement="repeating pool: D-optimal pairs against random ones", margin=0.05, unit=_RANKS),
    Claim(
        name="d_entropy", statement="repeating pool: D-optimal pairs against uncertain ones", margin=0.05, unit=_RANKS
    ),
    Claim(
        name="d_isotropic",
        statement="counter-world, a pool that does not repeat itself: D-optimal gains less over random pairs, by .1",
        margin=0.1,
        unit=_RANKS,
    ),
    Claim(
        name="d_equal",
        statement="a pool that does not repeat itself: D-optimal against random pairs",
        gated=False,
        unit=_RANKS,
    ),
)


def proof(
    seed: int,
    *,
    steps: int = 600,
    free: int = 1600,
    tests: int = 1500,
    worlds: int = 20,
    epochs: int = 40,
    sets: int = 40,
) -> dict[str, Outcome]:
    """One seed; the options are for tests of the plumbing."""
    torch.set_num_threads(1)
    return {
        **demonstrations(seed, steps=steps, free=free, tests=tests),
        **order_consistency(seed, epochs=epochs, sets=sets),
        **overoptimised(seed, epochs=2 * epochs, sets=max(1, sets // 4)),
        **pairs(seed, worlds=worlds),
    }


def demonstrations(seed: int, *, steps: int, free: int, tests: int) -> dict[str, Outcome]:
    """Which samples are told apart."""
    found = compare(seed, steps=steps, free=free, tests=tests)
    accent, plain = found[True].quality, found[False].quality
    best = accent["init-sft"]
    others = {
        "sft": "sft",
        "sft_demo": "sft-demo",
        "init_demo": "init-demo",
        "likelihood": "likelihood",
        "shuffled": "shuffled",
        "beyond": "demonstrations",
        "ratio": "exact ratio",
    }
    accuracy = found[True].accuracy
    return {
        **{name: Outcome(method=best, baseline=accent[other]) for name, other in others.items()},
        "accent": Outcome(method=best - accent["init-demo"], baseline=plain["init-sft"] - plain["init-demo"]),
        "equal": Outcome(method=accent["init-sft equal"], baseline=accent["init-demo"]),
        "symptom": Outcome(method=accuracy["init-demo"], baseline=accuracy["init-sft"]),
    }


def order_consistency(seed: int, *, epochs: int, sets: int) -> dict[str, Outcome]:
    """A classifier beside Bradley and Terry's model, and pairs across prompts."""
    found, crossed = orders(seed, epochs=epochs, sets=sets), across(seed, epochs=epochs)
    noisy = {loss: (found[loss, 0.5].best + found[loss, 0.1].best) / 2 for loss in ("bt", "classifier")}
    ranks = {
        f"ranks_{q:g}".replace(".", "_"): Outcome(method=found["classifier", q].ranks, baseline=found["bt", q].ranks)
        for q in QUALITIES
    }
    return {
        **ranks,
        "classifier_clean": Outcome(method=found["classifier", 10.0].best, baseline=found["bt", 10.0].best),
        "classifier_noisy": Outcome(method=noisy["classifier"], baseline=noisy["bt"]),
        "logistic_noisy": Outcome(method=found["logistic", 0.5].ranks, baseline=found["bt", 0.5].ranks),
        "across": Outcome(method=crossed["across"], baseline=crossed["within"]),
        "across_offset": Outcome(method=crossed["within offset"], baseline=crossed["across offset"]),
    }


def overoptimised(seed: int, *, epochs: int, sets: int) -> dict[str, Outcome]:
    """Best of n by one member and by ensembles."""
    found = optimise(seed, epochs=epochs, sets=sets)
    few, some, many = (NS.index(n) for n in (4, 64, 1024))
    single = found["single"]
    return {
        "mean": Outcome(method=found["mean"].gold[some], baseline=single.gold[some]),
        "minimum": Outcome(method=found["minimum"].gold[some], baseline=single.gold[some]),
        "gap": Outcome(method=single.gap[many], baseline=single.gap[few]),
        "variance": Outcome(method=found["mean less variance"].gold[many], baseline=found["mean"].gold[many]),
        "turn": Outcome(method=single.gold[some], baseline=single.gold[many]),
    }


def pairs(seed: int, *, worlds: int) -> dict[str, Outcome]:
    """Which pairs are labelled."""
    found = label_pools(seed, worlds=worlds)
    repeats, isotropic = (
        {rule: found[rule, kind] for rule in ("d-optimal", "random", "entropy")} for kind in (True, False)
    )
    return {
        "d_optimal": Outcome(method=repeats["d-optimal"], baseline=repeats["random"]),
        "d_entropy": Outcome(method=repeats["d-optimal"], baseline=repeats["entropy"]),
        "d_isotropic": Outcome(
            method=repeats["d-optimal"] - repeats["random"], baseline=isotropic["d-optimal"] - isotropic["random"]
        ),
        "d_equal": Outcome(method=isotropic["d-optimal"], baseline=isotropic["random"]),
    }


RECIPE = Recipe(
    title="Inverse reinforcement learning meets language-model post-training",
    source="Sun and van der Schaar 2025, a survey (arXiv 2507.13158), and the works it rests on",
    claims=CLAIMS,
    proof=proof,
    minutes=0.8,
)
"""Which samples to tell apart, how to fit comparisons, how far to trust the result, and what to have labelled."""
