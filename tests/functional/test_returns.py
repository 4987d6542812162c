from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rewardlab.functional import discounted_returns, generalised_advantage_estimation


def test_returns_by_hand():
    rewards = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 8.0]])
    got = discounted_returns(rewards, discount=0.5)
    assert got.tolist() == [[3.0, 4.0, 4.0], [2.0, 4.0, 8.0]]
    assert discounted_returns(rewards, discount=0.0).tolist() == rewards.tolist()
    masked = discounted_returns(rewards, mask=torch.tensor([[True, True, False], [True, True, True]]))
    assert masked.tolist() == [[3.0, 2.0, 0.0], [8.0, 8.0, 8.0]]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.floats(0, 1), st.integers(0, 2**31))
def test_returns_against_the_loop(steps, discount, seed):
    rewards = torch.randn(3, steps, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    expected, following = torch.zeros_like(rewards), torch.zeros(3, dtype=torch.float64)
    for step in reversed(range(steps)):
        following = rewards[:, step] + discount * following
        expected[:, step] = following
    assert torch.allclose(discounted_returns(rewards, discount=discount), expected)


def test_gae_by_hand():
    # the second step is terminal: it does not bootstrap; the third belongs to another trajectory, which is truncated
    got = generalised_advantage_estimation(
        torch.tensor([1.0, 2.0, 3.0]),
        torch.tensor([0.5, 1.0, 2.0]),
        torch.tensor([1.0, 9.0, 4.0]),
        torch.tensor([False, True, False]),
        torch.tensor([False, True, True]),
        discount=0.5,
        smoothing=0.5,
    )
    second = 2.0 - 1.0
    assert got.tolist() == pytest.approx([1 + 0.5 * 1.0 - 0.5 + 0.25 * second, second, 3 + 0.5 * 4 - 2])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**31))
@example(31, 0.8159340445330086, 0.27374797433493275, 2**31)  # an advantage near 0
def test_gae_against_the_loop(steps, discount, smoothing, seed):
    generator = torch.Generator().manual_seed(seed)
    rewards, values, following = torch.randn(3, 2, steps, dtype=torch.float64, generator=generator)
    ended = torch.rand(2, steps, generator=generator) < 0.3
    terminated = ended & (torch.rand(2, steps, generator=generator) < 0.5)
    # as numbers: a Python number times a boolean tensor is rounded to single precision
    goes_on, alive = (~ended).double(), (~terminated).double()
    expected = torch.zeros(2, steps, dtype=torch.float64)
    carried = torch.zeros(2, dtype=torch.float64)
    for step in reversed(range(steps)):
        delta = rewards[:, step] + discount * following[:, step] * alive[:, step] - values[:, step]
        carried = delta + discount * smoothing * goes_on[:, step] * carried
        expected[:, step] = carried
    got = generalised_advantage_estimation(
        rewards, values, following, terminated, ended, discount=discount, smoothing=smoothing
    )
    assert torch.allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_gae_with_smoothing_one_is_the_return_minus_the_value():
    rewards = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    values = torch.tensor([0.3, 0.2, 0.1], dtype=torch.float64)
    last = torch.tensor([False, False, True])
    got = generalised_advantage_estimation(
        rewards, values, torch.tensor([0.2, 0.1, 7.0]).double(), last, last, discount=0.9, smoothing=1.0
    )
    assert torch.allclose(got, discounted_returns(rewards, discount=0.9) - values)


def test_returns_can_be_differentiated():
    rewards = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda r: discounted_returns(r, discount=0.7), (rewards,))


def test_bad_input_is_named():
    rewards = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"discount must be in \[0, 1\], got 1.5"):
        discounted_returns(rewards, discount=1.5)
    with pytest.raises(ValueError, match="rewards must be float"):
        discounted_returns(torch.tensor([1, 2]))
    with pytest.raises(ValueError, match=r"mask must have the shape of rewards, \(2, 3\)"):
        discounted_returns(rewards, mask=torch.ones(3, dtype=torch.bool))
    flags = torch.zeros(2, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match="next_values must have the shape"):
        generalised_advantage_estimation(rewards, rewards, rewards[:, :2], flags, flags)
    with pytest.raises(ValueError, match="terminated but not ended"):
        generalised_advantage_estimation(rewards, rewards, rewards, ~flags, flags)
    with pytest.raises(ValueError, match="smoothing must be in"):
        generalised_advantage_estimation(rewards, rewards, rewards, flags, flags, smoothing=-0.1)
    assert np.isfinite(discounted_returns(torch.zeros(2, 0)).numpy()).all()
