"""The claims: preferences that go round are learned by a general preference model and by no scalar reward; where they are
transitive (the counter-world) it is not worse; and self-play ends at the even mixture, on average."""

from __future__ import annotations

import torch

from rewardlab.functional.intransitivity import diagnose_intransitivity
from rewardlab.recipes.gpm.arms import Arms, antisymmetry_error, memorised, play
from rewardlab.recipes.gpm.world import World
from rewardlab.recipes.proof import Claim, Outcome, Recipe

_ACCURACY = "share of unseen pairs"
_ERROR = "mean |P(a,b) + P(b,a) - 1|"
_DISTANCE = "L1 distance to the even mixture"

CLAIMS = (
    Claim(
        name="cyclic",
        statement="all cyclic: general preferences against Bradley-Terry",
        margin=0.35,
        unit=_ACCURACY,
    ),
    Claim(name="cyclic_level", statement="all cyclic: general preferences reach .90", unit=_ACCURACY),
    Claim(
        name="cyclic_chance",
        statement="all cyclic: Bradley-Terry stays within .05 of chance (.05 against its distance)",
        unit=_ACCURACY,
    ),
    Claim(
        name="transitive",
        statement="counter-world, all transitive: general preferences are not worse than Bradley-Terry by .03",
        margin=-0.03,
        unit=_ACCURACY,
    ),
    Claim(
        name="antisymmetry",
        statement="general preferences miss antisymmetry by less than 1e-6 (1e-6 against what they miss)",
        unit=_ERROR,
    ),
    Claim(
        name="classifier_antisymmetry",
        statement="a classifier of concatenated pairs misses antisymmetry by more than .02",
        unit=_ERROR,
    ),
    Claim(
        name="memorised",
        statement="a circle of four by heart: general preferences against Bradley-Terry, which can have three of four",
        margin=0.24,
        unit="share of the four",
    ),
    Claim(
        name="memorised_all", statement="a circle of four by heart: all four (against .99)", unit="share of the four"
    ),
    Claim(
        name="self_play",
        statement="GPO on rock, paper, scissors: the mean policy comes nearer than 0.1 to the even mixture (0.1 against it)",
        unit=_DISTANCE,
    ),
    Claim(
        name="self_play_scalar",
        statement="GPO with fitted scores: Bradley-Terry's mean policy ends farther away than that of general preferences",
        margin=0.1,
        unit=_DISTANCE,
    ),
    Claim(
        name="self_play_last",
        statement="GPO with exact scores: the last policy is farther away than the mean policy",
        gated=False,
        unit=_DISTANCE,
    ),
    Claim(
        name="mixed", statement="half and half: general preferences against Bradley-Terry", gated=False, unit=_ACCURACY
    ),
    Claim(
        name="classifier_cyclic",
        statement="all cyclic: general preferences against the classifier of pairs",
        gated=False,
        unit=_ACCURACY,
    ),
    Claim(
        name="classifier_transitive",
        statement="all transitive: general preferences against the classifier of pairs",
        gated=False,
        unit=_ACCURACY,
    ),
    Claim(
        name="unit_cyclic",
        statement="all cyclic: vectors of length 1 (tau .125) against free ones",
        gated=False,
        unit=_ACCURACY,
    ),
    Claim(
        name="unit_transitive",
        statement="all transitive: vectors of length 1 (tau .125) against Bradley-Terry",
        gated=False,
        unit=_ACCURACY,
    ),
    Claim(
        name="diagnosis",
        statement="cyclic share of a tournament: the cyclic world against the transitive one",
        gated=False,
        unit="share of energy",
    ),
)


def proof(
    seed: int, *, pairs: int = 1500, tests: int = 3000, steps: int = 600, iterations: int = 1500, small_steps: int = 300
) -> dict[str, Outcome]:
    """One seed; the options are for tests of the plumbing."""
    torch.set_num_threads(1)
    reached: dict[tuple[float, str], float] = {}
    error = {}
    shares = {}
    for mix in (1.0, 0.5, 0.0):
        world = World(seed=seed, mix=mix, pairs=pairs, tests=tests)
        arms = Arms(world=world, steps=steps)
        general, classifier = arms.general(), arms.classifier()
        models = {"general": general, "classifier": classifier, "scalar": arms.bradley_terry()}
        if mix != 0.5:
            models["unit"] = arms.general(normalise=True, tau=0.125)
            shares[mix] = diagnose_intransitivity(world.tournament(), samples=20, seed=seed).share
        reached |= {(mix, name): arms.accuracy(model) for name, model in models.items()}
        if mix == 1.0:
            error = {name: antisymmetry_error(models[name], world.test) for name in ("general", "classifier")}
    circle, circle_scalar = memorised(seed, steps=small_steps)
    game = play(seed, iterations=iterations, steps=small_steps)
    return {
        "cyclic": Outcome(method=reached[1.0, "general"], baseline=reached[1.0, "scalar"]),
        "cyclic_level": Outcome(method=reached[1.0, "general"], baseline=0.90),
        "cyclic_chance": Outcome(method=0.05, baseline=abs(reached[1.0, "scalar"] - 0.5)),
        "transitive": Outcome(method=reached[0.0, "general"], baseline=reached[0.0, "scalar"]),
        "antisymmetry": Outcome(method=1e-6, baseline=error["general"]),
        "classifier_antisymmetry": Outcome(method=error["classifier"], baseline=0.02),
        "memorised": Outcome(method=circle, baseline=circle_scalar),
        "memorised_all": Outcome(method=circle, baseline=0.99),
        "self_play": Outcome(method=0.1, baseline=game.exact),
        "self_play_scalar": Outcome(method=game.scalar, baseline=game.general),
        "self_play_last": Outcome(method=game.last, baseline=game.exact),
        "mixed": Outcome(method=reached[0.5, "general"], baseline=reached[0.5, "scalar"]),
        "classifier_cyclic": Outcome(method=reached[1.0, "general"], baseline=reached[1.0, "classifier"]),
        "classifier_transitive": Outcome(method=reached[0.0, "general"], baseline=reached[0.0, "classifier"]),
        "unit_cyclic": Outcome(method=reached[1.0, "unit"], baseline=reached[1.0, "general"]),
        "unit_transitive": Outcome(method=reached[0.0, "unit"], baseline=reached[0.0, "scalar"]),
        "diagnosis": Outcome(method=shares[1.0], baseline=shares[0.0]),
    }


RECIPE = Recipe(
    title="General preference model",
    source="Zhang et al. 2024, Beyond Bradley-Terry Models: A General Preference Model (arXiv 2410.02197)",
    claims=CLAIMS,
    proof=proof,
    minutes=0.5,
)
"""The claims of the general preference model and of self-play on it."""
