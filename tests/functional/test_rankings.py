"""The Plackett-Luce loss against taking items one by one, with ties, gaps and numbers of any size."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.functional import bradley_terry, plackett_luce

lists = st.lists(st.floats(-5, 5), min_size=1, max_size=5)


def one_by_one(values, ties=(), top=None, method="efron") -> float:
    """The loss in plain numbers: tied sets one after the other."""
    ties = list(ties) or [False] * (len(values) - 1)
    total, start = 0.0, 0
    while start < len(values):
        end = start + 1
        while end < len(values) and ties[end - 1]:
            end += 1
        rest = sum(math.exp(value) for value in values[start:])
        own = sum(math.exp(value) for value in values[start:end])
        for place in range(start, end):
            if top is None or place < top:
                taken = (place - start) / (end - start) if method == "efron" else 0.0
                total += math.log(rest - taken * own) - values[place]
        start = end
    return total


@given(lists, st.data())
def test_it_is_the_loss_of_taking_one_after_the_other(values, data) -> None:
    ties = data.draw(st.lists(st.booleans(), min_size=len(values) - 1, max_size=len(values) - 1))
    top = data.draw(st.none() | st.integers(1, 6))
    for method in ("efron", "breslow"):
        found = plackett_luce(
            torch.tensor([values], dtype=torch.float64),
            ties=torch.tensor([ties], dtype=torch.bool).reshape(1, -1),
            top=top,
            method=method,
        )
        assert found.item() == pytest.approx(one_by_one(values, ties, top, method), rel=1e-9, abs=1e-9)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=4))
def test_the_probabilities_of_all_orders_add_up_to_one(values) -> None:
    orders = torch.tensor(list(itertools.permutations(values)), dtype=torch.float64)
    assert float(torch.exp(-plackett_luce(orders)).sum()) == pytest.approx(1.0)


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_two_places_are_a_comparison(one, other) -> None:
    values = torch.tensor([[one, other]], dtype=torch.float64, requires_grad=True)
    assert torch.allclose(plackett_luce(values), bradley_terry(values[:, 0] - values[:, 1]))
    tied = torch.autograd.grad(plackett_luce(values, ties=torch.tensor([[True]])).sum(), values)[0]
    even = torch.autograd.grad(bradley_terry(values[:, 0] - values[:, 1], 0.5).sum(), values)[0]
    assert torch.allclose(tied, 2 * even, atol=1e-12)


def test_the_gradient_of_choosing_the_best_is_that_of_a_softmax() -> None:
    values = torch.tensor([[0.3, -1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    plackett_luce(values, top=1).sum().backward()
    expected = torch.softmax(values.detach(), 1) - torch.tensor([[1.0, 0.0, 0.0]])
    assert torch.allclose(values.grad, expected)


def test_empty_places_take_no_part_and_give_no_gradient() -> None:
    values = torch.tensor([[1.0, 0.0, math.nan], [1.0, 0.0, -1.0]], requires_grad=True)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    ties = torch.tensor([[True, True], [False, True]])
    loss = plackett_luce(values, mask, ties)
    loss.sum().backward()
    assert loss.tolist() == pytest.approx([one_by_one([1, 0], [True]), one_by_one([1, 0, -1], [False, True])])
    assert values.grad.isfinite().all()
    assert float(values.grad[0, 2]) == 0.0


def test_large_values_have_a_finite_loss_and_gradient() -> None:
    values = torch.tensor([[-400.0, 400.0, 0.0], [400.0, 400.0, -400.0]], requires_grad=True)
    loss = plackett_luce(values, ties=torch.tensor([[False, False], [True, False]]))
    loss.sum().backward()
    assert loss[0].item() == pytest.approx(800.0)
    assert values.grad.isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((torch.zeros(3),), {}, r"shape \[row, place\], got \(3,\)"),
        ((torch.zeros(1, 3), torch.tensor([[True, False, True]])), {}, "row 0 has a gap"),
        ((torch.zeros(1, 3), torch.ones(1, 2, dtype=torch.bool)), {}, "mask must have the shape"),
        ((torch.zeros(1, 3), None, torch.ones(1, 3, dtype=torch.bool)), {}, r"every place but the first, \(1, 2\)"),
        ((torch.zeros(1, 3),), {"top": 0}, "top must be at least 1, got 0"),
        ((torch.zeros(1, 3),), {"method": "exact"}, "method must be"),
    ],
)
def test_bad_input_is_named(arguments, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        plackett_luce(*arguments, **options)
