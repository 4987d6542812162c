from __future__ import annotations

import numpy as np
import pytest
import torch

from rewardlab.learning import as_trajectory
from rewardlab.learning.data import PreferenceData
from rewardlab.learning.fitting import fit
from rewardlab.rewards.models.encoders.arrays import CNNEncoder, MLPEncoder, SequenceEncoder
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Preference, Status, Trajectory

RANDOM = np.random.default_rng(0)


def segment(steps, inputs=3, actions=2):
    return Trajectory(
        observations=RANDOM.normal(size=(steps + 1, inputs)).astype(np.float32),
        actions=RANDOM.normal(size=(steps, actions)).astype(np.float32),
    )


def image(height=9, width=7, channels=3):
    shape = (height, width, channels) if channels else (height, width)
    return RANDOM.random(size=shape).astype(np.float32)


SEGMENTS = [segment(steps) for steps in (1, 5, 3)]
MAKERS = {
    "mlp": lambda **more: MLPEncoder(5, reads="observation_action", **more),
    "gru": lambda **more: SequenceEncoder(5, 16, **more),
    "transformer": lambda **more: SequenceEncoder(5, 16, cell="transformer", layers=2, **more),
}


def features(made, trajectories):
    with torch.no_grad():
        return made.eval()(made.collate(made.prepare(trajectories)))


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("pool", ["last", "mean", "sum"])
def test_padding_and_the_rest_of_a_batch_do_not_matter(kind, pool):
    made = MAKERS[kind](pool=pool)
    together = features(made, SEGMENTS).response
    alone = torch.cat([features(made, [one]).response for one in SEGMENTS])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("kind", MAKERS)
def test_the_pooled_vector_is_made_of_the_steps(kind):
    steps = features(MAKERS[kind](pool="last"), SEGMENTS)
    assert steps.step_mask.sum(1).tolist() == [1, 5, 3]
    assert torch.equal(steps.response[1], steps.steps[1, 4])
    total = features(MAKERS[kind](pool="sum"), SEGMENTS)
    assert torch.allclose(total.response[2], total.steps[2, :3].sum(0), atol=1e-6)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_step_knows_nothing_of_what_comes_after(kind):
    one = segment(6)
    changed = Trajectory(observations=one.observations.copy(), actions=one.actions.copy())
    changed.actions[4:] += 1.0
    first, second = (features(MAKERS[kind](), [each]).steps[0] for each in (one, changed))
    assert torch.allclose(first[:4], second[:4], atol=1e-6)
    assert not torch.allclose(first[4:], second[4:], atol=1e-3)


@pytest.mark.parametrize("kind", ["gru", "transformer"])
def test_order_matters_to_a_sequence(kind):
    one = segment(4)
    turned = Trajectory(observations=one.observations.copy(), actions=one.actions.copy())
    turned.observations[:4] = one.observations[:4][::-1]
    turned.actions[:] = one.actions[::-1]
    made = MAKERS[kind](pool="mean")
    assert not torch.allclose(features(made, [one]).response, features(made, [turned]).response, atol=1e-3)


def test_observations_alone_can_be_read():
    made = SequenceEncoder(3, 8, reads="observation")
    assert features(made, SEGMENTS).response.shape == (3, 8)


@pytest.mark.parametrize(("channels", "layout"), [(3, "last"), (3, "first"), (None, "last")])
def test_images_of_any_layout(channels, layout):
    pictures = [image(channels=channels) for _ in range(3)]
    if layout == "first":
        pictures = [np.moveaxis(one, -1, 0) for one in pictures]
    made = CNNEncoder(pictures[0].shape, layout=layout, hidden=6)
    found = features(made, [as_trajectory(one) for one in pictures])
    assert found.response.shape == (3, 6)
    planes = {"first": lambda one: one, "last": lambda one: one[None] if one.ndim == 2 else np.moveaxis(one, -1, 0)}
    with torch.no_grad():
        expected = made.layers(torch.from_numpy(planes[layout](pictures[1])[None].copy()))
    assert torch.allclose(found.response[1], expected[0], atol=1e-6)


def test_videos_of_different_length():
    films = [
        Trajectory(observations=np.stack([image() for _ in range(steps + 1)]), actions=np.zeros((steps, 1), np.float32))
        for steps in (1, 4)
    ]
    made = CNNEncoder((9, 7, 3), hidden=6)
    together = features(made, films)
    assert together.step_mask.sum(1).tolist() == [1, 4]
    assert torch.allclose(together.response[1], together.steps[1].mean(0), atol=1e-6)
    assert torch.allclose(together.response[0], features(made, films[:1]).response[0], atol=1e-6)


def test_bytes_are_scaled():
    picture = (image() * 255).astype(np.uint8)
    one, other = CNNEncoder((9, 7, 3), scale=255.0), CNNEncoder((9, 7, 3))
    scaled = as_trajectory(picture.astype(np.float32) / 255)
    assert torch.allclose(
        features(one, [as_trajectory(picture)]).response, features(other, [scaled]).response, atol=1e-5
    )


@pytest.mark.parametrize(
    "encoder",
    [
        {"type": "cnn", "shape": [9, 7, 3], "channels": [4], "hidden": 8},
        {"type": "sequence", "inputs": 5, "hidden": 8},
        {"type": "sequence", "inputs": 5, "hidden": 8, "cell": "transformer", "layers": 1, "heads": 2},
    ],
)
def test_a_saved_model_scores_the_same(encoder, tmp_path):
    items = [as_trajectory(image()) for _ in range(3)] if encoder["type"] == "cnn" else SEGMENTS
    model = RewardModel.make(encoder)
    model.save(tmp_path)
    again = RewardModel.load(tmp_path)
    assert np.array_equal(again(items).values, model(items).values)
    assert again.network.encoder.options() == model.network.encoder.options()


def test_brighter_pictures_are_learned_to_be_better():
    def pair():
        dark = 0.4 * image()
        return Preference(chosen=as_trajectory(dark + 0.5), rejected=as_trajectory(dark))

    data = PreferenceData.from_preferences(pair() for _ in range(24))
    model = RewardModel.make({"type": "cnn", "shape": [9, 7, 3], "channels": [4], "hidden": 8})
    result = fit(model, data, steps=40, learning_rate=1e-2)
    test = pair()
    assert result.model.log_odds([test.chosen], [test.rejected])[0] > 0


def test_the_last_step_can_decide():
    def pair():
        good = segment(int(RANDOM.integers(2, 6)))
        bad = Trajectory(observations=good.observations.copy(), actions=good.actions.copy())
        good.actions[-1] += 3.0
        return Preference(chosen=good, rejected=bad)

    data = PreferenceData.from_preferences(pair() for _ in range(24))
    result = fit(RewardModel.make({"type": "sequence", "inputs": 5, "hidden": 8}), data, steps=60, learning_rate=2e-2)
    test = pair()
    assert result.model.log_odds([test.chosen], [test.rejected])[0] > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CNNEncoder((9,)), r"shape must be \(height, width\)"),
        (lambda: CNNEncoder((9, 9), scale=0.0), "scale must be positive"),
        (lambda: SequenceEncoder(3, cell="lstm"), "cell must be gru or transformer, got 'lstm'"),
        (lambda: SequenceEncoder(3, 10, cell="transformer", heads=4), "a multiple of the heads"),
    ],
)
def test_wrong_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_does_not_fit_fails_alone():
    model = RewardModel.make({"type": "cnn", "shape": [9, 7, 3]})
    broken = image()
    broken[0, 0] = np.nan
    scores = model([as_trajectory(one) for one in (image(), image(4, 4), broken)] + [Trajectory.from_text("a", "b")])
    assert list(scores.status) == [Status.SCORED] + [Status.FAILED] * 3
    assert "trajectory 1 has steps of shape (4, 4, 3), the encoder expects (9, 7, 3)" in scores.notes[1]
    assert "not finite" in scores.notes[2]
    assert "text needs a text encoder" in scores.notes[3]
