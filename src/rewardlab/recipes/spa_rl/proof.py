"""SPA-RL's claims: contributions of steps make a better single pass of PPO than the final reward, if the estimator is good.

Everything but the step rewards is the same for all arms. A seed is several corridors, whose means are compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from rewardlab.recipes.proof import Claim, Outcome, Recipe
from rewardlab.recipes.spa_rl.arms import Arms, Measured
from rewardlab.recipes.spa_rl.world import Corridor

CORRIDORS = 6
"""Worlds of each seed."""

_SUCCESS = "chance that all critical steps are right"

CLAIMS = (
    Claim(
        name="contributions",
        statement="contributions of steps give a better pass of PPO than the final reward, by .03",
        margin=0.03,
        unit=_SUCCESS,
    ),
    Claim(
        name="grounded",
        statement="with a small reward for possible actions, too",
        unit=_SUCCESS,
    ),
    Claim(
        name="valid",
        statement="and more actions are possible than with the final reward",
        unit="chance that an action is possible",
    ),
    Claim(
        name="separation",
        statement="contributions tell critical steps done right from those done wrong: area under the curve above .9",
        margin=0.4,
        unit="area under the curve, against .5",
    ),
    Claim(
        name="explained",
        statement="sums explain more than .7 of the variance of held-out outcomes",
        margin=0.7,
        unit="R squared, against the mean predictor",
    ),
    Claim(
        name="one_step",
        statement="counter-world: with attempts of one step, the two differ by less than .02",
        margin=-0.02,
        unit="minus the absolute difference in success",
    ),
    Claim(
        name="learned",
        statement="contributions against those of an estimator that learned other attempts' outcomes",
        unit=_SUCCESS,
    ),
    Claim(
        name="uniform", statement="contributions against equal shares of the final reward", gated=False, unit=_SUCCESS
    ),
    Claim(name="start", statement="contributions against the policy that they start from", gated=False, unit=_SUCCESS),
    Claim(
        name="history",
        statement="an estimator that reads the whole history, as in the paper, against the final reward",
        gated=False,
        unit=_SUCCESS,
    ),
    Claim(name="grounding", statement="possible actions alone, against the final reward", gated=False, unit=_SUCCESS),
    Claim(name="oracle", statement="true contributions against learned ones", gated=False, unit=_SUCCESS),
    Claim(
        name="own",
        statement="each action credited with its own contribution alone, against the sum from it on",
        gated=False,
        unit=_SUCCESS,
    ),
    Claim(
        name="early",
        statement="contributions times the steps that follow (the authors' code) against contributions",
        gated=False,
        unit=_SUCCESS,
    ),
    Claim(
        name="leave_one_out",
        statement="the final reward over the others' mean at every step (the authors' code) against contributions",
        gated=False,
        unit=_SUCCESS,
    ),
)

ARMS = (
    "final",
    "uniform",
    "grounding",
    "contributions",
    "spa",
    "history",
    "shuffled",
    "oracle",
    "early",
    "leave_one_out",
)


def proof(seed: int, *, corridors: int = CORRIDORS, attempts: int = 256) -> dict[str, Outcome]:
    """All arms of one seed; the options are for tests of the plumbing."""
    torch.set_num_threads(1)
    worlds = [Corridor(seed=1000 * seed + place) for place in range(corridors)]
    arms = [Arms(corridor=world, attempts=attempts) for world in worlds]
    found = {name: [one.train(name) for one in arms] for name in ARMS}
    own = [one.train("contributions", discount=0.0) for one in arms]
    start = [one.measure(one.start) for one in arms]
    single = [Corridor(seed=world.seed, length=1, demonstrations=72) for world in worlds]
    short = [Arms(corridor=world, attempts=4 * attempts) for world in single]
    gaps = [abs(one.train("contributions").success - one.train("final").success) for one in short]

    def against(method: Sequence[Measured], baseline: Sequence[Measured]) -> Outcome:
        return Outcome(method=_mean(method), baseline=_mean(baseline))

    best, final = found["contributions"], found["final"]
    return {
        "contributions": against(best, final),
        "grounded": against(found["spa"], final),
        "valid": Outcome(
            method=float(np.mean([one.valid for one in found["spa"]])),
            baseline=float(np.mean([one.valid for one in final])),
        ),
        "separation": Outcome(method=float(np.mean([one.separation("contributions") for one in arms])), baseline=0.5),
        "explained": Outcome(method=float(np.mean([one.reports["contributions"].r2 for one in arms])), baseline=0.0),
        "one_step": Outcome(method=-float(np.mean(gaps)), baseline=0.0),
        "learned": against(best, found["shuffled"]),
        "uniform": against(best, found["uniform"]),
        "start": against(best, start),
        "history": against(found["history"], final),
        "grounding": against(found["grounding"], final),
        "oracle": against(found["oracle"], best),
        "own": against(own, best),
        "early": against(found["early"], best),
        "leave_one_out": against(found["leave_one_out"], best),
    }


def _mean(found: Sequence[Measured]) -> float:
    return float(np.mean([one.success for one in found]))


RECIPE = Recipe(
    title="SPA-RL",
    source="Wang et al. 2025, SPA-RL: Reinforcing LLM Agents via Stepwise Progress Attribution (arXiv 2505.20732)",
    claims=CLAIMS,
    proof=proof,
    minutes=0.7,
)
"""Contributions of steps by a progress estimator as step rewards, beside the final reward."""
