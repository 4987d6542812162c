"""The round of feedback alone, with more exploration and more steps: does a word from a person change what agents do?

In the budget of the main proof an agent that has learned to hold never opens its fingers. Here entropy counts thirty
times as much, and training is half as long again.
"""

from __future__ import annotations

import torch

from rewardlab.recipes.proof import Claim, Outcome, Recipe
from rewardlab.recipes.text2reward import recorded
from rewardlab.recipes.text2reward.arms import make_arms
from rewardlab.recipes.text2reward.learner import Learner, Settings
from rewardlab.recipes.text2reward.proof import RECIPE, programs

SETTINGS = Settings(steps=150_000, entropy=0.03)
NAMES = ("wish", "wish_control", "wish_success")

CLAIMS = tuple(
    Claim(name=claim.name, statement=claim.statement, margin=claim.margin, gated=False, unit=claim.unit)
    for claim in RECIPE.claims
    if claim.name in NAMES
)


def feedback_proof(seed: int, *, settings: Settings = SETTINGS) -> dict[str, Outcome]:
    """The first programs, and what became of them after a round with feedback and with none."""
    torch.set_num_threads(1)
    kinds = ("zero", "revised", "control")
    chosen = [f"{kind}{place}" for kind in kinds for place in range(recorded.REVISED)]
    found = programs()
    arms = make_arms({name: found[name] for name in chosen}, plain={})
    curve = Learner(len(chosen), seed, settings).train(arms)
    wishes, solved = (column[-1].reshape(len(kinds), -1).mean(axis=1) for column in (curve.wish, curve.success))
    return {
        "wish": Outcome(method=float(wishes[1]), baseline=float(wishes[0])),
        "wish_control": Outcome(method=float(wishes[1]), baseline=float(wishes[2])),
        "wish_success": Outcome(method=float(solved[1]), baseline=float(solved[0])),
    }


FEEDBACK = Recipe(
    title="Text2Reward: a round of feedback, with more exploration",
    source=RECIPE.source,
    claims=CLAIMS,
    proof=feedback_proof,
    minutes=1.0,
)
"""Reported, and gates nothing: `rewardlab prove rewardlab.recipes.text2reward:FEEDBACK`."""
