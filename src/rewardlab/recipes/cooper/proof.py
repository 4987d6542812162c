"""Cooper's claims: a fixed model with a cue is hacked, one that learns beside the policy is not, and it goes past the rule.

The rule's misses lie in the questions, where the policy cannot avoid them. `COUNTER` is the world in which it can: there
the rule alone is expected to win, and nothing is gated.
"""

from __future__ import annotations

import torch

from rewardlab.recipes.cooper.arms import Arms
from rewardlab.recipes.cooper.world import World
from rewardlab.recipes.proof import Claim, Outcome, Recipe

UPDATES = 240

_ACCURACY = "true share of right answers"

CLAIMS = (
    Claim(
        name="hacked_reward",
        statement="cue .97: the fixed model's mean reward ends above .95",
        margin=0.0,
        unit="mean training reward, against .95",
    ),
    Claim(
        name="hacked_truth",
        statement="cue .97: rewarded by the fixed model, the policy stays below .65 true accuracy",
        margin=0.0,
        unit=".65 against the true accuracy",
    ),
    Claim(
        name="past_fixed",
        statement="cue .97: Cooper ends .2 above the fixed model",
        margin=0.2,
        unit=_ACCURACY,
    ),
    Claim(name="past_rule", statement="cue .97: Cooper ends .2 above the rule", margin=0.2, unit=_ACCURACY),
    Claim(
        name="model",
        statement="cue .97: the model gains .1 on pairs whose styles say nothing",
        margin=0.1,
        unit="share of pairs in the right order",
    ),
    Claim(name="weaker_cue", statement="cue .9: Cooper ends above the fixed model", unit=_ACCURACY),
    Claim(name="any_above_rule", statement="cue .97: Cooper ends above the rule", gated=False, unit=_ACCURACY),
    Claim(
        name="unreadable",
        statement="cue .97: on questions that the rule cannot read, Cooper ends above the rule",
        gated=False,
        unit=_ACCURACY,
    ),
    Claim(
        name="longer_fit",
        statement="cue .97: Cooper ends above a model with as many more updates on the labelled answers",
        gated=False,
        unit=_ACCURACY,
    ),
)

COUNTER_CLAIMS = (
    Claim(
        name="rule", statement="the policy writes the format: the rule ends above Cooper", gated=False, unit=_ACCURACY
    ),
    Claim(
        name="fixed",
        statement="the policy writes the format: Cooper ends above the fixed model",
        gated=False,
        unit=_ACCURACY,
    ),
)


def proof(
    seed: int, *, updates: int = UPDATES, fit_steps: int = 400, start_steps: int = 150, samples: int = 8
) -> dict[str, Outcome]:
    """The arms of one seed; the options are for tests of the plumbing."""
    torch.set_num_threads(1)
    strong, weak = (
        Arms(
            world=World(seed=seed, cue=cue),
            updates=updates,
            fit_steps=fit_steps,
            start_steps=start_steps,
            samples=samples,
        )
        for cue in (0.97, 0.9)
    )
    rule, fixed, cooper = strong.by_rule(), strong.by_model(), strong.cooper()
    longer = strong.by_model(more_steps=updates * strong.passes)
    return {
        "hacked_reward": Outcome(method=fixed.reward, baseline=0.95),
        "hacked_truth": Outcome(method=0.65, baseline=fixed.accuracy),
        "past_fixed": Outcome(method=cooper.accuracy, baseline=fixed.accuracy),
        "past_rule": Outcome(method=cooper.accuracy, baseline=rule.accuracy),
        "any_above_rule": Outcome(method=cooper.accuracy, baseline=rule.accuracy),
        "model": Outcome(method=cooper.after, baseline=cooper.before),
        "weaker_cue": Outcome(method=weak.cooper().accuracy, baseline=weak.by_model().accuracy),
        "unreadable": Outcome(method=cooper.unreadable, baseline=rule.unreadable),
        "longer_fit": Outcome(method=cooper.accuracy, baseline=longer.accuracy),
    }


def counter(
    seed: int, *, updates: int = UPDATES, fit_steps: int = 400, start_steps: int = 150, samples: int = 8
) -> dict[str, Outcome]:
    """The world in which the policy writes the format."""
    torch.set_num_threads(1)
    arms = Arms(
        world=World(seed=seed, free=True),
        updates=updates,
        fit_steps=fit_steps,
        start_steps=start_steps,
        samples=samples,
    )
    rule, fixed, cooper = arms.by_rule(), arms.by_model(), arms.cooper()
    return {
        "rule": Outcome(method=rule.accuracy, baseline=cooper.accuracy),
        "fixed": Outcome(method=cooper.accuracy, baseline=fixed.accuracy),
    }


_SOURCE = (
    "Hong et al. 2025, Cooper: Co-Optimizing Policy and Reward Models in Reinforcement Learning for Large Language Models "
    "(arXiv 2508.05613)"
)

RECIPE = Recipe(title="Cooper", source=_SOURCE, claims=CLAIMS, proof=proof, minutes=1.4)
"""A reward model that learns beside the policy, against a fixed one that is hacked."""

COUNTER = Recipe(
    title="Cooper where the rule's misses can be avoided",
    source=_SOURCE,
    claims=COUNTER_CLAIMS,
    proof=counter,
    minutes=0.7,
)
"""What is reported and gates nothing: `rewardlab prove rewardlab.recipes.cooper:COUNTER`."""
