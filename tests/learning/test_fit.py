"""One fitter: what it converges to, which weights it leaves, what it writes, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rewardlab.learning import Fit, FitStopped, PreferenceData, RatingData, StepLabelData, as_trajectory, fit
from rewardlab.learning.fitting import fit_defaults
from rewardlab.rewards.models.base import Context, Encoded, Head, Outputs
from rewardlab.rewards.models.heads.scalar import ScalarHead
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Trajectory
from tests.learning.worlds import comparisons, make_deep, make_linear, rankings, ratings, vectors


def weight_of(model: RewardModel) -> Tensor:
    """The weight of a linear head."""
    head = model.network.head
    assert isinstance(head, ScalarHead)
    return head.linear.weight.detach()[0]


# ---- what it converges to -------------------------------------------------------------------------------------------------


def test_three_wins_out_of_four_are_log_odds_of_three() -> None:
    items = [as_trajectory(np.array([1.0])), as_trajectory(np.array([0.0]))]
    data = PreferenceData(items=items, first=[0, 0, 0, 0], second=[1, 1, 1, 1], label=[1.0, 1.0, 1.0, 0.0])
    result = fit(make_linear(width=1), data, steps=300, batch_size=4, learning_rate=0.05, normalise=False)
    assert float(weight_of(result.model)) == pytest.approx(math.log(3), abs=1e-3)
    assert result.metrics[-1]["loss"] == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25), abs=1e-6)
    assert result.model.log_odds(items[:1], items[1:]) == pytest.approx([math.log(3)], abs=1e-3)


def test_weights_of_rows_count_like_rows() -> None:
    items = [as_trajectory(np.array([1.0])), as_trajectory(np.array([0.0]))]
    data = PreferenceData(items=items, first=[0, 0], second=[1, 1], label=[1.0, 0.0], weight=[3.0, 1.0])
    result = fit(make_linear(width=1), data, steps=300, learning_rate=0.05, normalise=False)
    assert float(weight_of(result.model)) == pytest.approx(math.log(3), abs=1e-3)


def test_the_first_step_by_hand() -> None:
    items = [as_trajectory(np.array([2.0, 0.0])), as_trajectory(np.array([0.0, 1.0]))]
    data = PreferenceData(items=items, first=[0], second=[1], label=[1.0])
    model = make_linear(width=2)
    before = weight_of(model).clone()
    result = fit(model, data, steps=1, learning_rate=0.1, schedule="constant", warmup=0.0, max_grad_norm=None)
    logit = 2 * float(before[0]) - float(before[1])
    assert result.metrics[0]["loss"] == pytest.approx(math.log(1 + math.exp(-logit)), abs=1e-6)
    assert result.metrics[0]["gradient_norm"] == pytest.approx(math.sqrt(5) / (1 + math.exp(logit)), abs=1e-6)
    torch.testing.assert_close(weight_of(model) - before, torch.tensor([0.1, -0.1]))  # AdamW begins with signs


def test_values_are_shifted_and_scaled_and_log_odds_are_not() -> None:
    data = comparisons()
    model = fit(make_linear(), data, steps=40, learning_rate=0.1).model
    values = model(data.items).values
    assert values.mean() == pytest.approx(0.0, abs=1e-6)
    assert values.std() == pytest.approx(1.0, abs=1e-6)
    first, second = ([data.items[row] for row in rows] for rows in (data.first, data.second))
    differences = (values[data.first] - values[data.second]) * float(model.network.scale)
    np.testing.assert_allclose(model.log_odds(first, second), differences, atol=1e-6)


@pytest.mark.parametrize("data", [comparisons(), rankings(), ratings()], ids=["comparisons", "rankings", "ratings"])
@pytest.mark.parametrize("make", [make_linear, make_deep])
def test_every_kind_of_judgement_finds_the_direction(data: Any, make: Any) -> None:
    model = fit(make(), data, steps=150, learning_rate=0.05).model
    items, utility = vectors(200, seed=7)
    assert np.corrcoef(model(items).values, utility)[0, 1] > 0.9


def test_rankings_go_with_losses_of_comparisons() -> None:
    data = rankings()
    result = fit(make_linear(), data, loss="bradley_terry", steps=60, learning_rate=0.1, validation=0.25)
    assert result.best is not None
    assert result.best["accuracy"] > 0.8
    assert len(data) * 3 > result.metrics[0]["rows"]


class StepHead(Head):
    """Log-odds of every step, for labels of steps."""

    kind = "tests.learning.test_fit:StepHead"
    needs_steps = True

    def __init__(self, width: int, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.linear = torch.nn.Linear(width, 1)

    def options(self) -> dict[str, Any]:
        return {"width": self.linear.in_features}

    def forward(self, encoded: Encoded) -> Outputs:
        assert encoded.steps is not None
        assert encoded.step_mask is not None
        return {"steps": self.linear(encoded.steps).squeeze(-1), "mask": encoded.step_mask}

    def value(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        return torch.where(outputs["mask"], outputs["steps"], 0.0).sum(1)

    def step_values(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        return outputs["steps"], outputs["mask"]


def test_labels_of_steps() -> None:
    draw = np.random.default_rng(0)
    items, labels = [], []
    for count in draw.integers(1, 5, size=60):
        steps = draw.normal(size=(count + 1, 4)).astype(np.float32)
        items.append(Trajectory(observations=steps, actions=np.zeros((count, 1), np.float32)))
        labels.append((steps[:count, 0] > 0).astype(float))
    labels[0][:] = np.nan  # nobody looked
    data = StepLabelData(items=items, item=np.arange(60), labels=labels)
    model = RewardModel.make({"type": "mlp", "inputs": 4, "hidden": []}, StepHead(4))
    result = fit(model, data, steps=150, learning_rate=0.05, validation=data, normalise=False)
    assert result.evaluations[-1]["accuracy"] > 0.9


# ---- rows, order and repeats --------------------------------------------------------------------------------------------


def test_every_row_comes_once_before_any_comes_again() -> None:
    fitted = Fit(**fit_defaults({"model": make_linear(), "data": comparisons(10), "epochs": 2.5, "batch_size": 4}))
    batches = [fitted._batch(step).tolist() for step in range(fitted.steps or 0)]
    rows = [row for batch in batches for row in batch]
    assert len(rows) == 25
    assert sorted(rows[:10]) == sorted(rows[10:20]) == list(range(10))
    assert rows[:10] != rows[10:20]
    assert list(map(len, batches)) == [4, 4, 4, 4, 4, 4, 1]


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    data = comparisons()

    def fitted(seed: int, noise: int) -> Tensor:
        torch.manual_seed(noise)  # what stands outside does not matter
        encoder = {"type": "mlp", "inputs": 4, "hidden": [8], "dropout": 0.3}
        model = fit(RewardModel.make(encoder), data, steps=10, batch_size=8, seed=seed).model
        return weight_of(model)

    assert torch.equal(fitted(0, 1), fitted(0, 2))
    assert not torch.equal(fitted(0, 1), fitted(1, 1))


def test_random_numbers_outside_are_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(make_deep(), comparisons(8), steps=3)
    assert torch.equal(torch.rand(3), expected)


def test_frozen_features_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_linear()
    calls = []
    forward = type(model.network.encoder).forward
    monkeypatch.setattr(
        type(model.network.encoder),
        "forward",
        lambda self, batch: calls.append(len(batch["mask"])) or forward(self, batch),
    )
    data = comparisons(32)
    fit(model, data, steps=20, batch_size=8)
    assert sum(calls) == len(data.items)


# ---- held-out judgements ------------------------------------------------------------------------------------------------


def test_the_best_weights_stay_and_patience_ends_the_fit() -> None:
    data = comparisons(80)
    train, held = data.select(np.arange(60)), data.select(np.arange(60, 80))
    wrong = dataclasses.replace(
        held, label=1 - held.label
    )  # the held-out rows say the opposite: learning makes it worse
    model = make_linear()
    start = weight_of(model).clone()
    result = fit(
        model, train, validation=wrong, steps=100, learning_rate=0.1, evaluate_every=2, patience=3, monitor="loss"
    )
    assert result.stopped
    assert [line["step"] for line in result.evaluations] == [0, 2, 4, 6]
    assert result.best == result.evaluations[0]
    assert result.metrics[-1]["step"] == 6
    assert torch.equal(weight_of(model), start)


def test_without_patience_the_best_is_kept_all_the_same() -> None:
    data = comparisons(80)
    result = fit(make_linear(), data, validation=0.25, steps=30, learning_rate=0.1)
    assert not result.stopped
    assert result.best is not None
    assert result.best["accuracy"] == max(line["accuracy"] for line in result.evaluations)
    assert [line["step"] for line in result.evaluations] == [0, *range(3, 31, 3)]
    assert result.model.network.about["fit"]["best"] == result.best


def test_of_equal_accuracies_the_lower_loss_is_better() -> None:
    items = [as_trajectory(np.array([1.0])), as_trajectory(np.array([0.0]))]
    data = PreferenceData(items=items, first=[0], second=[1], label=[1.0])
    model = RewardModel.make({"type": "mlp", "inputs": 1, "hidden": []}, ScalarHead(1))
    with torch.no_grad():
        model.network.head.linear.weight.fill_(0.1)  # type: ignore[union-attr,operator]
    result = fit(model, data, validation=data, steps=10, learning_rate=0.1)
    assert [line["accuracy"] for line in result.evaluations] == [1.0] * 11
    assert result.best == result.evaluations[-1]


# ---- what is no number --------------------------------------------------------------------------------------------------


def broken(rows: int = 12, bad: int = 7) -> PreferenceData:
    """Comparisons of which one is between numbers that no float holds after a product."""
    data = comparisons(rows)
    items = list(data.items)
    items[int(data.first[bad])] = as_trajectory(np.full(4, 3e38, np.float32))
    label = np.where(np.arange(rows) == bad, 0.0, data.label)
    return dataclasses.replace(data, items=items, label=label)


def steep() -> RewardModel:
    """A model whose value of the largest numbers is infinite."""
    model = make_linear()
    with torch.no_grad():
        model.network.head.linear.weight.fill_(5.0)  # type: ignore[union-attr,operator]
    return model


def test_a_loss_that_is_no_number_names_its_rows(tmp_path: Path) -> None:
    model = steep()
    with pytest.raises(FitStopped, match=r"in rows? 7 of the training data .*3e\+38.* lower learning_rate") as stopped:
        fit(model, broken(), batch_size=2, epochs=3, output=tmp_path, checkpoint_every=1)
    assert f"The last good checkpoint stays in '{tmp_path}'" in str(stopped.value)
    step = int(str(stopped.value).split()[1])
    assert step > 1  # there is something before it
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir())[-1] == f"checkpoint-{step - 1:08d}"
    assert all(bool(torch.isfinite(weight).all()) for weight in model.network.parameters())
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == step - 1


# ---- the folder ---------------------------------------------------------------------------------------------------------


def test_what_stands_in_the_folder(tmp_path: Path) -> None:
    data = comparisons()
    result = fit(make_deep(), data, validation=0.25, steps=10, output=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == result.metrics
    assert set(lines[0]) == {"step", "loss", "gradient_norm", "learning_rate", "rows"}
    assert [
        json.loads(line) for line in (tmp_path / "evaluations.jsonl").read_text().splitlines()
    ] == result.evaluations
    loaded = RewardModel.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded(data.items).values, result.model(data.items).values)
    assert result.model.path == str(tmp_path / "model")


def test_a_finished_fit_is_not_done_again(tmp_path: Path) -> None:
    data = comparisons()
    first = fit(make_deep(), data, steps=5, output=tmp_path)
    again = fit(make_deep(), data, steps=5, output=tmp_path)
    assert again.metrics == first.metrics
    np.testing.assert_array_equal(again.model(data.items).values, first.model(data.items).values)
    with pytest.raises(FileExistsError, match="holds a fit already; choose another output folder"):
        fit(make_deep(), data, steps=5, output=tmp_path, resume=False)


def test_another_fit_does_not_go_on_in_the_folder(tmp_path: Path) -> None:
    fit(make_deep(), comparisons(), steps=5, output=tmp_path)
    with pytest.raises(ValueError, match=r"holds another fit \(learning_rate was 0.001, is 0.1\)"):
        fit(make_deep(), comparisons(), steps=5, output=tmp_path, learning_rate=0.1)
    with pytest.raises(ValueError, match=r"holds another fit \(data was"):
        fit(make_deep(), comparisons(seed=1), steps=5, output=tmp_path)


class Seen:
    """A tracker that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int]] = []
        self.closed = 0

    def start(self, **about: Any) -> None:
        self.steps = about["steps"]

    def log(self, kind: str, step: int, metrics: Any) -> None:
        self.lines.append((kind, step))

    def close(self) -> None:
        self.closed += 1


def test_trackers_and_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    seen = Seen()
    fit(make_linear(), comparisons(), validation=0.25, steps=4, evaluate_every=2, trackers=[seen], progress_bar=True)
    assert seen.lines == [
        ("evaluation", 0), ("training", 1), ("training", 2), ("evaluation", 2), ("training", 3), ("training", 4),
        ("evaluation", 4),
    ]  # fmt: skip
    assert (seen.steps, seen.closed) == (4, 1)
    assert "held-out accuracy" in capsys.readouterr().err


def test_trackers_are_closed_when_the_fit_stops() -> None:
    seen = Seen()
    with pytest.raises(FitStopped):
        fit(steep(), broken(), trackers=[seen])
    assert seen.closed == 1


# ---- rates --------------------------------------------------------------------------------------------------------------


def test_parts_of_the_model_have_rates_of_their_own() -> None:
    data = comparisons()
    model = make_deep()
    before = {name: weight.detach().clone() for name, weight in model.network.named_parameters()}
    fit(model, data, steps=5, rates={"encoder": 0.0})
    for name, weight in model.network.named_parameters():
        assert torch.equal(weight, before[name]) == name.startswith("encoder")


# ---- what is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be positive, got 0"),
        ({"batch_size": -1}, "batch_size must be positive, got -1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive, got 0.0"),
        ({"steps": 0}, "steps must be at least 1 or None, got 0"),
        ({"warmup": 2}, "warmup must lie between 0 and 1, got 2; it is a share of the steps"),
        ({"schedule": "cosin"}, 'schedule must be "cosine", "linear" or "constant", got \'cosin\''),
        ({"monitor": "f1"}, "monitor must be"),
        ({"patience": 2}, "patience needs validation"),
        ({"dtype": "float16"}, "dtype must be"),
        ({"rates": {"body": 0.1}}, "rates names 'body', but no trained weight begins so; names are such as 'head"),
        ({"loss": "process"}, "the loss reads steps, but the data are preferences"),
    ],
)
def test_options_that_mean_nothing(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(make_linear(), comparisons(8), **options)


def test_data_that_says_nothing() -> None:
    data = comparisons(8)
    ties = dataclasses.replace(data, label=np.full(8, 0.5))
    with pytest.raises(ValueError, match=r"one class only: every comparison is a tie \(label 0.5\)"):
        fit(make_linear(), ties)
    same = RatingData(items=data.items, item=[0, 1], value=[2.0, 2.0])
    with pytest.raises(ValueError, match="one class only: every rating is 2"):
        fit(make_linear(), same)
    with pytest.raises(ValueError, match="no rows, so there is nothing to learn from"):
        fit(make_linear(), data.select([]))
    with pytest.raises(TypeError, match=r"data must be PreferenceData.* got a list; rl.read_preferences reads files"):
        fit(make_linear(), [1])  # type: ignore[arg-type]


def test_a_label_that_is_no_probability() -> None:
    data = comparisons(4)
    with pytest.raises(ValueError, match=r"1\.5"):
        dataclasses.replace(data, label=[1.0, 0.0, 1.5, 0.0])


def test_a_head_that_needs_what_the_encoder_lacks() -> None:
    head = {"type": "multi_objective", "objectives": ["one", "two"], "gate": "prompt"}
    with pytest.raises(
        ValueError, match="the head 'multi_objective' needs features of the prompt, and the encoder 'mlp' gives none"
    ):
        fit(RewardModel.make({"type": "mlp", "inputs": 4, "hidden": []}, head), comparisons(8))


def test_nothing_to_train() -> None:
    model = make_linear()
    model.network.head.requires_grad_(False)
    with pytest.raises(ValueError, match="no weight of the model can be trained"):
        fit(model, comparisons(8))


def test_heads_that_know_users_need_several() -> None:
    def model(*users: str) -> RewardModel:
        return RewardModel.make(
            {"type": "mlp", "inputs": 4, "hidden": []}, {"type": "ideal_point", "prototypes": 1, "users": list(users)}
        )

    data = comparisons(8)
    one = dataclasses.replace(data, annotators=["ada"] * 8)
    with pytest.raises(ValueError, match=r"models several users, but there is a single annotator, 'ada'; use a scalar"):
        fit(model("ada"), one)
    with pytest.raises(ValueError, match="tells 2 users apart, but no row names its annotator"):
        fit(model("ada", "bo"), data)
    both = dataclasses.replace(data, annotators=["ada", "bo"] * 4)
    assert len(fit(model("ada", "bo"), both, steps=2).metrics) == 2
    with pytest.raises(ValueError, match="'cleo'"):
        fit(model("ada", "bo"), dataclasses.replace(data, annotators=["ada", "cleo"] * 4))
