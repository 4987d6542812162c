from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardlab.recipes.ridge_logistic import ridge_logistic


@pytest.mark.parametrize("ridge", [0.1, 3.0])
def test_the_gradient_is_zero_at_the_weights(ridge) -> None:
    draw = np.random.default_rng(0)
    inputs, label = draw.normal(size=(40, 5)), (draw.random(40) < 0.5).astype(np.float64)
    weights = torch.tensor(ridge_logistic(inputs, label, ridge), requires_grad=True)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.from_numpy(inputs) @ weights, torch.from_numpy(label), reduction="sum"
    )
    (gradient,) = torch.autograd.grad(loss + 0.5 * ridge * weights.square().sum(), weights)
    assert gradient.abs().max() < 1e-9


def test_a_side_that_always_wins_stays_finite() -> None:
    weights = ridge_logistic(np.array([[1.0], [2.0]]), np.ones(2), 0.5)
    assert np.isfinite(weights).all()
    assert weights[0] > 0
