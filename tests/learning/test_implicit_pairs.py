from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rewardlab.functional.discrimination import area_under_curve
from rewardlab.learning import implicit_pair_loss, preference_pairs


def test_pairs_and_their_loss() -> None:
    outcomes, groups = np.array([1.0, 0.0, 0.4, 0.0, 1.0, 1.0]), np.array([0, 0, 0, 0, 1, 1])
    better, worse = preference_pairs(outcomes, groups)
    assert sorted(zip(better.tolist(), worse.tolist(), strict=True)) == [(0, 1), (0, 2), (0, 3), (2, 1), (2, 3)]
    better, worse = preference_pairs(outcomes, groups, pairs="one_to_one")
    assert sorted(zip(better.tolist(), worse.tolist(), strict=True)) == [(0, 3), (2, 1)]
    better, worse = preference_pairs(outcomes, groups, pairs="margin", margin=0.5)
    assert sorted(zip(better.tolist(), worse.tolist(), strict=True)) == [(0, 1), (0, 2), (0, 3)]
    better, _ = preference_pairs(outcomes, groups, scored=np.array([False, True, False, True, True, True]))
    assert not better.size
    one, other = np.array([0]), np.array([1])
    assert float(implicit_pair_loss(torch.zeros(2), one, other)) == pytest.approx(math.log(2))
    assert float(implicit_pair_loss(torch.tensor([2.0, 0.0]), one, other)) == pytest.approx(0.1269, abs=1e-4)


def test_auroc_counts_ties_half() -> None:
    assert area_under_curve(np.array([1.0, 2.0, 3.0]), np.array([False, True, True])) == 1.0
    assert area_under_curve(np.zeros(4), np.array([True, False, True, False])) == 0.5
    assert math.isnan(area_under_curve(np.zeros(2), np.array([True, True])))
