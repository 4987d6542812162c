"""The claims: users who differ are served better by ideal points mixed out of shared prototypes than by one reward, and so
are newcomers from ten comparisons each; where all users want the same (the counter-world) nothing is lost."""

from __future__ import annotations

import itertools

import torch

from rewardlab.recipes.pal.arms import Arms, worst_decile
from rewardlab.recipes.pal.world import World
from rewardlab.recipes.proof import Claim, Outcome, Recipe

_MEAN = "accuracy, mean over users"
_WORST = "accuracy, mean of the tenth served worst"
FEW = (2, 5, 10, 20)
"""How many comparisons newcomers give."""

CLAIMS = (
    Claim(name="seen", statement="users from the start: PAL against one pooled reward", margin=0.05, unit=_MEAN),
    Claim(
        name="new_20", statement="newcomers with 20 comparisons: PAL against the pooled reward", margin=0.05, unit=_MEAN
    ),
    Claim(
        name="new_10", statement="newcomers with 10 comparisons: PAL against the pooled reward", margin=0.03, unit=_MEAN
    ),
    Claim(
        name="solo_20",
        statement="newcomers with 20 comparisons: PAL against a logistic regression for each alone",
        margin=0.08,
        unit=_MEAN,
    ),
    Claim(
        name="solo_10",
        statement="newcomers with 10 comparisons: PAL against a logistic regression for each alone",
        margin=0.08,
        unit=_MEAN,
    ),
    Claim(
        name="curve",
        statement="more comparisons never cost more than .02 (the smallest step of 2, 5, 10, 20 against 0)",
        margin=-0.02,
        unit=_MEAN,
    ),
    Claim(
        name="same",
        statement="counter-world, all want the same: PAL is not worse than the pooled reward by .02",
        margin=-0.02,
        unit=_MEAN,
    ),
    Claim(
        name="same_better",
        statement="counter-world, all want the same: the pooled reward is not worse than PAL by .02",
        margin=-0.02,
        gated=False,
        unit=_MEAN,
    ),
    Claim(
        name="new_5", statement="newcomers with 5 comparisons: PAL against the pooled reward", gated=False, unit=_MEAN
    ),
    Claim(
        name="new_2", statement="newcomers with 2 comparisons: PAL against the pooled reward", gated=False, unit=_MEAN
    ),
    Claim(
        name="worst_seen",
        statement="users from the start, the tenth served worst: PAL against the pooled reward",
        gated=False,
        unit=_WORST,
    ),
    Claim(
        name="worst_new_20",
        statement="newcomers with 20 comparisons, the tenth served worst: PAL against the pooled reward",
        gated=False,
        unit=_WORST,
    ),
    Claim(
        name="free_20",
        statement="newcomers with 20 comparisons: weights of prototypes against a free point in PAL's space",
        gated=False,
        unit=_MEAN,
    ),
    Claim(
        name="free_10",
        statement="newcomers with 10 comparisons: weights of prototypes against a free point in PAL's space",
        gated=False,
        unit=_MEAN,
    ),
    Claim(
        name="free_5",
        statement="newcomers with 5 comparisons: weights of prototypes against a free point in PAL's space",
        gated=False,
        unit=_MEAN,
    ),
)


def proof(seed: int, *, users: int = 40, tests: int = 200, steps: int = 900) -> dict[str, Outcome]:
    """One seed; the options are for tests of the plumbing."""
    torch.set_num_threads(1)
    arms = Arms(world=World(seed=seed, users=users, newcomers=users, tests=tests), steps=steps)
    same = Arms(world=World(seed=seed, users=users, newcomers=users, tests=tests, prototypes=1), steps=steps)
    pooled, pal = arms.seen(pal=False), arms.seen(pal=True)
    pooled_new = arms.newcomers()
    found = {count: arms.adapted(count) for count in FEW}
    reached = {count: float(accuracies.mean()) for count, accuracies in found.items()}
    smallest = min(reached[more] - reached[less] for less, more in itertools.pairwise(FEW))
    alike = {name: float(same.seen(pal=which).mean()) for name, which in (("pal", True), ("pooled", False))}
    against = float(pooled_new.mean())
    return {
        "seen": Outcome(method=float(pal.mean()), baseline=float(pooled.mean())),
        **{f"new_{count}": Outcome(method=reached[count], baseline=against) for count in FEW},
        **{
            f"solo_{count}": Outcome(method=reached[count], baseline=float(arms.solo(count).mean()))
            for count in (10, 20)
        },
        "curve": Outcome(method=smallest, baseline=0.0),
        "same": Outcome(method=alike["pal"], baseline=alike["pooled"]),
        "same_better": Outcome(method=alike["pooled"], baseline=alike["pal"]),
        "worst_seen": Outcome(method=worst_decile(pal), baseline=worst_decile(pooled)),
        "worst_new_20": Outcome(method=worst_decile(found[20]), baseline=worst_decile(pooled_new)),
        **{
            f"free_{count}": Outcome(method=reached[count], baseline=float(arms.free_points(count).mean()))
            for count in (5, 10, 20)
        },
    }


RECIPE = Recipe(
    title="PAL",
    source="Chen et al. 2024, Pluralistic Alignment for Learning from Heterogeneous Preferences (arXiv 2406.08469)",
    claims=CLAIMS,
    proof=proof,
    minutes=0.5,
)
"""The claims of PAL."""
