from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

import rewardlab as rl
from rewardlab.rewards.shaping import ActionPotential, TimePotential, discount_from_half_life, shape
from rewardlab.types import Status, Trajectory


def walk(length: int = 6, *, terminated: bool = True, seed: int = 0) -> Trajectory:
    generator = np.random.default_rng(seed)
    return Trajectory(
        observations=generator.normal(size=(length + 1, 2)),
        actions=generator.normal(size=(length, 1)),
        terminated=terminated,
        truncated=not terminated,
    )


def first_column(observation: Any) -> Any:
    return observation[:, 0]


def timed(observation: Any, time: Any) -> Any:
    return observation[:, 0] * time


@rl.reward
def pull(observation: Any, action: Any) -> Any:
    return observation[:, 0] * action[:, 0]


def discounted(values: Any, discount: float) -> float:
    return float((np.asarray(values) * discount ** np.arange(len(values))).sum())


@given(some.integers(1, 30), some.floats(0.5, 1.0), some.booleans())
def test_discounted_sums_telescope(length: int, discount: float, terminated: bool) -> None:
    one = walk(length, terminated=terminated)
    for phi in (first_column, shape.distance([0], [1]), 2 * shape.along([0]) + 1.0):
        shaping = rl.potential(phi, discount)
        scores = shaping(one)
        assert scores.steps is not None
        ends = shaping.state(one.observations)[[0, -1]]
        expected = (0.0 if terminated else discount**length * ends[1]) - ends[0]
        assert discounted(scores.steps[0], discount) == pytest.approx(expected, abs=1e-6)


def test_the_terms_of_a_sum_are_parts_that_add_up() -> None:
    shaping = rl.potential(2.0 * shape.along([0]) - 0.5 * shape.distance([0], [1]), 0.9)
    scores = shaping([walk(), walk(seed=1)])
    assert list(scores.parts) == ["along", "distance"]
    assert sum(part.values for part in scores.parts.values()) == pytest.approx(scores.values)


def test_negative_slope_scales_losses_alone() -> None:
    one = walk()
    plain, lenient = rl.potential(first_column, 0.9)(one), rl.potential(first_column, 0.9, 0.5)(one)
    assert plain.steps is not None
    assert lenient.steps is not None
    loss = plain.steps[0] < 0
    assert lenient.steps[0] == pytest.approx(np.where(loss, 0.5 * plain.steps[0], plain.steps[0]))


def test_potentials_are_written_and_read() -> None:
    for reward in (
        rl.potential(shape.distance([0], [1]), 0.9, 0.5),
        rl.potential(first_column, 0.9),
        TimePotential(phi=timed, discount=0.9),
        ActionPotential(phi=pull, discount=0.9, advice="look_ahead"),
    ):
        again = rl.from_spec(reward.to_spec())
        assert again(walk()).values == pytest.approx(reward(walk()).values)


def test_a_potential_that_changes_with_time_telescopes() -> None:
    one = walk(terminated=False)
    scores = TimePotential(phi=timed, discount=0.9)([walk(3), one])
    assert scores.steps is not None
    assert discounted(scores.steps[0], 0.9) == pytest.approx(0.0)
    assert discounted(scores.steps[1], 0.9) == pytest.approx(0.9**6 * one.observations[6, 0] * 6)


def test_advice_about_actions_looks_back_or_ahead() -> None:
    ended, cut = walk(), walk(terminated=False)
    pairs = ended.observations[:-1, 0] * ended.actions[:, 0]
    back = ActionPotential(phi=pull, discount=0.9)([ended, cut])
    ahead = ActionPotential(phi=pull, discount=0.9, advice="look_ahead")([ended, cut])
    assert back.steps is not None
    assert ahead.steps is not None
    assert back.steps[0][:2] == pytest.approx([pairs[0], pairs[1] - pairs[0] / 0.9])
    assert discounted(back.steps[0], 0.9) == pytest.approx(0.0)
    assert ahead.steps[0] == pytest.approx(0.9 * np.append(pairs[1:], 0.0) - pairs)
    assert discounted(ahead.steps[1], 0.9) == pytest.approx(0.9**5 * pairs[5] - pairs[0])
    with pytest.raises(
        ValueError, match="needs the next action, which is not known while acting; set advice='look_back'"
    ):
        ActionPotential(phi=pull, discount=0.9, advice="look_ahead").transition(
            ended.observations[:-1], ended.actions, ended.observations[1:], np.zeros(6, dtype=bool)
        )


def test_half_life() -> None:
    assert discount_from_half_life(10, 15) == pytest.approx(0.995390, abs=1e-6)
    with pytest.raises(ValueError, match="must be positive, got 0 and 15"):
        discount_from_half_life(0, 15)


def test_a_potential_of_the_wrong_shape_says_so() -> None:
    columns = (np.zeros((4, 2)), np.zeros(4), np.zeros((4, 2)), np.zeros(4, dtype=bool))
    wide = rl.potential(lambda observation: observation, 0.9)
    with pytest.raises(
        ValueError, match=r"lambda returned shape \(8, 2\) for 8 states, expected \(8,\), one value for each"
    ):
        wide.transition(*columns)
    column = rl.potential(lambda observation: observation[:, :1], 0.9)
    with pytest.raises(ValueError, match=r"shape \(8, 1\) .* \(take the column: values\[:, 0\]\)"):
        column.transition(*columns)
    scores = wide(walk())
    assert scores.status[0] == Status.FAILED
    assert "returned shape (12, 2) for 12 states" in str(scores.note(0))  # six now, six later
    timed_wrong = TimePotential(phi=lambda observation, time: observation, discount=0.9)
    assert "the potential of time_potential returned shape (1, 2) for 1 states" in str(timed_wrong(walk()).note(0))


def test_a_potential_that_was_asked_can_be_copied_and_pickled() -> None:
    shaping = rl.potential(shape.along([0]) + shape.along([1]), 0.9)
    scores = shaping(walk())
    again = copy.deepcopy(shaping)
    assert again == shaping
    assert again(walk()).values == pytest.approx(scores.values)
    assert pickle.dumps(shaping)


def test_nan_in_a_potential_fails_with_the_step() -> None:
    scores = rl.potential(lambda observation: np.log(observation[:, 0] - observation[:, 0].min()) * np.nan, 0.9)(walk())
    assert scores.note(0) == "potential returned nan at step 0, which is not a finite number"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: rl.potential(first_column, 1.5), ValueError, r"option 'discount' must be in \(0, 1\], got 1.5"),
        (lambda: rl.potential(first_column, 0.0), ValueError, r"option 'discount' must be in \(0, 1\], got 0.0"),
        (
            lambda: rl.potential(first_column, 0.9, -1.0),
            ValueError,
            "option 'negative_slope' must be a number from 0 on",
        ),
        (lambda: rl.potential(7, 0.9), TypeError, "phi must be a reward or a function of observations, got 7"),
        (lambda: rl.potential(rl.EnvironmentReturn(), 0.9), TypeError, "is not a function of single transitions"),
        (
            lambda: rl.potential(pull, 0.9).state(np.zeros((1, 2))),
            ValueError,
            "pull looks at the action, and a state has",
        ),
    ],
)
def test_messages(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
