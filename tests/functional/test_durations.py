from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rewardlab.functional.durations import (
    check_seconds,
    completion_by_bin,
    completion_probability,
    completion_weights,
    cutoff_weights,
    duration_weights,
    effective_sample_size,
)

SECONDS = st.lists(st.floats(0.01, 1e4), min_size=1, max_size=20)


def test_weights_and_effective_sample_size_by_hand() -> None:
    weights = duration_weights([2, 4, 6])
    np.testing.assert_allclose(weights, [0.5, 1.0, 1.5])
    assert effective_sample_size(weights) == pytest.approx(18 / 7)
    np.testing.assert_allclose(duration_weights([1, 1, 10], floor=4), np.array([4, 4, 10]) / 6)
    np.testing.assert_allclose(duration_weights([7.0]), [1.0])
    assert effective_sample_size([0.0, 0.0]) == 0


@settings(max_examples=500)
@given(SECONDS, st.floats(1, 20))
@example([5463.0, 5463.0, 5462.134029577339], 1.0)
@example([1.0, 2.0, 4.0], 1.0)
@example([3.0, 3.0, 3.0], 1.0)
def test_every_weight_has_mean_one(seconds: list[float], clip: float) -> None:
    for weights in (
        duration_weights(seconds),
        duration_weights(seconds, clip=clip),
        completion_weights(np.array(seconds) / max(seconds), clip=clip),
        cutoff_weights(seconds, min(seconds)),
    ):
        assert weights.mean() == pytest.approx(1)
        assert (weights >= 0).all()
    clipped = duration_weights(seconds, clip=clip)
    assert clipped.max() <= clip * (1 + 1e-9)
    order = np.argsort(seconds, kind="stable")
    assert (np.diff(clipped[order]) >= -1e-9).all()
    assert 1 <= effective_sample_size(duration_weights(seconds)) + 1e-9 <= len(seconds) + 1e-6


def test_a_single_huge_duration_takes_the_batch_unless_it_is_clipped() -> None:
    seconds = [1.0] * 99 + [10_000.0]
    assert effective_sample_size(duration_weights(seconds)) < 1.1
    clipped = duration_weights(seconds, clip=10)
    np.testing.assert_allclose(clipped[[0, -1]], [10 / 11, 10])  # cut at 11 seconds: 11 / ((99 + 11) / 100)
    assert effective_sample_size(clipped) > 50


def window(policy: tuple[float, float], lengths: tuple[int, int], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Expected finished actions of each kind, and expected starts by time left, by enumeration of one actor's window."""
    finished, starts = np.zeros(2), np.zeros(size + 1)

    def go(time: int, chance: float) -> None:
        if time >= size:
            return
        starts[size - time] += chance
        for kind in range(2):
            if time + lengths[kind] <= size:
                finished[kind] += chance * policy[kind]
                go(time + lengths[kind], chance * policy[kind])

    go(0, 1.0)
    return finished, starts


def test_the_bias_of_a_window_and_what_corrects_it_by_enumeration() -> None:
    """Two actions of 1 and 4 seconds, each with probability 1/2, in windows of 4 seconds."""
    finished, starts = window((0.5, 0.5), (1, 4), 4)
    np.testing.assert_allclose(finished, [0.9375, 0.5])
    assert finished[0] / finished[1] == 1.875  # and not 4, as shares inverse to the durations would be
    weighted = finished * [1, 4]
    np.testing.assert_allclose(weighted, [0.9375, 2.0])  # so the paper's weight over-corrects
    assert weighted[0] / weighted[1] == pytest.approx(0.469, abs=1e-3)
    available = np.repeat(np.arange(starts.size), np.round(starts * 16).astype(int))
    chances = completion_probability([1, 4], available)
    np.testing.assert_allclose((finished / chances)[0], (finished / chances)[1])
    # started when the longest could be finished: the first start of each window, of which each kind is half
    kept = finished * [0.5 / 0.9375, 1.0]
    np.testing.assert_allclose(kept, [0.5, 0.5])


@given(
    st.floats(0.1, 0.9),
    st.sampled_from([pair for pair in itertools.product(range(1, 5), repeat=2) if pair[0] != pair[1]]),
    st.integers(5, 9),
)
def test_completion_weights_give_back_the_policy_in_any_window(
    chance: float, lengths: tuple[int, int], size: int
) -> None:
    policy = (chance, 1 - chance)
    finished, starts = window(policy, lengths, size)
    left = np.array([starts[length:].sum() / starts.sum() for length in lengths])
    corrected = finished / left
    np.testing.assert_allclose(corrected / corrected.sum(), policy)


def test_completion_probability_counts_starts_with_enough_time_left() -> None:
    np.testing.assert_allclose(completion_probability([1, 2, 2.5, 9], [2, 1, 3, np.inf]), [1, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(
        completion_by_bin([1, 1, 5, 5, 5], [True, False, True, False, False], [0, 2, 4, 6]), [0.5, np.nan, 1 / 3]
    )


def test_cutoff_keeps_what_was_started_early_enough() -> None:
    np.testing.assert_allclose(cutoff_weights([10, 3, 5, 4.9], 5), [2, 0, 2, 0])
    assert not cutoff_weights([1.0, 2.0], 5).any()


@pytest.mark.parametrize("wrong", [float("nan"), 0.0, -1.0, float("inf")])
def test_seconds_that_are_none_are_refused_with_their_place(wrong: float) -> None:
    with pytest.raises(ValueError, match="at action 1"):
        check_seconds([1.0, wrong])
    with pytest.raises(ValueError, match="at action 1"):
        duration_weights([1.0, wrong])


def test_impossible_options_are_refused() -> None:
    for make in (
        lambda: duration_weights([1.0], clip=0.5),
        lambda: duration_weights([1.0], floor=-1),
        lambda: completion_weights([0.0]),
        lambda: completion_weights([1.5]),
        lambda: cutoff_weights([1.0], 0),
        lambda: completion_probability([1.0], []),
    ):
        with pytest.raises(ValueError, match="must"):
            make()
