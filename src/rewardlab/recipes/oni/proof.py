"""The proof: labels that come while the agent trains, against none, novelty alone, random ones, the truth, and stored ones.

A seed stands for several dungeons, over which success is averaged; all arms of a trial see the same dungeons, take the same
environment steps, and have the same budget of labels (of comparisons, for the ranker).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rewardlab.recipes.oni.arms import Arm, Kind
from rewardlab.recipes.oni.dungeon import World
from rewardlab.recipes.oni.learner import Result, learn
from rewardlab.recipes.proof import Claim, Outcome, Recipe

ONLINE: tuple[Kind, ...] = ("retrieval", "classifier", "ranker")
SHORT = World(levels=5)
VARIED = World(levels=5, adjectives=30, vocabulary="level")
LONG = World(levels=8, vocabulary="level")
RAT = World(levels=5, rat=True)
NOISY = World(levels=5, vocabulary="level")


def prove_oni(seed: int, *, dungeons: int = 6, long_dungeons: int = 10, steps: int = 4000) -> Mapping[str, Outcome]:
    """Every claim on one seed.

    Args:
        seed: of the dungeons and of all that is drawn.
        dungeons: how many the seed stands for.
        long_dungeons: the same where there are eight levels.
        steps: vector steps of 32 environments; a quarter more where there are eight levels.
    """

    def trial(world: World, arms: list[Arm], count: int = dungeons, more: int = 0) -> Result:
        return learn(world, arms, [1000 * seed + number for number in range(count)], steps + more, seed)

    plain: tuple[Kind, ...] = ("extrinsic", "count", "oracle")
    short = trial(
        SHORT, [*(Arm(kind) for kind in (*plain, *ONLINE)), *(Arm(kind, goal="traps") for kind in ONLINE[:2])]
    ).success.mean(axis=1)
    weakest, wrong = short[3:6].min(), short[6:].max()
    kinds: tuple[Kind, ...] = ("oracle", "random", *ONLINE, "offline_classifier")
    varied = trial(VARIED, [*(Arm(kind) for kind in kinds), Arm("classifier", order="fifo")]).success.mean(axis=1)
    true_labels, random, retrieval, classifier, ranker, stored, fifo = varied
    stored_arms: tuple[Kind, ...] = ("retrieval", "table", "offline_classifier")
    long = trial(LONG, [Arm(kind) for kind in stored_arms], long_dungeons, steps // 4).success.mean(axis=1)
    rat = trial(RAT, [Arm("retrieval"), Arm("retrieval", exponent=0.0)])
    farmed, shares = rat.success.mean(axis=1), rat.rats.mean(axis=1)
    noisy = trial(NOISY, [*(Arm(kind, noise=0.1) for kind in ONLINE), Arm("count")]).success.mean(axis=1)
    pairs = {
        "extrinsic": (weakest, short[0]),
        "count": (weakest, short[1]),
        "oracle": (weakest, short[2]),
        "table": (long[0], long[1]),
        "rare": (classifier, retrieval),
        "newest": (classifier, fifo),
        "reversed": (1.0 - wrong, 1.0 - short[0]),
        "farming": (farmed[0], farmed[1]),
        "random": (classifier, random),
        "rats": (shares[1], shares[0]),
        "ranker": (ranker, true_labels),
        "classifier": (classifier, true_labels),
        "no_data_set": (classifier, stored),
        "long_data_set": (long[0], long[2]),
        "noise": (noisy[:3].min(), noisy[3]),
    }
    return {
        name: Outcome(method=float(np.round(one, 6)), baseline=float(np.round(two, 6)))
        for name, (one, two) in pairs.items()
    }


_SUCCESS = "success in the last 100 trajectories"
RECIPE = Recipe(
    title="ONI: online intrinsic rewards from language-model feedback",
    source="Zheng et al. 2025 (RLC 2025, arXiv 2410.23022)",
    claims=(
        Claim(
            name="extrinsic",
            statement="5 levels: the weakest on-line model reaches the goal, the extrinsic reward alone does not",
            margin=0.5,
            unit=_SUCCESS,
        ),
        Claim(
            name="count",
            statement="5 levels: the weakest on-line model beats paying for every message (novelty alone)",
            margin=0.5,
            unit=_SUCCESS,
        ),
        Claim(
            name="oracle",
            statement="5 levels: the weakest on-line model comes within .1 of true labels without delay",
            margin=-0.1,
            unit=_SUCCESS,
        ),
        Claim(
            name="table",
            statement="8 levels: a table filled on-line beats one filled from a random policy's data",
            unit=_SUCCESS,
        ),
        Claim(
            name="rare",
            statement="messages that hardly repeat: the classifier beats the table",
            margin=0.3,
            unit=_SUCCESS,
        ),
        Claim(
            name="newest",
            statement="messages that hardly repeat: labelling the newest first beats the oldest first (classifier)",
            unit=_SUCCESS,
        ),
        Claim(
            name="reversed",
            statement="counter-world: a judge who likes traps makes the agent fail as the extrinsic reward does",
            margin=-0.05,
            unit="failure in the last 100 trajectories",
        ),
        Claim(
            name="farming",
            statement="counter-world: with a rat that can be caught for ever, dividing by count^3 beats not dividing",
            margin=0.5,
            unit=_SUCCESS,
        ),
        Claim(
            name="random",
            statement="messages that hardly repeat: the classifier beats random labels",
            margin=0.5,
            gated=False,
            unit=_SUCCESS,
        ),
        Claim(
            name="rats",
            statement="counter-world: without division, rats give more of the intrinsic reward than with it",
            margin=0.3,
            gated=False,
            unit="share of the intrinsic reward",
        ),
        Claim(
            name="ranker",
            statement="messages that hardly repeat: the ranker comes within .1 of true labels",
            margin=-0.1,
            gated=False,
            unit=_SUCCESS,
        ),
        Claim(
            name="classifier",
            statement="messages that hardly repeat: the classifier comes within .1 of true labels",
            margin=-0.1,
            gated=False,
            unit=_SUCCESS,
        ),
        Claim(
            name="no_data_set",
            statement="messages that hardly repeat: on-line is within .1 of a classifier of stored data",
            margin=-0.1,
            gated=False,
            unit=_SUCCESS,
        ),
        Claim(
            name="long_data_set",
            statement="8 levels: the on-line table is within .1 of a classifier of stored data",
            margin=-0.1,
            gated=False,
            unit=_SUCCESS,
        ),
        Claim(
            name="noise",
            statement="other words by level, a tenth of the labels wrong: the weakest on-line model beats novelty alone",
            margin=0.5,
            gated=False,
            unit=_SUCCESS,
        ),
    ),
    proof=prove_oni,
    minutes=0.8,
)
"""The recipe of ONI."""
