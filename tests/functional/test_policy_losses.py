from __future__ import annotations

import math

import pytest
import torch

from rewardlab.functional import (
    clipped_surrogate,
    grpo_loss,
    kl_in_advantages,
    log_importance_weights,
    negative_log_likelihood,
    reinforce_loss,
    token_weights,
    whiten,
)

ROWS = ((0, 1, 1, 1, 0, 0), (0, 0, 1, 1, 1, 1), (0, 0, 0, 0, 1, 0), (0, 0, 0, 0, 0, 0))


def batch():
    generator = torch.Generator().manual_seed(3)
    mask = torch.tensor(ROWS, dtype=torch.bool)
    now = -torch.rand(4, 6, dtype=torch.float64, generator=generator) * 3
    old = now + 0.5 * torch.randn(4, 6, dtype=torch.float64, generator=generator)
    reference = now + 0.5 * torch.randn(4, 6, dtype=torch.float64, generator=generator)
    advantages = torch.randn(4, 6, dtype=torch.float64, generator=generator)
    return now, old, reference, advantages, mask


def slow_loss(now, old, reference, advantages, mask, *, low, high, dual, level, normalise, constant, kl):
    """The published formulas, one token at a time."""
    rows, tokens = mask.shape
    total = 0.0
    written = int(mask.sum())
    for row in range(rows):
        own = [token for token in range(tokens) if mask[row, token]]
        ratios = {token: math.exp(now[row, token] - old[row, token]) for token in own}
        if level != "token" and own:
            power = 1 / len(own) if level == "sequence" else 1.0
            ratios = dict.fromkeys(own, math.prod(ratios.values()) ** power)
        costs = []
        for token in own:
            advantage, ratio = float(advantages[row, token]), ratios[token]
            cost = -min(ratio * advantage, min(max(ratio, 1 - low), 1 + high) * advantage)
            if dual is not None and advantage < 0:
                cost = min(cost, -dual * advantage)
            log_r = float(reference[row, token] - now[row, token])
            costs.append(cost + kl * (math.exp(log_r) - 1 - log_r))
        if normalise == "sequence_mean" and own:
            total += sum(costs) / len(own) / rows
        elif normalise == "token_mean":
            total += sum(costs) / written
        elif normalise == "constant":
            total += sum(costs) / constant / rows
    return total


@pytest.mark.parametrize("level", ["token", "sequence", "trajectory"])
@pytest.mark.parametrize("normalise", ["sequence_mean", "token_mean", "constant"])
@pytest.mark.parametrize(("low", "high", "dual"), [(0.2, 0.2, None), (0.1, 0.4, None), (0.2, 0.3, 1.5)])
@pytest.mark.parametrize("kl", [0.0, 0.3])
def test_grpo_loss_against_the_formulas(level, normalise, low, high, dual, kl):
    now, old, reference, advantages, mask = batch()
    got = grpo_loss(
        now, old, advantages, mask, clip_low=low, clip_high=high, dual_clip=dual, level=level, normalise=normalise,
        constant=10.0 if normalise == "constant" else None, kl_coefficient=kl, reference_logprobs=reference,
    )  # fmt: skip
    expected = slow_loss(
        now, old, reference, advantages, mask, low=low, high=high, dual=dual, level=level, normalise=normalise,
        constant=10.0, kl=kl,
    )  # fmt: skip
    assert float(got) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_gradient_of_the_loss(level):
    now, old, reference, advantages, mask = batch()

    def loss(logprobs):
        return grpo_loss(logprobs, old, advantages, mask, level=level, kl_coefficient=0.1, reference_logprobs=reference)

    assert torch.autograd.gradcheck(loss, (now.requires_grad_(),), atol=1e-5)


def test_on_policy_the_gradient_is_that_of_reinforce():
    now, _, _, advantages, mask = batch()
    now.requires_grad_()
    surrogate = grpo_loss(now, now.detach(), advantages, mask, normalise="constant", constant=1.0)
    plain = reinforce_loss(now, advantages, mask)
    left, right = torch.autograd.grad(surrogate, now)[0], torch.autograd.grad(plain, now)[0]
    assert torch.allclose(left, right, atol=1e-7)
    assert torch.allclose(right, torch.where(mask, -advantages / 4, 0.0))


def test_clipping_takes_the_gradient_away_where_it_says_so():
    advantages = torch.tensor([[1.0, 1.0, -1.0, -1.0, -1.0]])
    ratio = torch.tensor([[1.5, 0.5, 0.5, 1.5, 4.0]]).log().requires_grad_()
    losses, clipped = clipped_surrogate(ratio, advantages, clip_low=0.2, clip_high=0.2, dual_clip=3.0)
    gradient = torch.autograd.grad(losses.sum(), ratio)[0]
    assert clipped.tolist() == [[True, False, True, False, True]]
    assert (gradient == 0).tolist() == clipped.tolist()
    assert losses.tolist()[0] == pytest.approx([-1.2, -0.5, 0.8, 1.5, 3.0])


def test_no_limits_means_the_plain_ratio():
    losses, clipped = clipped_surrogate(
        torch.tensor([[3.0]]), torch.tensor([[2.0]]), clip_low=None, clip_high=None, dual_clip=None
    )
    assert losses.item() == pytest.approx(-2 * math.exp(3))
    assert not clipped.any()


def test_values_outside_the_mask_never_matter():
    now, old, reference, advantages, mask = batch()
    first = grpo_loss(now, old, advantages, mask, kl_coefficient=0.1, reference_logprobs=reference)
    for tensor in (now, old, reference, advantages):
        tensor[~mask] = math.nan
    second = grpo_loss(now, old, advantages, mask, kl_coefficient=0.1, reference_logprobs=reference)
    assert float(first) == float(second)


@pytest.mark.parametrize("normalise", ["sequence_mean", "token_mean", "constant"])
def test_pieces_of_a_batch_add_up_to_the_whole(normalise):
    now, _, _, _, mask = batch()
    whole = (now * token_weights(mask, normalise=normalise, constant=7.0)).sum()
    pieces = sum(
        (
            now[rows]
            * token_weights(mask[rows], normalise=normalise, constant=7.0, sequences=4, tokens=int(mask.sum()))
        ).sum()
        for rows in ([0, 2], [1], [3])
    )
    assert float(whole) == pytest.approx(float(pieces))


def test_very_large_ratios_stay_finite():
    mask = torch.ones(1, 3, dtype=torch.bool)
    now = torch.tensor([[0.0, 0.0, 0.0]], requires_grad=True)
    loss = grpo_loss(now, torch.full((1, 3), -900.0), -torch.ones(1, 3), mask)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(now.grad).all()


def test_negative_log_likelihood():
    logprobs = torch.tensor([[-1.0, -2.0, -4.0]])
    mask = torch.tensor([[False, True, True]])
    costs = negative_log_likelihood(logprobs, torch.tensor([[9.0, 1.0, 0.5]]), mask)
    assert costs.tolist() == [[0.0, 2.0, 2.0]]


def test_kl_in_advantages_adds_up_what_follows():
    mask = torch.tensor([[False, True, True, False, True]])
    divergence = torch.tensor([[9.0, 1.0, 2.0, 9.0, 4.0]])
    got = kl_in_advantages(torch.ones(1, 5), divergence, mask, 0.5)
    assert got[mask].tolist() == [1 - 3.5, 1 - 3.0, 1 - 2.0]


def test_whiten():
    values = torch.tensor([[1.0, 2.0, 100.0], [3.0, 6.0, -50.0]])
    mask = torch.tensor([[True, True, False], [True, True, False]])
    got = whiten(values, mask)
    assert float(got[mask].mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(got[mask].std(correction=0)) == pytest.approx(1.0)
    assert (got[~mask] == 0).all()
    assert (whiten(torch.full((2, 3), 0.1), mask) == 0).all()


def test_bad_input_is_named():
    now, old, _, advantages, mask = batch()
    with pytest.raises(ValueError, match=r"behaviour_logprobs must have the shape of mask, \(4, 6\), got \(4, 5\)"):
        log_importance_weights(now, old[:, :5], mask)
    with pytest.raises(ValueError, match="mask must be bool"):
        log_importance_weights(now, old, mask.float())
    with pytest.raises(ValueError, match="level must be one of token, step"):
        log_importance_weights(now, old, mask, level="word")
    with pytest.raises(ValueError, match=r"clip_low must be in \[0, 1\] or None, got 1.5"):
        clipped_surrogate(now, advantages, clip_low=1.5)
    with pytest.raises(ValueError, match="clip_high must not be negative"):
        clipped_surrogate(now, advantages, clip_high=-0.1)
    with pytest.raises(ValueError, match="dual_clip must be above 1"):
        clipped_surrogate(now, advantages, dual_clip=1.1)
    with pytest.raises(ValueError, match=r"log_weights must be \[batch, token\] or \[batch, 1\]"):
        clipped_surrogate(now[:, :2], advantages)
    with pytest.raises(ValueError, match='normalise="constant" needs constant='):
        grpo_loss(now, old, advantages, mask, normalise="constant")
    with pytest.raises(ValueError, match="normalise must be"):
        grpo_loss(now, old, advantages, mask, normalise="mean")
    with pytest.raises(ValueError, match="needs reference_logprobs"):
        grpo_loss(now, old, advantages, mask, kl_coefficient=0.1)
