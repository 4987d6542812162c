from __future__ import annotations

import math

import pytest

import rewardlab as rl
from rewardlab.rewards.verifiers import verifier_agreement


@rl.reward
def says_yes(trajectory):
    if "broken" in trajectory.completion:
        raise TimeoutError("no answer")
    return float("yes" in trajectory.completion)


def trajectories(*texts):
    return [rl.Trajectory.from_text("?", text) for text in texts]


def test_counts_share_and_kappa_by_hand():
    found = verifier_agreement(
        says_yes,
        trajectories("yes", "yes", "yes", "no", "no", "broken"),
        [True, True, False, False, True, True],
    )
    assert (found.both, found.only_verifier, found.neither, found.only_people, found.unscored) == (2, 1, 1, 1, 1)
    assert found.share == 3 / 5
    # chance: .6 x .6 + .4 x .4 = .52
    assert found.kappa == pytest.approx((0.6 - 0.52) / (1 - 0.52))
    low, high = found.interval
    assert 0 < low < 0.6 < high < 1
    assert "0.60 [" in str(found)
    assert "1 unscored" in str(found)


def test_thresholds_one_sided_judgements_and_bad_input():
    assert verifier_agreement(says_yes, trajectories("no"), [True], threshold=0.0).share == 1
    assert math.isnan(verifier_agreement(says_yes, trajectories("yes", "no"), [True, True]).kappa)
    nothing = verifier_agreement(says_yes, trajectories("broken"), [True])
    assert math.isnan(nothing.share)
    assert nothing.interval == (0, 1)
    with pytest.raises(ValueError, match="there are 1 judgements for 2 trajectories; give one for each"):
        verifier_agreement(says_yes, trajectories("yes", "no"), [True])
