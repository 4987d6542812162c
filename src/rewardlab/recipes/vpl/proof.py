"""The claims: a vector read off eight answers predicts where types of users disagree, and too strong a prior forgets it.

The counter-worlds are in the table: a prior under which the posterior collapses (which the diagnosis has to notice), and a
population of one type, where the latent reward must not do worse than one reward.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from rewardlab.recipes.proof import Claim, Outcome, Recipe
from rewardlab.recipes.vpl.arms import Arms
from rewardlab.recipes.vpl.room import Room
from rewardlab.recipes.vpl.world import World

_DIVERGENT = "accuracy where types disagree"

CLAIMS = (
    Claim(
        name="divergent",
        statement="latent reward (beta .05) is .12 above Bradley-Terry where types disagree",
        margin=0.12,
        unit=_DIVERGENT,
    ),
    Claim(
        name="swapped",
        statement="turning the users' answers round lowers it by .2",
        margin=0.2,
        unit=_DIVERGENT,
    ),
    Claim(name="context", statement="8 answers are .05 above 2", margin=0.05, unit=_DIVERGENT),
    Claim(
        name="mean_variance",
        statement="a mean with a variance is within .05 of Bradley-Terry (minus the distance)",
        margin=-0.05,
        unit=_DIVERGENT,
    ),
    Claim(
        name="collapse_active",
        statement="collapse at beta 8: no active units (minus their share)",
        margin=-0.01,
        unit="share",
    ),
    Claim(
        name="collapse_accuracy",
        statement="collapse at beta 8: accuracy within .02 of Bradley-Terry (minus the distance)",
        margin=-0.02,
        unit=_DIVERGENT,
    ),
    Claim(
        name="collapse_swapped",
        statement="collapse at beta 8: turning answers round changes less than .02 (minus the distance)",
        margin=-0.02,
        unit=_DIVERGENT,
    ),
    Claim(
        name="flagged",
        statement="the diagnosis names the collapse at beta 8, and none at beta .05 (1 for both; against .5)",
        unit="share",
    ),
    Claim(
        name="one_type",
        statement="counter-world: with one type of user the latent reward is not worse by .02",
        margin=-0.02,
        unit="accuracy",
    ),
    Claim(
        name="policy",
        statement="a policy that sees the vector of a new user reaches that user's goal in more than .8 of episodes",
        unit="episodes",
    ),
    Claim(
        name="policy_for_all",
        statement="a policy for one reward of everybody reaches it in less than .6 (.6 against it)",
        unit="episodes",
    ),
    Claim(name="all", statement="all pairs: latent reward against Bradley-Terry", gated=False, unit="accuracy"),
    Claim(name="middle", statement="beta .05 against beta 1 (half the steps)", gated=False, unit=_DIVERGENT),
    Claim(
        name="stranger",
        statement="no answers at all: within .02 of Bradley-Terry (minus the distance)",
        margin=-0.02,
        gated=False,
        unit=_DIVERGENT,
    ),
    Claim(
        name="contradiction",
        statement="contradictory answers leave a wider posterior than as many real ones",
        gated=False,
        unit="mean log-variance",
    ),
    Claim(
        name="questions",
        statement="3 answers to questions chosen by mutual information against 3 to random ones",
        gated=False,
        unit=_DIVERGENT,
    ),
)


def proof(
    seed: int,
    *,
    users: int = 800,
    test_users: int = 400,
    steps: int = 700,
    epochs: float = 8.0,
    room: Mapping[str, int] | None = None,
) -> dict[str, Outcome]:
    """One seed; the options are for tests of the plumbing."""
    torch.set_num_threads(1)
    arms = Arms(world=World(seed=seed, users=users, test_users=test_users), steps=steps, epochs=epochs)
    alone = replace(arms, world=replace(arms.world, types=1))
    plain = arms.plain_hits(arms.plain("scalar"))
    base = arms.divergent(plain)
    spread = arms.divergent(arms.plain_hits(arms.plain("mean_variance")))
    latent = arms.latent_reward(0.05)
    middle = arms.latent_reward(1.0, share=0.5)
    collapsed = arms.latent_reward(8.0, share=0.5)
    reached = arms.divergent(arms.hits(latent))
    low, low_swapped = (arms.divergent(arms.hits(collapsed, swapped=swapped)) for swapped in (False, True))
    healthy, ill = arms.diagnosis(latent), arms.diagnosis(collapsed)
    wide, narrow = arms.widening(latent)
    one = float(alone.hits(alone.latent_reward(0.05, share=0.5)).mean())
    goals = Room(seed=seed, **(room or {}))
    noticed = any("posterior collapse" in problem for problem in ill.problems) and not healthy.problems
    return {
        "divergent": Outcome(method=reached, baseline=base),
        "swapped": Outcome(method=reached, baseline=arms.divergent(arms.hits(latent, swapped=True))),
        "context": Outcome(method=reached, baseline=arms.divergent(arms.hits(latent, 2))),
        "mean_variance": Outcome(method=-abs(spread - base), baseline=0.0),
        "collapse_active": Outcome(method=-ill.active, baseline=0.0),
        "collapse_accuracy": Outcome(method=-abs(low - base), baseline=0.0),
        "collapse_swapped": Outcome(method=-abs(low - low_swapped), baseline=0.0),
        "flagged": Outcome(method=float(noticed), baseline=0.5),
        "one_type": Outcome(method=one, baseline=float(alone.plain_hits(alone.plain("scalar")).mean())),
        "policy": Outcome(method=goals.for_users(), baseline=0.8),
        "policy_for_all": Outcome(method=0.6, baseline=goals.for_all()),
        "all": Outcome(method=float(arms.hits(latent).mean()), baseline=float(plain.mean())),
        "middle": Outcome(method=reached, baseline=arms.divergent(arms.hits(middle))),
        "stranger": Outcome(method=-abs(arms.divergent(arms.hits(latent, 0)) - base), baseline=0.0),
        "contradiction": Outcome(method=wide, baseline=narrow),
        "questions": Outcome(method=arms.questions(latent, "mutual_info"), baseline=arms.questions(latent, "random")),
    }


RECIPE = Recipe(
    title="VPL: variational preference learning",
    source="Poddar et al. 2024, Personalizing Reinforcement Learning from Human Feedback with Variational Preference "
    "Learning (NeurIPS 2024, arXiv 2408.10075)",
    claims=CLAIMS,
    proof=proof,
    minutes=1.0,
)
"""The claims of a latent user vector and of its collapse."""
