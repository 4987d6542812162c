"""Losses of single responses: numbers by hand, the inequality that ties them to Bradley and Terry, and bad input."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.functional import bradley_terry, direct_preference_loss, order_consistency, prospect
from rewardlab.functional.selection import best_of_kl_bound

numbers = st.floats(-20, 20)


def test_the_numbers_at_one_and_nought() -> None:
    one, nought = torch.tensor([1.0], dtype=torch.float64), torch.tensor([0.0], dtype=torch.float64)
    assert bradley_terry(one - nought).item() == pytest.approx(0.313262, abs=1e-6)
    assert order_consistency(one, nought).item() == pytest.approx(1.006409, abs=1e-6)
    assert direct_preference_loss(nought).item() == pytest.approx(math.log(2))
    assert best_of_kl_bound(16) == pytest.approx(1.835089, abs=1e-6)


@given(numbers, numbers, st.floats(0, 1))
def test_classification_is_never_below_bradley_and_terry(a: float, b: float, label: float) -> None:
    first, second = torch.tensor([a], dtype=torch.float64), torch.tensor([b], dtype=torch.float64)
    assert order_consistency(first, second, label).item() >= bradley_terry(first - second, label).item() - 1e-9


@given(numbers, numbers)
def test_turning_a_pair_round_turns_its_label_round(a: float, b: float) -> None:
    first, second = torch.tensor([a], dtype=torch.float64), torch.tensor([b], dtype=torch.float64)
    assert order_consistency(first, second, 1.0).item() == pytest.approx(order_consistency(second, first, 0.0).item())


def test_prospects_level_off_on_both_sides() -> None:
    values = torch.tensor([0.0, 2.0, -40.0, 40.0], dtype=torch.float64)
    desirable = torch.tensor([True, False, True, True])
    found = prospect(values, desirable, 0.0, beta=1.0, weights=(1.0, 2.0))
    assert found.tolist() == pytest.approx([0.5, 2 / (1 + math.exp(-2)), 1.0, 0.0])
    assert prospect(torch.tensor([3.0]), torch.tensor([0.25]), 3.0).item() == pytest.approx(0.5)


def test_what_does_not_fit_is_refused() -> None:
    two, three = torch.zeros(2), torch.zeros(3)
    with pytest.raises(ValueError, match=r"one shape, got \(2,\) and \(3,\)"):
        order_consistency(two, three)
    with pytest.raises(ValueError, match=r"label must be in \[0, 1\], got 1.5"):
        order_consistency(two, two, 1.5)
    with pytest.raises(ValueError, match=r"label must have shape \(2,\), got \(3,\)"):
        order_consistency(two, two, three)
    with pytest.raises(ValueError, match=r"desirable must have shape \(2,\)"):
        prospect(two, three, 0.0)
    with pytest.raises(ValueError, match="beta must be positive"):
        prospect(two, two, 0.0, beta=0.0)
