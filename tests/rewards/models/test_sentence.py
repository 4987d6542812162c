from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers

from rewardlab.learning.data import PreferenceData
from rewardlab.learning.fitting import fit
from rewardlab.rewards.models.encoders.sentence import SentenceEncoder
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Preference, Status, Trajectory

from .texts import bare_model, chat_tokenizer, chats, conversation, pair_tokenizer


def encoder(kind="bert", **options):
    tokenizer = pair_tokenizer() if kind == "bert" else chat_tokenizer()
    return SentenceEncoder(model=bare_model(kind, tokenizer), tokenizer=tokenizer, **options)


def by_hand(made, text, *, normalise=True):
    """Mean of the last hidden states, as the card of such a model says."""
    inputs = made.tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        hidden = made.inner.backbone(**inputs).last_hidden_state[0]
    mean = hidden.mean(0)
    return (mean / mean.norm() if normalise else mean).numpy()


def vectors(made, trajectories):
    return made(made.collate(made.prepare(trajectories)))


@pytest.mark.parametrize("normalise", [True, False])
def test_embeddings_are_the_means_of_hidden_states(normalise):
    made = encoder(reads="response", normalise=normalise)
    found = vectors(made, chats()).response.numpy()
    for row, one in zip(found, chats(), strict=True):
        assert row == pytest.approx(by_hand(made, one.completion, normalise=normalise), abs=1e-5)
    assert made.embed(["light"])[0] == pytest.approx(by_hand(made, "light", normalise=normalise), abs=1e-5)


def test_a_conversation_is_its_messages_in_lines():
    made = encoder()
    talk = conversation("what is two plus two?", "four.", "how", "two and two make four")
    text = "what is two plus two?\nfour.\nhow\ntwo and two make four"
    assert vectors(made, [talk]).response[0].numpy() == pytest.approx(by_hand(made, text), abs=1e-5)


def test_prompt_and_response_side_by_side():
    made = encoder(reads="pair")
    found = vectors(made, [chats()[0]]).response[0].numpy()
    assert made.width == 64 == len(found)
    assert found[:32] == pytest.approx(by_hand(made, "what is two plus two?"), abs=1e-5)
    assert found[32:] == pytest.approx(by_hand(made, "four."), abs=1e-5)


def test_heads_that_want_prompts_get_them():
    made = encoder()
    assert vectors(made, chats()).prompt is None
    made.wants_prompt = True
    found = vectors(made, chats()).prompt[3].numpy()
    assert found == pytest.approx(by_hand(made, "please explain how the sun shines"), abs=1e-5)


def test_each_text_is_embedded_once(monkeypatch):
    made, passes = encoder(reads="pair"), []
    run = made.inner._run

    def counted(batch):
        passes.append(len(batch["ids"]))
        return run(batch)

    monkeypatch.setattr(made.inner, "_run", counted)
    first = vectors(made, chats()).response
    assert sum(passes) == 6 + 3  # six responses, three prompts
    assert torch.equal(vectors(made, chats()[::-1]).response.flip(0), first)
    assert sum(passes) == 9


def test_the_cache_is_bounded_and_gives_the_same():
    made = encoder(reads="response", cache_size=2)
    first = vectors(made, chats()).response
    assert len(made._cache) == 2
    assert torch.allclose(vectors(made, chats()).response, first, atol=1e-6)


def test_long_texts_keep_their_end_and_are_counted():
    made = encoder(reads="response", max_length=8)
    with pytest.warns(UserWarning, match="longer than the 8 tokens"):
        long, short = made.prepare([Trajectory.from_text("how", "the cat " * 9 + "light about light"), chats()[0]])
    assert made.truncated == 1
    assert "was cut from 23 to 8 tokens" in long.note
    assert short.note is None
    assert long.response == pytest.approx(by_hand(made, "cat the cat light about light"), abs=1e-5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A directory as sentence-transformers writes them."""
    path = tmp_path_factory.mktemp("sentences")
    tokenizer = pair_tokenizer()
    bare_model("bert", tokenizer).save_pretrained(path)
    tokenizer.save_pretrained(path)
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (path / "modules.json").write_text(json.dumps(modules))
    (path / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 32, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 17}))
    return path


def test_settings_beside_the_model_are_used(folder):
    made = SentenceEncoder(folder, reads="response")
    assert (made.inner.pool, made.normalise, made.inner.reader.limit) == ("cls", False, 17)
    inputs = pair_tokenizer()("light", return_tensors="pt")
    with torch.no_grad():
        expected = transformers.AutoModel.from_pretrained(folder)(**inputs).last_hidden_state[0, 0]
    assert made.embed(["light"])[0] == pytest.approx(expected.numpy(), abs=1e-5)
    other = SentenceEncoder(folder, pool="mean", normalise=True, max_length=9)
    assert (other.inner.pool, other.normalise, other.inner.reader.limit) == ("mean", True, 9)


def test_a_model_with_more_behind_its_pooling_is_refused(folder, tmp_path):
    modules = json.loads((folder / "modules.json").read_text())
    for file in folder.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "modules.json").write_text(
        json.dumps([*modules, {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}])
    )
    with pytest.raises(ValueError, match="has the module Dense behind its pooling"):
        SentenceEncoder(tmp_path)


@pytest.mark.parametrize("by_name", [True, False])
def test_it_is_saved_with_its_settings(tmp_path, folder, by_name):
    made = SentenceEncoder(folder, reads="pair") if by_name else encoder(reads="pair", max_length=40)
    model = RewardModel.make(made, "two_layer").save(tmp_path / "model")
    again = RewardModel.load(tmp_path / "model")
    assert again.network.encoder.options() == made.options()
    assert np.array_equal(again(chats()).values, model(chats()).values)
    assert bool(list((tmp_path / "model" / "backbone").glob("*.safetensors"))) != by_name


def test_a_head_is_fitted_on_embeddings():
    data = PreferenceData.from_preferences(
        Preference(
            chosen=Trajectory.from_text(prompt, f"the cat {end}"), rejected=Trajectory.from_text(prompt, f"light {end}")
        )
        for prompt in ("how", "what is two plus two?", "please explain", "the sun")
        for end in ("sits", "jumps", "shines")
    )
    result = fit(RewardModel.make(encoder(reads="response")), data, steps=60, learning_rate=0.05)
    scores = result.model([Trajectory.from_text("the dog", text) for text in ("the cat sits", "light sits", "")])
    assert scores.values[0] > scores.values[1]
    assert scores.status[2] == Status.FAILED
    assert "empty response" in scores.notes[2]


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="reads must be one of conversation, response, pair, got 'all'"):
        encoder(reads="all")
    with pytest.raises(ValueError, match="either the name of a model or model= and tokenizer="):
        SentenceEncoder()


def test_causal_embedding_models_end_their_texts_as_their_tokenizer_does():
    made = encoder("llama", pool="last", reads="response")
    ids = made.inner.prepare([chats()[0]])[0].ids
    assert ids.tolist() == made.tokenizer("four.")["input_ids"]
