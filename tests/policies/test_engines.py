from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardlab.policies.engines.base import Request, Sampling
from rewardlab.policies.engines.batched import BatchedEngine
from rewardlab.policies.engines.forward import UnsupportedModel
from rewardlab.policies.language_model import add_lora
from tests.policies.models import FUSED, GENERIC, PLAIN, greedy_by_hand, logprobs_by_hand, make_model, prompts

EACH = [*(("fused", kind) for kind in FUSED), *(("generic", kind) for kind in GENERIC), *(("plain", k) for k in PLAIN)]
GREEDY = Sampling(temperature=0, max_new_tokens=12)


class Spy:
    """Counts what goes through a forward pass."""

    def __init__(self, engine):
        engine.forward_kind  # makes the choice
        self.inner, self.store = engine._forward, engine._forward.store
        self.spans = []
        engine._forward = self

    def refresh(self):
        self.inner.refresh()

    def __call__(self, span):
        self.spans.append(span)
        return self.inner(span)

    def tokens_read(self):
        return sum(len(span.tokens) for span in self.spans if span.counts is not None)


@pytest.mark.parametrize(("way", "kind"), EACH)
def test_greedy_equals_the_plain_forward_token_for_token(way, kind):
    model = make_model(kind)
    engine = BatchedEngine(model, [], forward=way)
    contexts = prompts(5, 17, 1, 30) + prompts(17, seed=1)
    contexts += [contexts[1], [*contexts[3][:20], 4, 5], [*contexts[3][:20], 7]]
    completions = engine.generate([Request(ids=ids) for ids in contexts], GREEDY)
    for context, completion in zip(contexts, completions, strict=True):
        assert completion.ids == greedy_by_hand(model, context, 12)
        np.testing.assert_allclose(completion.logprobs, logprobs_by_hand(model, context, completion.ids), atol=1e-4)
        assert not completion.stopped


@pytest.mark.parametrize(("way", "kind"), EACH)
def test_conversations_continue_exactly(way, kind):
    """Turns of ragged length: each token's log-probability equals that of one pass over the whole context."""
    model = make_model(kind)
    engine = BatchedEngine(model, [3, 4, 5], forward=way, prefill_tokens=24)
    contexts = prompts(9, 2, 14, 5, 9)
    sampling = Sampling(temperature=0.9, max_new_tokens=7)
    for turn in range(3):
        requests = [Request(ids=ids, seed=row, conversation=row) for row, ids in enumerate(contexts)]
        completions = engine.generate(requests, sampling)
        for row, completion in enumerate(completions):
            assert 1 <= len(completion.ids) <= 7
            assert completion.stopped == (completion.ids[-1] in (3, 4, 5))
            assert not set(completion.ids[:-1]) & {3, 4, 5}
            expected = logprobs_by_hand(model, contexts[row], completion.ids, 0.9)
            np.testing.assert_allclose(completion.logprobs, expected, atol=1e-4)
            contexts[row] = contexts[row] + completion.ids + prompts(1 + (row + turn) % 4, seed=turn)[0]


@pytest.mark.parametrize("kind", FUSED)
def test_fused_is_chosen_by_itself(kind):
    assert BatchedEngine(make_model(kind), []).forward_kind == "fused"


@pytest.mark.parametrize(
    ("kind", "way"), [("gpt2", "generic"), ("gemma3", "generic"), ("bloom", "plain"), ("mamba", "plain")]
)
def test_other_models_fall_back(kind, way):
    assert BatchedEngine(make_model(kind), []).forward_kind == way


def test_insisting_on_a_way_that_does_not_fit_says_why():
    with pytest.raises(UnsupportedModel, match="fused forward does not fit this model: GPT2LMHeadModel is not one of"):
        BatchedEngine(make_model("gpt2"), [], forward="fused").generate([Request(ids=[1])], GREEDY)
    with pytest.raises(UnsupportedModel, match="sliding window of 7"):
        BatchedEngine(make_model("mistral_window"), [], forward="fused").generate([Request(ids=[1])], GREEDY)
    with pytest.raises(ValueError, match="forward must be auto, fused, generic or plain, got 'quick'"):
        BatchedEngine(make_model("llama"), [], forward="quick")


def test_a_model_that_computes_something_else_is_not_fused(caplog):
    """A changed layer inside a known architecture is noticed by comparing logits, not by its name."""
    model = make_model("llama")
    model.model.layers[1].mlp.register_forward_hook(lambda layer, inputs, output: output * 1.5)
    with caplog.at_level("INFO"):
        engine = BatchedEngine(model, [])
        assert engine.forward_kind == "generic"
    assert "its logits differ from the model's own" in caplog.text
    assert engine.generate([Request(ids=[1, 2])], GREEDY)[0].ids == greedy_by_hand(model, [1, 2], 12)


@pytest.mark.parametrize("way", ["fused", "generic"])
def test_neighbours_do_not_change_what_is_sampled(way):
    model = make_model("llama")
    contexts = prompts(6, 11, 3, 20, 6)
    requests = [Request(ids=ids, seed=100 + row) for row, ids in enumerate(contexts)]
    sampling = Sampling(max_new_tokens=15)
    engine = BatchedEngine(model, [3, 9], forward=way)
    together = engine.generate(requests, sampling)
    for order in ([4, 2, 0, 3, 1], [3], [1, 0]):
        for place, completion in zip(order, engine.generate([requests[p] for p in order], sampling), strict=True):
            assert completion.ids == together[place].ids
    again = BatchedEngine(model, [3, 9], forward=way).generate(requests, sampling)
    assert again == together


def test_seeds_matter():
    engine = BatchedEngine(make_model("llama"), [])
    ids = prompts(8)[0]
    drawn = engine.generate([Request(ids=ids, seed=seed) for seed in range(6)], Sampling(max_new_tokens=10))
    assert len({tuple(completion.ids) for completion in drawn}) == 6


def test_a_group_is_read_once_and_a_shared_start_too():
    engine = BatchedEngine(make_model("llama"), [])
    spy = Spy(engine)
    shared = prompts(40)[0]
    contexts = [shared + [row] * 3 for row in range(4)]
    engine.generate([Request(ids=contexts[row % 4], seed=row) for row in range(16)], Sampling(max_new_tokens=2))
    assert spy.tokens_read() == 40 + 4 * 3


def test_only_new_tokens_are_read_in_later_turns():
    engine = BatchedEngine(make_model("llama"), [])
    spy = Spy(engine)
    contexts = prompts(20, 25, 30)
    sampling = Sampling(max_new_tokens=4)
    first = engine.generate([Request(ids=c, conversation=r) for r, c in enumerate(contexts)], sampling)
    assert spy.tokens_read() == 75
    contexts = [c + completion.ids + [1, 2, 3] for c, completion in zip(contexts, first, strict=True)]
    engine.generate([Request(ids=c, conversation=r) for r, c in enumerate(contexts)], sampling)
    assert spy.tokens_read() == 75 + 3 * 4  # the last sampled token and the three that arrived
    engine.refresh()
    engine.generate([Request(ids=contexts[0], conversation=0)], sampling)
    assert spy.tokens_read() == 75 + 3 * 4 + 27


def test_finished_rows_leave_the_batch():
    model = make_model("llama")
    engine = BatchedEngine(model, range(20))
    spy = Spy(engine)
    completions = engine.generate([Request(ids=[50], seed=row) for row in range(30)], Sampling(max_new_tokens=40))
    rows = [span.rows for span in spy.spans[1:]]
    assert rows == sorted(rows, reverse=True)
    # a row takes part in one step for every token but its last, and in none after that
    assert sum(rows) == sum(len(completion.ids) - 1 for completion in completions)


def test_conversations_that_wait_keep_their_place():
    model = make_model("qwen3")
    engine = BatchedEngine(model, [1, 2, 3, 4, 5, 6])
    sampling = Sampling(max_new_tokens=9)
    contexts = dict(enumerate(prompts(*range(4, 16))))
    generator = np.random.default_rng(0)
    for round_ in range(12):
        chosen = sorted(generator.choice(12, size=int(generator.integers(1, 12)), replace=False).tolist())
        generator.shuffle(chosen)
        passing = [Request(ids=ids, seed=9) for ids in prompts(6, 3, seed=round_)]
        requests = [Request(ids=contexts[name], seed=name, conversation=name) for name in chosen] + passing
        for request, completion in zip(requests, engine.generate(requests, sampling), strict=True):
            expected = logprobs_by_hand(model, list(request.ids), completion.ids)
            np.testing.assert_allclose(completion.logprobs, expected, atol=1e-4)
            if request.conversation is not None:
                contexts[request.conversation] = contexts[request.conversation] + completion.ids + [7]
        contexts = {name: ids if len(ids) < 90 else ids[:5] for name, ids in contexts.items()}  # some are rewritten
        engine.release([round_, "unknown"])


def test_new_weights_are_used_after_refresh():
    model = make_model("llama")
    engine = BatchedEngine(model, [])
    ids = prompts(8)[0]
    engine.generate([Request(ids=ids)], GREEDY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5))
    engine.refresh()
    assert engine.generate([Request(ids=ids)], GREEDY)[0].ids == greedy_by_hand(model, ids, 12)


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_lora_is_merged(kind):
    model = add_lora(make_model(kind), {"rank": 4, "alpha": 8.0, "save_also": ["lm_head"]})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)) * 0.2)
    engine = BatchedEngine(model, [])
    assert engine.forward_kind == "fused"
    ids = prompts(8)[0]
    completion = engine.generate([Request(ids=ids, seed=1)], Sampling(max_new_tokens=12))[0]
    np.testing.assert_allclose(completion.logprobs, logprobs_by_hand(model, ids, completion.ids), atol=1e-4)
    with model.disable_adapter():
        engine.refresh()
        bare = engine.generate([Request(ids=ids)], GREEDY)[0].ids
        assert bare == greedy_by_hand(model, ids, 12)


def test_dora_is_left_to_the_models_own_forward():
    import peft

    config = peft.LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear", use_dora=True)
    model = peft.get_peft_model(make_model("llama"), config)
    assert BatchedEngine(model, []).forward_kind == "generic"


def test_training_mode_comes_back_and_dropout_is_off():
    model = add_lora(make_model("llama"), {"rank": 4, "dropout": 0.5})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter += 0.2
    model.train()
    ids = prompts(8)[0]
    for way in ("fused", "generic", "plain"):
        completion = BatchedEngine(model, [], forward=way).generate([Request(ids=ids)], GREEDY)[0]
        assert model.training
        model.eval()
        np.testing.assert_allclose(completion.logprobs, logprobs_by_hand(model, ids, completion.ids), atol=1e-4)
        model.train()


def test_bfloat16_works():
    model = make_model("qwen3").to(torch.bfloat16)
    for way in ("fused", "generic"):
        completion = BatchedEngine(model, [], forward=way).generate([Request(ids=prompts(8)[0])], GREEDY)[0]
        expected = logprobs_by_hand(model, prompts(8)[0], completion.ids)
        np.testing.assert_allclose(completion.logprobs, expected, atol=0.15)


def test_limits_and_stops():
    engine = BatchedEngine(make_model("llama"), range(83))  # every token stops
    completion = engine.generate([Request(ids=[1, 2, 3])], Sampling(max_new_tokens=9))[0]
    assert completion.stopped
    assert len(completion.ids) == 1
    engine = BatchedEngine(make_model("llama"), [])
    requests = [Request(ids=[1, 2], max_new_tokens=3), Request(ids=[1, 2]), Request(ids=list(range(80)) + [1] * 45)]
    lengths = [len(completion.ids) for completion in engine.generate(requests, Sampling(max_new_tokens=5))]
    assert lengths == [3, 5, 3]  # the last one meets the end of the model's context of 128
    assert engine.generate([], Sampling()) == []


@pytest.mark.parametrize("way", ["fused", "generic", "plain"])
def test_bad_requests_are_named(way):
    engine = BatchedEngine(make_model("llama"), [], forward=way)
    with pytest.raises(ValueError, match="request 1 has an empty prompt"):
        engine.generate([Request(ids=[1]), Request(ids=[])], GREEDY)
    with pytest.raises(
        ValueError, match="request 0 has a prompt of 128 tokens, which leaves no room in the model's context of 128"
    ):
        engine.generate([Request(ids=[1] * 128)], GREEDY)
    with pytest.raises(ValueError, match="names conversation 'a' a second time"):
        engine.generate([Request(ids=[1], conversation="a"), Request(ids=[2], conversation="a")], GREEDY)
    with pytest.raises(ValueError, match="max_new_tokens must be at least 1, got 0"):
        engine.generate([Request(ids=[1], max_new_tokens=0)], GREEDY)


def test_weights_that_diverged_are_reported():
    model = make_model("llama")
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    with pytest.raises(ValueError, match="logits are not finite numbers for request 0: its weights have diverged"):
        BatchedEngine(model, [], forward="plain").generate([Request(ids=[1, 2])], Sampling(max_new_tokens=3))
    good = make_model("llama")
    engine = BatchedEngine(good, [])
    engine.forward_kind  # chosen while the weights were good
    with torch.no_grad():
        good.model.norm.weight[0] = float("nan")
    engine.refresh()
    with pytest.raises(ValueError, match="logits are not finite numbers for request 0: its weights have diverged"):
        engine.generate([Request(ids=[1, 2])], Sampling(max_new_tokens=3))


def test_room_grows_while_a_long_action_is_drawn():
    model = make_model("llama")
    model.config.max_position_embeddings = 600
    engine = BatchedEngine(model, [])
    completion = engine.generate([Request(ids=[1, 2, 3])], Sampling(max_new_tokens=400))[0]
    assert len(completion.ids) == 400
    np.testing.assert_allclose(completion.logprobs, logprobs_by_hand(model, [1, 2, 3], completion.ids), atol=1e-4)


@pytest.mark.parametrize("every", [2, 5, 64])
def test_looking_less_often_changes_nothing(every):
    """How it runs on a GPU: rows that have ended are computed on for a while, and what they draw then is dropped."""
    model = make_model("llama")
    seldom, often = (BatchedEngine(model, [3, 9, 20, 31], check_every=steps) for steps in (every, 1))
    sampling = Sampling(max_new_tokens=19)
    contexts = prompts(6, 11, 3, 20, 6, 9)
    for turn in range(3):
        requests = [
            Request(ids=ids, seed=row, conversation=row, max_new_tokens=None if row else 3)
            for row, ids in enumerate(contexts)
        ]
        found, expected = seldom.generate(requests, sampling), often.generate(requests, sampling)
        for left, right in zip(found, expected, strict=True):
            assert (left.ids, left.stopped) == (right.ids, right.stopped)
            np.testing.assert_allclose(left.logprobs, right.logprobs, atol=1e-4)
        contexts = [ids + completion.ids + [turn, 7] for ids, completion in zip(contexts, found, strict=True)]
    with pytest.raises(ValueError, match="check_every must be at least 1, got 0"):
        BatchedEngine(model, [], check_every=0)
