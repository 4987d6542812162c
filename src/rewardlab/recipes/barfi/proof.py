"""What is claimed of behaviour alignment, and how a seed decides it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rewardlab.recipes.barfi.arms import GridArms
from rewardlab.recipes.proof import Claim, Outcome, Recipe

SOLVED = 80.0
"""A primary return above this means that the goal is reached almost always, by a short way."""


def proof(seed: int) -> Mapping[str, Outcome]:
    """All arms on one seed; see `GridArms`."""
    return outcomes(GridArms(seed=seed))


def outcomes(arms: GridArms) -> dict[str, Outcome]:
    """What one run of the arms says about each claim."""
    found = arms.run()
    mean = {name: float(values.mean()) for name, values in found.items()}
    solved = {name: float(np.mean(values >= SOLVED)) for name, values in found.items()}
    return {
        "outer-gradient": Outcome(method=mean["aligned"], baseline=mean["frozen"]),
        "solved": Outcome(method=solved["aligned"], baseline=solved["frozen"]),
        "hint-rejected": Outcome(method=float(np.mean(found["weight"] < 0.5)), baseline=0.0),
        "beats-naive": Outcome(method=mean["aligned"], baseline=mean["naive_misleading"]),
        "helpful-not-worse": Outcome(method=mean["aligned_helpful"], baseline=mean["naive_helpful"]),
        "helpful-frozen": Outcome(method=mean["aligned_helpful"], baseline=mean["frozen_helpful"]),
        "without-hint": Outcome(method=mean["aligned"], baseline=mean["without"]),
    }


RECIPE = Recipe(
    title="Behavior Alignment via Reward Function Optimization (BARFI)",
    source="Gupta et al., NeurIPS 2023, arXiv 2310.19007",
    claims=(
        Claim(
            name="outer-gradient",
            statement="misleading hint: the learned blend earns more primary return than the same learner with it frozen",
            margin=0.0,
            unit="primary return",
        ),
        Claim(
            name="solved",
            statement="misleading hint: share of learners that solve the task, learned blend against frozen",
            margin=0.0,
            unit="share of learners",
        ),
        Claim(
            name="hint-rejected",
            statement="misleading hint: share of learners whose weight for it falls below half where it misleads",
            margin=0.2,
            unit="share of learners",
        ),
        Claim(
            name="beats-naive",
            statement="misleading hint: the learned blend against REINFORCE on the sum of both rewards",
            margin=0.0,
            unit="primary return",
        ),
        Claim(
            name="helpful-not-worse",
            statement="helpful hint: the learned blend is not worse than REINFORCE on the sum of both rewards",
            margin=-5.0,
            unit="primary return",
        ),
        Claim(
            name="helpful-frozen",
            statement="helpful hint: the learned blend against the same learner with it frozen",
            gated=False,
            unit="primary return",
        ),
        Claim(
            name="without-hint",
            statement="misleading hint: the learned blend against never having had the hint, with equal updates",
            gated=False,
            unit="primary return",
        ),
    ),
    proof=proof,
    minutes=1.0,
)
"""BARFI."""
