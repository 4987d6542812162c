"""An ensemble is what its members would be alone, and an ordinary reward model on top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rewardlab.learning import EnsembleFit, PreferenceData, StepLabelData, fit, fit_ensemble, join, member_values
from rewardlab.learning.fitting import fit_defaults
from rewardlab.rewards.models.heads.scalar import ScalarHead
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Trajectory
from tests.learning.worlds import comparisons, make_deep, make_linear, rankings, ratings, vectors

OPTIONS: dict[str, Any] = {"steps": 12, "batch_size": 8, "learning_rate": 0.05, "max_grad_norm": 0.1}

HEADS: list[dict[str, Any]] = [
    {"type": "scalar"},
    {"type": "two_layer", "hidden": 4},
    {"type": "quantile"},
    {"type": "mean_variance"},
    {"type": "general_preference", "dim": 2},
]


@pytest.mark.parametrize("make", [make_linear, make_deep])
@pytest.mark.parametrize("data", [comparisons(), rankings(), ratings()], ids=["pairs", "rankings", "ratings"])
def test_every_member_is_what_it_would_be_alone(make: Any, data: Any) -> None:
    many = fit_ensemble(make, data, 3, **OPTIONS)
    alone = np.stack([raw_values(fit(make(seed), data, **OPTIONS).model, data.items) for seed in range(3)], axis=1)
    assert alone.std(axis=1).min() > 1e-3  # they differ, so the comparison says something
    np.testing.assert_allclose(member_values(many, data.items), alone, atol=2e-6)


@pytest.mark.parametrize("spec", HEADS, ids=lambda spec: spec["type"])
def test_members_with_any_head_compare_as_they_would_alone(spec: dict[str, Any]) -> None:
    def make(seed: int) -> RewardModel:
        return RewardModel.make({"type": "mlp", "inputs": 4, "hidden": []}, {**spec, "seed": seed})

    data = comparisons(32)
    many = fit_ensemble(make, data, 3, normalise=False, **OPTIONS)
    alone = [fit(make(seed), data, normalise=False, **OPTIONS).model for seed in range(3)]
    first, second = ([data.items[row] for row in rows] for rows in (data.first, data.second))
    expected = np.mean([model.log_odds(first, second) for model in alone], axis=0)
    np.testing.assert_allclose(many.log_odds(first, second), expected, atol=1e-5)


def test_an_ensemble_of_heads_for_steps() -> None:
    draw = np.random.default_rng(0)
    steps = [draw.normal(size=(count + 1, 4)).astype(np.float32) for count in draw.integers(1, 5, size=20)]
    items = [Trajectory(observations=one, actions=np.zeros((len(one) - 1, 1), np.float32)) for one in steps]
    labels = [(one[:-1, 0] > 0).astype(float) for one in steps]
    data = StepLabelData(items=items, item=np.arange(20), labels=labels)

    def make(seed: int) -> RewardModel:
        return RewardModel.make(
            {"type": "mlp", "inputs": 4, "hidden": [4], "seed": seed}, {"type": "process", "seed": seed}
        )

    many = fit_ensemble(make, data, 3, normalise=False, **OPTIONS)
    alone = [fit(make(seed), data, normalise=False, **OPTIONS).model for seed in range(3)]
    expected = [np.mean([model(items).steps[row] for model in alone], axis=0) for row in range(20)]  # type: ignore[index]
    found = many(items).steps
    assert found is not None
    for got, mean in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, mean, atol=1e-5)


@pytest.mark.parametrize("make", [make_linear, make_deep])
def test_scores_survive_the_disk_to_the_bit(make: Any, tmp_path: Path) -> None:
    data = comparisons(32)
    many = fit_ensemble(make, data, 3, **OPTIONS)
    saved, loaded = many.save(tmp_path), RewardModel.load(tmp_path)
    before, after = many(data.items), loaded(data.items)
    assert saved.digest is not None
    np.testing.assert_array_equal(before.values, after.values)
    np.testing.assert_array_equal(before.confidence, after.confidence)
    np.testing.assert_array_equal(member_values(many, data.items), member_values(loaded, data.items))


def test_value_and_confidence_by_hand() -> None:
    def around(*weights: float) -> RewardModel:
        head = ScalarHead(2)
        with torch.no_grad():
            head.linear.weight.copy_(torch.tensor([weights]))
        return RewardModel.make({"type": "mlp", "inputs": 2, "hidden": []}, head)

    many = join([around(1.0, 0.0), around(1.0, 2.0)])
    scores = many([_item([3.0, 0.0]), _item([3.0, 1.0])])
    np.testing.assert_allclose(scores.values, [3.0, 4.0])
    np.testing.assert_allclose(scores.confidence, [1.0, 0.5])  # deviations 0 and 1
    assert scores.parts is not None
    np.testing.assert_allclose(scores.parts["disagreement"].values, [0.0, 1.0])
    np.testing.assert_allclose(member_values(many, [_item([3.0, 1.0])]), [[3.0, 5.0]])


def test_confidence_forgets_the_constant_that_comparisons_leave_open() -> None:
    def make(seed: int) -> RewardModel:
        model = RewardModel.make({"type": "mlp", "inputs": 4, "hidden": []}, {"type": "scalar", "bias": True})
        with torch.no_grad():
            model.network.head.linear.bias.fill_(100.0 * seed)  # type: ignore[union-attr,operator]
        return model

    data = comparisons(32)
    many = fit_ensemble(make, data, 3, **OPTIONS)
    assert member_values(many, data.items).std(axis=1).min() > 50.0
    assert many(data.items).confidence.min() > 0.99  # type: ignore[union-attr]


def test_members_disagree_where_no_data_was() -> None:
    data = comparisons(64)
    many = fit_ensemble(make_deep, data, 5, steps=100, learning_rate=0.02)
    near, far = many(data.items).confidence, many([_item(10.0 * np.asarray(one.observations[0])) for one in data.items])
    assert near is not None
    assert far.confidence is not None
    assert far.confidence.mean() < near.mean()


def test_bootstrap_gives_each_member_its_own_rows() -> None:
    def make(seed: int) -> RewardModel:
        return make_linear(0)  # all start alike: what differs is what they see

    data = comparisons(40)
    fitted = EnsembleFit(**fit_defaults({"model": join([make(0), make(1)]), "data": data, **OPTIONS}), bootstrap=True)
    weight = fitted.table.weight
    assert weight is not None
    assert weight.sum(0).tolist() == [40.0, 40.0]
    assert not torch.equal(weight[:, 0], weight[:, 1])
    model = fitted.run().model
    often = weight[:, 1].numpy().astype(int)
    alone = fit(make(1), _weighted(data, often), **OPTIONS).model
    np.testing.assert_allclose(member_values(model, data.items)[:, 1], raw_values(alone, data.items), atol=2e-6)


def test_a_shared_encoder_learns_once() -> None:
    data = comparisons(32)
    model = fit_ensemble(make_deep, data, 3, share_encoder=True, **OPTIONS)
    assert model.network.encoder.kind == "mlp"
    assert model.network.head.options()["shared"] is True
    start = make_deep(0).network.encoder.state_dict()
    assert any(not torch.equal(value, start[name]) for name, value in model.network.encoder.state_dict().items())


def test_a_killed_ensemble_goes_on(tmp_path: Path) -> None:
    data = comparisons(32)
    whole = fit_ensemble(make_deep, data, 3, checkpoint_every=4, output=tmp_path / "whole", **OPTIONS)
    again = fit_ensemble(make_deep, data, 3, checkpoint_every=4, output=tmp_path / "whole", **OPTIONS)
    np.testing.assert_array_equal(member_values(whole, data.items), member_values(again, data.items))


@pytest.mark.parametrize(
    ("make", "members", "options", "message"),
    [
        (make_linear, 1, {}, "at least 2 members, got 1"),
        (lambda seed: make_linear(0), 3, {}, "start from the same weights"),
        (lambda seed: make_linear(seed, 4 + seed), 2, {}, "is not like that of member 0: width is 4 and 5"),
        (make_linear, 2, {"loss": {"type": "contrastive"}}, "fit the models one by one"),
    ],
)
def test_what_cannot_be_an_ensemble(make: Any, members: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_ensemble(make, comparisons(8), members, **options)


def test_a_misspelt_option_is_named() -> None:
    with pytest.raises(TypeError, match="fit has no option 'learning_rat'; did you mean 'learning_rate'"):
        fit_ensemble(make_linear, comparisons(8), 2, learning_rat=1.0)


def test_one_model_has_no_members() -> None:
    with pytest.raises(TypeError, match="needs an ensemble, got a model with a scalar head"):
        member_values(make_linear(), vectors(2)[0])


def raw_values(model: RewardModel, items: Any) -> np.ndarray:
    """Values before they are scaled."""
    with torch.no_grad():
        found = model.network.head.value(model.outputs(items))
    return np.asarray(found.double().numpy())


def _item(vector: Any) -> Any:
    from rewardlab.learning import as_trajectory

    return as_trajectory(np.asarray(vector, dtype=np.float32))


def _weighted(data: PreferenceData, often: np.ndarray) -> PreferenceData:
    from dataclasses import replace

    return replace(data, weight=often.astype(np.float64))
