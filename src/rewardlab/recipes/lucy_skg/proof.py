"""Lucy-SKG's claims: a signed geometric mean of utilities is not hacked where a mean of the same utilities is.

The arms of a seed share weights, starts and the numbers that choose actions. The metric is the share of episodes that
end with a goal, averaged over training (area) or over its last tenth (last).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from rewardlab.recipes.lucy_skg.arms import Use, kinesthetic, linear, product, task_reward
from rewardlab.recipes.lucy_skg.learner import Learning, Options, learn
from rewardlab.recipes.proof import Claim, Outcome, Recipe

WEIGHTS = (0.3, 1.0, 3.0)
OPTIONS = Options()
COUNTER = replace(OPTIONS, iterations=20)
"""Touching the ball is learned in a fifth of the time."""

_AREA = "share of episodes with a goal, over training"
_LAST = "share of episodes with a goal, at the end"


@dataclass(frozen=True)
class Table:
    """What each arm came to, by utility and weight."""

    area: dict[tuple[str, float], float]
    last: dict[tuple[str, float], float]
    size: dict[tuple[str, float], float]

    def best(self, utility: str) -> float:
        """The area of a utility with its best weight."""
        return max(value for (name, _), value in self.area.items() if name == utility)


def arms(seed: int, use: Use, options: Options = OPTIONS, *, more: bool = False) -> Table:
    """Train linear and kinesthetic arms at three weights.

    Args:
        seed: of everything.
        use: at every step, or as a potential.
        options: of the learner; others are for tests of the plumbing.
        more: the arms that show what the sign and the root are for, and the task's own reward alone.
    """
    torch.set_num_threads(1)
    chosen = {(name, weight): make() for name, make in _UTILITIES.items() for weight in WEIGHTS}
    rewards = {arm: task_reward(utility, arm[1], use) for arm, utility in chosen.items()}
    if more:
        rewards["signs multiplied", 1.0] = task_reward(kinesthetic("product"), 1.0, use)
        rewards["no root", 1.0] = task_reward(product(), 1.0, use)
        rewards["task alone", 0.0] = task_reward(None, 0.0)
    found = learn(list(rewards.values()), seed, options)
    return Table(
        *(dict(zip(rewards, column.tolist(), strict=True)) for column in (found.area, found.last, found.part_size))
    )


def touching(seed: int, options: Options = COUNTER) -> Learning:
    """The counter-world, in which nearness is all that counts: linear and kinesthetic, as potentials.

    At every step the mean would be paid for waiting beside the ball without touching it, which is the claim at weight
    3 again.
    """
    torch.set_num_threads(1)
    return learn([task_reward(make(), 1.0, "potential") for make in _UTILITIES.values()], seed, options, task="touch")


def proof(seed: int, *, options: Options = OPTIONS, counter: Options = COUNTER) -> dict[str, Outcome]:
    """The arms of one seed with the utility at every step; the options are for tests of the plumbing."""
    table = arms(seed, "per_step", options)
    plain, joined = touching(seed, counter).area.tolist()
    mean, kin = "linear", "kinesthetic"
    return {
        "heavy": Outcome(method=table.area[kin, 3.0], baseline=table.area[mean, 3.0]),
        "heavy_last": Outcome(method=table.last[kin, 3.0], baseline=table.last[mean, 3.0]),
        "medium": Outcome(method=table.area[kin, 1.0], baseline=table.area[mean, 1.0]),
        "light": Outcome(method=table.area[kin, 0.3], baseline=table.area[mean, 0.3]),
        "best": Outcome(method=table.best(kin), baseline=table.best(mean)),
        "size": Outcome(method=table.size[kin, 3.0], baseline=table.size[mean, 3.0]),
        "counter": Outcome(method=plain, baseline=joined),
    }


def potential_proof(seed: int, *, options: Options = OPTIONS) -> dict[str, Outcome]:
    """The same utilities as potentials, and what the sign and the root are for."""
    table = arms(seed, "potential", options)
    others = learn(
        [
            task_reward(kinesthetic(), 3.0),
            task_reward(kinesthetic("product"), 3.0),
            task_reward(product(), 3.0),
            task_reward(None, 0.0),
        ],
        seed,
        options,
    ).area.tolist()
    mean, kin = "linear", "kinesthetic"
    return {
        **{
            f"potential_{weight:g}": Outcome(method=table.area[kin, weight], baseline=table.area[mean, weight])
            for weight in WEIGHTS
        },
        "potential_best": Outcome(method=table.best(kin), baseline=table.best(mean)),
        "over_forms": Outcome(method=max(others[0], table.best(kin)), baseline=table.best(mean)),
        "sign": Outcome(method=others[0], baseline=others[1]),
        "root": Outcome(method=others[0], baseline=others[2]),
        "task_alone": Outcome(method=table.best(mean), baseline=others[3]),
    }


_UTILITIES = {"linear": linear, "kinesthetic": kinesthetic}

CLAIMS = (
    Claim(
        name="heavy",
        statement="utility at every step, weight 3: kinesthetic scores more goals than the mean",
        unit=_AREA,
    ),
    Claim(
        name="heavy_last",
        statement="utility at every step, weight 3: so at the end of training",
        gated=False,
        unit=_LAST,
    ),
    Claim(name="medium", statement="utility at every step, weight 1: kinesthetic above the mean", unit=_AREA),
    Claim(
        name="counter",
        statement="counter-world (touch the ball), as a potential: the mean is not worse than kinesthetic by .03",
        margin=-0.03,
        gated=False,
        unit="share of episodes with a touch",
    ),
    Claim(
        name="best",
        statement="utility at every step, best of three weights each: kinesthetic above the mean by .03",
        margin=0.03,
        gated=False,
        unit=_AREA,
    ),
    Claim(
        name="light", statement="utility at every step, weight .3: kinesthetic above the mean", gated=False, unit=_AREA
    ),
    Claim(
        name="size",
        statement="mean |utility| of a step at weight 3: kinesthetic is larger",
        gated=False,
        unit="reward of a step",
    ),
)

POTENTIAL_CLAIMS = (
    *(
        Claim(
            name=f"potential_{weight:g}",
            statement=f"as a potential, weight {weight:g}: kinesthetic above the mean",
            gated=False,
            unit=_AREA,
        )
        for weight in WEIGHTS
    ),
    Claim(
        name="potential_best",
        statement="as a potential, best of three weights each: kinesthetic above the mean",
        gated=False,
        unit=_AREA,
    ),
    Claim(
        name="over_forms",
        statement="kinesthetic in its best form and weight seen here above the mean in its best potential",
        gated=False,
        unit=_AREA,
    ),
    Claim(name="sign", statement="weight 3 at every step: sign of all above product of signs", gated=False, unit=_AREA),
    Claim(name="root", statement="weight 3 at every step: with the root above without", gated=False, unit=_AREA),
    Claim(
        name="task_alone", statement="the mean as a potential above the task's reward alone", gated=False, unit=_AREA
    ),
)

_SOURCE = (
    "Moschopoulos et al. 2023, Lucy-SKG: Learning to Play Rocket League Efficiently Using Deep Reinforcement Learning "
    "(arXiv 2305.15801)"
)

RECIPE = Recipe(title="Lucy-SKG", source=_SOURCE, claims=CLAIMS, proof=proof, minutes=0.8)
"""Kinesthetic combination beside a mean of the same utilities, at every step."""

POTENTIAL = Recipe(
    title="Lucy-SKG: inside a potential, sign and root", source=_SOURCE, claims=POTENTIAL_CLAIMS, proof=potential_proof
)
"""The paper's own use, inside a potential; all reported."""
