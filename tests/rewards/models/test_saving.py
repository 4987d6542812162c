"""Models on disk: scores in a fresh process, the files, and the sequence classifiers that others read and write."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers

from rewardlab.learning import as_trajectory
from rewardlab.registry import SpecError
from rewardlab.rewards import from_spec
from rewardlab.rewards.models.encoders.text import TextEncoder
from rewardlab.rewards.models.model import RewardModel
from rewardlab.rewards.spec import UnwritableReward
from rewardlab.types import Trajectory

from .texts import bare_model, chat_tokenizer, chats, classifier, pair_tokenizer, tokenizer_for

FRESH = """
import json, sys
import torch
torch.set_num_threads(1)
import rewardlab as rl
from rewardlab.types import Trajectory
found = {}
for line in json.load(sys.stdin):
    chats = [Trajectory.from_text(*pair) for pair in line["pairs"]]
    found[line["path"]] = [float(v).hex() for v in rl.RewardModel.load(line["path"])(chats).values]
print(json.dumps(found))
"""


def text_model(kind="llama", head="scalar", *, seed=0, **options):
    tokenizer = options.pop("tokenizer", None) or tokenizer_for(kind)
    if "name" not in options:
        options |= {"model": bare_model(kind, tokenizer), "tokenizer": tokenizer}
    return RewardModel.make(TextEncoder(**options), head)


def shake(model):
    """Change every weight that learns, adapters from zero too, and the scale."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.network.parameters():
            if weight.requires_grad:
                weight += 0.05 * torch.randn_like(weight)
    model.network.shift.fill_(0.3)
    model.network.scale.fill_(1.7)
    return model


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A directory with a bare model and its tokenizer."""
    folder = tmp_path_factory.mktemp("base")
    bare_model("qwen2").save_pretrained(folder)
    chat_tokenizer().save_pretrained(folder)
    return folder


def test_scores_are_the_same_to_the_bit_in_a_fresh_process(tmp_path, base):
    kinds = {
        "all": text_model(),
        "lora": text_model(lora={"rank": 2, "alpha": 4.0}),
        "lora_by_name": text_model(name=base, lora={"rank": 2}),
        "frozen": text_model(frozen=True, head={"type": "two_layer", "hidden": 8}),
        "frozen_by_name": text_model(name=base, frozen=True),
        "encoder": text_model("bert", pool="mean"),
        "bfloat16": text_model(name=base, dtype="bfloat16"),
        "distribution": text_model("gpt2", "mean_variance"),
    }
    asked, expected = [], {}
    pairs = [[one.messages[0]["content"], one.messages[1]["content"]] for one in chats()]
    for name, model in kinds.items():
        saved = shake(model).save(tmp_path / name)
        values = saved(chats()).values
        assert np.isfinite(values).all()
        expected[saved.path] = [float(value).hex() for value in values]
        asked.append({"path": saved.path, "pairs": pairs})
    done = subprocess.run(
        [sys.executable, "-c", FRESH], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == expected
    assert len({tuple(values) for values in expected.values()}) == len(kinds)


def test_saved_adapters_do_not_hold_the_base_when_it_has_a_name(tmp_path, base):
    by_name = text_model(name=base, lora={"rank": 2}).save(tmp_path / "a")
    with_base = text_model(name=base, lora={"rank": 2}, save_base=True).save(tmp_path / "b")
    assert not list((tmp_path / "a" / "backbone").glob("*.safetensors"))
    assert list((tmp_path / "b" / "backbone").glob("*.safetensors"))
    assert np.array_equal(by_name(chats()).values, RewardModel.load(tmp_path / "b")(chats()).values)
    assert with_base.digest != by_name.digest


def test_a_base_that_is_gone_is_named(tmp_path):
    folder = tmp_path / "base"
    bare_model("llama").save_pretrained(folder)
    chat_tokenizer().save_pretrained(folder)
    text_model(name=folder, frozen=True).save(tmp_path / "model")
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match="which is gone; put them back, or save the model again"):
        RewardModel.load(tmp_path / "model")


def test_a_saved_model_can_be_fitted_on_and_saved_again(tmp_path):
    first = shake(text_model(lora={"rank": 2})).save(tmp_path / "model")
    again = RewardModel.load(tmp_path / "model")
    assert any(weight.requires_grad for weight in again.network.encoder.parameters())
    torch.manual_seed(5)
    with torch.no_grad():
        for weight in again.network.parameters():
            if weight.requires_grad:
                weight += 0.3 * torch.randn_like(weight)
    saved = again.save(tmp_path / "model")
    assert saved.digest != first.digest
    assert np.array_equal(RewardModel.load(tmp_path / "model")(chats()).values, saved(chats()).values)


# ---- a fitted model is a reward -----------------------------------------------------------------------------------------


def test_a_spec_names_the_directory_and_its_content(tmp_path):
    model = text_model()
    with pytest.raises(UnwritableReward, match="model.save"):
        model.to_spec()
    saved = model.save(tmp_path / "model")
    spec = saved.to_spec()
    assert spec["type"] == "reward_model"
    assert spec["digest"] == saved.digest
    again = from_spec(json.loads(json.dumps(spec)))
    assert np.array_equal(again(chats()).values, model(chats()).values)
    shake(model).save(tmp_path / "model")
    with pytest.raises(SpecError, match="are not those of this spec"):
        from_spec(spec)(chats())


def test_it_goes_into_the_algebra(tmp_path):
    model = text_model().save(tmp_path / "model")
    assert (2 * model + 1)(chats()).values == pytest.approx(2 * model(chats()).values + 1)
    assert (2 * model + 1).to_spec()["type"] != "reward_model"


def test_one_bad_text_among_many_is_found(tmp_path):
    model = text_model()
    batch = [*chats(), Trajectory.from_text("how", ""), *chats()]
    scores = model(batch)
    assert np.isnan(scores.values[6])
    assert "trajectory 6 has an empty response" in scores.notes[6]
    assert scores.values[:6] == pytest.approx(scores.values[7:], abs=1e-5)


@pytest.mark.parametrize(
    ("harm", "error", "message"),
    [
        (lambda folder: (folder / "model.json").unlink(), FileNotFoundError, "holds no reward model"),
        (lambda folder: (folder / "head.safetensors").unlink(), FileNotFoundError, "head.safetensors"),
        (
            lambda folder: (folder / "model.json").write_text(
                (folder / "model.json").read_text().replace('"type": "scalar"', '"type": "scaler"')
            ),
            SpecError,
            "scaler",
        ),
        (
            lambda folder: (folder / "model.json").write_text(
                (folder / "model.json").read_text().replace('"version": 1', '"version": 7')
            ),
            SpecError,
            "has version 7, this program reads 1",
        ),
    ],
)
def test_a_damaged_directory_is_refused(tmp_path, harm, error, message):
    model = RewardModel.make({"type": "mlp", "inputs": 3, "hidden": [4]})
    model.save(tmp_path)
    harm(tmp_path)
    with pytest.raises(error, match=message):
        RewardModel.load(tmp_path)


def test_array_models_too(tmp_path):
    model = RewardModel.make({"type": "mlp", "inputs": 3, "hidden": [4]})
    items = [as_trajectory(row) for row in np.random.default_rng(0).normal(size=(5, 3))]
    saved = shake(model).save(tmp_path)
    assert np.array_equal(RewardModel.load(tmp_path)(items).values, saved(items).values)


# ---- sequence classifiers -----------------------------------------------------------------------------------------------


def by_hand(model, tokenizer, trajectories):
    """Scores as the model's card would say: one text at a time."""
    values = []
    for one in trajectories:
        if tokenizer.chat_template:
            inputs = tokenizer.apply_chat_template(list(one.messages), return_tensors="pt", return_dict=True)
        else:
            inputs = tokenizer(one.messages[0]["content"], one.messages[1]["content"], return_tensors="pt")
        inputs.pop("token_type_ids", None) if "bert" not in model.config.model_type else None
        with torch.no_grad():
            values.append(float(model(**inputs).logits[0, 0]))
    return np.asarray(values)


@pytest.mark.parametrize("kind", ["llama", "mistral_window", "gpt2", "bert", "roberta"])
def test_reward_models_of_the_hub_score_as_by_hand(tmp_path, kind):
    tokenizer = tokenizer_for(kind)
    model = classifier(kind, tokenizer)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = RewardModel.from_pretrained(tmp_path)
    assert loaded(chats()).values == pytest.approx(by_hand(model, tokenizer, chats()), abs=1e-5)
    saved = loaded.save(tmp_path / "again")
    assert np.array_equal(RewardModel.load(saved.path)(chats()).values, loaded(chats()).values)


def test_padding_that_ends_texts_is_skipped_as_transformers_does(tmp_path):
    tokenizer = chat_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    model = classifier("llama", tokenizer)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = RewardModel.from_pretrained(tmp_path)
    assert loaded(chats()).values == pytest.approx(by_hand(model, tokenizer, chats()), abs=1e-5)


def test_a_classifier_with_more_labels_is_refused(tmp_path):
    config = classifier("llama").config
    config.num_labels = 3
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="a classifier with 3 labels .*a reward model has one"):
        RewardModel.from_pretrained(tmp_path)


def loaded_by_transformers(folder):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype="float32").eval()
    return model, transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("llama", {}),
        ("llama", {"lora": {"rank": 2, "alpha": 4.0}}),
        ("gpt2", {"frozen": True}),
        ("bert", {"pool": "classifier"}),
        ("roberta", {"pool": "classifier"}),
    ],
)
def test_an_exported_model_scores_the_same_in_transformers(tmp_path, kind, options):
    model = shake(text_model(kind, **options) if "pool" not in options else from_classifier(kind, tmp_path / "plain"))
    model.export(tmp_path / "out")
    written, tokenizer = loaded_by_transformers(tmp_path / "out")
    assert written.config.num_labels == 1
    constant = json.loads((tmp_path / "out" / "rewardlab.json").read_text())["subtract"]
    assert (constant != 0.0) == ("pool" not in options)
    expected = model(chats()).values
    if "pool" in options:
        tokenizer.chat_template = None
    assert by_hand(written, tokenizer, chats()) - constant == pytest.approx(expected, abs=2e-5)
    again = RewardModel.from_pretrained(tmp_path / "out")
    assert again(chats()).values == pytest.approx(expected, abs=2e-5)


def from_classifier(kind, folder):
    tokenizer = tokenizer_for(kind)
    classifier(kind, tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return RewardModel.from_pretrained(folder)


@pytest.mark.parametrize("padding", [None, "end"])
def test_an_exported_tokenizer_can_pad_without_losing_the_end(tmp_path, padding):
    tokenizer = chat_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token if padding == "end" else None
    model = text_model(tokenizer=tokenizer)
    model.export(tmp_path)
    written, told = loaded_by_transformers(tmp_path)
    assert told.pad_token_id is not None
    assert told.pad_token_id != told.eos_token_id
    assert written.get_input_embeddings().weight.shape[0] >= len(told)
    texts = [told.apply_chat_template(list(one.messages), tokenize=False) for one in chats()]
    inputs = told(texts, padding=True, return_tensors="pt", add_special_tokens=False)
    with torch.no_grad():
        logits = written(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits[:, 0]
    assert logits.numpy() == pytest.approx(model(chats()).values, abs=2e-5)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: text_model("bert"), "a text encoder with pool='cls' cannot be exported"),
        (lambda: text_model(head="two_layer"), "a two_layer head cannot be exported"),
        (lambda: RewardModel.make({"type": "mlp", "inputs": 3}), "a mlp encoder cannot be exported"),
    ],
)
def test_what_has_no_place_in_a_classifier_is_refused(tmp_path, model, message):
    with pytest.raises(ValueError, match=message):
        model().export(tmp_path)


def test_the_users_of_a_model_are_asked_for_by_name():
    model = RewardModel.around(text_model().network, user="ann")
    with pytest.raises(SpecError, match="a scalar head knows no users"):
        model.context(1)


def test_a_tokenizer_that_others_would_read_otherwise_is_warned_of(tmp_path):
    with pytest.warns(UserWarning, match="splits texts otherwise than the tokenizer the model was fitted with"):
        text_model("qwen2").export(tmp_path)  # a qwen2 model is given the splitting of Qwen's own tokenizer


def test_pair_tokenizer_is_left_as_it_was():
    tokenizer = pair_tokenizer()
    TextEncoder(model=bare_model("bert", tokenizer), tokenizer=tokenizer)
    assert tokenizer.chat_template is None


def test_log_odds_do_not_depend_on_the_scale_of_values():
    items = [as_trajectory(row) for row in np.random.default_rng(0).normal(size=(4, 2))]
    model = RewardModel.make({"type": "mlp", "inputs": 2, "hidden": [4]})
    before = model.log_odds(items[:2], items[2:])
    model.network.scale.fill_(5.0)
    model.network.shift.fill_(3.0)
    np.testing.assert_array_equal(model.log_odds(items[:2], items[2:]), before)
    np.testing.assert_allclose(5.0 * (model(items[:2]).values - model(items[2:]).values), before, atol=1e-6)


def test_another_name_or_user_keeps_a_network_that_is_only_in_memory():
    items = [as_trajectory(row) for row in np.random.default_rng(0).normal(size=(3, 2))]
    model = RewardModel.make(
        {"type": "mlp", "inputs": 2, "hidden": [4]}, {"type": "ideal_point", "users": ["ann", "bob"]}
    )
    named = model.named("taste")
    np.testing.assert_array_equal(named(items).values, model(items).values)
    assert named.label == "taste"
    assert (0.5 * model + 0.5 * named)(items).scored.all()
    assert model.for_user("ann")(items).scored.all()
    with pytest.raises((KeyError, ValueError), match="carl"):
        model.for_user("carl")(items)
