"""Losses for ratings, steps, general preferences and contrasts: by brute force, by gradient, and with bad input."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.functional import (
    bradley_terry,
    difference_views,
    general_preference_logistic,
    general_preference_regression,
    info_nce,
    ordinal,
    regression,
    skew_symmetric_score,
    step_binary,
    step_soft,
    until_first_error,
)

THRESHOLDS = torch.tensor([-1.0, 0.2, 3.0], dtype=torch.float64)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# ---- ratings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [-3.0, -0.5, 0.0, 0.5, 3.0])
def test_distances_and_their_gradients(error) -> None:
    sign = math.copysign(1.0, error) if error else 0.0
    expected = {
        "squared": (error**2 / 2, error),
        "absolute": (abs(error), sign),
        "huber": (error**2 / 2, error) if abs(error) <= 1 else (abs(error) - 0.5, sign),
    }
    for name, (loss, slope) in expected.items():
        values = torch.tensor([error + 2.0], requires_grad=True)
        found = regression(values, torch.tensor([2.0]), distance=name)
        found.backward()
        assert (found.item(), float(values.grad)) == pytest.approx((loss, slope))


@given(st.floats(-8, 8))
def test_ordinal_is_the_difference_of_two_sigmoids(value) -> None:
    edges = [0.0, *(sigmoid(float(threshold) - value) for threshold in THRESHOLDS), 1.0]
    values = torch.full((4,), value, dtype=torch.float64, requires_grad=True)
    loss = ordinal(values, torch.arange(4), THRESHOLDS)
    loss.sum().backward()
    for level in range(4):
        assert torch.exp(-loss[level]).item() == pytest.approx(edges[level + 1] - edges[level], rel=1e-8)
        # d/dv of -log(F(a) - F(b)) with a, b the thresholds minus v: F(a) + F(b) - 1 reversed in sign
        assert float(values.grad[level]) == pytest.approx(1 - edges[level + 1] - edges[level], abs=1e-9)
    assert torch.exp(-loss).sum().item() == pytest.approx(1.0)


def test_ordinal_stays_finite_far_out() -> None:
    values = torch.tensor([-300.0, 300.0, 300.0], requires_grad=True)
    loss = ordinal(values, torch.tensor([2, 1, 3]), THRESHOLDS.float())
    loss.sum().backward()
    assert loss.isfinite().all()
    assert values.grad.tolist() == pytest.approx([-1.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("level", "thresholds", "message"),
    [
        ([4], [0.0, 1.0], "level must be from 0 to 2, the number of thresholds; got 4 in row 0"),
        ([-1], [0.0], "got -1 in row 0"),
        ([0], [1.0, 1.0], "thresholds must rise strictly"),
        ([0, 1], [1.0], "equally long"),
    ],
)
def test_bad_levels_are_named(level, thresholds, message) -> None:
    with pytest.raises(ValueError, match=message):
        ordinal(torch.zeros(1), torch.tensor(level), torch.tensor(thresholds))


def test_bad_distances_are_named() -> None:
    with pytest.raises(ValueError, match="distance must be"):
        regression(torch.zeros(1), torch.zeros(1), distance="cubed")
    with pytest.raises(ValueError, match="delta must be positive, got 0"):
        regression(torch.zeros(1), torch.zeros(1), distance="huber", delta=0)


# ---- steps -------------------------------------------------------------------------------------------------------------


def test_step_losses_by_hand() -> None:
    logits = torch.tensor([[2.0, -1.0, 9.0], [0.5, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[1.0, 0.25, math.nan], [math.nan] * 3], dtype=torch.float64)
    soft = step_soft(logits, labels)
    first = -math.log(sigmoid(2.0))
    second = -0.25 * math.log(sigmoid(-1.0)) - 0.75 * math.log(sigmoid(1.0))
    assert soft.tolist() == pytest.approx([(first + second) / 2, 0.0])
    soft.sum().backward()
    assert logits.grad[0].tolist() == pytest.approx([(sigmoid(2) - 1) / 2, (sigmoid(-1) - 0.25) / 2, 0.0])
    assert not logits.grad[1].any()
    hard = step_binary(logits, labels, weight=3.0)
    assert hard.tolist() == pytest.approx([(first - 3 * math.log(sigmoid(1.0))) / 2, 0.0])
    assert step_binary(logits, labels, threshold=0.1)[0].item() == pytest.approx((first - math.log(sigmoid(-1))) / 2)


def test_nothing_counts_behind_the_first_error() -> None:
    labels = torch.tensor([[1.0, 0.0, 1.0], [math.nan, 1.0, 1.0], [0.0, 0.0, math.nan]])
    assert until_first_error(labels).tolist() == [[True, True, False], [True, True, True], [True, False, False]]


def test_bad_step_labels_are_named() -> None:
    with pytest.raises(ValueError, match=r"label must be in \[0, 1\], got -1 at step 1 of row 0"):
        step_soft(torch.zeros(1, 2), torch.tensor([[1.0, -1.0]]))
    with pytest.raises(ValueError, match=r"one shape \[row, step\]"):
        step_binary(torch.zeros(1, 2), torch.zeros(1, 3))
    with pytest.raises(ValueError, match="weight must be positive"):
        step_binary(torch.zeros(1, 2), torch.zeros(1, 2), weight=0)


# ---- general preferences -------------------------------------------------------------------------------------------------


@given(st.integers(1, 3), st.integers(0, 10_000))
def test_the_form_is_the_matrix_and_antisymmetric(blocks, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, 4, 2 * blocks, generator=generator, dtype=torch.float64)
    scales = torch.rand(4, blocks, generator=generator, dtype=torch.float64)
    matrix = torch.zeros(4, 2 * blocks, 2 * blocks, dtype=torch.float64)
    for block in range(blocks):
        matrix[:, 2 * block, 2 * block + 1] = -scales[:, block]
        matrix[:, 2 * block + 1, 2 * block] = scales[:, block]
    expected = torch.einsum("rab,rb,ra->r", matrix, first, second)
    found = skew_symmetric_score(first, second, scales)
    assert torch.allclose(found, expected)
    assert torch.equal(found, -skew_symmetric_score(second, first, scales))
    assert not skew_symmetric_score(first, first).any()


def test_rock_paper_scissors_go_round() -> None:
    angles = torch.tensor([0.0, 2.0, 4.0]) * math.pi / 3
    items = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert (skew_symmetric_score(items, items.roll(-1, 0)) > 0.8).all()


@given(st.floats(-9, 9), st.floats(0, 1), st.floats(0.1, 3))
def test_the_general_losses(score, label, temperature) -> None:
    scores = torch.tensor([score], dtype=torch.float64, requires_grad=True)
    logistic = general_preference_logistic(scores, label, temperature=temperature, margin=0.5)
    assert torch.allclose(logistic, bradley_terry(scores / temperature, label, margin=0.5 / temperature))
    drawn = general_preference_regression(scores, label, temperature=temperature, target=2.0)
    gap = score / temperature - (2 * label - 1) * 2.0
    assert drawn.item() == pytest.approx(gap**2 / 2)
    drawn.backward()
    assert float(scores.grad) == pytest.approx(gap / temperature, abs=1e-12)


def test_bad_embeddings_are_named() -> None:
    with pytest.raises(ValueError, match="even width.*got 3, use 4"):
        skew_symmetric_score(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="each of 2 blocks, got 3"):
        skew_symmetric_score(torch.zeros(2, 4), torch.zeros(2, 4), torch.ones(3))
    with pytest.raises(ValueError, match="temperature must be positive"):
        general_preference_logistic(torch.zeros(1), temperature=0.0)


# ---- contrasts -----------------------------------------------------------------------------------------------------------


def test_info_nce_by_hand() -> None:
    first, second = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    found = info_nce(first, second, temperature=0.3)
    for row in range(5):
        alike = [float(torch.cosine_similarity(first[row], second[other], dim=0)) / 0.3 for other in range(5)]
        assert found[row].item() == pytest.approx(math.log(sum(math.exp(one) for one in alike)) - alike[row])
    assert info_nce(torch.eye(3), torch.eye(3)).max() < 1e-6


def test_bad_views_are_named() -> None:
    with pytest.raises(ValueError, match="at least 2 rows"):
        info_nce(torch.ones(1, 3), torch.ones(1, 3))
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        info_nce(torch.ones(2, 3), torch.ones(2, 3), temperature=0)


def test_differences_go_both_ways() -> None:
    features = torch.tensor([[1.0], [3.0]])
    assert difference_views(features, torch.tensor([0]), torch.tensor([1])).tolist() == [[-2.0], [2.0]]
