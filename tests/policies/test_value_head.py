"""Value heads: what they read, and how they are saved, loaded and missed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from rewardlab.policies.batching import collate
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.logprobs import token_logprobs_and_entropy
from rewardlab.policies.packing import pack
from rewardlab.policies.reading import read_tokens, state_values
from rewardlab.policies.rollout import Limits, rollout
from rewardlab.policies.value_head import FILE, MissingValueHead, ValueHead
from rewardlab.types import Tokens, Trajectory
from tests.policies.worlds import CORPUS, Echo, task

torch.set_num_threads(1)


def policy(lora=None, **options):
    made = LanguageModelPolicy.tiny(CORPUS, vocabulary_size=320, hidden=32, layers=2, heads=2, context=256, lora=lora)
    head = made.add_value_head(**options)
    with torch.no_grad():  # a fresh head says 0 of everything, which would hide mistakes
        head.layers[-1].weight.normal_(generator=torch.Generator().manual_seed(1))
    return made


def acted(acting, turns=3):
    return rollout(
        acting, Echo, [task("a"), task("bb", "What is 2 + 3? done")], sampling=Sampling(max_new_tokens=4),
        limits=Limits(turns=turns), seed=3,
    )  # fmt: skip


def by_hand(acting, ids):
    """Values of every state, from the states that transformers itself hands out."""
    with torch.no_grad():
        states = acting.model(input_ids=torch.as_tensor(ids)[None], output_hidden_states=True).hidden_states[-1]
        return acting.value_head(states)[0].numpy()


def test_a_fresh_head_says_nothing():
    made = LanguageModelPolicy.tiny(CORPUS, vocabulary_size=320, hidden=32, layers=1, heads=2)
    head = made.add_value_head(hidden=0)
    assert head(torch.randn(2, 3, 32)).tolist() == [[0.0] * 3] * 2
    with pytest.raises(ValueError, match="has a value head already"):
        made.add_value_head()
    with pytest.raises(ValueError, match="width must be positive"):
        ValueHead(0)


def test_values_are_those_of_the_states_before_written_tokens():
    acting = policy()
    made = acted(acting)
    for one, found in zip(made, state_values(acting, made, token_budget=64), strict=True):
        places = np.flatnonzero(one.tokens.step >= 0)
        assert found.before == pytest.approx(by_hand(acting, one.tokens.ids)[places - 1], abs=1e-5)
        assert found.after == 0.0


def test_the_state_behind_a_limit_knows_what_arrived():
    acting = policy()
    say, hear = {"role": "assistant", "content": "echo"}, {"role": "tool", "content": "done", "tool_call_id": "call_0"}
    longer = Trajectory(observations=[task("a").prompt, [hear], []], actions=[say, say])
    whole = acting.encode_demonstration(longer)
    cut = int(np.flatnonzero(whole.step == 0)[-1]) + 1
    second = int(np.flatnonzero(whole.step == 1)[0])
    tokens = Tokens(ids=whole.ids[:cut], step=whole.step[:cut], logprobs=whole.logprobs[:cut])
    made = Trajectory(observations=longer.observations[:2], actions=[say], truncated=True, tokens=tokens)
    (found,) = state_values(acting, [made], after=[True])
    # the tokens that a rollout would have read before its next action
    assert second > cut
    assert found.after == pytest.approx(by_hand(acting, whole.ids[:second])[-1], abs=1e-5)
    assert found.before.size == (tokens.step >= 0).sum()


@pytest.mark.parametrize("packed", [False, True])
def test_one_pass_reads_everything(packed):
    acting = policy()
    made = acted(acting)
    batch = collate([one.tokens for one in made])
    packing = pack([one.tokens.ids for one in made], [2]) if packed else None
    read = read_tokens(
        acting.model, batch.ids, batch.attention_mask, batch.written, temperature=0.7, packing=packing,
        entropy_gradient=True, value_head=acting.value_head,
    )  # fmt: skip
    logprobs, entropies = token_logprobs_and_entropy(
        acting.model, batch.ids, batch.attention_mask, positions_mask=batch.written, temperature=0.7
    )
    assert torch.allclose(read.logprobs, logprobs, atol=1e-5)
    assert torch.allclose(read.entropies.detach(), entropies, atol=1e-4)
    assert read.entropies.requires_grad
    for row, found in enumerate(state_values(acting, made)):
        assert read.values[row][batch.written[row]].detach().numpy() == pytest.approx(found.before, abs=1e-5)


def test_detached_values_leave_the_model_alone():
    acting = policy()
    batch = collate([acted(acting)[0].tokens])
    for detach, reaches in ((True, False), (False, True)):
        acting.model.zero_grad(set_to_none=True)
        read = read_tokens(
            acting.model, batch.ids, None, batch.written, value_head=acting.value_head, detach_states=detach
        )
        read.values.sum().backward()
        moved = [weight.grad is not None and bool(weight.grad.any()) for weight in acting.model.parameters()]
        assert any(moved) == reaches


@pytest.mark.parametrize("lora", [None, {"rank": 2}])
def test_saved_and_loaded_bit_for_bit(tmp_path, lora):
    acting = policy(lora=lora, hidden=8)
    made = acted(acting)
    acting.save(tmp_path)
    again = LanguageModelPolicy.load(tmp_path, device="cpu", value_head=True)
    assert json.loads((tmp_path / "policy.json").read_text())["value_head"] == {"width": 32, "hidden": 8}
    for left, right in zip(state_values(acting, made), state_values(again, made), strict=True):
        assert np.array_equal(left.before, right.before)
    assert LanguageModelPolicy.load(tmp_path, device="cpu", value_head=False).value_head is None


def test_a_missing_head_is_named_with_what_to_do(tmp_path):
    acting = policy()
    acting.save(tmp_path)
    (tmp_path / FILE).unlink()
    for wanted in (None, True):
        with pytest.raises(MissingValueHead, match=r"value_head.safetensors' is missing.*add_value_head\(\)"):
            LanguageModelPolicy.load(tmp_path, device="cpu", value_head=wanted)
    acting.value_head = None
    acting.save(tmp_path)
    assert LanguageModelPolicy.load(tmp_path, device="cpu").value_head is None
    with pytest.raises(MissingValueHead, match="was saved without a value head"):
        LanguageModelPolicy.load(tmp_path, device="cpu", value_head=True)
    with pytest.raises(MissingValueHead, match="the policy has no value head"):
        state_values(acting, acted(acting))


def test_weights_of_another_shape_are_refused(tmp_path):
    acting = policy(hidden=8)
    acting.save(tmp_path)
    about = json.loads((tmp_path / "policy.json").read_text())
    about["value_head"]["hidden"] = 4
    (tmp_path / "policy.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"does not fit policy.json"):
        LanguageModelPolicy.load(tmp_path, device="cpu")
