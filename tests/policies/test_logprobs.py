from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.policies.batching import collate, micro_batches
from rewardlab.policies.logprobs import token_logprobs, token_logprobs_and_entropy
from rewardlab.types import Tokens


@pytest.fixture(scope="module")
def model():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=61,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).eval()


def by_hand(model, row, temperature):
    logits = model(input_ids=torch.tensor([row])).logits[0].double() / temperature
    everything = logits.log_softmax(-1)
    return [0.0] + [float(everything[place - 1, row[place]]) for place in range(1, len(row))]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_padded_batch_equals_single_rows(model, temperature):
    rows = [[1, 5, 9, 33, 2], [4, 4], [60, 3, 7, 8, 9, 10, 11]]
    batch = collate([Tokens(ids=row, step=[0] * len(row), logprobs=[0.0] * len(row)) for row in rows], pad_id=17)
    with torch.no_grad():
        got = token_logprobs(model, batch.ids, batch.attention_mask, temperature=temperature)
        for index, row in enumerate(rows):
            np.testing.assert_allclose(got[index, : len(row)], by_hand(model, row, temperature), atol=1e-5)
            assert (got[index, len(row) :] == 0).all()


def test_positions_mask_picks_and_gradient_is_the_same(model):
    ids = torch.randint(0, 61, (3, 9), generator=torch.Generator().manual_seed(1))
    wanted = torch.rand((3, 9), generator=torch.Generator().manual_seed(2)) < 0.5
    full = torch.where(wanted, token_logprobs(model, ids), 0.0)
    full.sum().backward()
    expected = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    part = token_logprobs(model, ids, positions_mask=wanted)
    torch.testing.assert_close(part, full)
    part.sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], atol=1e-5, rtol=1e-4)
    model.zero_grad()
    assert not model.lm_head._forward_pre_hooks


def test_gradient_checkpointing_gives_the_same_gradient(model):
    ids = torch.randint(0, 61, (2, 7), generator=torch.Generator().manual_seed(1))
    token_logprobs(model, ids).sum().backward()
    expected = model.model.embed_tokens.weight.grad.clone()
    model.zero_grad()
    model.gradient_checkpointing_enable()
    model.train()
    token_logprobs(model, ids).sum().backward()
    model.gradient_checkpointing_disable()
    model.eval()
    torch.testing.assert_close(model.model.embed_tokens.weight.grad, expected)
    model.zero_grad()


def test_only_wanted_positions_meet_the_vocabulary(model):
    seen = []
    handle = model.lm_head.register_forward_hook(lambda layer, inputs, output: seen.append(tuple(output.shape)))
    wanted = torch.zeros((2, 8), dtype=torch.bool)
    wanted[0, 3] = wanted[1, 7] = wanted[1, 0] = True  # the first token of a row has nothing before it
    token_logprobs(model, torch.ones((2, 8), dtype=torch.long), positions_mask=wanted)
    handle.remove()
    assert seen == [(2, 61)]


def test_nothing_wanted_still_backpropagates(model):
    result = token_logprobs(model, torch.ones((1, 4), dtype=torch.long), positions_mask=torch.zeros((1, 4)).bool())
    result.sum().backward()
    assert (model.lm_head.weight.grad == 0).all()
    model.zero_grad()


def test_entropy_matches_the_definition(model):
    ids = torch.randint(0, 61, (2, 6), generator=torch.Generator().manual_seed(3))
    logprobs, entropy = token_logprobs_and_entropy(model, ids, temperature=0.5)
    everything = torch.distributions.Categorical(logits=model(input_ids=ids).logits / 0.5).entropy()
    torch.testing.assert_close(entropy[:, 1:], everything[:, :-1], atol=1e-5, rtol=1e-5)
    assert not entropy.requires_grad
    torch.testing.assert_close(logprobs, token_logprobs(model, ids, temperature=0.5))


def test_wrapped_by_peft_and_by_module(model):
    class Wrapper(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.module = inner

        def forward(self, **arguments):
            return self.module(**arguments)

    ids = torch.randint(0, 61, (2, 6), generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(token_logprobs(Wrapper(model), ids), token_logprobs(model, ids))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": torch.ones(4, dtype=torch.long)}, r"\[batch, token\]"),
        ({"ids": torch.ones((1, 4), dtype=torch.long), "temperature": 0.0}, "temperature must be positive, got 0.0"),
        ({"ids": torch.ones((1, 3), dtype=torch.long), "attention_mask": torch.tensor([[0, 1, 1]])}, "on the right"),
        ({"ids": torch.ones((1, 3), dtype=torch.long), "attention_mask": torch.ones(1, 2)}, r"shape \(1, 3\)"),
        ({"ids": torch.ones((1, 3), dtype=torch.long), "positions_mask": torch.ones(2, 3)}, "positions_mask"),
    ],
)
def test_wrong_arguments_are_named(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        token_logprobs(model, **arguments)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 120), st.none() | st.integers(1, 5))
def test_micro_batches_cover_once_and_keep_the_budget(lengths, budget, most):
    batches = micro_batches(lengths, budget, most=most)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget
        assert most is None or len(batch) <= most


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    budget=st.integers(1, 200),
    overhead=st.integers(0, 60),
)
def test_micro_batches_cost_least_of_all_cuts(lengths, budget, overhead):
    def cost(batches):
        return sum(overhead + batch[0] * len(batch) for batch in batches)

    ordered = sorted(lengths, reverse=True)
    allowed = []
    for cuts in itertools.product([False, True], repeat=len(ordered) - 1):
        batches = [[ordered[0]]]
        for cut, length in zip(cuts, ordered[1:], strict=True):
            if cut:
                batches.append([length])
            else:
                batches[-1].append(length)
        if all(len(batch) == 1 or batch[0] * len(batch) <= budget for batch in batches):
            allowed.append(cost(batches))
    found = micro_batches(lengths, budget, overhead=overhead)
    assert cost([[lengths[index] for index in batch] for batch in found]) == min(allowed)


def test_micro_batches_of_one_length_fill_the_budget():
    assert [len(batch) for batch in micro_batches([10] * 25, 100)] == [10, 10, 5]


def test_micro_batches_refuse_a_negative_overhead():
    with pytest.raises(ValueError, match="overhead must be at least 0, got -1"):
        micro_batches([1], 10, overhead=-1)


def test_micro_batches_refuse_an_empty_budget():
    with pytest.raises(ValueError, match="token_budget must be at least 1, got 0"):
        micro_batches([1], 0)
