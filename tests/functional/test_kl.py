from __future__ import annotations

import math

import pytest
import torch

from rewardlab.functional import kl_estimate


def exact(p, q):
    return float((p * (p / q).log()).sum())


def distributions():
    generator = torch.Generator().manual_seed(0)
    p = torch.softmax(torch.randn(6, dtype=torch.float64, generator=generator), 0)
    q = torch.softmax(p.log() + 0.3 * torch.randn(6, dtype=torch.float64, generator=generator), 0)
    return p, q


def test_by_hand():
    ours, theirs = torch.tensor([-1.0]), torch.tensor([-1.5])
    assert kl_estimate(ours, theirs, "k1").item() == 0.5
    assert kl_estimate(ours, theirs, "k2").item() == 0.125
    assert kl_estimate(ours, theirs, "k3").item() == pytest.approx(math.exp(-0.5) + 0.5 - 1)


def test_k1_and_k3_are_unbiased_and_k3_is_never_negative():
    p, q = distributions()
    for estimator in ("k1", "k3"):
        assert float((p * kl_estimate(p.log(), q.log(), estimator)).sum()) == pytest.approx(exact(p, q))
    assert (kl_estimate(p.log(), q.log(), "k3") >= 0).all()
    assert float((p * kl_estimate(p.log(), q.log(), "k2")).sum()) == pytest.approx(exact(p, q), rel=0.2)


def test_expected_gradients_are_the_documented_ones():
    p, q = distributions()
    logits = p.log().clone().requires_grad_()

    def expected_gradient(estimator):
        logprobs = torch.log_softmax(logits, 0)
        loss = (p * kl_estimate(logprobs, q.log(), estimator)).sum()  # the samples are fixed: p is not differentiated
        return torch.autograd.grad(loss, logits)[0]

    def gradient(divergence):
        return torch.autograd.grad(divergence(torch.softmax(logits, 0)), logits)[0]

    assert expected_gradient("k1").abs().max() < 1e-12
    assert torch.allclose(expected_gradient("k2"), gradient(lambda now: (now * (now / q).log()).sum()))
    assert torch.allclose(expected_gradient("k3"), gradient(lambda now: (q * (q / now).log()).sum()))


def test_far_apart_policies_stay_finite():
    got = kl_estimate(torch.tensor([-500.0], requires_grad=True), torch.tensor([0.0]), "k3")
    got.sum().backward()
    assert torch.isfinite(got).all()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="must have one shape"):
        kl_estimate(torch.zeros(2), torch.zeros(3))
    with pytest.raises(ValueError, match='estimator must be "k1", "k2" or "k3", got \'k4\''):
        kl_estimate(torch.zeros(2), torch.zeros(2), "k4")
