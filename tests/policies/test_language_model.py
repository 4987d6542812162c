from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.language_model import LanguageModelPolicy, LoraSettings
from rewardlab.types import Task, Trajectory
from tests.policies.models import make_model
from tests.policies.templates import LINES, THINKING, make_tokenizer

CORPUS = ["the price of lamps is 12", "look up the price of lamps"]
CONVERSATION = [{"role": "user", "content": "the price of lamps"}]
READER = """
import json, sys, torch
torch.set_num_threads(1)
from rewardlab.policies.language_model import LanguageModelPolicy
found = {}
for directory in sys.argv[2:]:
    policy = LanguageModelPolicy.load(directory, device="cpu")
    ids = policy.template.opening([{"role": "user", "content": "the price of lamps"}])
    with torch.no_grad():
        logits = policy.model(input_ids=torch.tensor([ids])).logits
    found[directory] = [ids, logits.numpy().tobytes().hex(), policy.tool_syntax, policy.template.options]
open(sys.argv[1], "w").write(json.dumps(found))
"""


def tiny(**options):
    return LanguageModelPolicy.tiny(CORPUS, hidden=16, layers=2, heads=2, **options)


def shake(policy, pattern=""):
    """Give the trained weights some other values, as training would."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if parameter.requires_grad and pattern in name:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)


def logits_of(policy):
    ids = policy.template.opening(CONVERSATION)
    policy.model.eval()
    with torch.no_grad():
        return ids, policy.model(input_ids=torch.tensor([ids])).logits.numpy()


def test_a_fresh_process_gets_the_same_bits(tmp_path):
    full, adapted, both = tiny(), tiny(lora=LoraSettings(rank=4)), tiny(lora={"rank": 2, "save_also": ["lm_head"]})
    full.tool_syntax = "bfcl"
    full.template.options["mood"] = "calm"
    for name, policy in (("full", full), ("adapted", adapted), ("both", both)):
        shake(policy)
        policy.save(tmp_path / name)
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert not {name for name in files if name.endswith((".bin", ".pt", ".pkl", ".pickle"))}
    directories = [str(tmp_path / name) for name in ("full", "adapted", "both")]
    subprocess.run([sys.executable, "-c", READER, str(tmp_path / "found.json"), *directories], check=True)
    found = json.loads((tmp_path / "found.json").read_text())
    for policy, directory in zip((full, adapted, both), directories, strict=True):
        ids, logits = logits_of(policy)
        assert found[directory][0] == ids
        assert found[directory][1] == logits.tobytes().hex()
    assert found[directories[0]][2:] == ["bfcl", {"mood": "calm"}]


def test_adapters_are_restored_and_go_on_training(tmp_path):
    policy = tiny(lora={"rank": 4})
    shake(policy, "lora_")
    policy.save(tmp_path)
    again = LanguageModelPolicy.from_pretrained(tmp_path, device="cpu")
    trainable = {name for name, parameter in again.model.named_parameters() if parameter.requires_grad}
    assert trainable
    assert all("lora_" in name for name in trainable)
    again.save(tmp_path / "again")
    assert np.array_equal(logits_of(LanguageModelPolicy.load(tmp_path / "again"))[1], logits_of(policy)[1])
    with pytest.raises(ValueError, match="is a saved policy, whose adapters are loaded as they were saved"):
        LanguageModelPolicy.from_pretrained(tmp_path, lora={"rank": 2})


def test_adapters_on_a_named_model_save_without_it(tmp_path):
    base = tiny()
    base.model.save_pretrained(tmp_path / "model")
    base.tokenizer.save_pretrained(tmp_path / "model")
    policy = LanguageModelPolicy.from_pretrained(tmp_path / "model", lora=LoraSettings(rank=2, targets=("q_proj",)))
    shake(policy)
    policy.save(tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "base").exists()
    again = LanguageModelPolicy.load(tmp_path / "adapter")
    assert np.array_equal(logits_of(again)[1], logits_of(policy)[1])


def test_adapters_start_from_their_seed():
    def factors(seed):
        policy = tiny(lora=LoraSettings(rank=2, seed=seed))
        return {name: tensor for name, tensor in policy.model.named_parameters() if "lora_A" in name}

    torch.manual_seed(1)
    first = factors(0)
    torch.manual_seed(2)
    assert all(torch.equal(first[name], tensor) for name, tensor in factors(0).items())
    assert not any(torch.equal(first[name], tensor) for name, tensor in factors(1).items())


def test_other_programs_can_load_what_is_saved(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    policy = tiny()
    policy.save(tmp_path)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer.apply_chat_template(CONVERSATION, add_generation_prompt=True, return_dict=False)
    assert ids == policy.template.opening(CONVERSATION)
    with torch.no_grad():
        assert np.array_equal(model(input_ids=torch.tensor([ids])).logits.numpy(), logits_of(policy)[1])


def test_a_model_without_template_says_how_to_give_one(tmp_path):
    model = make_model("llama")
    model.save_pretrained(tmp_path)
    make_tokenizer(None).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"has no chat template.*chat_template=\.\.\.\): a Jinja text, or the path"):
        LanguageModelPolicy.from_pretrained(tmp_path)
    policy = LanguageModelPolicy.from_pretrained(tmp_path, chat_template=THINKING, tool_syntax="toolrl")
    assert "You are a default." in policy.tokenizer.decode(policy.template.opening(CONVERSATION))
    (tmp_path / "lines.jinja").write_text(LINES)
    policy = LanguageModelPolicy.from_pretrained(tmp_path, chat_template=tmp_path / "lines.jinja")
    policy.save(tmp_path / "saved")
    again = LanguageModelPolicy.load(tmp_path / "saved")
    assert again.template.opening(CONVERSATION) == policy.template.opening(CONVERSATION)


def test_a_tokenizer_without_padding_token():
    policy = LanguageModelPolicy(make_model("llama"), make_tokenizer(THINKING, pad=None))
    assert policy.tokenizer.pad_token_id is None
    assert policy.pad_id == policy.tokenizer.eos_token_id


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"tool_syntax must be one of auto, hermes, .*, got 'xml'"):
        LanguageModelPolicy(make_model("llama"), make_tokenizer(THINKING), tool_syntax="xml")
    with pytest.raises(FileNotFoundError, match="holds no saved policy .policy.json is missing.; use from_pretrained"):
        LanguageModelPolicy.load(tmp_path)
    (tmp_path / "policy.json").write_text('{"format": 9}')
    with pytest.raises(ValueError, match="has format 9, this version reads format 1"):
        LanguageModelPolicy.load(tmp_path)
    with pytest.raises(TypeError, match="rang"):
        tiny(lora={"rang": 3})
    control = Trajectory(observations=np.zeros((2, 3)), actions=np.zeros((1, 2)))
    with pytest.raises(TypeError, match="needs a chat trajectory, got one that holds arrays"):
        tiny().encode_demonstration(control)


def test_respond_reads_what_it_samples():
    policy = tiny()
    answers = policy.respond([CONVERSATION] * 3, sampling=Sampling(max_new_tokens=6), seed=1)
    assert [answer["role"] for answer in answers] == ["assistant"] * 3
    assert answers == policy.respond([CONVERSATION] * 3, sampling=Sampling(max_new_tokens=6), seed=1)
    read = policy.read('<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>')
    assert read["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a": 1}'}
    assert policy.read("<tool_call>{oops</tool_call>")["content"] == "<tool_call>{oops</tool_call>"


def test_demonstrations_mark_what_the_policy_would_write():
    policy = tiny()
    calling = policy.read('<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>')
    messages = [*CONVERSATION, calling, {"role": "tool", "content": "12", "tool_call_id": "call_0"}]
    messages.append({"role": "assistant", "content": "12"})
    trajectory = Trajectory.from_messages(messages, task=Task(id="t", prompt=CONVERSATION))
    tokens = policy.encode_demonstration(trajectory)
    parts = [policy.tokenizer.decode(tokens.ids[tokens.step == step]) for step in (-1, 0, 1)]
    assert parts[0] == "<|user|>the price of lamps<|end|><|assistant|><|tool|>12<|end|><|assistant|>"
    assert parts[1] == '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call><|end|>'
    assert parts[2] == "12<|end|>"
    assert (tokens.logprobs == 0).all()
