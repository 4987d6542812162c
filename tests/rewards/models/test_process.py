"""The process head: what makes the whole, gradients, steps in scores, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rewardlab as rl
from rewardlab.learning import StepLabelData
from rewardlab.registry import SpecError
from rewardlab.rewards.models.base import Encoded
from rewardlab.rewards.models.heads.process import ProcessHead, whole_value
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Trajectory

WAYS = ("min", "product", "last", "mean")
rows = st.lists(st.lists(st.floats(-6, 6, width=32), min_size=1, max_size=5), min_size=1, max_size=4)


def padded(values) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, values))
    logits = torch.tensor([[*row, *[0.0] * (longest - len(row))] for row in values], dtype=torch.float64)
    return logits, torch.tensor([[n < len(row) for n in range(longest)] for row in values])


@pytest.mark.parametrize("whole", WAYS)
@given(rows)
def test_the_whole_is_the_log_odds_of_one_probability(whole, values) -> None:
    found = whole_value(*padded(values), whole)
    for row, value in zip(values, found.tolist(), strict=True):
        right = [1 / (1 + math.exp(-one)) for one in row]
        chance = {"min": min(right), "product": math.prod(right), "last": right[-1], "mean": sum(right) / len(right)}[
            whole
        ]
        assert value == pytest.approx(math.log(chance / (1 - chance)), abs=1e-9)


@pytest.mark.parametrize("whole", WAYS)
def test_certain_steps_keep_their_order_and_their_gradients(whole) -> None:
    logits = torch.tensor([[60.0, 50.0], [55.0, 45.0], [-70.0, 40.0]], requires_grad=True)
    value = whole_value(logits, torch.ones(3, 2, dtype=torch.bool), whole)
    assert torch.isfinite(value).all()
    assert value[0] > value[1]
    value.sum().backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0].sum() > 0.2


@pytest.mark.parametrize("whole", WAYS)
def test_no_step_is_no_value(whole) -> None:
    mask = torch.tensor([[False, False], [True, False]])
    value = whole_value(torch.zeros(2, 2), mask, whole)
    assert torch.isnan(value[0])
    assert value[1] == 0.0


def walk(steps) -> Trajectory:
    """A trajectory of steps with two numbers each."""
    observations = np.asarray([*steps, steps[-1]], np.float32)
    return Trajectory(observations=observations, actions=np.zeros((len(steps), 0), np.float32))


def world(count: int) -> StepLabelData:
    """A step is right where its first number is above its second; what follows the first error has no label."""
    generator = np.random.default_rng(100)
    items, labels = [], []
    for _ in range(count):
        steps = generator.normal(size=(int(generator.integers(1, 6)), 2))
        right = (steps[:, 0] > steps[:, 1]).astype(float)
        if (right == 0).any():
            right[int(np.argmin(right)) + 1 :] = np.nan
        items.append(walk(steps))
        labels.append(right)
    return StepLabelData(items=items, item=np.arange(count), labels=labels)


def model(**options) -> RewardModel:
    return RewardModel.make({"type": "mlp", "inputs": 2, "hidden": [16]}, {"type": "process", **options})


def test_a_process_model_is_fitted_saved_and_scores_every_step(tmp_path) -> None:
    data = world(200)
    fitted = rl.fit(model(hidden=8, whole="product"), data, steps=150, learning_rate=0.02).model
    found = rl.evaluate(fitted, world(60))
    assert found["step AUC"].value > 0.95
    assert found.calibration is not None
    scores = fitted(data.items[:4])
    assert [len(one) for one in scores.steps] == [len(one.actions) for one in data.items[:4]]
    fitted.save(tmp_path / "model")
    again = RewardModel.load(tmp_path / "model")(data.items[:4])
    assert (again.values == scores.values).all()
    assert all((a == b).all() for a, b in zip(again.steps, scores.steps, strict=True))


def test_scores_do_not_depend_on_what_else_is_in_the_batch() -> None:
    whole, items = model(whole="mean"), world(12).items
    together = whole(items)
    for index, one in enumerate(items):
        assert whole([one]).values[0] == pytest.approx(together.values[index], abs=1e-6)


def test_what_a_process_head_refuses() -> None:
    with pytest.raises(SpecError, match="whole must be one of min, product, last, mean, got 'max'"):
        ProcessHead(4, whole="max")
    with pytest.raises(ValueError, match="needs features of the steps, and the encoder gave none"):
        ProcessHead(4)(Encoded(response=torch.zeros(2, 4)))
    assert ProcessHead(4, hidden=3, seed=5).options() == {
        "width": 4, "hidden": 3, "whole": "min", "dropout": 0.0, "seed": 5,
    }  # fmt: skip


def test_a_model_without_step_values_fails_at_step_labels_and_says_why() -> None:
    plain = RewardModel.make({"type": "mlp", "inputs": 2, "hidden": [4]})
    with pytest.raises(TypeError, match="use the head 'process'"):
        rl.fit(plain, world(20), steps=1)
    assert rl.evaluate(plain, world(5)).counts["failed"] == 5
