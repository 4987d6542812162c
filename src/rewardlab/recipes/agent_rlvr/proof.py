"""The proof of Agent-RLVR: with the same attempts and steps, guidance finds more of what the policy can learn from.

Every arm has 16 unguided attempts at each training task and a second sweep: unguided, guided, or with the hints of other
tasks. DPO has a likelihood term in every arm, because plain DPO drives the chosen answers down together with the rejected
ones here; plain DPO is reported beside it.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from rewardlab.recipes.agent_rlvr.arms import Arms, Budget
from rewardlab.recipes.agent_rlvr.world import Base, World
from rewardlab.recipes.proof import Claim, Outcome, Recipe
from rewardlab.training.guidance import PARTS

_GREEDY = "greedy success on unseen combinations"

CLAIMS = (
    Claim(
        name="guidance",
        statement="guided retries beat a second unguided sweep",
        margin=0.08,
        unit=_GREEDY,
    ),
    Claim(
        name="shuffled",
        statement="guided retries beat retries with the hints of other tasks",
        margin=0.08,
        unit=_GREEDY,
    ),
    Claim(
        name="stripped",
        statement="leaving the hint out of the training prompt beats leaving it in",
        unit=_GREEDY,
    ),
    Claim(
        name="found",
        statement="guided retries of failures succeed more often than unguided attempts",
        gated=False,
        unit="share of attempts",
    ),
    Claim(
        name="solved",
        statement="more training tasks have a success with guided retries than with a second unguided sweep",
        gated=False,
        unit="share of tasks",
    ),
    Claim(
        name="plain",
        statement="the same by plain DPO: guided retries beat a second unguided sweep",
        gated=False,
        unit=_GREEDY,
    ),
    Claim(
        name="many",
        statement="guided retries beat a second unguided sweep where one of 32 samples has to be right",
        gated=False,
        unit="exact pass@32",
    ),
    Claim(
        name="baseline",
        statement="Agent-RLVR beats imitation of the unguided successes (the paper's baseline)",
        gated=False,
        unit=_GREEDY,
    ),
    Claim(
        name="imitation",
        statement="Agent-RLVR beats imitation of the guided and unguided successes, hints left out",
        gated=False,
        unit=_GREEDY,
    ),
)


def proof(seed: int, *, budget: Budget | None = None, base: Base | None = None, train: int = 160) -> dict[str, Outcome]:
    """All arms of one seed; the options are for tests of the plumbing."""
    torch.set_num_threads(1)
    arms = Arms(world=World(seed=seed, base=base or Base(), train=train), budget=budget or Budget())
    second, guided = arms.second(), arms.guided()
    with_guidance, without = arms.prefer(guided), arms.prefer(second)
    plain_with, plain_without = arms.prefer(guided, nll=0.0), arms.prefer(second, nll=0.0)
    tasks = len(arms.world.train_tasks)
    return {
        "guidance": Outcome(method=with_guidance.greedy, baseline=without.greedy),
        "shuffled": Outcome(method=with_guidance.greedy, baseline=arms.prefer(arms.shuffled()).greedy),
        "stripped": Outcome(method=with_guidance.greedy, baseline=arms.prefer(arms.guided(strip=False)).greedy),
        "found": Outcome(method=guided.scores.mean(), baseline=arms.first.scores.mean()),
        "solved": Outcome(
            method=arms.first.plus(guided).solved() / tasks, baseline=arms.first.plus(second).solved() / tasks
        ),
        "plain": Outcome(method=plain_with.greedy, baseline=plain_without.greedy),
        "many": Outcome(method=with_guidance.pass_at(32), baseline=without.pass_at(32)),
        "baseline": Outcome(method=with_guidance.greedy, baseline=arms.imitate(arms.first.plus(second)).greedy),
        "imitation": Outcome(method=with_guidance.greedy, baseline=arms.imitate(arms.first.plus(guided)).greedy),
    }


RECIPE = Recipe(
    title="Agent-RLVR",
    source="Da et al. 2025, Agent-RLVR: Training Software Engineering Agents via Guidance and Environment Rewards "
    "(arXiv 2506.11425)",
    claims=CLAIMS,
    proof=proof,
    minutes=1.5,
)
"""Guidance while attempting that is left out when learning, beside the same attempts without."""

ABLATION_CLAIMS = (
    Claim(
        name="positives",
        statement="guided retries beat a second unguided sweep with no more pairs than that gives",
        gated=False,
        unit=_GREEDY,
    ),
    *(
        Claim(
            name=f"without_{part}",
            statement=f"all three parts of the guidance against two, without the {part}",
            gated=False,
            unit=_GREEDY,
        )
        for part in PARTS
    ),
    Claim(
        name="uninformed",
        statement="a teacher that guesses: guided retries against a second unguided sweep",
        gated=False,
        unit=_GREEDY,
    ),
    Claim(
        name="deaf",
        statement="a base model that ignores hints: guided retries against a second unguided sweep",
        gated=False,
        unit=_GREEDY,
    ),
)


def ablations(
    seed: int, *, budget: Budget | None = None, base: Base | None = None, train: int = 160
) -> dict[str, Outcome]:
    """What is reported of one seed: fewer pairs, fewer parts, and two worlds in which guidance cannot help."""
    torch.set_num_threads(1)
    budget, base = budget or Budget(), base or Base()
    arms = Arms(world=World(seed=seed, base=base, train=train), budget=budget)
    second, guided = arms.second(), arms.guided()
    full, most = arms.prefer(guided).greedy, len(arms.pairs(second))
    found = {"positives": Outcome(method=arms.prefer(guided, most=most).greedy, baseline=arms.prefer(second).greedy)}
    for part in PARTS:
        without = arms.guided(parts=[one for one in PARTS if one != part])
        found[f"without_{part}"] = Outcome(method=full, baseline=arms.prefer(without).greedy)
    # the same base model, told nothing; and one that never learned to follow hints
    arms.world.accuracy = 0.0
    found["uninformed"] = Outcome(method=arms.prefer(arms.guided()).greedy, baseline=found["positives"].baseline)
    deaf = Arms(world=World(seed=seed, base=replace(base, follows=0.0), train=train), budget=budget)
    found["deaf"] = Outcome(method=deaf.prefer(deaf.guided()).greedy, baseline=deaf.prefer(deaf.second()).greedy)
    return found


ABLATIONS = Recipe(
    title="Agent-RLVR: parts of the guidance, number of pairs, and worlds in which guidance cannot help",
    source=RECIPE.source,
    claims=ABLATION_CLAIMS,
    proof=ablations,
    minutes=1.2,
)
"""What gates nothing: `rewardlab prove rewardlab.recipes.agent_rlvr:ABLATIONS`."""
