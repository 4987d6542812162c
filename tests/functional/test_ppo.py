"""PPO's formulas against plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.functional.policy_losses import log_importance_weights, token_weights
from rewardlab.functional.ppo import (
    adapted_kl_coefficient,
    advantage_weights,
    clipped_value_loss,
    rewards_reaching_back,
)

STEP = torch.tensor([[-1, 0, 0, -1, 1, 1, 1], [-1, -1, 0, 2, 2, -1, -1]])
MASK = STEP >= 0


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_value_loss_by_hand():
    values = torch.tensor([0.0, 1.0, 3.0], requires_grad=True)
    found = clipped_value_loss(values, torch.tensor([1.0, 1.0, 0.0]), torch.tensor([0.0, 0.0, 4.0]), clip=0.5)
    # the third moved from 4 to 3, but only 0.5 of that counts: (3.5 - 0)^2 / 2 > (3 - 0)^2 / 2
    assert found.losses.tolist() == [0.5, 0.125, 0.5 * 3.5**2]
    assert found.clipped.tolist() == [False, True, True]
    found.losses.sum().backward()
    assert values.grad.tolist() == [-1.0, 0.0, 0.0]
    assert clipped_value_loss(values, torch.zeros(3)).losses.tolist() == [0.0, 0.5, 4.5]


def test_value_loss_says_what_is_wrong():
    with pytest.raises(ValueError, match="needs baselines"):
        clipped_value_loss(torch.zeros(2), torch.zeros(2), clip=0.2)
    with pytest.raises(ValueError, match="clip must be positive"):
        clipped_value_loss(torch.zeros(2), torch.zeros(2), torch.zeros(2), clip=0.0)
    with pytest.raises(ValueError, match="targets must have the shape"):
        clipped_value_loss(torch.zeros(2), torch.zeros(3))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.booleans(), min_size=1, max_size=9), min_size=1, max_size=4),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_rewards_reach_back_over_written_tokens_alone(masks, decay, seed):
    width = max(map(len, masks))
    mask = torch.tensor([row + [False] * (width - len(row)) for row in masks])
    rewards = numbers(*mask.shape, seed=seed)
    found = rewards_reaching_back(rewards, mask, decay=decay)
    for row in range(mask.shape[0]):
        later = 0.0
        for token in reversed(range(width)):
            if mask[row, token]:
                later = float(rewards[row, token]) + decay * later
                assert float(found[row, token]) == pytest.approx(later, abs=1e-9)
            else:
                assert found[row, token] == 0


def test_rewards_reach_back_over_steps():
    rewards = numbers(2, 7)
    found = rewards_reaching_back(rewards, MASK, decay=0.5, step=STEP)
    second = rewards[0, 4:].sum()
    first = rewards[0, 1:3].sum() + 0.5 * second
    assert found[0].tolist() == pytest.approx([0, *[float(first)] * 2, 0, *[float(second)] * 3])
    # the step without tokens lies between the two of the second row
    last = rewards[1, 3:5].sum()
    assert found[1].tolist() == pytest.approx([0, 0, float(rewards[1, 2] + 0.25 * last), *[float(last)] * 2, 0, 0])


@pytest.mark.parametrize("level", ["step", "step_product"])
def test_ratios_of_steps(level):
    now, old = numbers(2, 7, seed=1).requires_grad_(), numbers(2, 7, seed=2)
    found = log_importance_weights(now, old, MASK, level=level, step=STEP)
    for row, token in MASK.nonzero().tolist():
        members = STEP[row] == STEP[row, token]
        difference = (now - old)[row, members]
        expected = difference.mean() if level == "step" else difference.sum()
        assert float(found[row, token].detach()) == pytest.approx(float(expected.detach()))
    # a token's gradient reaches its own step alone
    (gradient,) = torch.autograd.grad(found[0, 1], now)
    assert gradient.nonzero().tolist() == [[0, 1], [0, 2]]
    assert float(gradient[0, 1]) == (0.5 if level == "step" else 1.0)
    with pytest.raises(ValueError, match="needs step"):
        log_importance_weights(now, old, MASK, level=level)


def test_weights_of_steps_do_not_depend_on_length_or_on_pieces():
    mean, total = (token_weights(MASK, normalise=name, step=STEP) for name in ("step_mean", "step_sum"))
    assert mean[0].tolist() == pytest.approx([0, 1 / 8, 1 / 8, 0, 1 / 12, 1 / 12, 1 / 12])
    assert mean[1].tolist() == pytest.approx([0, 0, 1 / 4, 1 / 8, 1 / 8, 0, 0])
    assert total[0].tolist() == pytest.approx([0, 1 / 4, 1 / 4, 0, 1 / 6, 1 / 6, 1 / 6])
    for name, whole in (("step_mean", mean), ("step_sum", total)):
        piece = token_weights(MASK[:1], normalise=name, step=STEP[:1], sequences=2, steps=4)
        assert torch.equal(piece, whole[:1])


def test_on_the_first_update_step_products_have_the_gradient_of_reinforce():
    logprobs, advantages = numbers(2, 7).requires_grad_(), numbers(2, 3, seed=3)
    per_token = advantages.gather(1, STEP.clamp(min=0))
    ratio = log_importance_weights(logprobs, logprobs.detach(), MASK, level="step_product", step=STEP).exp()
    loss = -(ratio * per_token * token_weights(MASK, normalise="step_sum", step=STEP)).sum()
    plain = -(torch.where(MASK, per_token * logprobs, 0.0)).sum() / 2
    assert torch.allclose(*(torch.autograd.grad(one, logprobs)[0] for one in (loss, plain)))


def test_the_price_of_divergence_moves_towards_its_target():
    move = {"target": 0.1, "horizon": 100.0, "samples": 50}
    assert adapted_kl_coefficient(1.0, 0.1, **move) == 1.0
    assert adapted_kl_coefficient(1.0, 0.11, **move) == pytest.approx(1.05)
    assert adapted_kl_coefficient(1.0, 9.0, **move) == pytest.approx(1.1)
    assert adapted_kl_coefficient(1.0, 0.0, **move) == pytest.approx(0.9)
    assert adapted_kl_coefficient(1.0, math.nan, **move) == 1.0
    with pytest.raises(ValueError, match="target and horizon"):
        adapted_kl_coefficient(1.0, 0.1, target=0.0, horizon=1.0, samples=1)


def test_weights_of_advantages_are_limited():
    found = advantage_weights(torch.tensor([0.0, 1.0, -2.0, 1e4]), beta=0.5, limit=20.0)
    assert found.tolist() == pytest.approx([1.0, math.exp(2), math.exp(-4), 20.0], rel=1e-5)
    with pytest.raises(ValueError, match="beta and limit"):
        advantage_weights(torch.zeros(1), beta=0.0)
