"""The claims of Lipschitz GAIL: off-policy imitation works with a short gradient and mostly fails without.

Both sides have the same grid of learning rates for their discriminators, because a weaker one needs the penalty less: rates
are compared one by one, and then best against best and worst against worst.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from rewardlab.recipes.lipschitz_gail.arms import Arm, Budget, Imitation, Result
from rewardlab.recipes.proof import Claim, Outcome, Recipe

RATES = (1e-3, 5e-4)
NEAR = 100.0
"""A policy is near the expert when its return is at most so much lower."""

_RETURN = "true return of the policy without noise"

CLAIMS = (
    Claim(
        name="strong",
        statement="a strong discriminator (rate 1e-3): the gradient penalty against none, ahead by 150",
        margin=150.0,
        unit=_RETURN,
    ),
    Claim(
        name="worst",
        statement="worst against worst over the rates: the gradient penalty against none, ahead by 150",
        margin=150.0,
        unit=_RETURN,
    ),
    Claim(
        name="smooth",
        statement="longest gradients: that of the penalised logit is below 2 (shown is 2 minus it)",
        unit="length of the gradient on segments",
    ),
    Claim(
        name="sharp",
        statement="longest gradients: without a penalty they exceed the penalised ones by 48",
        margin=48.0,
        unit="length of the gradient on segments",
    ),
    Claim(
        name="near",
        statement="rate 1e-3: more penalised policies than others end within 100 of the expert",
        unit="share of seeds",
        gated=False,
    ),
    Claim(
        name="best",
        statement="best against best over the rates: the gradient penalty against none, ahead by 40",
        margin=40.0,
        gated=False,
        unit=_RETURN,
    ),
    Claim(
        name="weaker",
        statement="a weaker discriminator (rate 5e-4): the gradient penalty against none, ahead by 150",
        margin=150.0,
        gated=False,
        unit=_RETURN,
    ),
    Claim(
        name="expert",
        statement="rate 1e-3: the penalised policy is not worse than the expert by 135",
        margin=-135.0,
        gated=False,
        unit=_RETURN,
    ),
    Claim(
        name="by_heart",
        statement="without a penalty the discriminator's gap between known and held-out expert points is wider",
        gated=False,
        unit="accuracy",
    ),
    Claim(
        name="validity",
        statement="the penalised gradient is no longer than 1 on more of the agent's points",
        gated=False,
        unit="share of points",
    ),
)

ABLATION_CLAIMS = (
    Claim(
        name="spectral",
        statement="the gradient penalty against a spectral norm with label smoothing (the paper: ahead)",
        gated=False,
        unit=_RETURN,
    ),
    Claim(
        name="spectral_none",
        statement="a spectral norm with label smoothing against nothing (the paper: both fail)",
        gated=False,
        unit=_RETURN,
    ),
    Claim(name="dragan", statement="penalised on segments against around the expert", gated=False, unit=_RETURN),
    Claim(name="nagard", statement="penalised on segments against around the agent", gated=False, unit=_RETURN),
    Claim(
        name="fixed",
        statement="a reward that is fixed and smooth: with the penalty against without, not behind by 50",
        margin=-50.0,
        gated=False,
        unit=_RETURN,
    ),
    Claim(
        name="oracle",
        statement="the gradient penalty against the true reward, not behind by 100",
        margin=-100.0,
        gated=False,
        unit=_RETURN,
    ),
)


def grid(rates: Sequence[float] = RATES) -> list[Arm]:
    """With the penalty and without, at each rate."""
    pairs = [
        (Arm(name=f"penalty {rate:g}", penalty="wgan", rate=rate), Arm(name=f"none {rate:g}", rate=rate))
        for rate in rates
    ]
    return [arm for pair in pairs for arm in pair]


def variants() -> list[Arm]:
    """The reported arms, all at the rate 1e-3."""
    return [
        Arm(name="penalty", penalty="wgan"),
        Arm(name="none"),
        Arm(name="spectral", spectral=True, smoothing=True),
        Arm(name="dragan", penalty="dragan"),
        Arm(name="nagard", penalty="nagard"),
        Arm(name="fixed penalty", reward="fixed", penalty="wgan"),
        Arm(name="fixed none", reward="fixed"),
        Arm(name="true", reward="true"),
    ]


def proof(seed: int, *, budget: Budget | None = None) -> dict[str, Outcome]:
    """The gated arms of one seed; the budget is for tests of the plumbing."""
    torch.set_num_threads(1)
    run = Imitation(grid(), seed, budget)
    results = run.run()
    expert = run.demonstrations.expert_return
    penalty, none = results[0::2], results[1::2]
    strong, plain = penalty[0], none[0]
    return {
        "strong": _returns(strong, plain),
        "worst": Outcome(method=min(_all(penalty)), baseline=min(_all(none))),
        "smooth": Outcome(method=2.0, baseline=max(one.gradient_max for one in penalty)),
        "sharp": Outcome(method=plain.gradient_max, baseline=strong.gradient_max),
        "near": Outcome(method=float(strong.returns >= expert - NEAR), baseline=float(plain.returns >= expert - NEAR)),
        "best": Outcome(method=max(_all(penalty)), baseline=max(_all(none))),
        "weaker": _returns(penalty[1], none[1]),
        "expert": Outcome(method=strong.returns, baseline=expert),
        "by_heart": Outcome(method=plain.expert - plain.held_out, baseline=strong.expert - strong.held_out),
        "validity": Outcome(method=strong.validity, baseline=plain.validity),
    }


def ablations(seed: int, *, budget: Budget | None = None) -> dict[str, Outcome]:
    """The reported arms of one seed."""
    torch.set_num_threads(1)
    arms = variants()
    found = dict(zip([arm.name for arm in arms], Imitation(arms, seed, budget).run(), strict=True))
    penalty = found["penalty"]
    return {
        "spectral": _returns(penalty, found["spectral"]),
        "spectral_none": _returns(found["spectral"], found["none"]),
        "dragan": _returns(penalty, found["dragan"]),
        "nagard": _returns(penalty, found["nagard"]),
        "fixed": _returns(found["fixed penalty"], found["fixed none"]),
        "oracle": _returns(penalty, found["true"]),
    }


def _returns(method: Result, baseline: Result) -> Outcome:
    return Outcome(method=method.returns, baseline=baseline.returns)


def _all(results: Sequence[Result]) -> list[float]:
    return [float(np.round(one.returns, 6)) for one in results]


_SOURCE = (
    "Blondé et al. 2022, Lipschitzness Is All You Need To Tame Off-policy Generative Adversarial Imitation Learning "
    "(Machine Learning, arXiv 2006.16785)"
)

RECIPE = Recipe(title="Lipschitz GAIL", source=_SOURCE, claims=CLAIMS, proof=proof, minutes=1.4)
"""A gradient penalty against none, at two strengths of the discriminator."""

ABLATIONS = Recipe(
    title="Lipschitz GAIL: other regularisers, other points, a fixed reward and the true one",
    source=_SOURCE,
    claims=ABLATION_CLAIMS,
    proof=ablations,
    minutes=3.0,
)
"""What is reported and gates nothing: `rewardlab prove rewardlab.recipes.lipschitz_gail:ABLATIONS`."""
