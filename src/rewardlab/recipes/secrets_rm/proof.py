"""The claims: the votes of several models find mislabelled pairs, and turning these round repairs a model that overfits.

The regime is fixed in advance: students large enough, and trained long enough, to learn wrong labels by heart. A student
that is not is the counter-world, where repairs buy little. The controls are in the table: as many random flips, dropping in
place of flipping, stopping early on clean pairs (which nobody has), and the mean of the voters themselves.
"""

from __future__ import annotations

import torch

from rewardlab.functional.discrimination import area_under_curve
from rewardlab.recipes.proof import Claim, Outcome, Recipe
from rewardlab.recipes.secrets_rm.arms import Arms, decile_accuracies
from rewardlab.recipes.secrets_rm.world import World

_ACCURACY = "share of clean pairs ordered right"

CLAIMS = (
    Claim(
        name="detection",
        statement="strength finds mislabelled pairs: area under the curve against chance (.5)",
        margin=0.30,
        unit="area under the curve",
    ),
    Claim(name="flip", statement="flipping the weakest fifth against plain training", margin=0.03, unit=_ACCURACY),
    Claim(name="random", statement="plain training against flipping a random fifth", unit=_ACCURACY),
    Claim(name="weakest", statement="chance (.5) against a model of the weakest tenth", unit=_ACCURACY),
    Claim(name="strongest", statement="a model of the strongest tenth against .65", unit=_ACCURACY),
    Claim(
        name="small",
        statement="counter-world: a student that cannot overfit gains less than 3 points (plain against flip)",
        margin=-0.03,
        unit=_ACCURACY,
    ),
    Claim(name="early", statement="flip against stopping early on clean pairs", gated=False, unit=_ACCURACY),
    Claim(name="voters", statement="flip against the mean of the ten voters", gated=False, unit=_ACCURACY),
    Claim(name="drop", statement="flip against dropping the same pairs", gated=False, unit=_ACCURACY),
    Claim(name="margin", statement="adaptive margin against plain training", gated=False, unit=_ACCURACY),
    Claim(name="flip_margin", statement="flip and margin against flip", gated=False, unit=_ACCURACY),
    Claim(name="soft", statement="soft labels below zero against plain training", gated=False, unit=_ACCURACY),
    Claim(name="soft_margin", statement="soft labels and margin against plain training", gated=False, unit=_ACCURACY),
    Claim(
        name="meta_spread",
        statement="MetaRM: spread on shifted samples after 200 steps against before",
        gated=False,
        unit="spread J",
    ),
    Claim(
        name="meta_plain",
        statement="MetaRM: spread on shifted samples against as many plain steps",
        gated=False,
        unit="spread J",
    ),
    Claim(
        name="meta_relative",
        statement="MetaRM: the same with values divided by their deviation, which scaling alone cannot raise",
        gated=False,
        unit="spread J",
    ),
    Claim(
        name="meta_accuracy",
        statement="MetaRM: accuracy in its own domain is not lower than before by .01",
        margin=-0.01,
        gated=False,
        unit=_ACCURACY,
    ),
)


def proof(
    seed: int, *, pairs: int = 2000, tests: int = 3000, epochs: float = 20.0, meta_steps: int = 200
) -> dict[str, Outcome]:
    """One seed; the options are for tests of the plumbing."""
    torch.set_num_threads(1)
    arms = Arms(world=World(seed=seed, pairs=pairs, tests=tests), epochs=epochs)
    small = Arms(world=arms.world, hidden=(8,), epochs=epochs)
    small.__dict__["report"] = arms.report  # the same votes, so that only the student differs
    models = {
        name: arms.student(name) for name in ("bt", "drop", "flip", "margin", "flip_margin", "soft", "soft_margin")
    }
    reached = {name: arms.accuracy(model) for name, model in models.items()}
    assert arms.report.voters is not None
    weakest, strongest = decile_accuracies(arms, (0, 9))
    start = models["flip"]
    before, plain, climbed = (
        arms.meta(start, eta=eta, steps=steps) for eta, steps in ((0.0, 0), (0.0, meta_steps), (0.3, meta_steps))
    )
    return {
        "detection": Outcome(method=area_under_curve(-arms.report.mean, arms.world.flipped), baseline=0.5),
        "flip": Outcome(method=reached["flip"], baseline=reached["bt"]),
        "random": Outcome(method=reached["bt"], baseline=arms.accuracy(arms.random_flip())),
        "weakest": Outcome(method=0.5, baseline=weakest),
        "strongest": Outcome(method=strongest, baseline=0.65),
        "small": Outcome(method=small.accuracy(small.student("bt")), baseline=small.accuracy(small.student("flip"))),
        "early": Outcome(method=reached["flip"], baseline=arms.accuracy(arms.early_stopped())),
        "voters": Outcome(method=reached["flip"], baseline=arms.accuracy(arms.report.voters)),
        "drop": Outcome(method=reached["flip"], baseline=reached["drop"]),
        "margin": Outcome(method=reached["margin"], baseline=reached["bt"]),
        "flip_margin": Outcome(method=reached["flip_margin"], baseline=reached["flip"]),
        "soft": Outcome(method=reached["soft"], baseline=reached["bt"]),
        "soft_margin": Outcome(method=reached["soft_margin"], baseline=reached["bt"]),
        "meta_spread": Outcome(method=climbed[0], baseline=before[0]),
        "meta_plain": Outcome(method=climbed[0], baseline=plain[0]),
        "meta_relative": Outcome(method=climbed[1], baseline=plain[1]),
        "meta_accuracy": Outcome(method=climbed[2], baseline=before[2]),
    }


RECIPE = Recipe(
    title="Secrets of RLHF part II: reward modeling",
    source="Wang et al. 2024, Secrets of RLHF in Large Language Models Part II: Reward Modeling (arXiv 2401.06080)",
    claims=CLAIMS,
    proof=proof,
    minutes=1.0,
)
"""The claims of preference strength, its repairs, and MetaRM."""
