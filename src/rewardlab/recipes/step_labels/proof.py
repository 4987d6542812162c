"""The claims: labels of single steps are worth more than the answer's, wherever solutions have several steps."""

from __future__ import annotations

import torch

from rewardlab.recipes.proof import Claim, Outcome, Recipe
from rewardlab.recipes.step_labels.arms import Arms
from rewardlab.recipes.step_labels.world import World

_F1 = "first-error F1"
_AREA = "area under the curve of steps"
_PICK = "share of tasks where a sound solution is picked out of eight"

CLAIMS = (
    Claim(name="place", statement="first error: step labels against the place of a step alone", margin=0.5, unit=_F1),
    Claim(name="first_error", statement="first error: step labels against labels of the answer", margin=0.03, unit=_F1),
    Claim(name="area", statement="single steps: step labels against labels of the answer", margin=0.03, unit=_AREA),
    Claim(name="pick", statement="best of eight: step labels against labels of the answer", margin=0.05, unit=_PICK),
    Claim(
        name="several_steps",
        statement="what step labels gain over labels of the answer: solutions of six steps against one (counter-world)",
        margin=0.03,
        unit=f"difference in {_AREA}",
    ),
    Claim(
        name="one_step",
        statement="counter-world, solutions of one step: labels of the answer are not worse by .03",
        margin=-0.03,
        gated=False,
        unit=_AREA,
    ),
    Claim(
        name="more",
        statement="step labels against answers of five times as many solutions",
        gated=False,
        unit=_PICK,
    ),
    Claim(
        name="shares",
        statement="step labels of people against shares of eight continuations",
        gated=False,
        unit=_PICK,
    ),
    Claim(
        name="careless",
        statement="step labels of which a fifth is misplaced against labels of the answer",
        gated=False,
        unit=_PICK,
    ),
    Claim(name="product", statement="the weakest step against the product of all", gated=False, unit=_PICK),
    Claim(name="last", statement="the weakest step against the last one", gated=False, unit=_PICK),
)


def proof(seed: int, *, arms: Arms | None = None) -> dict[str, Outcome]:
    """One seed; the option is for tests of the plumbing."""
    torch.set_num_threads(1)
    arms = arms or Arms(world=World(seed=seed))
    alone = arms.one_step()
    people = arms.fit("people")
    told = {name: arms.measure(arms.fit(name)) for name in ("outcomes", "more", "shares", "careless")}
    found, answer = arms.measure(people), told["outcomes"]
    one_people, one_answer = alone.area(alone.fit("people")), alone.area(alone.fit("outcomes"))
    return {
        "place": Outcome(method=found.f1, baseline=arms.measure(arms.prior()).f1),
        "first_error": Outcome(method=found.f1, baseline=answer.f1),
        "area": Outcome(method=found.area, baseline=answer.area),
        "pick": Outcome(method=found.best, baseline=answer.best),
        "several_steps": Outcome(method=found.area - answer.area, baseline=one_people - one_answer),
        "one_step": Outcome(method=one_answer, baseline=one_people),
        "more": Outcome(method=found.best, baseline=told["more"].best),
        "shares": Outcome(method=found.best, baseline=told["shares"].best),
        "careless": Outcome(method=told["careless"].best, baseline=answer.best),
        "product": Outcome(method=found.best, baseline=arms.picks(people, "product")),
        "last": Outcome(method=found.best, baseline=arms.picks(people, "last")),
    }


RECIPE = Recipe(
    title="Process reward model from step labels",
    source=(
        "Lightman et al. 2023, Let's Verify Step by Step (arXiv 2305.20050); Wang et al. 2024, Math-Shepherd "
        "(arXiv 2312.08935)"
    ),
    claims=CLAIMS,
    proof=proof,
    minutes=1.0,
)
"""The claims of process supervision."""
