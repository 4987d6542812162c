"""Shop-R1's claims: where arguments are rarely right at first, all-or-nothing rewards make the policy end every visit.

Gated are the collapse, that its cure costs no exact actions, and that values must be paid for. What the factor of 1000
adds, and what a divergence penalty or a better start do to the baseline, is in the table.
"""

from __future__ import annotations

import torch

from rewardlab.recipes.proof import Claim, Outcome, Recipe
from rewardlab.recipes.shop_r1.arms import Arms, Measured, binary, graded
from rewardlab.recipes.shop_r1.world import World

WEAK_STEPS, STRONG_STEPS, UPDATES = 60, 100, 150
START_RATE = 1e-3

_F1, _EXACT, _LARGEST = "macro F1 of the type", "share of exact actions", "share of the commonest predicted type"

CLAIMS = (
    Claim(
        name="type_f1",
        statement="weak start, no KL: factor 5 has a type F1 .40 above all-or-nothing",
        margin=0.40,
        unit=_F1,
    ),
    Claim(
        name="collapse",
        statement="weak start, no KL: all-or-nothing predicts one type .40 more often than factor 5 does its commonest",
        margin=0.40,
        unit=_LARGEST,
    ),
    Claim(
        name="exact",
        statement="weak start, no KL: factor 5 is not less exact than all-or-nothing by .02",
        margin=-0.02,
        unit=_EXACT,
    ),
    Claim(name="factor", statement="weak start, no KL: factor 5 is more exact than factor 0", unit=_EXACT),
    Claim(name="paper_factor", statement="weak start, no KL: exact, factor 1000 against 5", gated=False, unit=_EXACT),
    Claim(name="start", statement="weak start, no KL: exact, factor 5 against its start", gated=False, unit=_EXACT),
    Claim(name="start_f1", statement="weak start, no KL: type F1, factor 5 against its start", gated=False, unit=_F1),
    Claim(name="kl_f1", statement="weak start, KL .1: type F1, factor 5 against all-or-nothing", gated=False, unit=_F1),
    Claim(
        name="kl_exact", statement="weak start, KL .1: exact, factor 5 against all-or-nothing", gated=False, unit=_EXACT
    ),
    Claim(
        name="strong_f1",
        statement="stronger start, no KL: type F1, factor 5 against all-or-nothing",
        gated=False,
        unit=_F1,
    ),
    Claim(
        name="strong_exact",
        statement="stronger start, no KL: exact, factor 5 against all-or-nothing",
        gated=False,
        unit=_EXACT,
    ),
    Claim(
        name="certain_f1",
        statement="counter-world without chance in what people do: type F1",
        gated=False,
        unit=_F1,
    ),
)


def proof(seed: int, *, updates: int = UPDATES, test: int = 1000) -> dict[str, Outcome]:
    """The arms of one seed; the options are for tests of the plumbing."""
    torch.set_num_threads(1)
    world = World(seed=seed, test=test)
    weak = Arms(world=world, start_steps=WEAK_STEPS, start_rate=START_RATE, updates=updates)
    (start,) = weak.measure(weak.start)
    baseline, none, five, paper, baseline_kl, five_kl = weak.train(
        [binary(), graded(0.0), graded(5.0), graded(1000.0), binary(kl=0.1), graded(5.0, kl=0.1)]
    )
    strong = _pair(world, STRONG_STEPS, updates)
    certain = _pair(World(seed=seed, ambiguity=0.0, test=test), WEAK_STEPS, updates)
    return {
        "type_f1": Outcome(method=five.macro_f1, baseline=baseline.macro_f1),
        "collapse": Outcome(method=baseline.largest, baseline=five.largest),
        "exact": Outcome(method=five.exact, baseline=baseline.exact),
        "factor": Outcome(method=five.exact, baseline=none.exact),
        "paper_factor": Outcome(method=paper.exact, baseline=five.exact),
        "start": Outcome(method=five.exact, baseline=start.exact),
        "start_f1": Outcome(method=five.macro_f1, baseline=start.macro_f1),
        "kl_f1": Outcome(method=five_kl.macro_f1, baseline=baseline_kl.macro_f1),
        "kl_exact": Outcome(method=five_kl.exact, baseline=baseline_kl.exact),
        "strong_f1": Outcome(method=strong[0].macro_f1, baseline=strong[1].macro_f1),
        "strong_exact": Outcome(method=strong[0].exact, baseline=strong[1].exact),
        "certain_f1": Outcome(method=certain[0].macro_f1, baseline=certain[1].macro_f1),
    }


def _pair(world: World, steps: int, updates: int) -> tuple[Measured, Measured]:
    """Factor 5 and all-or-nothing from one start."""
    arms = Arms(world=world, start_steps=steps, start_rate=START_RATE, updates=updates)
    five, baseline = arms.train([graded(5.0), binary()])
    return five, baseline


RECIPE = Recipe(
    title="Shop-R1",
    source="Zhang et al. 2025, Shop-R1: Rewarding LLMs to Simulate Human Behavior in Online Shopping via Reinforcement "
    "Learning (arXiv 2507.17842)",
    claims=CLAIMS,
    proof=proof,
    minutes=0.4,
)
"""Graded rewards of a shopper's actions, beside all-or-nothing rewards that make visits end."""
