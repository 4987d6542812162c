"""The claims: heads come apart without labels of who judged, and a few annotated pairs tell the router which head to use.

The controls are in the table: rewards fitted to the same annotated pairs alone (A), Hedge over the heads of an ensemble (B),
fixed weights (HyRe), and a population of one mind, where the mixture must not do worse than one reward.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import torch

from rewardlab.learning.mixture import mixture_nll
from rewardlab.recipes.micro.arms import Arms
from rewardlab.recipes.micro.world import World
from rewardlab.recipes.proof import Claim, Outcome, Recipe

_ACCURACY = "accuracy, mean of attributes"

CLAIMS = (
    Claim(
        name="likelihood",
        statement="held-out log-likelihood of anonymous comparisons: the mixture against one reward",
        unit="nats",
    ),
    Claim(
        name="best_heads",
        statement="the best head of each attribute is .15 more accurate than one reward",
        margin=0.15,
        unit=_ACCURACY,
    ),
    Claim(
        name="hedge",
        statement="Hedge with 50 pairs of each attribute is .10 above one reward",
        margin=0.10,
        unit=_ACCURACY,
    ),
    Claim(
        name="hedge_router",
        statement="the same is .10 above the same heads without context",
        margin=0.10,
        unit=_ACCURACY,
    ),
    Claim(
        name="few_labels",
        statement="Hedge with 10 pairs is .05 above rewards fitted to these 10 pairs alone (control A)",
        margin=0.05,
        unit=_ACCURACY,
    ),
    Claim(
        name="one_mind",
        statement="counter-world: with a single attribute the mixture is not worse than one reward by .01",
        margin=-0.01,
        unit=_ACCURACY,
    ),
    Claim(name="router", statement="the mixture without context against one reward", gated=False, unit=_ACCURACY),
    Claim(name="static", statement="best heads: prompt router against static weights", gated=False, unit=_ACCURACY),
    Claim(name="sharp", statement="best heads: entropy penalty .05 against .5", gated=False, unit=_ACCURACY),
    Claim(
        name="many_labels",
        statement="Hedge with 50 pairs against rewards fitted to these 50 pairs alone (control A)",
        gated=False,
        unit=_ACCURACY,
    ),
    Claim(
        name="shared_base",
        statement="Hedge with 50 pairs: heads of the mixture against those of a shared-base ensemble (control B)",
        gated=False,
        unit=_ACCURACY,
    ),
    Claim(
        name="whole_router",
        statement="Hedge with 50 pairs: numbers for contexts alone against all of the router",
        gated=False,
        unit=_ACCURACY,
    ),
    Claim(
        name="hyre",
        statement="Hedge with 50 pairs against weights fixed by 16 pairs for each attribute (HyRe)",
        gated=False,
        unit=_ACCURACY,
    ),
)


def proof(
    seed: int, *, train: int = 4000, test: int = 400, epochs: float = 30.0, adapt_steps: int = 150
) -> dict[str, Outcome]:
    """One seed; the options are for tests of the plumbing."""
    torch.set_num_threads(1)
    world = World(seed=seed, train=train, test=test)
    arms = Arms(world=world, epochs=epochs, adapt_steps=adapt_steps)
    alone = Arms(world=replace(world, attributes=1), epochs=epochs, adapt_steps=adapt_steps)
    single, without = arms.accuracy(arms.single), arms.accuracy(arms.micro)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # heads of a shared base may all be alike, which is a finding here
        best, sharp, static = (arms.best_heads(model) for model in (arms.micro, arms.sharp, arms.static))
    few, many = (arms.accuracy(arms.adapted(arms.micro, count), context=True) for count in (10, 50))
    whole = arms.accuracy(arms.adapted(arms.micro, 50, train="router"), context=True)
    ensemble = arms.accuracy(arms.adapted(arms.shared_base, 50), context=True)
    return {
        "likelihood": Outcome(
            method=-mixture_nll(arms.micro, world.held_out), baseline=-mixture_nll(arms.single, world.held_out)
        ),
        "best_heads": Outcome(method=best, baseline=single),
        "hedge": Outcome(method=many, baseline=single),
        "hedge_router": Outcome(method=many, baseline=without),
        "few_labels": Outcome(method=few, baseline=arms.supervised(10)),
        "one_mind": Outcome(method=alone.accuracy(alone.micro), baseline=alone.accuracy(alone.single)),
        "router": Outcome(method=without, baseline=single),
        "static": Outcome(method=best, baseline=static),
        "sharp": Outcome(method=sharp, baseline=best),
        "many_labels": Outcome(method=many, baseline=arms.supervised(50)),
        "shared_base": Outcome(method=many, baseline=ensemble),
        "whole_router": Outcome(method=many, baseline=whole),
        "hyre": Outcome(method=many, baseline=arms.reweighted(arms.micro, 16)),
    }


RECIPE = Recipe(
    title="MiCRo: mixture modeling and context-aware routing",
    source="Shen et al. 2025, MiCRo: Mixture Modeling and Context-aware Routing for Personalized Preference Learning "
    "(EMNLP 2025, arXiv 2505.24846)",
    claims=CLAIMS,
    proof=proof,
    minutes=0.7,
)
"""The claims of a mixture of rewards and of Hedge."""
