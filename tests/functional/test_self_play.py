from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.functional.self_play import gpo_loss, gpo_on_table, mean_scores

CIRCLE = torch.tensor([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]], dtype=torch.float64)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_mean_scores_of_a_group_add_up_to_nothing(seed):
    scores = torch.randn(2, 5, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    scores = scores - scores.transpose(1, 2)
    assert torch.allclose(mean_scores(scores).sum(-1), torch.zeros(2, dtype=torch.float64), atol=1e-12)
    policy = torch.rand(2, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).softmax(-1)
    assert torch.allclose(
        (policy * mean_scores(scores, policy)).sum(-1), torch.zeros(2, dtype=torch.float64), atol=1e-12
    )


def test_a_score_of_one_pair_is_not_doubled():
    one_pair = torch.tensor([[0.0, 0.8], [-0.8, 0.0]])
    assert mean_scores(one_pair).tolist() == pytest.approx([0.4, -0.4])  # (0 + 0.8) / 2, and not 0.8


def test_the_loss_and_its_gradient_by_hand():
    logprobs = torch.tensor([-1.0, -2.0], requires_grad=True)
    loss = gpo_loss(logprobs, torch.tensor([-1.5, -2.0]), torch.tensor([0.2, -0.4]), beta=0.5)
    assert loss.tolist() == pytest.approx([(0.5 - 0.4) ** 2, 0.8**2])
    loss.sum().backward()
    assert logprobs.grad.tolist() == pytest.approx([2 * (0.5 - 0.4), 2 * 0.8])


def test_an_iteration_minimises_the_expected_loss():
    start = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    found = gpo_on_table(CIRCLE, beta=2.0, iterations=1, start=start).last
    logits = found.log().requires_grad_()
    loss = (start * gpo_loss(logits.log_softmax(0), start.log(), mean_scores(CIRCLE, start), beta=2.0)).sum()
    assert torch.autograd.grad(loss, logits)[0].abs().max() < 1e-8


def test_the_average_on_a_circle_is_near_even_while_the_policy_goes_round():
    start = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    play = gpo_on_table(CIRCLE, beta=20.0, iterations=2000, start=start)
    assert (play.average - 1 / 3).abs().sum() < 0.1
    assert (play.last - 1 / 3).abs().sum() > 0.3


def test_a_transitive_table_ends_at_its_best():
    values = torch.tensor([0.0, 1.0, -1.0])
    assert gpo_on_table(values[:, None] - values[None, :], beta=5.0, iterations=100).last.argmax() == 1


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="must have one shape"):
        gpo_loss(torch.zeros(2), torch.zeros(2), torch.zeros(3), beta=1.0)
    with pytest.raises(ValueError, match="beta must be positive and finite, got 0.0"):
        gpo_loss(torch.zeros(2), torch.zeros(2), torch.zeros(2), beta=0.0)
    with pytest.raises(ValueError, match=r"\[..., response, response\], got shape \(3, 2\)"):
        mean_scores(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="weights must have shape"):
        mean_scores(torch.zeros(3, 3), torch.zeros(2))
    with pytest.raises(ValueError, match="3 positive probabilities that add up to 1"):
        gpo_on_table(CIRCLE, beta=1.0, start=torch.tensor([1.0, 0.0, 0.0]))
