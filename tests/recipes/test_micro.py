from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rewardlab.recipes.micro import RECIPE, Arms, World  # noqa: E402
from rewardlab.recipes.micro.proof import proof  # noqa: E402


def test_the_proof_gives_every_claim() -> None:
    with np.errstate(all="ignore"):
        outcomes = proof(100, train=120, test=10, epochs=1.0, adapt_steps=2)
    assert set(outcomes) == {claim.name for claim in RECIPE.claims}
    assert all(np.isfinite([one.method, one.baseline]).all() for one in outcomes.values())
    gated = {claim.name: claim.margin for claim in RECIPE.claims if claim.gated}
    assert gated == {
        "likelihood": 0.0,
        "best_heads": 0.15,
        "hedge": 0.10,
        "hedge_router": 0.10,
        "few_labels": 0.05,
        "one_mind": -0.01,
    }


def test_the_population_is_what_it_says() -> None:
    world = World(seed=100, train=500, test=20)
    assert world.pairs.annotators is None
    assert sorted(set(world.tests.annotators or [])) == list(world.names)
    assert len(world.first_labelled(10)) == 40
    np.testing.assert_allclose(np.linalg.norm(world.directions, axis=1), 1.0)
    for row in (0, 79):
        margin = (
            world.tests.items[world.tests.first[row]].actions[0] - world.tests.items[world.tests.second[row]].actions[0]
        )
        wanted = world.directions[world.names.index(str((world.tests.annotators or [])[row]))]
        assert world.tests.label[row] == float(margin @ wanted > 0)
    again = World(seed=100, train=500, test=20)
    np.testing.assert_array_equal(again.pairs.label, world.pairs.label)
    assert not np.array_equal(World(seed=101, train=500).pairs.label, world.pairs.label)


def test_a_single_attribute_needs_one_head() -> None:
    arms = Arms(world=World(seed=100, attributes=1, train=300, test=50), epochs=60)
    assert arms.accuracy(arms.single) > 0.85
