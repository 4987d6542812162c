from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch

from rewardlab.functional import signed_geometric_mean
from rewardlab.rewards.shaping import kinesthetic_mean


@pytest.mark.parametrize("sign", ["all", "product"])
def test_it_is_the_reward_s_mean(sign: Literal["all", "product"]) -> None:
    parts = np.random.default_rng(0).uniform(-1, 1, size=(3, 50))
    weights = np.array([1.0, 2.0, 0.5])
    expected = kinesthetic_mean(parts, weights, sign=sign)
    found = signed_geometric_mean(torch.from_numpy(parts), torch.from_numpy(weights), sign=sign)
    assert found.numpy() == pytest.approx(expected, abs=1e-3)


def test_gradients_are_finite_at_zero_and_right_elsewhere() -> None:
    parts = torch.tensor([[0.0, 0.5], [0.3, -0.4]], dtype=torch.float64, requires_grad=True)
    value = signed_geometric_mean(parts, epsilon=1e-4)
    assert value[0].abs() < 0.006  # the square root of the epsilon times .3
    value.sum().backward()
    assert parts.grad is not None
    assert torch.isfinite(parts.grad).all()
    inner = torch.tensor([[0.5], [-0.4], [0.9]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(signed_geometric_mean, (inner,))


def test_messages() -> None:
    with pytest.raises(ValueError, match="epsilon must be positive, got 0"):
        signed_geometric_mean(torch.ones(2, 1), epsilon=0.0)
    with pytest.raises(ValueError, match=r"weights must be 2 positive numbers, got \[1.0, -1.0\]"):
        signed_geometric_mean(torch.ones(2, 1), torch.tensor([1.0, -1.0]))
