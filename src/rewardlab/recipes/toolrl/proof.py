"""ToolRL's claims: graded matching learns where exact answers are rare, and costs little where they are common.

The paper's own margin shrinks as models get stronger, so both regimes are part of the proof. A claim asks
that the interval of the difference lies above 0; the means themselves are in the table.
"""

from __future__ import annotations

import torch

from rewardlab.recipes.proof import Claim, Outcome, Recipe
from rewardlab.recipes.toolrl.arms import Arms
from rewardlab.recipes.toolrl.world import EASY, RARE, Regime, World

UPDATES = 60
LEARNING_RATE = 3e-4
"""Of {3e-4, 6e-4} the better one for both gated arms, by graded score on the tuning seed 100 in the rare regime."""

_EXACT = "share of held-out queries with all calls right"
_GRADED = "S / S_max on held-out queries"

CLAIMS = (
    Claim(
        name="rare_graded",
        statement="rare exact answers: graded matching scores higher than all-or-nothing",
        unit=_GRADED,
    ),
    Claim(
        name="rare_exact",
        statement="rare exact answers: graded matching answers more queries exactly than all-or-nothing",
        unit=_EXACT,
    ),
    Claim(
        name="easy_exact",
        statement="common exact answers: graded matching is not worse than all-or-nothing by .15",
        margin=-0.15,
        unit=_EXACT,
    ),
    Claim(
        name="rare_start",
        statement="rare exact answers: graded matching ends above the policy it started from",
        gated=False,
        unit=_EXACT,
    ),
    Claim(
        name="rare_idle",
        statement="rare exact answers: all-or-nothing has more groups without any difference",
        gated=False,
        unit="share of groups",
    ),
)

ABLATED = ("strict", "call", "equal_max", "dynamic", "shuffled")

ABLATION_CLAIMS = (
    *(
        Claim(
            name=name,
            statement=f"rare exact answers: original against {name}",
            gated=False,
            unit=_GRADED,
        )
        for name in ABLATED
    ),
    Claim(
        name="shuffled_start",
        statement="grading against another query lifts the policy above its start",
        gated=False,
        unit=_GRADED,
    ),
    Claim(
        name="supervised",
        statement="rare exact answers: original against as many supervised steps on the demonstrations",
        gated=False,
        unit=_GRADED,
    ),
)


def proof(seed: int, *, updates: int = UPDATES, rare: Regime = RARE, easy: Regime = EASY) -> dict[str, Outcome]:
    """The gated arms of one seed; the options are for tests of the plumbing."""
    torch.set_num_threads(1)
    hard = _arms(rare, seed, updates)
    start, original, coarse = hard.untrained(), hard.train("original"), hard.train("coarse")
    simple = _arms(easy, seed, updates)
    return {
        "rare_graded": Outcome(method=original.graded, baseline=coarse.graded),
        "rare_exact": Outcome(method=original.exact, baseline=coarse.exact),
        "easy_exact": Outcome(method=simple.train("original").exact, baseline=simple.train("coarse").exact),
        "rare_start": Outcome(method=original.exact, baseline=start.exact),
        "rare_idle": Outcome(method=coarse.idle_groups, baseline=original.idle_groups),
    }


def ablations(seed: int, *, updates: int = UPDATES, rare: Regime = RARE) -> dict[str, Outcome]:
    """The reported arms of one seed, all in the rare regime."""
    torch.set_num_threads(1)
    arms = _arms(rare, seed, updates)
    original = arms.train("original")
    others = {name: arms.train(name) for name in ABLATED}
    return {
        **{name: Outcome(method=original.graded, baseline=other.graded) for name, other in others.items()},
        "shuffled_start": Outcome(method=others["shuffled"].graded, baseline=arms.untrained().graded),
        "supervised": Outcome(method=original.graded, baseline=arms.imitate().graded),
    }


def _arms(regime: Regime, seed: int, updates: int) -> Arms:
    return Arms(world=World(regime=regime, seed=seed), updates=updates, learning_rate=LEARNING_RATE)


_SOURCE = "Qian et al. 2025, ToolRL: Reward is All Tool Learning Needs (NeurIPS 2025, arXiv 2504.13958)"

RECIPE = Recipe(title="ToolRL", source=_SOURCE, claims=CLAIMS, proof=proof, minutes=1.5)
"""Graded matching of tool calls, beside exact answers."""

ABLATIONS = Recipe(
    title="ToolRL: granularity, scale and change over time",
    source=_SOURCE,
    claims=ABLATION_CLAIMS,
    proof=ablations,
    minutes=3.0,
)
"""What is reported and gates nothing: `rewardlab prove rewardlab.recipes.toolrl:ABLATIONS`."""
