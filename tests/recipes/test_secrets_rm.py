from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from rewardlab.functional.discrimination import area_under_curve
from rewardlab.learning import PairLoss, PreferenceStrength
from rewardlab.learning.data import PreferenceData
from rewardlab.learning.fitting import fit
from rewardlab.recipes.secrets_rm import RECIPE, REPAIRS, Arms, World
from rewardlab.recipes.secrets_rm.proof import proof
from rewardlab.rewards.models.model import RewardModel


def test_worlds_repeat_and_a_quarter_of_their_labels_is_turned_round() -> None:
    world, again = World(seed=7), World(seed=7)
    assert np.array_equal(world.train.label, again.train.label)
    assert 0.2 < world.flipped.mean() < 0.3
    true = world.reward(np.array([np.asarray(one.observations[0]) for one in world.train.items]))
    assert true.std() == pytest.approx(1.0, abs=0.05)
    right = (true[world.train.first] > true[world.train.second]) == (world.train.label == 1)
    assert right[~world.flipped].mean() > 0.8 > 0.3 > right[world.flipped].mean()
    tested = world.reward(np.array([np.asarray(one.observations[0]) for one in world.test.items]))
    assert np.array_equal(tested[world.test.first] > tested[world.test.second], world.test.label == 1)


def test_area_under_the_curve_is_the_chance_of_a_right_order() -> None:
    generator = np.random.default_rng(0)
    scores, positive = generator.integers(0, 5, 60).astype(float), generator.random(60) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    assert area_under_curve(scores, positive) == pytest.approx(np.mean(pairs))


def test_the_proof_returns_every_claim() -> None:
    outcomes = proof(100, pairs=60, tests=50, epochs=1.0, meta_steps=2)
    assert set(outcomes) == {claim.name for claim in RECIPE.claims}
    assert all(math.isfinite(entry.method) and math.isfinite(entry.baseline) for entry in outcomes.values())


def test_arms_differ_in_the_repair_alone() -> None:
    arms = Arms(world=World(seed=100, pairs=80, tests=50), epochs=1.0, voters=3)
    assert arms.report.scores_chosen.shape == (80, 3)
    flipped = REPAIRS["flip"].apply(arms.world.train, arms.report)
    turned = flipped.label != arms.world.train.label
    assert turned.sum() == 16
    assert arms.report.mean[turned].max() <= arms.report.mean[~turned].min()
    assert len(REPAIRS["drop"].apply(arms.world.train, arms.report)) == 64
    softened = REPAIRS["soft"].apply(arms.world.train, arms.report)
    assert set(softened.label[arms.report.mean < 0]) == {0.5}
    margins = REPAIRS["flip_margin"].apply(arms.world.train, arms.report).strength
    assert margins is not None
    assert margins.min() >= 0
    assert margins.max() <= 1


def make(seed: int) -> RewardModel:
    return RewardModel.make({"type": "mlp", "inputs": 3, "hidden": [8], "seed": seed}, {"type": "scalar", "seed": seed})


def separable(count: int) -> PreferenceData:
    generator = np.random.default_rng(1)
    better, worse = generator.normal(size=(2, count, 3))
    better[:, 0] += 3
    return PreferenceData.from_arrays(better, worse)


def test_voters_find_the_pair_that_is_the_wrong_way_round() -> None:
    data = separable(60)
    data = data.flipped([3])
    options = {"learning_rate": 1e-2, "batch_size": 16, "schedule": "constant"}
    report = PreferenceStrength(make=make, voters=3, epochs=6, options=options).fit(data)
    assert report.mean.argmin() == 3
    assert report.voters is not None
    repaired = PairLoss(flip=1 / 60).apply(data, report)
    assert (repaired.label == 1).all()
    assert fit(make(9), repaired, epochs=1, loss=PairLoss().loss()).metrics


def test_voters_that_never_saw_a_pair_judge_it() -> None:
    report = PreferenceStrength(make=make, voters=2, epochs=1, cross_fit=True, folds=3).fit(separable(30))
    assert report.out_of_fold
    assert report.voters is None
    assert np.isfinite(report.mean).all()
    with pytest.raises(ValueError, match="2 prompts cannot be cut into 3 folds; use fewer folds"):
        PreferenceStrength(make=make, voters=2, cross_fit=True, folds=3).fit(separable(2))


def test_data_that_the_voters_know_by_heart_are_warned_about() -> None:
    options = {"learning_rate": 3e-2, "batch_size": 8, "schedule": "constant"}
    with pytest.warns(UserWarning, match=r"the strengths say little: .*fewer epochs.*cross_fit=True"):
        PreferenceStrength(make=make, voters=2, epochs=30, options=options).fit(separable(20))


def test_arrays_that_are_equal_are_refused() -> None:
    same = np.ones((2, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"chosen and rejected are the same in row 0 \(2 such rows\)"):
            PreferenceStrength(make=make, voters=2).fit(PreferenceData.from_arrays(same, same))
    with pytest.raises(ValueError, match="no comparisons to estimate"):
        PreferenceStrength(make=make, voters=2).fit(separable(4).select([]))
