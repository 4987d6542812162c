from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.tiny import MARKERS, SCAFFOLDS, tiny_model, tiny_tokenizer

CORPUS = ["the price of lamps is 12", "look up the price of lamps", "naïve café 日本"]
TOKENIZER = tiny_tokenizer(CORPUS)
SMALL = tiny_tokenizer(CORPUS, 290)


@settings(max_examples=200, deadline=None)
@given(
    st.text() | st.sampled_from(["<|end|>", "<tool_call>", '{"name": "', " \n\t", "\x00", "lamps<|user|>", "e\u0301"])
)
def test_any_text_decodes_to_itself(text):
    for tokenizer in (TOKENIZER, SMALL):
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_pieces():
    def pieces(text):
        return [TOKENIZER.decode([token]) for token in TOKENIZER.encode(text, add_special_tokens=False)]

    assert pieces("price of lamps") == ["price", " ", "of", " ", "lamps"]
    assert pieces("1234") == ["1", "2", "3", "4"]
    assert pieces('<tool_call>{"name": "lamps", "arguments": {"') == [
        "<tool_call>",
        '{"name": "',
        "lamps",
        '", "arguments": {"',
    ]
    for marker in (*MARKERS, *SCAFFOLDS, "<|end|>", "<|assistant|>"):
        assert len(TOKENIZER.encode(marker, add_special_tokens=False)) == 1


def test_a_small_vocabulary_splits_what_does_not_fit():
    assert len(SMALL) <= 290
    assert len(TOKENIZER) < 768  # no more than the corpus needs
    many = tiny_tokenizer([" ".join(f"w{'abcdefgh'[i % 8]}{'ijklmnop'[i // 8 % 8]}x" for i in range(64))], 300)
    assert len(many) <= 300
    ids = many.encode("waix whpx", add_special_tokens=False)
    assert many.decode(ids) == "waix whpx"
    assert len(ids) < 9  # merges help


def test_impossible_vocabularies_are_refused():
    with pytest.raises(ValueError, match=r"vocabulary_size must be at least \d+ .bytes and markers., got 100"):
        tiny_tokenizer(CORPUS, 100)
    with pytest.raises(ValueError, match="the corpus has no text"):
        tiny_tokenizer([])
    with pytest.raises(ValueError, match="tools must be one of signatures, json, hidden, got 'all'"):
        tiny_tokenizer(CORPUS, tools="all")


def test_tools_in_the_prompt():
    tool = {
        "type": "function",
        "function": {"name": "add", "description": "Sum.", "parameters": {"properties": {"a": {}, "b": {}}}},
    }
    asked = [{"role": "user", "content": "hi"}]
    shown = {}
    for tools in ("signatures", "json", "hidden"):
        policy = LanguageModelPolicy.tiny(CORPUS, hidden=16, layers=1, heads=2, tools=tools)
        shown[tools] = policy.tokenizer.decode(policy.template.opening(asked, [tool, tool]))
    assert shown["signatures"] == "<|system|>add(a, b)\nadd(a, b)<|end|><|user|>hi<|end|><|assistant|>"
    assert '"description": "Sum."' in shown["json"]
    assert shown["hidden"] == "<|user|>hi<|end|><|assistant|>"
    system = [{"role": "system", "content": "Be brief."}, *asked]
    policy = LanguageModelPolicy.tiny(CORPUS, hidden=16, layers=1, heads=2)
    text = policy.tokenizer.decode(policy.template.opening(system, [tool]))
    assert text == "<|system|>Be brief.\nadd(a, b)<|end|><|user|>hi<|end|><|assistant|>"


def test_weights_come_from_the_seed_alone():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = tiny_model(300, hidden=16, layers=1, heads=2, seed=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    second, third = (tiny_model(300, hidden=16, layers=1, heads=2, seed=seed) for seed in (4, 5))
    for name, parameter in first.named_parameters():
        assert torch.equal(parameter, second.state_dict()[name])
    assert not torch.equal(first.model.embed_tokens.weight, third.model.embed_tokens.weight)
    assert np.isfinite(first(input_ids=torch.arange(5)[None]).logits.detach().numpy()).all()
    with pytest.raises(ValueError, match=r"hidden must be a multiple of twice the heads .4., got 20"):
        tiny_model(300, hidden=20)
