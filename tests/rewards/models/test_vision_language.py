from __future__ import annotations

import base64
import functools
import io

import numpy as np
import pytest
import torch

from rewardlab.learning.data import PreferenceData
from rewardlab.learning.fitting import fit
from rewardlab.rewards.models.encoders.vision_language import VisionLanguageEncoder
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Preference, Status, Trajectory

from .pictures import drawn, idefics, qwen

MAKERS = {"qwen": qwen, "idefics": idefics}


@functools.cache
def parts(kind):
    return MAKERS[kind]()


def encoder(kind="qwen", *, fresh=False, **options):
    model, processor = MAKERS[kind]() if fresh else parts(kind)
    return VisionLanguageEncoder(model=model, processor=processor, **options).eval()


def chat(pictures, answer, question="what is the colour?", **more):
    asked = [{"type": "text", "text": question}, *({"type": "image", "image": one} for one in pictures)]
    return Trajectory.from_messages(
        [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}], terminated=True, **more
    )


def chats():
    return [
        chat([drawn("red")], "red"),
        chat([], "the answer is four"),
        chat([drawn("red"), drawn("blue", width=30)], "the dog jumps over"),
        chat([drawn("blue")], "red"),
    ]


def features(made, trajectories):
    with torch.no_grad():
        return made(made.collate(made.prepare(trajectories)))


@pytest.mark.parametrize("kind", MAKERS)
def test_features_are_those_of_the_model_run_by_hand(kind):
    made = encoder(kind)
    found = features(made, chats()).response
    for row, one in zip(found, chats(), strict=True):
        pictures = [part["image"] for part in one.messages[0]["content"] if part["type"] == "image"]
        plain = [
            {"role": message["role"], "content": [{"type": "text", "text": message["content"]}]}
            if isinstance(message["content"], str)
            else {
                "role": message["role"],
                "content": [
                    {"type": "image"} if part["type"] == "image" else dict(part) for part in message["content"]
                ],
            }
            for message in one.messages
        ]
        text = made.processor.apply_chat_template(plain, tokenize=False)
        inputs = made.processor(text=[text], images=[pictures] if pictures else None, return_tensors="pt")
        with torch.no_grad():
            expected = made.backbone(**inputs).last_hidden_state[0, -1]
        assert torch.allclose(row, expected, atol=1e-4)
    assert not torch.allclose(found[0], found[3], atol=1e-2)  # the colour alone differs


def test_a_picture_is_read_from_wherever_it_is(tmp_path):
    made, picture = encoder(), drawn("red")
    path = tmp_path / "red.png"
    picture.save(path)
    written = io.BytesIO()
    picture.save(written, "PNG")
    address = "data:image/png;base64," + base64.b64encode(written.getvalue()).decode()
    array = np.asarray(picture)
    parts_ = [
        {"type": "image", "image": picture},
        {"type": "image", "image": str(path)},
        {"type": "image", "path": str(path)},
        {"type": "image", "url": f"file://{path}"},
        {"type": "image_url", "image_url": {"url": address}},
        {"type": "image", "image": array},
        {"type": "image", "image": array.astype(np.float64) / 255},
    ]
    made = encoder()
    found = features(
        made,
        [
            Trajectory.from_messages([{"role": "user", "content": [part]}, {"role": "assistant", "content": "red"}])
            for part in parts_
        ],
    ).response
    assert torch.allclose(found, found[:1].expand_as(found), atol=1e-5)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"type": "image", "image": "https://example.org/a.png"}, "a picture on the net .*nothing is fetched"),
        ({"type": "image", "image": "/nowhere/a.png"}, "a picture that cannot be read"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,!!"}}, "cannot be read"),
        ({"type": "image", "image": np.zeros((3, 4, 4))}, r"shape \(3, 4, 4\); expected a path"),
        ({"type": "image", "image": np.full((4, 4, 3), 7.5)}, "numbers from 7.5 to 7.5"),
        ({"type": "image"}, "a picture of type NoneType"),
        ({"type": "video", "video": "a.mp4"}, "a content part of type 'video'; expected text, image"),
    ],
)
def test_a_picture_that_cannot_be_read_fails_its_chat_alone(part, message):
    bad = Trajectory.from_messages([{"role": "user", "content": [part]}, {"role": "assistant", "content": "red"}])
    scores = RewardModel.make(encoder())([chats()[0], bad])
    assert list(scores.status) == [Status.SCORED, Status.FAILED]
    assert scores.notes[1].startswith("message 0 of trajectory 1 has")
    with pytest.raises(ValueError, match=message):
        encoder().prepare([bad])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: chat([], " "), "empty response"),
        (lambda: Trajectory.from_messages([{"role": "user", "content": "how"}]), "no response"),
        (lambda: Trajectory(observations=np.zeros((2, 3)), actions=np.zeros((1, 1))), "holds arrays"),
    ],
)
def test_chats_without_a_response_are_refused(make, message):
    with pytest.raises(ValueError, match=f"trajectory 0 .*{message}"):
        encoder().prepare([make()])


def test_prompt_features_stand_at_the_prompts_end():
    made = encoder()
    made.wants_prompt = True
    found = features(made, [chats()[0], chat([drawn("red")], "the answer is four"), chats()[3]]).prompt
    assert torch.allclose(found[0], found[1], atol=1e-5)
    assert not torch.allclose(found[0], found[2], atol=1e-2)


@pytest.mark.parametrize("kind", MAKERS)
def test_long_chats_keep_their_pictures_and_the_end(kind):
    made = encoder(kind, max_length=40)
    long = chat([drawn("red")], "the cat sits on the mat " * 8 + "red", question="the sun shines " * 20)
    with pytest.warns(UserWarning, match="1 of 2 chats are longer than the 40 tokens"):
        short, cut = made.prepare([chats()[0], long])
    assert short.note is None
    assert len(cut) == 40
    assert "to 40 tokens" in cut.note
    assert made.truncated == 1
    ids = cut.tokens["input_ids"]
    count = {"qwen": 2, "idefics": 4}[kind]
    assert int((ids == made.image_token).sum()) == count
    assert made.processor.tokenizer.decode(ids).endswith("the mat red<|end|>")
    features(made, [long])
    with pytest.raises(ValueError, match="its pictures leave no room"):
        encoder("idefics", max_length=8).prepare([chat([drawn("red")] * 3, "red")])


@pytest.mark.parametrize("options", [{}, {"frozen": True}, {"lora": {"rank": 2}}])
def test_a_saved_model_scores_the_same(options, tmp_path):
    model = RewardModel.make(encoder("idefics", fresh=True, **options), "two_layer")
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in model.network.parameters():
            if weight.requires_grad:
                weight += 0.05 * torch.randn_like(weight)
    saved = model.save(tmp_path)
    again = RewardModel.load(tmp_path)
    assert np.array_equal(again(chats()).values, saved(chats()).values)
    assert again.network.encoder.options() == model.network.encoder.options()


@pytest.mark.parametrize(
    ("kind", "options"), [("qwen", {}), ("idefics", {"frozen": True}), ("qwen", {"lora": {"rank": 4}})]
)
def test_colours_are_learned(kind, options):
    def pair(seed):
        picture = drawn(("red", "blue")[seed % 2], seed=seed)
        good, bad = ("the cat", "the dog") if seed % 2 == 0 else ("the dog", "the cat")
        return Preference(chosen=chat([picture], good), rejected=chat([picture], bad))

    data = PreferenceData.from_preferences(pair(seed) for seed in range(8))
    head = {"type": "two_layer", "hidden": 32}
    model = RewardModel.make(encoder(kind, fresh=True, **options), head)
    result = fit(model, data, steps=16, batch_size=8, learning_rate=1e-2)
    tests = [pair(seed) for seed in (100, 101)]
    odds = result.model.log_odds([one.chosen for one in tests], [one.rejected for one in tests])
    assert (odds > 0).all()


def test_wrong_options_are_named():
    model, processor = parts("qwen")
    with pytest.raises(ValueError, match="either the name of a model or model="):
        VisionLanguageEncoder()
    with pytest.raises(ValueError, match="needs its processor"):
        VisionLanguageEncoder(model=model)
    with pytest.raises(ValueError, match="leave one of them out"):
        encoder(frozen=True, lora={"rank": 2})
    without = type(processor)(processor.image_processor, processor.tokenizer, chat_template=None)
    without.tokenizer.chat_template = None
    with pytest.raises(ValueError, match="the processor has no chat template"):
        VisionLanguageEncoder(model=model, processor=without)
