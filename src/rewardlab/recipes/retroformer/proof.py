"""Retroformer's claims: a writer that learns from differences of returns makes retries succeed more often than a frozen one.

The controls are gated, too: the gain must come from the ratings, and go through the actor. That policy gradient is needed
for it is the paper's reading and not gated: imitation of the reflections that helped is reported beside it.
"""

from __future__ import annotations

import torch

from rewardlab.recipes.proof import Claim, Outcome, Recipe
from rewardlab.recipes.retroformer.arms import Arms, with_actor
from rewardlab.recipes.retroformer.world import World

_SOLVED = "share of tasks solved within 4 retries"

CLAIMS = (
    Claim(
        name="online",
        statement="policy gradient on true differences of returns solves more than the frozen writer",
        unit=_SOLVED,
    ),
    Claim(
        name="offline",
        statement="the published pipeline (imitation, reward model, PPO) solves more than the frozen writer",
        unit=_SOLVED,
    ),
    Claim(
        name="permuted",
        statement="control: true ratings solve more than permuted ones",
        unit=_SOLVED,
    ),
    Claim(
        name="deaf",
        statement="control: with a deaf actor the trained writer is not better than a plain retry by .02",
        margin=-0.02,
        unit=_SOLVED,
    ),
    Claim(
        name="noisy",
        statement="noisy actor: the rating of an empty reflection is nearer to 0 with a retry as baseline",
        unit="distance of the mean rating from 0",
    ),
    Claim(name="reflexion", statement="the frozen writer against a plain retry", gated=False, unit=_SOLVED),
    Claim(
        name="one_retry",
        statement="policy gradient against the frozen writer, after one retry",
        gated=False,
        unit="share of tasks solved within 1 retry",
    ),
    Claim(name="imitation", statement="policy gradient against imitating what helped", gated=False, unit=_SOLVED),
    Claim(name="pipeline", statement="the published pipeline against imitating what helped", gated=False, unit=_SOLVED),
    Claim(name="more", statement="policy gradient with five times the ratings against once", gated=False, unit=_SOLVED),
    Claim(
        name="model",
        statement="the reward model tells what helps on new failures better than chance",
        gated=False,
        unit="area under the curve",
    ),
)


def proof(seed: int, *, ratings: int = 4096, pretraining: int = 300, effort: float = 1.0) -> dict[str, Outcome]:
    """The arms of one seed; the options are for tests of the plumbing."""
    torch.set_num_threads(1)
    arms = Arms(world=World(seed=seed), ratings=ratings, pretraining=pretraining, effort=effort)
    online, (offline, area) = arms.online(), arms.offline()
    frozen, plain = arms.success(arms.frozen), arms.success(None)
    learned, pipeline, imitation = (arms.success(one) for one in (online, offline, arms.imitation()))
    deaf, noisy = with_actor(arms, obedience=0.0), with_actor(arms, noise=0.3)
    return {
        "online": Outcome(method=learned, baseline=frozen),
        "offline": Outcome(method=pipeline, baseline=frozen),
        "permuted": Outcome(method=learned, baseline=arms.success(arms.online(permuted=True))),
        "deaf": Outcome(method=deaf.success(None), baseline=deaf.success(online)),
        "noisy": Outcome(
            method=abs(noisy.empty_rating(baseline=False)), baseline=abs(noisy.empty_rating(baseline=True))
        ),
        "reflexion": Outcome(method=frozen, baseline=plain),
        "one_retry": Outcome(method=arms.success(online, 1), baseline=arms.success(arms.frozen, 1)),
        "imitation": Outcome(method=learned, baseline=imitation),
        "pipeline": Outcome(method=pipeline, baseline=imitation),
        "more": Outcome(method=arms.success(arms.online(ratings=5 * ratings)), baseline=learned),
        "model": Outcome(method=area, baseline=0.5),
    }


RECIPE = Recipe(
    title="Retroformer",
    source="Yao et al. 2023, Retroformer: Retrospective Large Language Agents with Policy Gradient Optimization (ICLR 2024, "
    "arXiv 2308.02151)",
    claims=CLAIMS,
    proof=proof,
    minutes=0.2,
)
"""Reflections by a second model that learns from what they changed, beside a frozen one."""
