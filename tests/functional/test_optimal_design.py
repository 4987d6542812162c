"""Optimal design of comparisons: gains by hand and against determinants, duplicates, and bad input."""

from __future__ import annotations

import numpy as np
import pytest

from rewardlab.functional.optimal_design import d_optimal, log_det_gains


def test_an_orthogonal_direction_is_worth_more_than_the_same_again() -> None:
    rows = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    half = np.full(3, 0.5)
    assert log_det_gains(np.eye(2), rows, half) == pytest.approx([0.223144] * 3, abs=1e-6)
    after = np.linalg.inv(np.eye(2) + 0.25 * np.outer(rows[0], rows[0]))
    assert log_det_gains(after, rows, half) == pytest.approx([0.182322, 0.182322, 0.223144], abs=1e-6)
    chosen, gains = d_optimal(rows, half, 3)
    assert chosen.tolist() == [0, 2, 1]  # of equal gains the first, then the orthogonal one, the duplicate last
    assert gains == pytest.approx([0.223144, 0.223144, 0.182322], abs=1e-6)


def test_the_gains_add_up_to_the_log_determinant() -> None:
    draw = np.random.default_rng(0)
    rows, chances = draw.standard_normal((40, 6)), draw.uniform(0, 1, 40)
    known = np.cov(draw.standard_normal((6, 30)))
    chosen, gains = d_optimal(rows, chances, 12, ridge=0.5, known=known)
    assert len(set(chosen.tolist())) == 12
    start = known + 0.5 * np.eye(6)
    weight = (chances * (1 - chances))[chosen]
    end = start + (rows[chosen] * weight[:, None]).T @ rows[chosen]
    assert gains.sum() == pytest.approx(np.linalg.slogdet(end)[1] - np.linalg.slogdet(start)[1])
    # every choice was the best one at its time
    inverse = np.linalg.inv(start)
    assert gains[0] == pytest.approx(log_det_gains(inverse, rows, chances).max())


def test_pairs_without_a_difference_gain_nothing_and_come_last() -> None:
    chosen, gains = d_optimal([[0.0, 0.0], [0.1, 0.0], [0.0, 0.0]], [0.5, 0.5, 0.5], 3)
    assert chosen[0] == 1
    assert gains[1:].tolist() == [0.0, 0.0]


def test_what_does_not_fit_is_refused() -> None:
    rows, half = np.eye(3), np.full(3, 0.5)
    with pytest.raises(ValueError, match="budget must be between 1 and the 3 pairs of the pool, got 4"):
        d_optimal(rows, half, 4)
    with pytest.raises(ValueError, match="ridge must be positive, got 0"):
        d_optimal(rows, half, 1, ridge=0.0)
    with pytest.raises(ValueError, match=r"probabilities must be in \[0, 1\], got 1.5"):
        d_optimal(rows, [0.5, 1.5, 0.5], 1)
    with pytest.raises(ValueError, match="row 1 is not"):
        d_optimal([[0.0], [np.nan], [1.0]], half, 1)
    with pytest.raises(ValueError, match=r"probabilities must have shape \(3,\)"):
        log_det_gains(np.eye(3), rows, half[:2])
    with pytest.raises(ValueError, match=r"inverse must have shape \(3, 3\)"):
        log_det_gains(np.eye(2), rows, half)
    with pytest.raises(ValueError, match=r"known must have shape \(3, 3\)"):
        d_optimal(rows, half, 1, known=np.eye(2))
