"""Measures and their intervals against counting, drawing and formulas done in another way."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rewardlab.functional.intervals import share_interval
from rewardlab.learning.evaluation.statistics import (
    AreaUnderCurve,
    Linear,
    MeanOf,
    RankCorrelation,
    draws,
    estimate,
    holm,
    numbered,
    paired_difference,
    weighted_share,
)


def alone(count: int) -> np.ndarray:
    return np.arange(count)


def repeated(column, drawn, clusters) -> np.ndarray:
    return np.repeat(np.asarray(column), drawn[clusters].astype(int))


@settings(max_examples=50)
@given(st.data())
def test_measures_of_a_draw_are_those_of_the_rows_written_out(data) -> None:
    count = data.draw(st.integers(3, 10))
    column = st.lists(st.integers(-2, 2).map(float), min_size=count, max_size=count)
    one, other = np.asarray(data.draw(column)), np.asarray(data.draw(column))
    clusters = numbered(data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)))
    groups = int(clusters.max()) + 1
    drawn = np.asarray(data.draw(st.lists(st.integers(0, 3), min_size=groups, max_size=groups)))
    x, y = repeated(one, drawn, clusters), repeated(other, drawn, clusters)
    found = RankCorrelation(clusters, one, other).compute(drawn[None].astype(float))[0]
    if len(x) > 1 and len(set(x)) > 1 and len(set(y)) > 1:
        assert found == pytest.approx(stats.spearmanr(x, y).statistic)
    else:
        assert math.isnan(found)
    area = AreaUnderCurve(clusters, one, other > 0).compute(drawn[None].astype(float))[0]
    pairs = [
        (a > b) + 0.5 * (a == b)
        for a, p in zip(x, y, strict=True)
        if p > 0
        for b, n in zip(x, y, strict=True)
        if n <= 0
    ]
    assert area == pytest.approx(np.mean(pairs)) if pairs else math.isnan(area)


def test_a_share_of_independent_rows_has_wilsons_interval() -> None:
    right = np.asarray([1.0] * 7 + [0.0] * 3)
    found = estimate(weighted_share(alone(10), right))
    assert (found.value, found.rows, found.prompts, found.method) == (0.7, 10, 10, "wilson")
    assert (found.low, found.high) == share_interval(0.7, 10)


def test_rows_of_one_prompt_make_the_interval_wider() -> None:
    right = np.repeat([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0], 20)
    together = estimate(weighted_share(np.repeat(np.arange(8), 20), right))
    apart = estimate(weighted_share(alone(160), right))
    assert together.value == apart.value
    assert together.method == "bootstrap by prompt"
    assert together.high - together.low > 3 * (apart.high - apart.low)


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(100)
    hits = 0
    for _ in range(100):
        level = generator.beta(3, 2, size=40)
        right = (generator.random((40, 4)) < level[:, None]).astype(float).ravel()
        found = estimate(weighted_share(np.repeat(np.arange(40), 4), right))
        hits += found.low <= 0.6 <= found.high
    assert 86 <= hits <= 100  # 0.95 of 100; fewer than 86 would have a probability of 2e-4


def test_where_all_went_one_way_the_interval_still_has_a_width() -> None:
    found = estimate(weighted_share(np.repeat(np.arange(5), 2), np.ones(10)))
    assert found.method == "wilson"
    assert (found.low, found.high) == share_interval(1.0, 5)


def test_weights_count() -> None:
    found = weighted_share(alone(3), np.asarray([1.0, 0.0, 1.0]), np.asarray([2.0, 1.0, 1.0]))
    assert found.value == 0.75
    assert not found.single


def test_nothing_to_measure_is_not_a_number() -> None:
    for clusters in (np.empty(0, np.int64), np.zeros(1, np.int64)):
        found = estimate(weighted_share(clusters, np.ones(len(clusters))))
        assert found.method == "none"
        assert math.isnan(found.low)
    assert str(estimate(weighted_share(np.empty(0, np.int64), np.empty(0)))) == "-"
    assert found.to_dict()["low"] is None


def test_draws_repeat_and_draw_as_many_as_there_are() -> None:
    first, second = (np.concatenate(list(draws(7, width=900_000))) for _ in range(2))
    assert (first == second).all()
    assert first.shape == (2000, 7)
    assert (first.sum(1) == 7).all()
    assert first.mean() == pytest.approx(1.0)


@given(st.integers(0, 12), st.integers(0, 12))
def test_mcnemars_p_is_the_sign_test(better, worse) -> None:
    count = better + worse + 2
    one, other = np.zeros(count), np.zeros(count)
    one[:better] = 1.0
    other[better : better + worse] = 1.0
    _, p = paired_difference(weighted_share(alone(count), one), weighted_share(alone(count), other))
    tries = better + worse
    tail = sum(Fraction(math.comb(tries, k), 2**tries) for k in range(min(better, worse) + 1))
    assert p == pytest.approx(min(1.0, 2 * float(tail)))
    if tries:
        assert p == pytest.approx(stats.binomtest(better, tries).pvalue)


def test_a_paired_interval_is_narrower_than_two_apart() -> None:
    generator = np.random.default_rng(100)
    hard = generator.random(300)
    one, other = (hard < 0.6).astype(float), (hard < 0.57).astype(float)
    found, p = paired_difference(weighted_share(alone(300), one), weighted_share(alone(300), other))
    assert found.value == pytest.approx(one.mean() - other.mean())
    assert found.low > 0
    assert p < 0.05
    low, high = share_interval(float(one.mean()), 300)
    assert found.high - found.low < high - low


def test_a_difference_of_prompts_is_drawn_by_prompt() -> None:
    clusters = np.repeat(np.arange(6), 10)
    one, other = np.repeat([1, 1, 1, 0, 0, 1.0], 10), np.repeat([0, 1, 0, 1, 0, 1.0], 10)
    found, p = paired_difference(weighted_share(clusters, one), weighted_share(clusters, other))
    assert found.value == pytest.approx(1 / 6)
    assert found.low < 0 < found.high  # 60 rows would say otherwise, 6 prompts do not
    assert p > 0.3
    with pytest.raises(ValueError, match="same rows"):
        paired_difference(weighted_share(clusters, one), weighted_share(alone(3), np.ones(3)))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_what_the_stepwise_rule_rejects(values) -> None:
    adjusted = holm(values)
    rejected, left = set(), sorted(range(len(values)), key=lambda place: values[place])
    for rank, place in enumerate(left):
        if values[place] * (len(values) - rank) > 0.05:
            break
        rejected.add(place)
    assert {place for place, one in enumerate(adjusted) if one <= 0.05} == rejected
    assert all(one >= p for one, p in zip(adjusted, values, strict=True))


def test_holm_passes_over_what_is_not_known() -> None:
    adjusted = holm([0.01, math.nan, 0.04])
    assert adjusted[0] == pytest.approx(0.02)
    assert math.isnan(adjusted[1])
    assert adjusted[2] == pytest.approx(0.04)


def test_the_mean_of_measures_and_a_function_of_sums() -> None:
    half, whole = weighted_share(alone(2), np.asarray([1.0, 0.0])), weighted_share(alone(2), np.ones(2))
    assert MeanOf(alone(2), [half, whole]).value == 0.75
    ratio = Linear(alone(2), np.asarray([[1.0, 2.0], [3.0, 6.0]]), lambda sums: sums[:, 0] / sums[:, 1])
    assert estimate(ratio).low == pytest.approx(0.5)
