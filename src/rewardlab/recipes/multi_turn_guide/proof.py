"""The guide's claims: dense turn rewards help where an algorithm sees when they came, and not where it sums them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rewardlab.recipes.multi_turn_guide.budget import Split, split_budget
from rewardlab.recipes.multi_turn_guide.simulation import Algorithm, Arm, Density, Network, clone
from rewardlab.recipes.multi_turn_guide.world import BASE, COMPLEX, Level
from rewardlab.recipes.proof import Claim, Outcome, Recipe

LEVEL = Level(rooms=3, objects=4, length=5)
"""The quests of the gated claims: of 1,024, a fifth is held out."""
DEMONSTRATIONS, CLONING_STEPS = 4, 60
ENOUGH_STEPS = 300
"""Steps of imitation after which more of them win nothing, for the claims about a budget (60, 300 and 1,000 were tried)."""
UPDATES = 60
RATES: dict[tuple[Algorithm, Density], float] = {
    ("ppo", "dense"): 1.5e-2,
    ("ppo", "sparse"): 3e-3,
    ("ppo", "dense_last"): 1.5e-2,
    ("rloo", "dense"): 6e-3,
    ("rloo", "sparse"): 6e-3,
    ("rloo_to_go", "dense"): 1.5e-2,
}
"""Of {3e-3, 6e-3, 1.5e-2} the best for each arm by the area under its curve, on the tuning seeds 100 and 101."""
BUDGET, MIXES = 2_400.0, (0, 4, 24, 80, 240)

_AREA = "mean share of held-out quests won, over the training"
_WON = "share of held-out quests won"

CLAIMS = (
    Claim(name="dense_ppo", statement="PPO with dense turn rewards learns faster than with a sparse one", unit=_AREA),
    Claim(
        name="interaction", statement="PPO gains more from dense turn rewards than RLOO, which sums them", unit=_AREA
    ),
    Claim(
        name="to_go",
        statement="RLOO over what follows each turn learns faster than over the sum of the same rewards",
        unit=_AREA,
    ),
    Claim(
        name="timing",
        statement="PPO with dense turn rewards learns faster than with the same sum paid at the end",
        gated=False,
        unit=_AREA,
    ),
    Claim(
        name="ppo_over_rloo",
        statement="sparse reward: PPO learns faster than RLOO",
        gated=False,
        unit=_AREA,
    ),
    Claim(
        name="ppo_over_to_go",
        statement="dense reward: PPO learns faster than RLOO over what follows each turn",
        gated=False,
        unit=_AREA,
    ),
)

CARRIED_OVER = (
    Claim(
        name="objects",
        statement="training with 3 objects raises success with 6 (quests of 4)",
        gated=False,
        unit=_WON,
    ),
    Claim(
        name="both",
        statement="training on simple quests raises success on complex ones (6 objects, quests of 8)",
        gated=False,
        unit=_WON,
    ),
    Claim(
        name="mixed_over_supervised",
        statement="one budget: the best mix of demonstrations and attempts beats demonstrations alone on held-out quests",
        gated=False,
        unit=_WON,
    ),
    Claim(
        name="mixed_over_attempts",
        statement="one budget: the best mix beats attempts alone on held-out quests",
        gated=False,
        unit=_WON,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One world with a start that a few demonstrations gave.

    Args:
        level: of the quests.
        seed: of everything.
        updates: of each arm.
    """

    level: Level
    seed: int
    updates: int = UPDATES

    def start(self, demonstrations: int = DEMONSTRATIONS, *, steps: int = CLONING_STEPS) -> Network:
        """A network that imitated some demonstrations for some steps, and nothing else."""
        network = Network(self.level, seed=self.seed)
        quests = self.level.split(self.seed)["train"][:demonstrations]
        clone(network, self.level, self.level.places(self.seed), quests, steps=steps)
        return network

    def arm(
        self, algorithm: Algorithm, density: Density, *, updates: int | None = None, rate: float | None = None
    ) -> Arm:
        """One way to train."""
        split = self.level.split(self.seed)
        return Arm(
            level=self.level,
            places=self.level.places(self.seed),
            quests=split["train"],
            tests=split["test"],
            algorithm=algorithm,
            density=density,
            rate=rate or RATES[algorithm, density],
            updates=self.updates if updates is None else updates,
            seed=self.seed,
        )

    def area(self, algorithm: Algorithm, density: Density, start: Network) -> float:
        """The mean of the curve of one arm."""
        arm = self.arm(algorithm, density)
        arm.train(start, measured_every=2)
        return float(np.mean(arm.curve))


def proof(seed: int, *, updates: int = UPDATES, level: Level = LEVEL) -> dict[str, Outcome]:
    """The arms of one seed; the options are for tests of the plumbing."""
    torch.set_num_threads(1)
    setting = Setting(level=level, seed=seed, updates=updates)
    start = setting.start()
    area = {arm: setting.area(*arm, start) for arm in RATES}
    gains = [area[name, "dense"] - area[name, "sparse"] for name in ("ppo", "rloo")]
    pairs = {
        "dense_ppo": (area["ppo", "dense"], area["ppo", "sparse"]),
        "interaction": (gains[0], gains[1]),
        "to_go": (area["rloo_to_go", "dense"], area["rloo", "dense"]),
        "timing": (area["ppo", "dense"], area["ppo", "dense_last"]),
        "ppo_over_rloo": (area["ppo", "sparse"], area["rloo", "sparse"]),
        "ppo_over_to_go": (area["ppo", "dense"], area["rloo_to_go", "dense"]),
    }
    return {name: Outcome(method=method, baseline=baseline) for name, (method, baseline) in pairs.items()}


def carried_over(seed: int, *, updates: int = UPDATES, mixes: Sequence[int] = MIXES) -> dict[str, Outcome]:
    """What training on simple quests does for complex ones, and what a budget is best spent on; options are for tests."""
    torch.set_num_threads(1)
    outcomes = {
        name: _transfer(seed, harder, updates)
        for name, harder in (("objects", Level(rooms=2, objects=6, length=4)), ("both", COMPLEX))
    }
    won = [spend(seed, mix, most_updates=updates) for mix in split_budget(BUDGET, mixes)]
    best = max(won[1:-1])
    outcomes["mixed_over_supervised"] = Outcome(method=best, baseline=won[-1])
    outcomes["mixed_over_attempts"] = Outcome(method=best, baseline=won[0])
    return outcomes


def spend(seed: int, mix: Split, *, level: Level = LEVEL, most_updates: int | None = None) -> float:
    """What a policy wins of the held-out quests that imitates some demonstrations, and then learns from attempts by PPO."""
    setting = Setting(level=level, seed=seed)
    network = setting.start(mix.demonstrations, steps=ENOUGH_STEPS)
    updates = mix.episodes // 64
    arm = setting.arm("ppo", "dense", updates=updates if most_updates is None else min(updates, most_updates))
    trained = arm.train(network, measured_every=max(updates, 1))
    return arm.measure(trained, arm.tests, attempts=512)


def _transfer(seed: int, harder: Level, updates: int) -> Outcome:
    """Clone on both levels until something of the harder one is won, train on the simple one, and look at the harder."""
    simple, hard = Setting(level=BASE, seed=seed, updates=updates), Setting(level=harder, seed=seed)
    network = Network(harder, seed=seed)
    for setting, count in ((hard, 8), (simple, 4)) * 3:
        quests = setting.level.split(seed)["train"][:count]
        clone(network, setting.level, setting.level.places(seed), quests, steps=CLONING_STEPS // 2)
    probe = hard.arm("ppo", "dense")
    before = probe.measure(network, probe.tests, attempts=512)
    trained = simple.arm("ppo", "dense", rate=6e-3).train(network, measured_every=updates)
    return Outcome(method=probe.measure(trained, probe.tests, attempts=512), baseline=before)


_SOURCE = (
    "Wang and Ammanabrolu 2025, A Practitioner's Guide to Multi-turn Agentic Reinforcement Learning (arXiv 2510.01132)"
)

RECIPE = Recipe(title="Multi-turn guide", source=_SOURCE, claims=CLAIMS, proof=proof, minutes=0.5)
"""Dense and sparse turn rewards, under algorithms that see when they came and one that sums them."""

TRANSFER = Recipe(
    title="Multi-turn guide: from simple to complex, and what a budget buys",
    source=_SOURCE,
    claims=CARRIED_OVER,
    proof=carried_over,
    minutes=0.5,
)
"""What is reported and gates nothing: `rewardlab prove rewardlab.recipes.multi_turn_guide:TRANSFER`."""
