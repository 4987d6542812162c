"""Ratings by formulas of scipy; step labels against counting, and the threshold against trying all."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import rewardlab as rl
from rewardlab.learning.data import RatingData, StepLabelData
from rewardlab.learning.evaluation import best_threshold
from rewardlab.learning.evaluation.steps import first_error
from tests.learning.evaluation.told import Told, item, solution

NAN = math.nan


def test_correlations_are_those_of_scipy() -> None:
    generator = np.random.default_rng(100)
    values, ratings = generator.normal(size=30), generator.integers(1, 6, size=30).astype(float)
    items = [item(float(value), prompt=f"q{n // 3}", text=f"{n}") for n, value in enumerate(values)]
    found = rl.evaluate(Told(), RatingData(items=items, item=np.arange(30), value=ratings))
    assert found["rank correlation"].value == pytest.approx(stats.spearmanr(values, ratings).statistic)
    assert found["correlation"].value == pytest.approx(stats.pearsonr(values, ratings).statistic)
    shares = []
    for prompt in range(10):
        rows = [3 * prompt, 3 * prompt + 1, 3 * prompt + 2]
        told = [
            np.sign(values[a] - values[b]) == np.sign(ratings[a] - ratings[b])
            for a in rows
            for b in rows
            if ratings[a] > ratings[b]
        ]
        if told:
            shares.append(np.mean(told))
    assert found["pairs"].value == pytest.approx(np.mean(shares))
    assert found.main.low < found.main.value < found.main.high


def test_aspects_are_measured_apart_and_by_the_part_of_their_name() -> None:
    items = [item(n, text=str(n), parts={"clear": float(-n)}) for n in range(5)]
    value = np.asarray([0, 1, 2, 3, 4, 4, 3, 2, 1, 0], float)
    data = RatingData(items=items, item=np.tile(np.arange(5), 2), value=value, aspect=["good"] * 5 + ["clear"] * 5)
    found = rl.evaluate(Told(), data, "aspect")
    assert found.main.value == pytest.approx(1.0)
    assert {name: one["rank correlation"].value for name, one in found.strata["aspect"].items()} == {
        "good": 1,
        "clear": 1,
    }


def test_ratings_of_things_that_failed_are_left_out_and_counted() -> None:
    items = [item(value, text=str(value)) for value in (1, 2, "broken", None, 3)]
    found = rl.evaluate(Told(), RatingData(items=items, item=np.arange(5), value=np.asarray([1, 2, 9, 9, 3.0])))
    assert found.main.value == pytest.approx(1.0)
    assert (found.counts["failed"], found.counts["abstained"], found.main.rows) == (1, 1, 3)
    equal = RatingData(items=items, item=np.arange(2), value=np.asarray([1.0, 1.0]))
    assert math.isnan(rl.evaluate(Told(), equal).main.value)


@pytest.mark.parametrize(
    ("labels", "place"),
    [([1, 1], -1), ([1, 0, NAN], 1), ([0], 0), ([1, NAN, 0], None), ([1, NAN], None), ([0.6, 0.5], 1)],
)
def test_the_first_error(labels, place) -> None:
    assert first_error(np.asarray(labels, float)) == place


def steps(*rows) -> StepLabelData:
    """Rows of (values of the reward, labels)."""
    return StepLabelData(
        items=[solution(values, prompt=f"q{n}") for n, (values, _) in enumerate(rows)],
        item=np.arange(len(rows)),
        labels=[np.asarray(labels, float) for _, labels in rows],
    )


def test_first_error_f1_by_hand() -> None:
    data = steps(
        ([0.9, 0.2, 0.1], [1, 0, NAN]),  # found
        ([0.9, 0.8, 0.1], [1, 0, NAN]),  # found too late
        ([0.9, 0.9], [0, NAN]),  # missed
        ([0.9, 0.9], [1, 1]),  # passed
        ([0.9, 0.4], [1, 1]),  # accused
        ([0.9, 0.4], [1, NAN]),  # nobody knows
    )
    found = rl.evaluate(Told(), data)
    assert found.threshold == 0.5
    assert found["first error found"].value == pytest.approx(1 / 3)
    assert found["right solutions passed"].value == pytest.approx(1 / 2)
    assert found.main.value == pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2))
    assert found.counts["without a clear first error"] == 1
    right, wrong = [0.9, 0.9, 0.9, 0.9, 0.9, 0.4, 0.9], [0.2, 0.8, 0.9]
    assert found["step AUC"].value == pytest.approx(np.mean([(a > b) + 0.5 * (a == b) for a in right for b in wrong]))


def test_solutions_of_one_kind_alone_have_no_f1() -> None:
    found = rl.evaluate(Told(), steps(([0.9, 0.1], [1, 0]), ([0.9, 0.9], [1, 0])))
    assert math.isnan(found.main.value)
    assert found["first error found"].value == 0.5


def test_other_numbers_of_steps_are_failures_with_a_reason() -> None:
    data = steps(([0.9, 0.1], [1, 0]), ([0.9], [1]))
    data.labels[1] = np.asarray([1.0, 1.0])
    found = rl.evaluate(Told(), data)
    assert found.counts["failed"] == 1
    assert "1 step values for 2 labelled steps" in str(found)
    data.items[0].info["steps"] = None
    assert "gives no values to single steps" in str(rl.evaluate(Told(), data))


solutions = st.lists(
    st.tuples(st.lists(st.integers(0, 4).map(lambda n: n / 4), min_size=1, max_size=4), st.integers(-1, 3)),
    min_size=2,
    max_size=7,
)


@settings(max_examples=40)
@given(solutions)
def test_the_best_threshold_is_the_best_of_all(rows) -> None:
    told = []
    for values, place in rows:
        error = min(place, len(values) - 1)
        labels = np.ones(len(values))
        if error >= 0:
            labels[error], labels[error + 1 :] = 0, NAN
        told.append((values, labels))
    data = steps(*told)
    kinds = {first_error(labels) >= 0 for _, labels in told}
    if len(kinds) < 2:
        with pytest.raises(ValueError, match="needs both kinds"):
            best_threshold(Told(), data)
        return
    chosen = best_threshold(Told(), data)
    everything = np.ones(len(rows), bool)
    units = rl.evaluate(Told(), data, threshold=chosen).units
    found = units.measure("first-error F1", everything).value
    tried = []
    for units.threshold in (-1.0, 0.1, 0.3, 0.6, 0.8, 2.0):
        tried.append(units.measure("first-error F1", everything).value)
    assert found == pytest.approx(max(tried))


def test_a_threshold_can_be_chosen_on_other_labels_and_must_be_told_where_none_is_plain() -> None:
    tuning = steps(([3.0, 1.0], [1, 0]), ([3.0, 2.0], [1, 1]))
    test = steps(([5.0, 1.2], [1, 0]), ([3.0, 1.8], [1, 1]))
    found = rl.evaluate(Told(), test, threshold=tuning)
    assert found.threshold == pytest.approx(1.5)
    assert found.main.value == 1.0
    with pytest.raises(ValueError, match="no plain threshold; give threshold="):
        rl.evaluate(Told(), test)
