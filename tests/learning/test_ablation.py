from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rewardlab.learning import Ablation, source_audit
from rewardlab.learning.ablation import joined
from rewardlab.learning.data import PreferenceData

AXES = {"head": {"two": 2, "one": 1, "five": 5}, "noise": {"none": 0.0, "much": 1.0}}


def run(setting: dict[str, Any], seed: int) -> dict[str, float]:
    return {"accuracy": 10 * setting["head"] - setting["noise"] + seed, "loss": float(seed)}


def test_one_axis_changes_at_a_time_and_differences_are_paired() -> None:
    table = Ablation(axes=AXES, run=run).study(seeds=3)
    assert [(row.axis, row.choice) for row in table.rows] == [
        ("base", "base"),
        ("head", "one"),
        ("head", "five"),
        ("noise", "much"),
    ]
    assert table.row("head", "five").differences("accuracy").tolist() == [30, 30, 30]
    assert table.row("noise", "much").interval("accuracy") == (-1.0, -1.0)
    assert [row.choice for row in table.ranked("accuracy")] == ["five", "much", "one"]
    assert "| head | five | 51.000 | +30.000 [+30.000, +30.000] |" in table.markdown()
    assert "| base | base | 21.000 |  |" in table.markdown("accuracy")
    with pytest.raises(KeyError, match="head=ten was not tried; these were: base=base, head=one"):
        table.row("head", "ten")


@pytest.mark.parametrize(
    ("axes", "runner", "seeds", "message"),
    [
        ({}, run, 2, "at least one axis"),
        ({"head": {"two": 2}}, run, 2, "axis 'head' has 1 choices"),
        (AXES, run, 1, "at least 2 seeds for an interval, got 1"),
        (AXES, lambda setting, seed: {"accuracy": float("nan")}, 2, "base=base with seed 0 gave accuracy=nan"),
        (AXES, lambda setting, seed: {str(setting["head"]): 1.0}, 2, r"head=one gave the measures \['1'\]"),
    ],
)
def test_studies_that_cannot_be(axes: Any, runner: Any, seeds: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ablation(axes=axes, run=runner).study(seeds)


def source(count: int, share_right: float, **columns: Any) -> PreferenceData:
    label = (np.arange(count) < share_right * count).astype(float)
    return PreferenceData.from_arrays(np.ones((count, 2)), np.zeros((count, 2)), label, **columns)


SOURCES = {"good": source(10, 1.0), "fair": source(10, 0.8), "poisoned": source(10, 0.2)}


def quality(data: PreferenceData, seed: int) -> dict[str, float]:
    return {"accuracy": float(data.label.mean()) + 0.001 * seed}


def test_an_audit_finds_the_source_that_hurts() -> None:
    out = source_audit(SOURCES, quality, seeds=2)
    assert out.ranked("accuracy")[0].choice == "poisoned"  # without it, all is better
    assert out.row("source", "poisoned").differences("accuracy").mean() > 0
    added = source_audit(SOURCES, quality, direction="leave_one_in", base="good", seeds=2)
    assert [row.choice for row in added.ranked("accuracy")] == ["fair", "poisoned"]
    with pytest.raises(ValueError, match="name one of the sources as base"):
        source_audit(SOURCES, quality, direction="leave_one_in")
    with pytest.raises(ValueError, match="base 'bad' is none of the sources, which are good, fair, poisoned"):
        source_audit(SOURCES, quality, base="bad")
    with pytest.raises(ValueError, match="direction must be"):
        source_audit(SOURCES, quality, direction="both")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="too few to audit"):
        source_audit({"good": SOURCES["good"]}, quality)


def test_joined_data_keep_their_rows_and_fill_up_what_is_missing() -> None:
    one = source(2, 1.0, annotators=["a", "b"], strength=np.array([1.0, 2.0]))
    other = source(3, 0.0, weight=np.array([1.0, 2.0, 3.0]))
    both = joined([one, other])
    assert len(both) == 5
    assert both.annotators == ["a", "b", None, None, None]
    assert both.strength is not None
    assert both.weight is not None
    assert np.isnan(both.strength[2:]).all()
    assert both.weight.tolist() == [1, 1, 1, 2, 3]
    assert both.items[both.first[4]] is other.items[other.first[2]]
    with pytest.raises(ValueError, match="no comparisons to join"):
        joined([])
