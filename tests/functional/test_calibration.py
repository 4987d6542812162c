"""Calibration by hand and against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.functional import brier_score, expected_calibration_error, reliability_curve

rows = st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=30)


@given(rows, st.integers(1, 12))
def test_the_error_is_the_weighted_gap_of_the_bins(pairs, bins) -> None:
    probability, label = (np.asarray(column) for column in zip(*pairs, strict=True))
    edges, gap = np.linspace(0, 1, bins + 1), 0.0
    for index in range(bins):
        last = index == bins - 1
        inside = (probability >= edges[index]) & ((probability <= 1.0) if last else (probability < edges[index + 1]))
        if inside.any():
            gap += abs(probability[inside].mean() - label[inside].mean()) * inside.mean()
    assert expected_calibration_error(probability, label, bins=bins) == pytest.approx(gap)
    assert brier_score(probability, label) == pytest.approx(sum((p - y) ** 2 for p, y in pairs) / len(pairs))


@given(rows)
def test_every_row_is_in_one_bin(pairs) -> None:
    probability, label = (np.asarray(column) for column in zip(*pairs, strict=True))
    for equal_counts in (False, True):
        curve = reliability_curve(probability, label, bins=5, equal_counts=equal_counts)
        assert curve.rows.sum() == len(pairs)
        assert (curve.lower <= curve.stated + 1e-12).all()
        assert (curve.stated <= curve.upper + 1e-12).all()
        assert (curve.found * curve.rows).sum() == pytest.approx(label.sum())


def test_a_small_case() -> None:
    curve = reliability_curve([0.1, 0.2, 0.9, 1.0], [0, 1, 1, 1], bins=2)
    assert curve.stated.tolist() == pytest.approx([0.15, 0.95])
    assert curve.found.tolist() == [0.5, 1.0]
    assert expected_calibration_error([0.1, 0.2, 0.9, 1.0], [0, 1, 1, 1], bins=2) == pytest.approx((0.35 + 0.05) / 2)
    assert reliability_curve([0.1, 0.2, 0.3, 0.9], [0, 0, 1, 1], bins=2, equal_counts=True).rows.tolist() == [2, 2]
    assert math.isnan(brier_score([], []))
    assert math.isnan(expected_calibration_error([], []))


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"probability must be in \[0, 1\], got 3.0 in row 1; log-odds need a sigmoid"):
        brier_score([0.5, 3.0], [0, 1])
    with pytest.raises(ValueError, match="label must be in"):
        reliability_curve([0.5], [math.nan])
    with pytest.raises(ValueError, match="equally long"):
        brier_score([0.5], [0, 1])
    with pytest.raises(ValueError, match="bins must be at least 1, got 0"):
        reliability_curve([0.5], [0], bins=0)
