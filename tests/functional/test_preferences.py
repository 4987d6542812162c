"""Losses for comparisons: against the formula in plain numbers, their gradients, and numbers that break naive code."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.functional import bradley_terry, centring, hinge

numbers = st.floats(-20, 20)
shares = st.floats(0, 1)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@given(st.lists(st.tuples(numbers, shares, st.floats(0, 3), shares), min_size=1, max_size=6))
def test_bradley_terry_is_the_likelihood_of_the_smoothed_label(rows) -> None:
    logits, label, margin, smoothing = (torch.tensor(column, dtype=torch.float64) for column in zip(*rows, strict=True))
    found = bradley_terry(logits, label, margin=margin, smoothing=smoothing)
    for place, (x, p, m, s) in enumerate(rows):
        chance = p * (1 - s) + (1 - p) * s
        expected = -chance * math.log(sigmoid(x - m)) - (1 - chance) * math.log(sigmoid(-x - m))
        assert found[place].item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(st.lists(st.tuples(numbers, shares), min_size=1, max_size=6))
def test_its_gradient_is_the_probability_minus_the_label(rows) -> None:
    logits, label = (torch.tensor(column, dtype=torch.float64) for column in zip(*rows, strict=True))
    logits.requires_grad_()
    bradley_terry(logits, label).sum().backward()
    assert torch.allclose(logits.grad, torch.sigmoid(logits.detach()) - label)


def test_a_very_wrong_pair_keeps_its_gradient() -> None:
    logits = torch.tensor([-500.0, 500.0], requires_grad=True)
    loss = bradley_terry(logits)
    loss.sum().backward()
    assert loss.tolist() == [500.0, 0.0]
    assert logits.grad.tolist() == [-1.0, 0.0]


def test_masked_rows_reach_neither_the_loss_nor_the_gradient() -> None:
    logits = torch.tensor([0.0, math.nan, math.inf], requires_grad=True)
    mask = torch.tensor([True, False, False])
    loss = bradley_terry(logits, torch.tensor([1.0, 7.0, math.nan]), mask=mask, weight=torch.tensor([2.0, 1.0, 1.0]))
    loss.sum().backward()
    assert loss.tolist() == pytest.approx([2 * math.log(2), 0.0, 0.0])
    assert logits.grad.tolist() == [-1.0, 0.0, 0.0]


@given(numbers, shares, st.floats(0, 3))
def test_turning_a_pair_round_with_its_label_changes_nothing(x, p, m) -> None:
    one = torch.tensor([x], dtype=torch.float64)
    for loss in (bradley_terry, hinge):
        assert torch.allclose(loss(one, p, margin=m), loss(-one, 1 - p, margin=m))


@pytest.mark.parametrize("x", [-2.0, -0.5, 0.5, 2.0])
def test_hinge_and_centring_by_hand(x) -> None:
    logits = torch.tensor([x], requires_grad=True)
    loss = hinge(logits, 0.75, margin=1.0)
    loss.backward()
    assert loss.item() == pytest.approx(0.75 * max(0, 1 - x) + 0.25 * max(0, 1 + x))
    assert float(logits.grad) == pytest.approx(-0.75 * (x < 1) + 0.25 * (x > -1))
    first, second = torch.tensor([x], requires_grad=True), torch.tensor([3.0])
    centring(first, second).backward()
    assert float(first.grad) == pytest.approx(2 * (x + 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(2, 2),), "one-dimensional, one per pair"),
        ((torch.zeros(2), torch.tensor([0.5, 1.3])), r"label must be in \[0, 1\], got 1.3 in row 1"),
        ((torch.zeros(2), torch.tensor([0.5, math.nan])), r"got nan in row 1"),
        ((torch.zeros(2), -0.1), "margin is the place"),
        ((torch.zeros(2), torch.zeros(3)), r"label must have one entry per row.*\(3,\) for 2 rows"),
    ],
)
def test_bad_input_is_named(arguments, message) -> None:
    for loss in (bradley_terry, hinge):
        with pytest.raises(ValueError, match=message):
            loss(*arguments)


def test_a_smoothing_outside_of_0_and_1_is_refused() -> None:
    with pytest.raises(ValueError, match=r"smoothing must be in \[0, 1\], got 2"):
        bradley_terry(torch.zeros(1), smoothing=2)
    with pytest.raises(ValueError, match="one shape"):
        centring(torch.zeros(1), torch.zeros(2))
