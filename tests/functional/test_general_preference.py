from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.functional import (
    general_preference_logistic,
    general_preference_regression,
    skew_symmetric_score,
)

R = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)


def vectors(seed, blocks=3, rows=4):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, rows, 2 * blocks, generator=generator, dtype=torch.float64)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_the_score_by_the_matrix_of_the_paper(seed, blocks):
    first, second = vectors(seed, blocks)
    operator = torch.block_diag(*[R] * blocks)
    assert torch.allclose(skew_symmetric_score(first, second), ((first @ operator.T) * second).sum(-1))
    assert torch.equal(skew_symmetric_score(first, second), -skew_symmetric_score(second, first))
    assert torch.equal(skew_symmetric_score(first, first), torch.zeros(4, dtype=torch.float64))


def test_the_sign_of_a_block_by_hand():
    one, other = torch.tensor([2.0, 3.0]), torch.tensor([5.0, 7.0])
    assert skew_symmetric_score(one, other).item() == 2 * 7 - 3 * 5
    scales = torch.tensor([0.5])
    assert skew_symmetric_score(one, other, scales).item() == -0.5


def test_losses_and_their_gradients_by_hand():
    scores = torch.tensor([0.3, -0.8], requires_grad=True)
    label = torch.tensor([1.0, 0.25])
    loss = general_preference_logistic(scores, label, temperature=0.5, margin=0.1)

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    wanted = [
        -math.log(sigmoid((0.3 - 0.1) / 0.5)),
        -0.25 * math.log(sigmoid((-0.8 - 0.1) / 0.5)) - 0.75 * math.log(sigmoid((0.8 - 0.1) / 0.5)),
    ]
    assert loss.tolist() == pytest.approx(wanted, rel=1e-5)
    loss.sum().backward()
    slopes = [-(1 - sigmoid(0.4)) / 0.5, (-0.25 * (1 - sigmoid(-1.8)) + 0.75 * (1 - sigmoid(1.4))) / 0.5]
    assert scores.grad.tolist() == pytest.approx(slopes, rel=1e-5)
    squared = general_preference_regression(scores, label, temperature=0.5, target=10.0)
    assert squared.tolist() == pytest.approx([0.5 * (0.6 - 10.0) ** 2, 0.5 * (-1.6 + 5.0) ** 2], rel=1e-5)


def test_swapping_both_sides_and_the_label_changes_no_loss():
    scores = torch.randn(6, generator=torch.Generator().manual_seed(0))
    label = torch.rand(6, generator=torch.Generator().manual_seed(1))
    for loss in (general_preference_logistic, general_preference_regression):
        assert torch.allclose(loss(scores, label), loss(-scores, 1 - label), atol=1e-5)


def test_gradients_stay_finite_far_from_the_truth():
    scores = torch.tensor([-1e4, 1e4], requires_grad=True)
    general_preference_logistic(scores, temperature=0.1).sum().backward()
    assert scores.grad.tolist() == pytest.approx([-10.0, 0.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: skew_symmetric_score(torch.zeros(2, 3), torch.zeros(2, 3)), "even width.*got 3, use 4"),
        (lambda: skew_symmetric_score(torch.zeros(2, 4), torch.zeros(3, 4)), "must have one shape"),
        (
            lambda: skew_symmetric_score(torch.zeros(2, 4), torch.zeros(2, 4), torch.zeros(2, 3)),
            "one entry for each of 2 blocks, got 3",
        ),
        (lambda: general_preference_logistic(torch.zeros(2), 1.5), r"label.*\[0, 1\]"),
        (lambda: general_preference_logistic(torch.zeros(2), temperature=0.0), "temperature must be positive, got 0.0"),
        (lambda: general_preference_regression(torch.zeros(2), temperature=-1.0), "temperature must be positive"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
