from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardlab.rewards.models.encoders.text import TextEncoder
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Preference, Status, Task, Trajectory

from .texts import (
    CAUSAL,
    ENCODERS,
    bare_model,
    chat_tokenizer,
    chats,
    conversation,
    pair_tokenizer,
    tokenizer_for,
)


def encoder(kind="llama", *, sizes=None, **options):
    tokenizer = options.pop("tokenizer", None) or tokenizer_for(kind)
    return TextEncoder(model=bare_model(kind, tokenizer, **sizes or {}), tokenizer=tokenizer, **options).eval()


def features(made, trajectories):
    with torch.no_grad():
        return made(made.collate(made.prepare(trajectories)))


@pytest.mark.parametrize("kind", [*CAUSAL, *ENCODERS])
def test_features_are_those_of_the_model_run_by_hand_on_each_text_alone(kind):
    made = encoder(kind)
    found = features(made, chats())
    tokenizer, rows = made.tokenizer, []
    for one in chats():
        if kind in CAUSAL:
            inputs = tokenizer.apply_chat_template(list(one.messages), return_tensors="pt", return_dict=True)
        else:
            inputs = tokenizer(one.messages[0]["content"], one.messages[1]["content"], return_tensors="pt")
        inputs = {name: inputs[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in inputs}
        if kind in ("distilbert", "modernbert"):
            inputs.pop("token_type_ids", None)  # they do not take them
        with torch.no_grad():
            hidden = made.backbone(**inputs).last_hidden_state[0]
        rows.append(hidden[-1 if kind in CAUSAL else 0])
    assert torch.allclose(found.response, torch.stack(rows), atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2", "mistral_window", "bert", "distilbert", "modernbert"])
@pytest.mark.parametrize("pool", ["auto", "mean"])
def test_left_and_right_padding_give_the_same(kind, pool):
    right, left = (encoder(kind, pool=pool, padding=side) for side in ("right", "left"))
    assert torch.allclose(features(right, chats()).response, features(left, chats()).response, atol=1e-5)


def test_a_model_that_counts_positions_by_padding_refuses_left_padding():
    with pytest.raises(ValueError, match='use padding="right"'):
        encoder("roberta", padding="left")


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_the_rest_of_a_batch_does_not_matter(kind):
    made = encoder(kind)
    alone = torch.cat([features(made, [one]).response for one in chats()])
    assert torch.allclose(features(made, chats()).response, alone, atol=1e-5)


def test_a_tokenizer_without_padding_token_gives_the_same_scores():
    with_pad, without = chat_tokenizer(), chat_tokenizer()
    without.pad_token = None
    assert without.pad_token_id is None
    one, other = encoder(tokenizer=with_pad), encoder(tokenizer=without)
    assert torch.equal(features(one, chats()).response, features(other, chats()).response)


def test_a_padding_token_that_positions_depend_on_must_be_the_models():
    tokenizer = pair_tokenizer(roberta=True)
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="set tokenizer.pad_token to that of the model"):
        encoder("roberta", tokenizer=tokenizer)


def test_the_end_token_counts_unless_it_is_ignored():
    tokenizer = chat_tokenizer()
    kept = encoder(tokenizer=tokenizer).prepare(chats())[0]
    skipped = encoder(tokenizer=tokenizer, ignored_token=tokenizer.eos_token_id).prepare(chats())[0]
    assert kept.ids[kept.last] == tokenizer.eos_token_id
    assert skipped.last == kept.last - 1


# ---- sharing prompts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2"])
def test_responses_that_share_a_prompt_get_the_same_features_and_gradients(kind):
    made = encoder(kind)
    assert made.packs
    prepared = made.prepare(chats())
    plain, packed = made.collate(prepared), made.collate_groups(prepared, [[1, 0, 2], [3, 4]])
    assert "segment" in packed
    assert packed["ids"].shape[0] < plain["ids"].shape[0]
    results = []
    for batch in (plain, packed):
        made.zero_grad()
        found = made(batch)
        (found.response.square().sum() + found.prompt.sum()).backward()
        results.append((found, [weight.grad.clone() for weight in made.parameters() if weight.grad is not None]))
    (one, first), (other, second) = results
    assert torch.allclose(one.response, other.response, atol=1e-4)
    assert torch.allclose(one.prompt, other.prompt, atol=1e-4)
    size = max(float(a.abs().max()) for a in first)
    for a, b in zip(first, second, strict=True):
        assert torch.allclose(a, b, atol=2e-5 * size)


def test_steps_are_found_in_packed_rows_too():
    made = encoder(step_separator=".")
    made.wants_steps = True
    prepared = made.prepare(
        [Trajectory.from_text("what is two plus two?", text) for text in ("a. b. c", "the cat. sat", "four")]
    )
    one = made(made.collate(prepared))
    other = made(made.collate_groups(prepared, [[0, 1, 2]]))
    assert one.step_mask.sum(1).tolist() == [3, 2, 1]
    assert torch.equal(one.step_mask, other.step_mask)
    assert torch.allclose(one.steps[one.step_mask], other.steps[other.step_mask], atol=1e-4)


def test_a_text_that_is_the_beginning_of_another_and_equal_texts():
    made = encoder(chat_template="{% for m in messages %}{{ m.content }}{% endfor %}")
    prepared = made.prepare([Trajectory.from_text("the quick brown fox ", end) for end in ("sits", "sits on", "sits")])
    packed = made.collate_groups(prepared, [[0, 1, 2]])
    assert "segment" in packed
    assert torch.allclose(made(packed).response, made(made.collate(prepared)).response, atol=1e-4)


def test_where_it_cannot_be_done_texts_are_read_alone():
    assert not encoder("bert").packs
    assert not encoder("llama", share_prompts=False).packs
    assert not encoder("llama", pool="mean").packs
    made = encoder("mistral_window")  # its window is shorter than these texts
    prepared = made.prepare(chats())
    assert "segment" not in made.collate_groups(prepared, [[0, 1, 2]])
    made = encoder()
    prepared = made.prepare(chats())
    with pytest.raises(ValueError, match="text 1 stands in the groups more than once"):
        made.collate_groups(prepared, [[0, 1], [1, 2]])


def test_scoring_shares_prompts_and_says_the_same_in_any_order():
    model = RewardModel.make(encoder())
    scores = model(chats()).values
    alone = np.array([model([one]).values[0] for one in chats()])
    turned = model(chats()[::-1]).values[::-1]
    apart = RewardModel.make(encoder(share_prompts=False))(chats()).values
    for other in (alone, turned, apart):
        assert scores == pytest.approx(other, abs=1e-4)


# ---- what is read -------------------------------------------------------------------------------------------------------


def test_prompt_features_stand_at_the_prompts_end():
    made = encoder()
    found = features(made, [chats()[0]])
    text = made.tokenizer.apply_chat_template([chats()[0].messages[0]], add_generation_prompt=True, tokenize=False)
    ids = torch.tensor([made.tokenizer(text, add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        assert torch.allclose(found.prompt[0], made.backbone(input_ids=ids).last_hidden_state[0, -1], atol=1e-5)


def test_encoder_models_read_the_prompt_alone_when_a_head_wants_it():
    made = encoder("bert")
    assert features(made, chats()).prompt is None
    made.wants_prompt = True
    found = features(made, chats())
    assert torch.allclose(found.prompt[0], found.prompt[2], atol=1e-5)
    assert not torch.allclose(found.prompt[0], found.prompt[3], atol=1e-2)


def test_steps_end_where_each_message_of_the_assistant_ends():
    made = encoder()
    made.wants_steps = True
    talk = conversation("what is two plus two?", "four.", "how", "two and two make four")
    prepared = made.prepare([talk])[0]
    pieces = [made.tokenizer.decode(prepared.ids[: place + 1]) for place in prepared.steps]
    assert [piece.endswith(end) for piece, end in zip(pieces, ("four.", "make four"), strict=True)] == [True, True]
    found = features(made, [talk])
    assert found.step_mask.tolist() == [[True, True]]


def test_steps_within_a_message_end_with_their_separator():
    made = encoder(step_separator="\n\n")
    made.wants_steps = True
    prepared = made.prepare([Trajectory.from_text("how", "first we think\n\n\n\nthen we add\n\nfour")])[0]
    pieces = [made.tokenizer.decode(prepared.ids[: place + 1]).split("<|assistant|>")[-1] for place in prepared.steps]
    assert [piece.strip().split("\n\n")[-1] for piece in pieces] == ["first we think", "then we add", "four"]
    assert [piece.endswith("\n\n") for piece in pieces] == [True, True, False]
    with pytest.raises(ValueError, match="step_separator must not be empty"):
        encoder(step_separator="")


def test_tool_calls_are_part_of_what_is_read():
    made = encoder()
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}
    talk = Trajectory.from_messages(
        [{"role": "user", "content": "how"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    )
    assert '"add"' in made.tokenizer.decode(made.prepare([talk])[0].ids)


def test_tools_of_the_task_are_shown():
    made = encoder()
    tool = {"type": "function", "function": {"name": "add", "parameters": {"properties": {"left": {}}}}}
    prompt = [{"role": "user", "content": "how"}]
    talk = Trajectory.from_messages(
        [*prompt, {"role": "assistant", "content": "four"}], task=Task(id="t", prompt=prompt, tools=[tool])
    )
    assert "add(left)" in made.tokenizer.decode(made.prepare([talk])[0].ids)


# ---- long texts and bad ones --------------------------------------------------------------------------------------------


def test_a_long_text_keeps_the_end_of_the_response_and_is_counted():
    made = encoder(sizes={"most": 32})
    long = Trajectory.from_text("the quick " * 30, "the lazy dog and " * 5 + "the answer is four")
    with pytest.warns(UserWarning, match="1 of 2 texts are longer than the 32 tokens that the model reads"):
        short, cut = made.prepare([chats()[0], long])
    assert made.truncated == 1
    assert (short.dropped, short.note) == (0, None)
    assert len(cut) == 32
    assert made.tokenizer.decode(cut.ids).endswith("the answer is four<|end|>")
    assert made.tokenizer.decode(cut.ids).startswith("<|user|>the quick")
    assert cut.last == 31
    model = RewardModel.make(made)
    scores = model([chats()[0], long])
    assert (scores.status == Status.SCORED).all()
    assert scores.notes[0] is None
    assert (
        scores.notes[1] == f"the text was cut from {32 + cut.dropped} to 32 tokens, which is all that the model reads"
    )


def test_a_long_text_can_be_refused_instead():
    made = encoder(max_length=16, truncate=False)
    scores = RewardModel.make(made)([chats()[0], Trajectory.from_text("the quick " * 30, "four")])
    assert list(scores.status) == [Status.SCORED, Status.FAILED]
    assert "tokens, the model reads 16; shorten it, or pass truncate=True" in scores.notes[1]


def test_steps_that_are_cut_out_are_marked():
    made = encoder(max_length=24, step_separator=".")
    made.wants_steps = True
    with pytest.warns(UserWarning, match="longer than the 24 tokens"):
        prepared = made.prepare([Trajectory.from_text("how", "one fox. " * 30)])[0]
    assert (prepared.steps[:20] == -1).all()
    assert prepared.steps[-1] > 0
    found = made(made.collate([prepared]))
    assert found.step_mask.sum() == (prepared.steps >= 0).sum() > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Trajectory.from_text("how", "  "), "empty response"),
        (lambda: Trajectory.from_messages([{"role": "user", "content": "how"}]), "has no response"),
        (
            lambda: Trajectory(observations=np.zeros((2, 3), np.float32), actions=np.zeros((1, 1), np.float32)),
            "holds arrays, a text encoder reads chats",
        ),
    ],
)
def test_what_cannot_be_read_fails_alone_and_says_why(make, message):
    scores = RewardModel.make(encoder())([chats()[0], make()])
    assert list(scores.status) == [Status.SCORED, Status.FAILED]
    assert message in scores.notes[1]
    assert "trajectory 1" in scores.notes[1]


def test_an_empty_response_is_read_where_that_is_wanted():
    made = encoder(allow_empty=True)
    assert RewardModel.make(made)([Trajectory.from_text("how", "")]).status[0] == Status.SCORED


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": "cls"}, "would read only the first token"),
        ({"pool": "middle"}, "pool must be one of"),
        ({"padding": "top"}, "padding must be right or left"),
        ({"frozen": True, "lora": {"rank": 2}}, "leave one of them out"),
        ({"max_length": 2}, "at least 4 tokens, got 2"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        encoder(**options)


def test_a_model_needs_a_name_or_a_module():
    with pytest.raises(ValueError, match="either the name of a model or model="):
        TextEncoder()
    with pytest.raises(ValueError, match="needs its tokenizer"):
        TextEncoder(model=bare_model("llama"))


# ---- learning -----------------------------------------------------------------------------------------------------------


def test_adapters_alone_learn():
    made = encoder(lora={"rank": 2, "alpha": 4.0})
    learning = [name for name, weight in made.named_parameters() if weight.requires_grad]
    assert learning
    assert all("lora_" in name for name in learning)


def test_a_frozen_model_gives_no_gradients_and_no_dropout():
    made = encoder("bert", frozen=True).train()
    assert not any(weight.requires_grad for weight in made.parameters())
    batch = made.collate(made.prepare(chats()))
    assert torch.equal(made(batch).response, made(batch).response)


def test_gradient_checkpointing_gives_the_same_gradients():
    grads = []
    for checkpointing in (False, True):
        made = encoder(gradient_checkpointing=checkpointing).train()
        made(made.collate(made.prepare(chats()))).response.sum().backward()
        grads.append([weight.grad for weight in made.parameters()])
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*grads, strict=True) if a is not None)


@pytest.mark.parametrize("options", [{}, {"frozen": True}, {"lora": {"rank": 2}}])
def test_it_can_be_fitted(options):
    from rewardlab.learning.data import PreferenceData
    from rewardlab.learning.fitting import fit

    data = PreferenceData.from_preferences(
        [
            Preference(
                chosen=Trajectory.from_text(prompt, "the cat sits"), rejected=Trajectory.from_text(prompt, "light")
            )
            for prompt in ("how", "what is two plus two?", "please explain", "the sun")
        ]
    )
    model = RewardModel.make(encoder(**options))
    result = fit(model, data, steps=12, batch_size=4, learning_rate=1e-2)
    odds = result.model.log_odds(
        [Trajectory.from_text("the dog", "the cat sits")], [Trajectory.from_text("the dog", "light")]
    )
    assert odds[0] > 0
