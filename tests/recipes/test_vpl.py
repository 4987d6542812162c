from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rewardlab.recipes.vpl import RECIPE, Arms, World  # noqa: E402
from rewardlab.recipes.vpl.proof import proof  # noqa: E402


def test_the_proof_gives_every_claim() -> None:
    room = {"users": 6, "walks": 4, "fit_steps": 2, "policy_steps": 3}
    outcomes = proof(100, users=20, test_users=10, steps=4, epochs=1.0, room=room)
    assert set(outcomes) == {claim.name for claim in RECIPE.claims}
    assert all(np.isfinite([one.method, one.baseline]).all() for one in outcomes.values())
    gated = {claim.name: claim.margin for claim in RECIPE.claims if claim.gated}
    assert gated == {
        "divergent": 0.12,
        "swapped": 0.2,
        "context": 0.05,
        "mean_variance": -0.05,
        "collapse_active": -0.01,
        "collapse_accuracy": -0.02,
        "collapse_swapped": -0.02,
        "flagged": 0.0,
        "one_type": -0.02,
        "policy": 0.0,
        "policy_for_all": 0.0,
    }


def test_the_population_is_what_it_says() -> None:
    world = World(seed=100, users=12, test_users=10)
    assert len(world.training) == 12 * 16
    assert len(set(world.training.annotators or [])) == 12
    context, targets = world.context, world.targets
    assert len(context) == len(targets) == 80
    assert len(world.first_read(2)) == 20
    pairs = [{(int(a), int(b)) for a, b in zip(one.first, one.second, strict=True)} for one in (context, targets)]
    assert not pairs[0] & pairs[1]
    margins = np.stack([
        (targets.items[a].observations[0] - targets.items[b].observations[0]) @ world.wishes.T
        for a, b in zip(targets.first, targets.second, strict=True)
    ])  # fmt: skip
    agree = (margins > 0).all(1) | (margins < 0).all(1)
    np.testing.assert_array_equal(world.divergent, ~agree)
    np.testing.assert_array_equal(targets.label[agree] > 0.5, (margins > 0).all(1)[agree])
    assert World(seed=100, types=1, users=2, test_users=5).divergent.sum() == 0


def test_contradictory_answers_are_the_same_questions_twice() -> None:
    arms = Arms(world=World(seed=100, users=20, test_users=10), steps=2)
    wide, narrow = arms.widening(arms.latent_reward(0.05))
    assert np.isfinite([wide, narrow]).all()
