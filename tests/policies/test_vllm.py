"""Checks how arguments and results are mapped, against a stand-in: vLLM itself is not installed where these tests run."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from types import SimpleNamespace

import pytest
import torch

from rewardlab.extras import MissingExtra
from rewardlab.policies.engines.base import Request, Sampling
from rewardlab.policies.engines.vllm import VllmEngine, merged_weights
from rewardlab.policies.language_model import LanguageModelPolicy, add_lora
from tests.policies.worlds import CORPUS


class StandIn:
    def __init__(self, **options):
        self.options, self.calls, self.loaded, self.resets = options, [], {}, 0

    def generate(self, prompts, settings, use_tqdm):
        self.calls.append((prompts, settings, use_tqdm))
        made = []
        for prompt, setting in zip(prompts, settings, strict=True):
            ids = (prompt["prompt_token_ids"][-1], 7)
            scores = [{token: SimpleNamespace(logprob=-float(token))} for token in ids]
            reason = "stop" if setting.max_tokens > 5 else "length"
            made.append(
                SimpleNamespace(outputs=[SimpleNamespace(token_ids=ids, logprobs=scores, finish_reason=reason)])
            )
        return made

    def apply_model(self, function):
        function(SimpleNamespace(load_weights=lambda weights: self.loaded.update(weights)))

    def reset_prefix_cache(self):
        self.resets += 1


@pytest.fixture
def vllm(monkeypatch):
    module = types.ModuleType("vllm")
    module.__spec__ = importlib.machinery.ModuleSpec("vllm", None)
    module.LLM, module.SamplingParams = StandIn, SimpleNamespace
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")


@pytest.fixture(scope="module")
def policy():
    return LanguageModelPolicy.tiny(CORPUS, hidden=16, layers=1, heads=2)


def test_arguments_and_results(vllm, policy):
    engine = VllmEngine(policy, "some/model", gpu_memory_utilization=0.4)
    assert engine.llm.options == {
        "model": "some/model",
        "logprobs_mode": "processed_logprobs",
        "enable_prefix_caching": True,
        "gpu_memory_utilization": 0.4,
    }
    requests = [Request(ids=[1, 2], seed=3), Request(ids=[4], seed=2**40, max_new_tokens=5)]
    first, second = engine.generate(requests, Sampling(temperature=0.5, max_new_tokens=9))
    assert (first.ids, first.logprobs, first.stopped) == ([2, 7], [-2.0, -7.0], True)
    assert (second.ids, second.stopped) == ([4, 7], False)
    prompts, settings, _ = engine.llm.calls[0]
    assert prompts == [{"prompt_token_ids": [1, 2]}, {"prompt_token_ids": [4]}]
    assert [setting.max_tokens for setting in settings] == [9, 5]
    assert settings[0].temperature == 0.5
    assert settings[0].stop_token_ids == sorted(policy.stop_ids)
    assert 0 <= settings[1].seed < 2**31
    with pytest.raises(ValueError, match="samples with temperature alone, got top_k=3"):
        engine.generate(requests, Sampling(top_k=3))
    with pytest.raises(ValueError, match="request 0 has an empty prompt"):
        engine.generate([Request(ids=[])], Sampling())
    with pytest.raises(ValueError, match="was not loaded by name"):
        VllmEngine(policy)


def test_weights_are_handed_over_merged(vllm):
    policy = LanguageModelPolicy.tiny(CORPUS, hidden=16, layers=1, heads=2)
    plain = {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}
    assert set(dict(merged_weights(policy.model))) == set(plain)
    policy.model = add_lora(policy.model, {"rank": 2, "targets": ["q_proj"]})
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if "lora_" in name:
                parameter.fill_(0.1)
    engine = VllmEngine(policy, "some/model")
    engine.refresh()
    assert engine.llm.resets == 1
    assert set(engine.llm.loaded) == set(plain)
    merged = policy.model.merge_and_unload().state_dict()
    for name, tensor in engine.llm.loaded.items():
        torch.testing.assert_close(tensor, merged[name])
    assert not torch.equal(
        engine.llm.loaded["model.layers.0.self_attn.q_proj.weight"], plain["model.layers.0.self_attn.q_proj.weight"]
    )


def test_without_vllm_the_error_says_how_to_install_it(policy, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtra, match="needs the package 'vllm', which is not installed; run: pip install vllm"):
        VllmEngine(policy, "some/model")
