"""Text2Reward's claims: programs that a model wrote train as well as the expert's reward, and far better than success alone.

No language model runs: its programs were recorded, all of them count, and the unit is program by seed. The learner is
the same for all arms, and divides every reward by its deviation.

That feedback meets a wish which the task does not state is reported, and gates nothing: the revised programs pay for it, and
the agents do not find it within the budget (see the page of the recipe).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from rewardlab.learning.programs.answers import RecordedAnswers
from rewardlab.learning.programs.checking import Report
from rewardlab.learning.programs.program import RewardProgram, hash_prompt
from rewardlab.learning.programs.prompts import error_prompt
from rewardlab.learning.programs.refining import refine
from rewardlab.learning.programs.views import abstraction
from rewardlab.learning.programs.writer import RewardWriter
from rewardlab.recipes.proof import Claim, Outcome, Recipe
from rewardlab.recipes.text2reward import recorded
from rewardlab.recipes.text2reward.arms import make_arms
from rewardlab.recipes.text2reward.fixtures import BROKEN, CORRECT
from rewardlab.recipes.text2reward.learner import Curve, Learner, Settings
from rewardlab.recipes.text2reward.world import INSTRUCTION, PickPlace, PickPlaceView

SETTINGS = Settings()
GOOD, RELIABLE, NEEDS_DESIGN = 0.8, 0.8, 0.3

_SUCCESS = "share of held-out layouts solved"
_WISH = "share with the cube at the goal and let go of at the end"

CLAIMS = (
    Claim(
        name="expert",
        statement="the mean over all zero-shot programs is not below the expert's reward by .10",
        margin=-0.10,
        unit=_SUCCESS,
    ),
    Claim(
        name="sparse",
        statement="the mean over all zero-shot programs is above the sparse reward by .50",
        margin=0.50,
        unit=_SUCCESS,
    ),
    Claim(
        name="unshaped",
        statement="the mean over all zero-shot programs is above the distance of cube and goal alone by .50",
        margin=0.50,
        unit=_SUCCESS,
    ),
    Claim(
        name="needs_design",
        statement=f"the distance of cube and goal alone stays below {NEEDS_DESIGN}: the task needs a designed reward",
        unit=_SUCCESS,
    ),
    Claim(
        name="reliable",
        statement=f"at least {RELIABLE:.0%} of the zero-shot programs reach {GOOD}",
        margin=-1e-9,
        unit="share of programs",
    ),
    Claim(
        name="wish",
        statement="after a round of feedback a wish that the task does not state is met more often by .50",
        margin=0.50,
        gated=False,
        unit=_WISH,
    ),
    Claim(
        name="wish_control",
        statement="the feedback, and not the round, does it: above a round with empty feedback by .50",
        margin=0.50,
        gated=False,
        unit=_WISH,
    ),
    Claim(
        name="wish_success",
        statement="after feedback success is not lower by .10",
        margin=-0.10,
        unit=_SUCCESS,
    ),
    Claim(
        name="found",
        statement="broken programs are found before training, with kind and line; correct ones are not refused",
        margin=0.99,
        unit="share of 20 programs",
    ),
    Claim(
        name="fixed",
        statement="broken programs pass after one round with their recorded corrections",
        margin=0.89,
        unit="share of 20 programs",
    ),
    Claim(name="few_shot", statement="few-shot against zero-shot programs", gated=False, unit=_SUCCESS),
    Claim(
        name="few_shot_early",
        statement="few-shot against zero-shot programs, half-way",
        gated=False,
        unit=_SUCCESS,
    ),
    Claim(
        name="early",
        statement="zero-shot programs against the expert's reward, half-way",
        gated=False,
        unit=_SUCCESS,
    ),
    Claim(
        name="worst",
        statement="the worst zero-shot program against the expert's reward",
        gated=False,
        unit=_SUCCESS,
    ),
    Claim(
        name="released",
        statement="the form of the released zero-shot program against the expert's reward",
        gated=False,
        unit=_SUCCESS,
    ),
    Claim(
        name="described",
        statement=f"what the feedback says of the agents is true: they hold the cube at the goal in {GOOD}",
        gated=False,
        unit="share of layouts",
    ),
)


def programs() -> dict[str, RewardProgram]:
    """Every recorded program by the name of its arm."""
    found = {f"zero{place}": program for place, program in enumerate(recorded.zero_shot())}
    found |= {f"few{place}": program for place, program in enumerate(recorded.few_shot())}
    found |= {f"revised{place}": program for place, program in enumerate(recorded.revised())}
    found |= {f"control{place}": program for place, program in enumerate(recorded.revised(""))}
    return found


def proof(seed: int, *, settings: Settings = SETTINGS) -> dict[str, Outcome]:
    """All arms of one seed; the settings are for tests of the plumbing."""
    torch.set_num_threads(1)
    curve, names = train_arms(seed, settings)
    last, half = curve.success[-1], curve.success[len(curve.steps) // 2]
    arms = {name: place for place, name in enumerate(names)}
    zero = [arms[f"zero{place}"] for place in range(recorded.ZERO_SHOT)]
    few = [arms[f"few{place}"] for place in range(recorded.FEW_SHOT)]
    first = zero[: recorded.REVISED]
    revised = [arms[f"revised{place}"] for place in range(recorded.REVISED)]
    control = [arms[f"control{place}"] for place in range(recorded.REVISED)]
    found, alarms, fixed = study_checker(seed)
    wishes = curve.wish[-1]

    def pair(values: NDArray[np.float64], method: list[int], baseline: list[int]) -> Outcome:
        return Outcome(method=float(values[method].mean()), baseline=float(values[baseline].mean()))

    expert = [arms["expert"]]
    return {
        "expert": pair(last, zero, expert),
        "sparse": pair(last, zero, [arms["sparse"]]),
        "unshaped": pair(last, zero, [arms["unshaped"]]),
        "needs_design": Outcome(method=NEEDS_DESIGN, baseline=float(last[arms["unshaped"]])),
        "reliable": Outcome(method=float((last[zero] >= GOOD).mean()), baseline=RELIABLE),
        "wish": pair(wishes, revised, first),
        "wish_control": pair(wishes, revised, control),
        "wish_success": pair(last, revised, first),
        "found": Outcome(method=found, baseline=alarms),
        "fixed": Outcome(method=fixed, baseline=0.0),
        "few_shot": pair(last, few, zero),
        "few_shot_early": pair(half, few, zero),
        "early": pair(half, zero, expert),
        "worst": Outcome(method=float(last[zero].min()), baseline=float(last[arms["expert"]])),
        "released": pair(last, [arms["released"]], expert),
        "described": Outcome(method=float(curve.held[-1][first].mean()), baseline=GOOD),
    }


def train_arms(seed: int, settings: Settings = SETTINGS) -> tuple[Curve, list[str]]:
    """Train with every reward; what each reached, and the names of the arms."""
    arms = make_arms(programs())
    return Learner(len(arms.names), seed, settings).train(arms), arms.names


def sample_states(seed: int, steps: int = 4) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """States after random actions, and the actions, on which programs are tried."""
    world, noise = PickPlace(64, seed), np.random.default_rng(seed)
    actions = noise.uniform(-1, 1, size=(steps, 64, 3))
    return np.concatenate([world.step(action) for action in actions]), actions.reshape(-1, 3)


def study_checker(seed: int) -> tuple[float, float, float]:
    """Shares of broken programs that are found, of correct ones that are refused, and of broken ones fixed in a round."""
    states = sample_states(seed)

    def check(program: RewardProgram) -> Report:
        return program.check(states, view=PickPlaceView)

    found, fixed = 0, 0
    for broken in BROKEN:
        answers: dict[str, list[str]] = {}
        writer = RewardWriter(
            model=RecordedAnswers(answers, name="recorded corrections"),
            abstraction=abstraction(PickPlaceView, form="vectorised"),
            form="vectorised",
            retries=0,
        )
        program = RewardProgram(source=broken.source, instruction=INSTRUCTION, form="vectorised")
        report = check(program)
        errors = report.errors
        found += bool(errors) and errors[0].kind == broken.kind and errors[0].line == broken.line
        text = "\n".join(f"- {problem}" for problem in errors)
        prompt = error_prompt(writer.prompt(INSTRUCTION), program.source, text)
        answers[hash_prompt(prompt)] = [f"The cause is clear.\n```python\n{broken.fixed}```\n"]
        if errors:
            fixed += check(refine(writer, program, report)).passed
    refused = sum(not check(RewardProgram(source=source, form="vectorised")).passed for source in CORRECT)
    return found / len(BROKEN), refused / len(CORRECT), fixed / len(BROKEN)


RECIPE = Recipe(
    title="Text2Reward",
    source="Xie et al. 2024, Text2Reward: Reward Shaping with Language Models for Reinforcement Learning (ICLR 2024, "
    "arXiv 2309.11489)",
    claims=CLAIMS,
    proof=proof,
    minutes=1.2,
)
"""Rewards that a language model wrote, beside an expert's, success alone, and a distance."""
