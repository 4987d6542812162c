from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from rewardlab.training.credit import CREDITS, Advantages
from rewardlab.training.credit.duration import DurationAware, Outcome, RewardRate
from rewardlab.types import Scores, Status, Tokens, Trajectory


def chat(taken: list[float] | None, *, group: str = "a", **info: Any) -> Trajectory:
    count = 1 if taken is None else len(taken)
    actions = [{"role": "assistant", "content": "x"}] * count
    return Trajectory(
        observations=[[{"role": "user", "content": "q"}], *([[]] * count)],
        actions=actions,
        seconds=taken,  # type: ignore[arg-type]
        group=group,
        info=info,
    )


def scores(*values: float) -> Scores:
    return Scores(values=np.array(values))


def flat(advantages: Advantages) -> list[float]:
    return np.concatenate(advantages.values).tolist()


def test_the_papers_weight_by_hand() -> None:
    batch = [chat([2.0]), chat([4.0]), chat([6.0])]
    given = DurationAware(base="outcome", weight="mean")(batch, scores(1, 1, 2))
    assert flat(given) == [0.5, 1.0, 3.0]
    assert given.statistics["effective_share"] == pytest.approx(6 / 7)
    assert given.statistics["seconds_median"] == 4
    # the slowest quarter of three actions is the last one
    assert given.statistics["slow_quarter_share"] == pytest.approx(3 / 4.5)


def test_weights_stand_for_actions_and_have_mean_one_over_the_batch() -> None:
    batch = [chat([1.0, 3.0]), chat([8.0])]
    assert flat(DurationAware(base="outcome", weight="mean")(batch, scores(1, 1))) == [0.25, 0.75, 2.0]
    clipped = DurationAware(base="outcome", weight="clip", clip=1.5)(batch, scores(1, 1))
    np.testing.assert_allclose(flat(clipped), [0.375, 1.125, 1.5])  # cut at 4 seconds, one and a half times 8 / 3
    floored = DurationAware(base="outcome", weight="mean", floor=3)(batch, scores(1, 1))
    np.testing.assert_allclose(flat(floored), np.array([3, 3, 8]) / (14 / 3))
    more = DurationAware(base="outcome", weight="mean", overhead=2)(batch, scores(1, 1))
    np.testing.assert_allclose(flat(more), np.array([3, 5, 10]) / 6)


def test_the_environments_own_seconds_come_first() -> None:
    batch = [chat([1.0], seconds=[3.0]), chat([1.0], seconds=[1.0])]
    assert flat(DurationAware(base="outcome", weight="mean")(batch, scores(1, 1))) == [1.5, 0.5]


def test_weights_come_after_the_baseline_and_their_sum_is_reported() -> None:
    batch = [chat([1.0]), chat([3.0])]
    given = DurationAware(base="batch", weight="mean")(batch, scores(0, 1))
    assert flat(given) == [-0.25, 0.75]
    assert given.statistics["weighted_mean"] == 0.25  # the push towards slow actions
    level = DurationAware(base="batch", weight="mean", recentre="batch")(batch, scores(0, 1))
    assert sum(flat(level)) == pytest.approx(0)
    np.testing.assert_allclose(flat(level), [-0.375, 0.375])
    two = [*batch, chat([2.0], group="b"), chat([2.0], group="b")]
    inside = DurationAware(base="outcome", weight="mean", recentre="group")(two, scores(0, 1, 5, 5))
    np.testing.assert_allclose(flat(inside), [-0.375, 0.375, 0, 0])


def window(available: float, completion: float, **more: Any) -> dict[str, Any]:
    return {"available": available, "completion": completion, "unfinished": "drop", "max_staleness": None, **more}


def test_completion_and_cutoff_read_the_windows() -> None:
    batch = [
        chat([1.0], window=window(9, 1.0)),
        chat([8.0], window=window(10, 0.25)),
        chat([1.0], window=window(2, 1.0)),
    ]
    np.testing.assert_allclose(
        flat(DurationAware(base="outcome", weight="completion")(batch, scores(1, 1, 1))), [0.5, 2, 0.5]
    )
    clipped = DurationAware(base="outcome", weight="completion", clip=2)(batch, scores(1, 1, 1))
    np.testing.assert_allclose(flat(clipped), [0.75, 1.5, 0.75])
    cut = DurationAware(base="outcome")(batch, scores(1, 1, 1))  # the longest of the batch took 8 seconds
    np.testing.assert_allclose(flat(cut), [1.5, 1.5, 0])
    longer = DurationAware(base="outcome", longest=9.5)(batch, scores(1, 1, 1))
    np.testing.assert_allclose(flat(longer), [0, 3, 0])
    with pytest.warns(UserWarning, match="nothing is learned"):
        nothing = DurationAware(base="outcome", longest=11)(batch, scores(1, 1, 1))
    assert not any(flat(nothing))
    with pytest.raises(ValueError, match="AsyncLoop"):
        DurationAware()([chat([1.0]), chat([2.0])], scores(0, 1))


def test_failed_trajectories_are_neither_weighted_nor_read() -> None:
    batch = [chat([1.0]), chat(None), chat([3.0])]
    values = Scores(
        values=np.array([1.0, np.nan, 1.0]),
        status=np.array([Status.SCORED, Status.FAILED, Status.SCORED], dtype=np.int8),
    )
    given = DurationAware(base="outcome", weight="mean")(batch, values)
    assert given.included.tolist() == [True, False, True]
    assert flat(given) == [0.5, 0, 1.5]


@pytest.mark.parametrize("wrong", [[float("nan")], [0.0], [-2.0]])
def test_seconds_that_are_missing_or_wrong_are_refused_with_the_trajectory(wrong: list[float]) -> None:
    rule = DurationAware(base="outcome", weight="mean")
    with pytest.raises(ValueError, match="trajectory 1: seconds must be finite and positive"):
        rule([chat([1.0]), chat(wrong)], scores(1, 1))
    with pytest.raises(ValueError, match="trajectory 1 has no seconds"):
        rule([chat([1.0]), chat(None)], scores(1, 1))


def test_actions_that_a_limit_ended_can_be_left_out() -> None:
    batch = [chat([1.0]), chat([60.0], cut_off=[True], seconds=[60.0]), chat([3.0])]
    kept = DurationAware(base="outcome", weight="mean")(batch, scores(1, 1, 1))
    assert kept.included.all()
    assert kept.statistics["cut_off"] == pytest.approx(1 / 3)
    dropped = DurationAware(base="outcome", weight="mean", censored="drop")(batch, scores(1, 1, 1))
    assert dropped.included.tolist() == [True, False, True]
    assert flat(dropped)[::2] == [0.5, 1.5]


def test_one_action_has_weight_one_and_an_empty_batch_none() -> None:
    assert flat(DurationAware(base="outcome", weight="mean")([chat([9.0])], scores(2))) == [2.0]
    nothing = Scores(values=np.array([np.nan]), status=np.array([Status.FAILED], dtype=np.int8))
    assert not DurationAware(weight="mean")([chat([9.0])], nothing).included.any()


def test_columns_of_tokens_are_weighted_and_targets_are_not() -> None:
    trajectory = chat([1.0, 3.0])
    trajectory.tokens = Tokens(ids=np.arange(4), step=np.array([-1, 0, 1, 1]), logprobs=np.zeros(4))

    def base(trajectories: Any, values: Any) -> Advantages:
        return Advantages(
            values=[np.ones(2)],
            included=np.array([True]),
            tokens=[np.array([1.0, 2.0, 4.0])],
            targets=[np.full(3, 7.0)],
        )

    given = DurationAware(base=base, weight="mean")([trajectory], scores(1))
    assert given.tokens is not None
    assert given.targets is not None
    assert given.tokens[0].tolist() == [0.5, 3.0, 6.0]
    assert given.targets[0].tolist() == [7.0] * 3


def test_a_weight_without_a_bias_to_correct_is_warned_of_once() -> None:
    batch = [
        chat([1.0], window=window(9, 1.0, unfinished="carry")),
        chat([2.0], window=window(9, 1.0, unfinished="carry")),
    ]
    rule = DurationAware(weight="mean")
    with pytest.warns(UserWarning, match="no bias to correct"):
        rule(batch, scores(0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rule(batch, scores(0, 1))
        stale = [chat([1.0], window=window(9, 1.0, unfinished="carry") | {"max_staleness": 1}), chat([1.0])]
        DurationAware(weight="mean")(stale, scores(0, 1))


def test_the_reward_rate_pays_for_time_and_is_kept() -> None:
    rule = RewardRate(base="outcome", rate=0.1, momentum=0.5)
    batch, values = [chat([2.0]), chat([8.0])], scores(1, 1)
    np.testing.assert_allclose(flat(rule(batch, values)), [0.8, 0.2])
    rule.observe(batch, values)
    assert rule.rate == pytest.approx(0.5 * 0.1 + 0.5 * 2 / 10)
    again = RewardRate()
    again.load_state_dict(rule.state_dict())
    assert again.rate == rule.rate
    fast_failure = [chat([1.0], status="no submission"), chat([2.0], status="submitted")]
    charged = RewardRate(base="outcome", rate=0.1, charge_failures=10)(fast_failure, scores(0, 1))
    np.testing.assert_allclose(flat(charged), [-1.0, 0.8])


def test_names_and_options() -> None:
    assert CREDITS.resolve("duration_aware") is DurationAware
    assert CREDITS.resolve("reward_rate") is RewardRate
    assert isinstance(DurationAware(base="outcome")._rule, Outcome)
    assert DurationAware(base="group", weight="mean").needs_groups
    assert not DurationAware(base="batch", weight="mean").needs_groups
    for options in (
        {"weight": "sum"},
        {"clip": 0.5},
        {"floor": -1},
        {"longest": 0},
        {"censored": "x"},
        {"recentre": "x"},
    ):
        with pytest.raises(ValueError, match="must"):
            DurationAware(**options)  # type: ignore[arg-type]
