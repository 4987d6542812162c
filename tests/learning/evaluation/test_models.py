"""Learned models: calibration, users, heads that only compare, comparisons of several models, pictures."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest
import torch

import rewardlab as rl
from rewardlab.functional import brier_score, expected_calibration_error
from rewardlab.learning.data import PreferenceData, RankingData, StepLabelData
from rewardlab.learning.evaluation import Comparison, compare, model_from, save_plots
from rewardlab.learning.evaluation.comparison import difference
from rewardlab.registry import SpecError
from rewardlab.rewards.models.model import RewardModel
from tests.learning.evaluation.told import Other, Told, item, solution

WIDTH = 3


def linear(*weights: float, head="scalar", **options) -> RewardModel:
    """A model whose value is a weighted sum of the three numbers of an item."""
    model = RewardModel.make({"type": "mlp", "inputs": WIDTH, "hidden": []}, head, **options)
    if head == "scalar":
        with torch.no_grad():
            for parameter in model.network.head.parameters():
                parameter.zero_()
            next(iter(model.network.head.parameters())).copy_(torch.tensor([list(weights)]))
    return model


def vectors(count: int, seed: int = 100, **columns) -> PreferenceData:
    generator = np.random.default_rng(seed)
    first, second = generator.normal(size=(2, count, WIDTH))
    label = (generator.random(count) < 1 / (1 + np.exp(-(first - second)[:, 0]))).astype(float)
    return PreferenceData.from_arrays(first, second, label, **columns)


def test_probabilities_of_a_learned_model_are_looked_at_from_the_side_that_it_prefers() -> None:
    data, model = vectors(200), linear(1.0, 0.0, 0.0)
    model.network.shift.fill_(5.0)
    model.network.scale.fill_(0.01)  # the scale of values must not touch probabilities
    found = rl.evaluate(model, data)
    logits = np.asarray(
        [
            data.items[a].observations[0][0] - data.items[b].observations[0][0]
            for a, b in zip(data.first, data.second, strict=True)
        ]
    )
    stated = 1 / (1 + np.exp(-logits))
    side = np.maximum(stated, 1 - stated)
    came_true = np.where(stated >= 0.5, data.label, 1 - data.label)
    assert found.calibration is not None
    assert found.calibration.brier == pytest.approx(brier_score(stated, data.label), abs=1e-6)
    assert found.calibration.error == pytest.approx(expected_calibration_error(side, came_true, bins=20), abs=1e-6)
    assert found.calibration.curve.lower.min() >= 0.5
    assert found.main.value == pytest.approx(came_true.mean())
    assert found.calibration.error < rl.evaluate(linear(20.0, 0.0, 0.0), data).calibration.error


def test_an_item_that_the_encoder_cannot_read_fails_alone() -> None:
    data = vectors(5)
    data.items[0] = item(1.0)
    found = rl.evaluate(linear(1.0, 0.0, 0.0), data)
    assert (found.counts["failed"], found.counts["decided"]) == (1, 4)
    assert found.reasons[0][0] == "failed"


def test_a_head_that_only_compares_is_evaluated_by_its_comparisons() -> None:
    model = linear(head="general_preference")
    data = vectors(40)
    found = rl.evaluate(model, data)
    assert found.counts["decided"] == 40
    logits = model.log_odds([data.items[row] for row in data.first], [data.items[row] for row in data.second])
    right = np.sign(logits) == np.sign(data.label - 0.5)
    assert found.main.value == pytest.approx(right.mean())
    ranked = RankingData(items=data.items[:6], rankings=[np.arange(3), np.arange(3, 6)])
    assert rl.evaluate(model, ranked).counts["decided"] == 2


def test_every_comparison_can_be_judged_as_its_annotator_would() -> None:
    data = vectors(60, annotators=["ann", "bob"] * 30)
    data.label = np.asarray([float(n % 2) for n in range(60)])  # everybody of one mind, and of opposite ones
    model = RewardModel.make(
        {"type": "mlp", "inputs": WIDTH, "hidden": []}, {"type": "ideal_point", "users": ["ann", "bob"]}
    )
    asked = rl.evaluate(model, data, own_users=True)
    for number, name in enumerate(("ann", "bob")):
        alone = RewardModel.around(model.network, user=name)
        rows = data.select(np.arange(number, 60, 2))
        assert asked.units.logits[number::2] == pytest.approx(rl.evaluate(alone, rows).units.logits, abs=1e-6)
    data.annotators[0] = "zoe"
    assert rl.evaluate(model, data, own_users=True).counts["annotators unknown to the model"] == 1
    data.annotators = None
    with pytest.raises(ValueError, match="none does; leave it out"):
        rl.evaluate(model, data, own_users=True)


def three() -> dict[str, RewardModel]:
    return {"good": linear(1.0, 0.0, 0.0), "blind": linear(0.0, 1.0, 0.0), "bad": linear(-1.0, 0.0, 0.0)}


def test_a_table_of_models_and_data_with_paired_tests(tmp_path) -> None:
    found = compare(three(), {"a": vectors(150), "b": vectors(80, seed=101)}, baseline="blind")
    better, worse = found.differences[("a", "good")], found.differences[("a", "bad")]
    assert better.estimate.value == pytest.approx(
        found.cells[("a", "good")].main.value - found.cells[("a", "blind")].main.value
    )
    assert better.estimate.low > 0 > worse.estimate.high
    assert better.p <= better.adjusted < 0.05
    assert ("a", "blind") not in found.differences
    for name in ("t.md", "t.csv", "t.json"):
        found.write(tmp_path / name)
    assert "* p < 0.05 after Holm's adjustment for 4 tests" in (tmp_path / "t.md").read_text()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    assert [(row["data"], row["reward"]) for row in rows][:3] == [("a", "good"), ("a", "blind"), ("a", "bad")]
    assert rows[1]["difference"] == ""
    assert json.loads((tmp_path / "t.json").read_text())["baseline"] == "blind"
    with pytest.raises(ValueError, match=r"must end in .md, .csv, .json"):
        found.write(tmp_path / "t.txt")


def test_differences_are_of_the_rows_that_both_decide() -> None:
    items = [item(1, other=1, text="a"), item(0, other=2, text="b"), item(None, other=0, text="c")]
    data = PreferenceData(
        items=items, first=np.asarray([0, 0]), second=np.asarray([1, 2]), label=np.asarray([1.0, 1.0])
    )
    found = compare({"told": Told(), "other": Other()}, {"d": data})
    assert found.differences[("d", "other")].estimate.rows == 1
    assert found.differences[("d", "other")].estimate.value == -1.0
    assert found.cells[("d", "other")].main.rows == 2
    assert "1 of 2 rows undecided" in found.to_markdown()


def test_names_of_a_comparison() -> None:
    with pytest.raises(ValueError, match="the baseline 'godo' is none of the rewards good"):
        compare(three(), {"a": vectors(5)}, baseline="godo")
    with pytest.raises(ValueError, match="there is no reward to compare"):
        compare([], {"a": vectors(5)})
    with pytest.raises(ValueError, match="two rewards are called 'reward_model'"):
        compare([linear(1.0, 0, 0), linear(1.0, 0, 0)], {"a": vectors(5)})
    with pytest.raises(ValueError, match="put it into a list"):
        compare("response_length", {"a": vectors(5)})
    assert compare([Told(), Other()], [chats()]).data == ("data set 1",)
    one, other = (rl.evaluate(Told(), chats(count)) for count in (3, 4))
    with pytest.raises(ValueError, match="different rows"):
        difference(one, other)


def chats(count: int = 3) -> PreferenceData:
    items = [item(n % 3, other=-n, prompt=f"q{n // 2}", text=f"{n}") for n in range(2 * count)]
    return PreferenceData(
        items=items, first=np.arange(0, 2 * count, 2), second=np.arange(1, 2 * count, 2), label=np.ones(count)
    )


@pytest.mark.parametrize("file_format", ["png", "svg"])
def test_pictures_of_everything(tmp_path, file_format) -> None:
    data = vectors(
        30, annotators=["a", "b", "c"] * 10, metadata=[{"subset": "x y/z", "comparison": n // 3} for n in range(30)]
    )
    found = rl.evaluate(linear(1.0, 0.0, 0.0), data, "subset")
    drawn = save_plots(found, tmp_path / "one", file_format=file_format)
    names = ("measures", "by_subset", "reliability", "agreement", "margins")
    assert {path.name for path in drawn} == {f"{name}.{file_format}" for name in names}
    start = b"\x89PNG" if file_format == "png" else b"<?xml"
    assert all(path.read_bytes().startswith(start) for path in drawn)
    table: Comparison = compare(three(), {"a": data})
    assert [path.name for path in save_plots(table, tmp_path, file_format=file_format)] == [f"comparison.{file_format}"]
    labelled = StepLabelData(
        items=[solution([0.9, 0.1]), solution([0.9, 0.8], prompt="r")],
        item=np.arange(2),
        labels=[np.asarray([1.0, 0.0]), np.asarray([1.0, 1.0])],
    )
    assert (tmp_path / f"roc.{file_format}") in save_plots(
        rl.evaluate(Told(), labelled), tmp_path, file_format=file_format
    )
    with pytest.raises(ValueError, match='"png" or "svg", got \'gif\''):
        save_plots(found, tmp_path, file_format="gif")


def test_a_saved_model_and_a_file_by_name(tmp_path) -> None:
    linear(1.0, 0.0, 0.0).save(tmp_path / "model")
    by_path = rl.evaluate(tmp_path / "model", vectors(20))
    assert by_path.reward == "model"
    assert by_path.main == rl.evaluate(linear(1.0, 0.0, 0.0), vectors(20)).main
    rows = [{"prompt": "a", "chosen": "longer", "rejected": "short"}, {"prompt": "b", "chosen": "x", "rejected": "yy"}]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = rl.evaluate("response_length", tmp_path / "pairs.jsonl")
    assert (found.reward, found.data, found.main.value) == ("response_length", "pairs.jsonl", 0.5)
    labelled = [{"prompt": "a", "steps": ["x", "y"], "labels": [True, False]}]
    assert rl.evaluate("response_length", labelled).counts["failed"] == 1
    with pytest.raises(ValueError, match="are no layout that is known"):
        rl.evaluate("response_length", [{"a": 1}])
    with pytest.raises(ValueError, match="no folder of a saved model"):
        model_from("response_length", user="ann")
    assert math.isnan(rl.evaluate("response_length", labelled).main.value)


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(SpecError, match="there is no runs/modle: expected the folder of a saved model"):
        model_from("runs/modle")
