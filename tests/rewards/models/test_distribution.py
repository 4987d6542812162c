from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rewardlab.learning.data import as_trajectory  # noqa: E402
from rewardlab.rewards.models import RewardModel  # noqa: E402
from rewardlab.rewards.models.base import Encoded, rows_of  # noqa: E402
from rewardlab.rewards.models.heads.distribution import CategoricalHead, MeanVarianceHead, QuantileHead  # noqa: E402

HEADS: list[dict[str, Any]] = [
    {"type": "quantile", "quantiles": 5},
    {"type": "mean_variance"},
    {"type": "mean_variance", "hidden": 6},
    {"type": "categorical", "atoms": 4, "low": -1.0, "high": 2.0},
]


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def _pair(head: Any) -> tuple[Any, Any, Any]:
    outputs = head(Encoded(response=torch.randn(6, 4, generator=torch.Generator().manual_seed(0))))
    return outputs, rows_of(outputs, torch.arange(3)), rows_of(outputs, torch.arange(3) + 3)


def test_quantiles_rise_and_compare_draw_by_draw() -> None:
    head = QuantileHead(4, quantiles=5)
    outputs, first, second = _pair(head)
    assert bool((outputs["quantiles"].diff(dim=-1) > 0).all())
    assert head.levels == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
    odds = head.preference(first, second)
    for row in range(3):
        draws = itertools.product(first["quantiles"][row].tolist(), second["quantiles"][row].tolist())
        chance = float(np.mean([_sigmoid(one - other) for one, other in draws]))
        assert float(odds[row]) == pytest.approx(np.log(chance / (1 - chance)), abs=1e-5)
    assert head.value(outputs).tolist() == pytest.approx(outputs["quantiles"].mean(-1).tolist())


def test_mean_and_variance_against_sampling() -> None:
    head = MeanVarianceHead(4)
    first = {"mean": torch.tensor([1.0]), "log_variance": torch.tensor([0.5])}
    second = {"mean": torch.tensor([0.2]), "log_variance": torch.tensor([-0.4])}
    spread = np.sqrt(np.exp(0.5) + np.exp(-0.4))
    draws = np.random.default_rng(0).normal(0.8, spread, size=200_000)
    exact = float(np.mean(1 / (1 + np.exp(-draws))))
    assert _sigmoid(float(head.preference(first, second))) == pytest.approx(exact, abs=0.01)
    certain = {name: torch.full_like(one, -30.0) if name == "log_variance" else one for name, one in first.items()}
    sure = {name: torch.full_like(one, -30.0) if name == "log_variance" else one for name, one in second.items()}
    assert float(head.preference(certain, sure)) == pytest.approx(0.8)


def test_the_variance_stays_within_its_limits() -> None:
    head = MeanVarianceHead(4, log_variance=(-2.0, 1.0))
    outputs = head(Encoded(response=1e6 * torch.randn(8, 4)))
    assert float(outputs["log_variance"].min()) >= -2.0
    assert float(outputs["log_variance"].max()) <= 1.0


def test_atoms_compare_with_half_for_ties() -> None:
    head = CategoricalHead(4, atoms=4, low=-1.0, high=2.0)
    outputs, first, second = _pair(head)
    odds = head.preference(first, second)
    for row in range(3):
        win = 0.0
        for i, j in itertools.product(range(4), range(4)):
            share = float(first["probabilities"][row, i] * second["probabilities"][row, j])
            win += share * (1.0 if i > j else 0.5 if i == j else 0.0)
        assert float(odds[row]) == pytest.approx(np.log(win / (1 - win)), abs=1e-5)
    assert head.value(outputs).tolist() == pytest.approx(
        (outputs["probabilities"] @ torch.tensor([-1.0, 0.0, 1.0, 2.0])).tolist()
    )
    sure = {"probabilities": torch.tensor([[0.0, 0.0, 0.0, 1.0]])}
    never = {"probabilities": torch.tensor([[1.0, 0.0, 0.0, 0.0]])}
    assert np.isfinite(float(head.preference(sure, never).detach()))
    assert float(head.preference(sure, never)) > 50
    assert float(head.confidence(sure)) == 1.0
    assert float(head.entropy(sure)) == 0.0


@pytest.mark.parametrize("spec", HEADS)
def test_comparisons_are_antisymmetric_confident_and_saved(spec: dict[str, Any], tmp_path: Path) -> None:
    model = RewardModel.make({"type": "mlp", "inputs": 4, "hidden": [5]}, spec)
    head = model.network.head
    items = [as_trajectory(row) for row in np.random.default_rng(0).normal(size=(6, 4))]
    forward, back = model.log_odds(items[:3], items[3:]), model.log_odds(items[3:], items[:3])
    np.testing.assert_allclose(forward, -back, atol=1e-5)
    scores = model(items)
    assert scores.confidence is not None
    assert np.all((scores.confidence >= 0) & (scores.confidence <= 1))
    model.save(tmp_path / "model")
    loaded = RewardModel.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded(items).values, scores.values)
    np.testing.assert_array_equal(loaded.log_odds(items[:3], items[3:]), forward)
    assert type(loaded.network.head) is type(head)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QuantileHead(4, quantiles=1), "at least two quantiles, got quantiles=1"),
        (lambda: MeanVarianceHead(4, log_variance=(2.0, 1.0)), "lower and a higher limit, got 2.0 and 1.0"),
        (lambda: CategoricalHead(4, atoms=1), "at least two atoms.*atoms=1"),
        (lambda: CategoricalHead(4, low=1.0, high=1.0), "low=1.0, high=1.0"),
    ],
)
def test_options_out_of_range(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
