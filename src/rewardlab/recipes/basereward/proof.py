"""The claims: texts help a judge of pictures, an average helps, a poisoned source shows, a plain head will do.

One choice is changed at a time, for equally many steps. A strict win of the two-layer head is not required where the trunk
is tuned: a small trunk takes over what a head could do. With a frozen trunk the head stands alone, and there it is.
"""

from __future__ import annotations

import numpy as np
import torch

from rewardlab.recipes.basereward.arms import Arms
from rewardlab.recipes.basereward.ensemble import scalar_ensemble
from rewardlab.recipes.basereward.world import Source, World
from rewardlab.recipes.proof import Claim, Outcome, Recipe

_ACCURACY = "share of clean pairs ordered right"

CLAIMS = (
    Claim(name="text", statement="pictures and texts against pictures alone", margin=0.03, unit=_ACCURACY),
    Claim(
        name="text_rule",
        statement="the gain is in the instruction: gain where it decides against gain where the picture does",
        unit=_ACCURACY,
    ),
    Claim(
        name="text_image",
        statement="pictures and texts against pictures alone, where the picture decides",
        margin=-0.01,
        unit=_ACCURACY,
    ),
    Claim(name="ensemble", statement="mean of three models against their average", margin=0.005, unit=_ACCURACY),
    Claim(
        name="poison",
        statement="the audit ranks the poisoned source last: the next worst source against it",
        unit=_ACCURACY,
    ),
    Claim(
        name="head_linear",
        statement="tuned trunk: two layers are not worse than one by .005",
        margin=-0.005,
        unit=_ACCURACY,
    ),
    Claim(
        name="head_five",
        statement="tuned trunk: two layers are not worse than five by .005",
        margin=-0.005,
        unit=_ACCURACY,
    ),
    Claim(name="head_frozen", statement="frozen trunk: two layers against one", margin=0.03, unit=_ACCURACY),
    Claim(
        name="regulariser",
        statement="zero-coefficient .1 is not better than none by more than .01 (method: none)",
        margin=-0.01,
        unit=_ACCURACY,
    ),
)


def proof(
    seed: int,
    *,
    pictures: int = 400,
    texts: int = 3000,
    poisoned: int = 700,
    tests: int = 2000,
    pretraining: int = 500,
    steps: int = 300,
) -> dict[str, Outcome]:
    """One seed; the options are for tests of the plumbing."""
    torch.set_num_threads(1)
    sizes: tuple[tuple[Source, int], ...] = (
        ("pictures", pictures),
        ("more_pictures", pictures),
        ("texts", texts),
        ("poisoned", poisoned),
    )
    arms = Arms(world=World(seed=seed, sizes=sizes, tests=tests), pretraining=pretraining, steps=steps)
    models = {
        "plain": arms.fitted(),
        "linear": arms.fitted(layers=1, seed=seed + 1000),
        "five": arms.fitted(layers=5, seed=seed + 2000),
        "texts": arms.fitted(arms.mixed(pictures=3 * round(texts / pictures), texts=1)),
        "poisoned": arms.fitted(arms.added("poisoned")),
        "more_pictures": arms.fitted(arms.added("more_pictures")),
        "centred": arms.fitted(loss={"type": "bradley_terry", "centring": 0.1}),
        "frozen": arms.fitted(frozen=True),
        "frozen_linear": arms.fitted(frozen=True, layers=1),
    }
    reached = {name: arms.accuracy(model) for name, model in models.items()}
    members = {name: models[name] for name in ("plain", "linear", "five")}
    together = arms.accuracy(scalar_ensemble(members, arms.world.unlabelled))
    plain, mixed = reached["plain"], reached["texts"]
    return {
        "text": Outcome(method=mixed.all, baseline=plain.all),
        "text_rule": Outcome(method=mixed.rule - plain.rule, baseline=mixed.image - plain.image),
        "text_image": Outcome(method=mixed.image, baseline=plain.image),
        "ensemble": Outcome(method=together.all, baseline=float(np.mean([reached[name].all for name in members]))),
        "poison": Outcome(method=min(mixed.all, reached["more_pictures"].all), baseline=reached["poisoned"].all),
        "head_linear": Outcome(method=plain.all, baseline=reached["linear"].all),
        "head_five": Outcome(method=plain.all, baseline=reached["five"].all),
        "head_frozen": Outcome(method=reached["frozen"].all, baseline=reached["frozen_linear"].all),
        "regulariser": Outcome(method=plain.all, baseline=reached["centred"].all),
    }


RECIPE = Recipe(
    title="BaseReward: a strong baseline for multimodal reward models",
    source="Zhang et al. 2025, BaseReward: A Strong Baseline for Multimodal Reward Model (arXiv 2509.16127)",
    claims=CLAIMS,
    proof=proof,
    minutes=1.2,
)
"""The claims of the multimodal scalar reward model."""
