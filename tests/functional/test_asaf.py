from __future__ import annotations

import pytest
import torch

from rewardlab.functional.asaf import asaf_loss, window_log_ratios


def exact_loss(logit: torch.Tensor, expert: float = 0.8, old: float = 0.5) -> torch.Tensor:
    """Loss of one state and two actions, over the whole distribution."""
    new = torch.stack([torch.nn.functional.logsigmoid(logit), torch.nn.functional.logsigmoid(-logit)])
    ratio = new - torch.tensor([old, 1 - old], dtype=torch.float64).log()
    soft = torch.nn.functional.softplus
    return expert * soft(-ratio[0]) + (1 - expert) * soft(-ratio[1]) + old * soft(ratio[0]) + (1 - old) * soft(ratio[1])


def test_the_minimum_is_the_expert_and_the_first_gradient_half_of_clonings():
    best = torch.logit(torch.tensor(0.8, dtype=torch.float64)).requires_grad_()
    loss = exact_loss(best)
    loss.backward()
    assert loss.item() == pytest.approx(1.284951, abs=1e-6)
    assert best.grad.item() == pytest.approx(0.0, abs=1e-12)
    start = torch.zeros((), dtype=torch.float64, requires_grad=True)
    loss = exact_loss(start)
    loss.backward()
    assert loss.item() == pytest.approx(1.386294, abs=1e-6)
    assert start.grad.item() == pytest.approx(-0.15)
    cloning = torch.zeros((), dtype=torch.float64, requires_grad=True)
    soft = torch.nn.functional.softplus
    (0.8 * soft(-cloning) + 0.2 * soft(cloning)).backward()
    assert cloning.grad.item() == pytest.approx(-0.3)


def test_logits_agree_with_products_of_probabilities():
    generator = torch.Generator().manual_seed(0)
    new, old = torch.rand(2, 40, 5, generator=generator, dtype=torch.float64)
    logit = window_log_ratios(new.log(), old.log())
    share = new.prod(1) / (new.prod(1) + old.prod(1))
    by_product = -share[:20].log().mean() - (1 - share[20:]).log().mean()
    assert asaf_loss(logit[:20], logit[20:]).item() == pytest.approx(by_product.item(), abs=1e-10)


def test_long_windows_and_impossible_actions_do_not_overflow():
    new = torch.full((2, 1000), -0.01, requires_grad=True)
    old = torch.full((2, 1000), -50.0)
    old[0, 0] = -torch.inf
    ratios = window_log_ratios(new, old)
    loss = asaf_loss(ratios, ratios)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(new.grad).all()


def test_steps_past_the_end_count_for_nothing():
    new = torch.zeros(1, 3, requires_grad=True)
    ratios = window_log_ratios(new, torch.tensor([[-1.0, -2.0, -4.0]]), torch.tensor([[True, True, False]]))
    assert ratios.item() == 3.0
    ratios.sum().backward()
    assert new.grad.tolist() == [[1.0, 1.0, 0.0]]


def test_where_both_sides_are_alike_there_is_nothing_to_learn():
    logits = torch.zeros(6, requires_grad=True)
    asaf_loss(logits, logits).backward()
    assert logits.grad.abs().max().item() == 0.0
