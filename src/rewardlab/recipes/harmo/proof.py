"""HARMO's claims: a hybrid keeps what each reward alone loses, format costs little, length helps against brevity.

The one learned reward serves the monolithic arm and the hybrid alike, so what differs is the composition. What the length
component does is reported and not gated: its effect is smaller than the spread between seeds.
"""

from __future__ import annotations

import torch

from rewardlab.recipes.harmo.arms import Arms
from rewardlab.recipes.harmo.world import World
from rewardlab.recipes.proof import Claim, Outcome, Recipe

UPDATES = 160
LEARNING_RATE = 0.1
"""Of {0.1, 0.2} the better one for the rule alone, on the tuning seeds 100 to 102."""

_VERIFIABLE = "share of verifiable questions that are right"

CLAIMS = (
    Claim(
        name="monolithic",
        statement="the hybrid is right on .3 more of the verifiable questions than the same learned reward alone",
        margin=0.3,
        unit=_VERIFIABLE,
    ),
    Claim(
        name="open_quality",
        statement="the hybrid with embeddings answers open questions .2 better than the rule alone",
        margin=0.2,
        unit="mean quality of open answers",
    ),
    Claim(
        name="verifiable_kept",
        statement="the hybrid with embeddings is at most .05 worse on verifiable questions than the rule alone",
        margin=-0.05,
        unit=_VERIFIABLE,
    ),
    Claim(
        name="format_rate",
        statement="with the format component the format is kept in more than .95",
        unit="share of answers in tags, against .95",
    ),
    Claim(
        name="format_cost",
        statement="the format component costs at most .05 on verifiable questions",
        margin=-0.05,
        unit=_VERIFIABLE,
    ),
    Claim(
        name="length",
        statement="judges that like brevity: the length component adds .5 to the mean length",
        margin=0.5,
        gated=False,
        unit="dots",
    ),
    Claim(
        name="length_accuracy",
        statement="judges that like brevity: the length component helps on verifiable questions",
        gated=False,
        unit=_VERIFIABLE,
    ),
    Claim(
        name="length_harmless",
        statement="judges that do not mind: the length component costs at most .03 on verifiable questions",
        margin=-0.03,
        unit=_VERIFIABLE,
    ),
    Claim(
        name="length_idle",
        statement="judges that do not mind: the length component gains at most .03 on verifiable questions",
        margin=-0.03,
        gated=False,
        unit=_VERIFIABLE,
    ),
)


def proof(
    seed: int, *, updates: int = UPDATES, samples: int = 16, start_steps: int = 60, fit_steps: int = 600
) -> dict[str, Outcome]:
    """The arms of one seed; the options are for tests of the plumbing."""
    torch.set_num_threads(1)
    arms = Arms(
        world=World(seed=seed),
        updates=updates,
        learning_rate=LEARNING_RATE,
        samples=samples,
        start_steps=start_steps,
        fit_steps=fit_steps,
        comparisons=10 * fit_steps,
    )
    alone, rule = arms.train("biased"), arms.train("rule")
    surrogate, formatted = arms.train("hybrid surrogate"), arms.train("hybrid surrogate", "format")
    biased, longer = arms.train("hybrid biased"), arms.train("hybrid biased", "length")
    fair, fair_longer = arms.train("hybrid unbiased"), arms.train("hybrid unbiased", "length")
    return {
        "monolithic": Outcome(method=biased.verifiable, baseline=alone.verifiable),
        "open_quality": Outcome(method=surrogate.quality, baseline=rule.quality),
        "verifiable_kept": Outcome(method=surrogate.verifiable, baseline=rule.verifiable),
        "format_rate": Outcome(method=formatted.layout, baseline=0.95),
        "format_cost": Outcome(method=formatted.verifiable, baseline=surrogate.verifiable),
        "length": Outcome(method=longer.length, baseline=biased.length),
        "length_accuracy": Outcome(method=longer.verifiable, baseline=biased.verifiable),
        "length_harmless": Outcome(method=fair_longer.verifiable, baseline=fair.verifiable),
        "length_idle": Outcome(method=fair.verifiable, baseline=fair_longer.verifiable),
    }


RECIPE = Recipe(
    title="HARMO",
    source="Beyond Monolithic Rewards: A Hybrid and Multi-Aspect Reward Optimization for MLLM Alignment, 2025 "
    "(arXiv 2510.05283; withdrawn from ICLR 2026)",
    claims=CLAIMS,
    proof=proof,
    minutes=1.7,
)
