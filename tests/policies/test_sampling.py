from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.engines.sampling import derive_seed, draw, uniforms


def test_uniforms_belong_to_seed_and_position():
    block = uniforms([7, 8, -1], [3, 0, 2], 50)
    assert block.shape == (50, 3)
    assert (block >= 0).all()
    assert (block < 1).all()
    np.testing.assert_array_equal(uniforms([8], [10], 5)[:, 0], block[10:15, 1])
    np.testing.assert_array_equal(uniforms([7], [3], 50)[:, 0], block[:, 0])


def test_uniforms_are_uniform_and_unrelated():
    block = uniforms(list(range(400)), [0] * 400, 250)
    counts = np.histogram(block, bins=50, range=(0, 1))[0]
    assert np.abs(counts - 2000).max() < 6 * np.sqrt(2000)
    for axis in (0, 1):  # neighbours in time, and neighbouring seeds
        first, second = np.take(block, range(249), axis), np.take(block, range(1, 250), axis)
        assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 6 / np.sqrt(first.size)


def test_derived_seeds_differ():
    seeds = {derive_seed(a, b, c) for a in range(20) for b in range(20) for c in range(20)}
    assert len(seeds) == 8000
    assert derive_seed(1, 2) != derive_seed(2, 1)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("vocabulary", [11, 5000])
def test_frequencies_are_the_probabilities(temperature, vocabulary):
    logits = torch.randn(vocabulary, generator=torch.Generator().manual_seed(0)) * 2
    count = 40_000 if vocabulary < 100 else 2_000
    chances = torch.from_numpy(uniforms([1], [0], count)[:, 0])
    tokens, logprobs = draw(logits.expand(count, -1), Sampling(temperature=temperature), chances)
    expected = (logits / temperature).log_softmax(-1)
    torch.testing.assert_close(logprobs, expected[tokens], atol=1e-5, rtol=1e-5)
    bins = torch.arange(vocabulary) % 11  # of a large vocabulary, groups of tokens are counted
    probability = torch.zeros(11).index_add(0, bins, expected.exp())
    share = torch.bincount(bins[tokens], minlength=11) / count
    spread = (probability * (1 - probability) / count).sqrt()
    assert ((share - probability).abs() < 6 * spread + 1 / count).all()


def test_greedy_takes_the_largest():
    logits = torch.tensor([[0.0, 3.0, 1.0], [2.0, -1.0, 0.0]])
    tokens, logprobs = draw(logits, Sampling(temperature=0), torch.zeros(2, dtype=torch.float64))
    assert tokens.tolist() == [1, 0]
    torch.testing.assert_close(logprobs, logits.log_softmax(-1).amax(-1))


def test_cuts_keep_the_right_tokens_and_the_uncut_logprob():
    logits = torch.log(torch.tensor([0.4, 0.3, 0.2, 0.06, 0.04]))
    count = 3000
    chances = torch.from_numpy(uniforms([2], [0], count)[:, 0])
    for sampling, kept in (
        (Sampling(top_k=2), {0, 1}),
        (Sampling(top_k=99), {0, 1, 2, 3, 4}),
        (Sampling(top_p=0.65), {0, 1}),
        (Sampling(top_p=0.75), {0, 1, 2}),
        (Sampling(top_p=0.01), {0}),
        (Sampling(top_k=3, top_p=0.5), {0, 1}),
    ):
        tokens, logprobs = draw(logits.expand(count, -1), sampling, chances)
        assert set(tokens.tolist()) == kept
        torch.testing.assert_close(logprobs, logits[tokens], atol=1e-5, rtol=1e-5)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-200, 200) | st.just(float("-inf")), min_size=1, max_size=8).filter(
        lambda values: max(values) > float("-inf")
    ),
    st.sampled_from([0.0, 0.5, 1 - 2.0**-53, 1 - 2.0**-24, 2.0**-60]) | st.floats(0, 1, exclude_max=True),
)
def test_a_token_without_probability_is_never_drawn(values, chance):
    logits = torch.tensor([values], dtype=torch.float32)
    tokens, logprobs = draw(logits, Sampling(), torch.tensor([chance], dtype=torch.float64))
    assert logits.softmax(-1)[0, tokens[0]] > 0
    assert torch.isfinite(logprobs).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "temperature must be 0 .greedy. or positive, got -1"),
        ({"temperature": float("nan")}, "temperature must be"),
        ({"top_p": 0}, r"top_p must be in \(0, 1\], got 0"),
        ({"top_k": -2}, "top_k must be 0"),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1, got 0"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**options)
