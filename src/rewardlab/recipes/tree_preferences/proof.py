"""The claims: many small trees cost fewer tokens than independent pairs and teach about as much; few big trees do not.

At equal comparisons no gain is claimed, only that trees are not worse: the paper's own theory promises one in one regime
alone. What is claimed is the cost. All arms are fitted alike; the world was settled by looking at the chain alone.
"""

from __future__ import annotations

import torch

from rewardlab.recipes.proof import Claim, Outcome, Recipe
from rewardlab.recipes.tree_preferences.arms import Arms
from rewardlab.recipes.tree_preferences.world import World

_ACCURACY = "share of clean pairs ordered right"

CLAIMS = (
    Claim(
        name="independent",
        statement="equal comparisons: small trees are not worse than a chain by .03 on independent pairs",
        margin=-0.03,
        unit=_ACCURACY,
    ),
    Claim(
        name="shared",
        statement="equal comparisons: small trees are not worse than a chain by .03 on pairs with a common beginning",
        margin=-0.03,
        unit=_ACCURACY,
    ),
    Claim(
        name="tokens",
        statement="generated tokens of small trees are at most .6 of the chain's (method: .6; baseline: the share)",
        unit="share of tokens",
    ),
    Claim(
        name="equal_tokens",
        statement="equal generated tokens: small trees against a chain with .58 of the comparisons, independent pairs",
        margin=0.02,
        unit=_ACCURACY,
    ),
    Claim(
        name="big",
        statement="known bad: a chain against one tree for each prompt (branching 2)",
        margin=0.02,
        unit=_ACCURACY,
    ),
    Claim(
        name="flagged",
        statement="known bad: the report sees less than 1 response per comparison (method: 1; baseline: what it sees)",
        unit="responses per comparison",
    ),
    Claim(
        name="big_three",
        statement="known bad: a chain against one tree for each prompt (branching 3)",
        margin=0.02,
        gated=False,
        unit=_ACCURACY,
    ),
    Claim(
        name="equal_tokens_positive",
        statement="equal generated tokens: the same, above 0",
        gated=False,
        unit=_ACCURACY,
    ),
    Claim(
        name="equal_tokens_shared",
        statement="equal generated tokens: the same, pairs with a common beginning",
        gated=False,
        unit=_ACCURACY,
    ),
    Claim(name="unseen", statement="equal comparisons: unseen prompts", gated=False, unit=_ACCURACY),
    Claim(name="best", statement="equal comparisons: true reward of the best of 16", gated=False, unit="reward"),
    Claim(
        name="equal_tokens_best",
        statement="equal generated tokens: true reward of the best of 16",
        gated=False,
        unit="reward",
    ),
    Claim(
        name="few",
        statement="a quarter of the data, equal comparisons: independent pairs",
        gated=False,
        unit=_ACCURACY,
    ),
)


def proof(seed: int, *, comparisons: int = 1600, epochs: float = 10.0, tests: int = 2000) -> dict[str, Outcome]:
    """One seed; the options are for tests of the plumbing."""
    torch.set_num_threads(1)
    arms = Arms(world=World(seed=seed), epochs=epochs, tests=tests)
    chain, small = arms.chain(comparisons), arms.small_trees(comparisons)
    share = arms.generated(small) / arms.generated(chain)
    fewer = chain[: round(share * comparisons)]
    big, big_three = (arms.big_trees(comparisons, branching=branching) for branching in (2, 3))
    responses = len({(pair.tree_id, leaf) for pair in big for leaf in (pair.first, pair.second)})
    models = {
        name: arms.fitted(pairs, stream=stream)
        for stream, (name, pairs) in enumerate(
            {
                "chain": chain,
                "small": small,
                "fewer": fewer,
                "big": big,
                "big_three": big_three,
                "few_chain": chain[: comparisons // 4],
                "few_small": small[: comparisons // 4],
            }.items()
        )
    }
    reached = {name: arms.accuracy(model, arms.independent) for name, model in models.items()}
    shared = {name: arms.accuracy(models[name], arms.shared_prefix) for name in ("chain", "small", "fewer")}
    best = {name: arms.best_of(models[name]) for name in ("chain", "small", "fewer")}
    equal_tokens = Outcome(method=reached["small"], baseline=reached["fewer"])
    return {
        "independent": Outcome(method=reached["small"], baseline=reached["chain"]),
        "shared": Outcome(method=shared["small"], baseline=shared["chain"]),
        "tokens": Outcome(method=0.6, baseline=share),
        "equal_tokens": equal_tokens,
        "big": Outcome(method=reached["chain"], baseline=reached["big"]),
        "flagged": Outcome(method=1.0, baseline=responses / len(big)),
        "big_three": Outcome(method=reached["chain"], baseline=reached["big_three"]),
        "equal_tokens_positive": equal_tokens,
        "equal_tokens_shared": Outcome(method=shared["small"], baseline=shared["fewer"]),
        "unseen": Outcome(
            method=arms.accuracy(models["small"], arms.unseen), baseline=arms.accuracy(models["chain"], arms.unseen)
        ),
        "best": Outcome(method=best["small"], baseline=best["chain"]),
        "equal_tokens_best": Outcome(method=best["small"], baseline=best["fewer"]),
        "few": Outcome(method=reached["few_small"], baseline=reached["few_chain"]),
    }


RECIPE = Recipe(
    title="Reward generalization in RLHF: a topological perspective",
    source="Qiu et al. 2024, Reward Generalization in RLHF: A Topological Perspective (arXiv 2402.10184)",
    claims=CLAIMS,
    proof=proof,
    minutes=0.6,
)
"""The claims of comparisons from prefix trees."""
