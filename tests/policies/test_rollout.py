from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardlab.environments.tool_desk import ToolDesk
from rewardlab.policies.batching import collate
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.engines.batched import BatchedEngine
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.logprobs import token_logprobs
from rewardlab.policies.rollout import Limits, rollout
from tests.policies.models import DENSE
from tests.policies.templates import THINKING, make_tokenizer
from tests.policies.worlds import CORPUS, Breaking, Echo, Scripted, Slow, Waiting, task

SHORT = Sampling(max_new_tokens=12)


@pytest.fixture(scope="module")
def policy():
    return LanguageModelPolicy.tiny(CORPUS, hidden=32, layers=2, heads=4, vocabulary_size=300)


def qwen3_policy():
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = make_tokenizer(THINKING)
    torch.manual_seed(0)
    config = Qwen3Config(**DENSE | {"vocab_size": len(tokenizer), "head_dim": 12, "max_position_embeddings": 2048})
    return LanguageModelPolicy(Qwen3ForCausalLM(config).eval(), tokenizer)


def lively(policy):
    """Raise the odds of ending a turn, so that turns differ in length; and give adapters something to do."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return policy


@pytest.mark.parametrize("way", ["fused", "generic"])
@pytest.mark.parametrize("kind", ["tiny", "tiny+lora", "qwen3", "qwen3+lora"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_recomputed_logprobs_equal_the_sampled_ones(kind, way, temperature):
    """The promise of the room: one plain forward pass over the kept tokens gives the log-probabilities of the rollout."""
    from rewardlab.policies.language_model import add_lora

    if kind.startswith("tiny"):
        policy = LanguageModelPolicy.tiny(CORPUS, hidden=32, layers=2, heads=4, vocabulary_size=300)
    else:
        policy = qwen3_policy()
    if "+lora" in kind:
        policy.model = add_lora(policy.model, {"rank": 4})
    lively(policy)
    stop = policy.stop_ids | set(range(40, 75))  # so that some turns are short
    trajectories = rollout(
        policy,
        Echo,
        [task("a"), task("b", "What is 7 + 9? Add the numbers.")],
        group_size=8,
        sampling=Sampling(max_new_tokens=12, temperature=temperature),
        limits=Limits(turns=4),
        engine=BatchedEngine(policy.model, stop, forward=way),
        seed=3,
    )
    batch = collate([trajectory.tokens for trajectory in trajectories], pad_id=policy.pad_id)
    with torch.no_grad():
        again = token_logprobs(
            policy.model, batch.ids, batch.attention_mask, positions_mask=batch.written, temperature=temperature
        )
    assert int(batch.written.sum()) > 60
    assert max(len(trajectory) for trajectory in trajectories) > 1
    np.testing.assert_allclose(again.numpy(), batch.logprobs.numpy(), atol=1e-4)
    assert (batch.logprobs[batch.written] < 0).all()


def test_columns_of_a_trajectory(policy):
    trajectories = rollout(
        policy, Echo, [task("a"), task("b"), task("a")], group_size=2, sampling=SHORT, seed=1,
        engine=Scripted(policy, ["2 + 3", '<tool_call>{"name": "add", "arguments": {"a": 2}}</tool_call>', "5"]),
    )  # fmt: skip
    assert [trajectory.group for trajectory in trajectories] == ["a/0", "a/0", "b/0", "b/0", "a/1", "a/1"]
    seeds = [trajectory.info["seed"] for trajectory in trajectories]
    assert seeds[0] == seeds[1]  # a group starts from one place
    assert len(set(seeds)) == 3
    first = trajectories[0]
    assert first.terminated
    assert not first.truncated
    assert first.rewards.tolist() == [1.0, 2.0, 3.0]
    assert first.info["texts"] == ["2 + 3", '<tool_call>{"name": "add", "arguments": {"a": 2}}</tool_call>', "5"]
    assert first.info["count"] == 3
    assert first.seconds.shape == (3,)
    assert (first.seconds > 0).all()
    assert [message["role"] for message in first.messages] == [
        "user", "assistant", "tool", "assistant", "tool", "assistant", "tool",
    ]  # fmt: skip
    assert first.actions[1]["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a": 2}'}
    assert first.completion == "5"
    tokens = first.tokens
    for step, text in enumerate(first.info["texts"]):
        assert policy.tokenizer.decode(tokens.ids[tokens.step == step]) == text + "<|end|>"
    assert (tokens.logprobs[tokens.step >= 0] == -0.5).all()
    assert (tokens.logprobs[tokens.step < 0] == 0).all()
    assert tokens.step[-1] == 2  # what came after the last action is not read


def test_demonstrations_have_the_tokens_of_a_rollout(policy):
    texts = ["2 + 3", '<tool_call>{"name": "add", "arguments": {"a": 2, "b": "é 1"}}</tool_call>', "5"]
    for chosen in (policy, qwen3_policy()):
        # the manner in which the template writes a call: what a policy taught on demonstrations samples
        written = [chosen.template.decode(chosen.template.body(chosen.read(text))) for text in texts]
        for trajectory in rollout(chosen, Echo, [task("a")], sampling=SHORT, engine=Scripted(chosen, written)):
            again = chosen.encode_demonstration(trajectory)
            assert again.ids.tolist() == trajectory.tokens.ids.tolist()
            assert again.step.tolist() == trajectory.tokens.step.tolist()


def test_the_desk_end_to_end():
    desk = ToolDesk()
    tasks = desk.tasks("train", 3)
    policy = LanguageModelPolicy.tiny(desk.corpus(count=40), hidden=32, layers=1)
    for demonstration in desk.demonstrations(tasks):
        texts = [policy.template.decode(policy.template.body(action)) for action in demonstration.actions]
        played = rollout(policy, ToolDesk, [demonstration.task], sampling=SHORT, engine=Scripted(policy, texts))[0]
        assert played.info["success"] is True
        assert played.tokens.ids.tolist() == policy.encode_demonstration(demonstration).ids.tolist()
    sampled = rollout(policy, ToolDesk, tasks, group_size=2, sampling=SHORT, limits=Limits(turns=3))
    assert all(trajectory.info["success"] is False for trajectory in sampled if trajectory.terminated)


def test_same_seed_same_rollout_whatever_the_batch(policy):
    tasks = [task(name) for name in "abc"]
    first = rollout(policy, Echo, tasks, group_size=4, sampling=SHORT, seed=5)
    again = rollout(policy, Echo, tasks, group_size=4, sampling=SHORT, seed=5, batch_size=5)
    other = rollout(policy, Echo, tasks, group_size=4, sampling=SHORT, seed=6)
    for left, right in zip(first, again, strict=True):
        assert left.tokens.ids.tolist() == right.tokens.ids.tolist()
    assert [t.info["texts"] for t in first] != [t.info["texts"] for t in other]
    assert len({tuple(t.tokens.ids.tolist()) for t in first}) == 12


def test_limits_mark_what_they_end(policy):
    always = Scripted(policy, ["5"] * 99)
    turns = rollout(policy, Echo, [task("a")], sampling=SHORT, engine=always, limits=Limits(turns=2))[0]
    assert (len(turns), turns.truncated, turns.terminated, turns.info["limit"]) == (2, True, False, "turns")
    last = rollout(
        policy, Echo, [task("a")], sampling=SHORT, engine=Scripted(policy, ["5"] * 9), limits=Limits(turns=3)
    )[0]
    assert (last.truncated, last.terminated) == (False, True)  # the environment ended it first

    class Endless(Slow):
        turns = 10**6

    slow = rollout(
        policy, Endless, [task("a")], sampling=SHORT, engine=Scripted(policy, ["5"] * 99), limits=Limits(seconds=0.2)
    )
    assert slow[0].info["limit"] == "seconds"
    assert 1 <= len(slow[0]) <= 5
    never_stops = BatchedEngine(policy.model, [])
    cut = rollout(policy, Endless, [task("a")], sampling=SHORT, engine=never_stops)[0]
    assert (len(cut), cut.truncated, cut.info["limit"]) == (1, True, "tokens")
    assert len(cut.observations[-1]) == 1  # the environment saw the action, and its answer is kept
    assert int((cut.tokens.step == 0).sum()) == 12
    prompt = int((cut.tokens.step < 0).sum())
    tight = rollout(policy, Endless, [task("a")], sampling=SHORT, engine=never_stops, limits=Limits(tokens=prompt + 5))[
        0
    ]
    assert int((tight.tokens.step == 0).sum()) == 5
    full = rollout(
        policy, Endless, [task("a")], sampling=SHORT, engine=Scripted(policy, ["5"] * 99), limits=Limits(tokens=60)
    )[0]
    assert full.info["limit"] == "tokens"
    assert len(full) > 1
    with pytest.raises(ValueError, match="Limits.turns must be positive, got 0"):
        Limits(turns=0)


def test_an_environment_that_raises_fails_its_trajectory_alone(policy):
    Breaking.closed = 0
    names = ["fine", "reset", "empty", "role", "step", "type", "inf", "close"]
    engine = Scripted(policy, ["5"] * 9)
    found = {
        trajectory.task.id: trajectory
        for trajectory in rollout(policy, Breaking, [task(name) for name in names], sampling=SHORT, engine=engine)
    }
    assert list(found) == names
    assert Breaking.closed == len(names)
    for name, reason in {
        "reset": "the environment's reset raised: OSError: no such table",
        "empty": "the environment's reset raised: ValueError: the environment's reset returned no messages",
        "role": "message 0 of what the environment's reset returned has role 'wizard'",
        "step": "the environment's step raised: KeyError: 'lamp'",
        "type": "TypeError: the environment's step returned a str, expected a Step",
        "inf": "the environment's reward must be finite",
    }.items():
        assert reason in found[name].info["failed"]
        assert not found[name].terminated
        assert not found[name].truncated
    assert [len(found[name]) for name in ("fine", "reset", "step", "type")] == [3, 0, 2, 1]
    assert found["step"].rewards[0] == 1.0
    assert np.isnan(found["step"].rewards[1])
    assert "failed" not in found["fine"].info
    assert "failed" not in found["close"].info
    assert len(set(engine.released)) == 8  # nothing stays in the engine

    def no_environment():
        raise OSError("no disk")

    broken = rollout(policy, no_environment, [task("a")], sampling=SHORT)[0]
    assert broken.info["failed"] == "the environment could not be made: OSError: no disk"
    assert len(broken.tokens) == 0


def test_rewards_call_such_trajectories_failed(policy):
    from rewardlab.rewards import reward

    @reward
    def anything(trajectory):
        return 1.0

    broken = rollout(policy, Breaking, [task("reset")], sampling=SHORT)
    assert anything(broken).failed.all()


def test_a_prompt_longer_than_the_context_fails_that_attempt():
    policy = LanguageModelPolicy.tiny(CORPUS, hidden=16, layers=1, heads=2, context=64)
    long, short = rollout(policy, Echo, [task("a", "4 " * 80), task("b")], sampling=SHORT)
    assert "leaves no room within 64 tokens (the model's context or Limits.tokens)" in long.info["failed"]
    assert "failed" not in short.info


def test_blocking_environments_wait_together(policy):
    """Four environments that go on only when all four are in `step`."""
    engine = Scripted(policy, ["5"] * 9)
    trajectories = rollout(policy, Waiting, [task("a")], group_size=4, sampling=SHORT, engine=engine)
    assert all(trajectory.terminated for trajectory in trajectories)


def test_progress_counts_attempts(policy):
    seen = []
    rollout(
        policy, Echo, [task(name) for name in "abc"], sampling=SHORT, batch_size=2,
        engine=Scripted(policy, ["5"] * 9), progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen[-1] == (3, 3)
    assert seen == sorted(seen)
    assert (2, 3) in seen


def test_wrong_arguments_are_named(policy):
    with pytest.raises(ValueError, match="group_size must be at least 1, got 0"):
        rollout(policy, Echo, [task("a")], group_size=0)
    with pytest.raises(TypeError, match="environment must be a factory that makes one for each attempt, got <.*Echo"):
        rollout(policy, Echo(), [task("a")])
    with pytest.raises(TypeError, match=r"task 1 is a str, expected a Task\(id="):
        rollout(policy, Echo, [task("a"), "b"])
    assert rollout(policy, Echo, []) == []


def test_malformed_calls_stay_in_the_content(policy):
    bad = '<tool_call>{"name": "add", "arguments": {"a": }</tool_call>'
    trajectory = rollout(policy, Echo, [task("a")], sampling=SHORT, engine=Scripted(policy, [bad, bad, bad]))[0]
    assert all(action["content"] == bad for action in trajectory.actions)
    assert all("tool_calls" not in action for action in trajectory.actions)
    assert trajectory.terminated
