from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

import rewardlab as rl
from rewardlab.rewards.online import online
from rewardlab.rewards.shaping import kinesthetic_mean, shape, shared_rewards, team_spirit
from rewardlab.types import Status, Trajectory


def mean(*values: float, sign: Any = "all") -> float:
    return float(kinesthetic_mean(np.array(values)[:, None], np.ones(len(values)), sign=sign)[0])


def test_the_numbers_of_the_paper() -> None:
    assert mean(0.5, 0.5, 0.5) == pytest.approx(0.5)
    assert mean(-0.5, -0.5, 0.8) == pytest.approx(-0.584804, abs=1e-6)
    assert mean(-0.5, -0.5, 0.8, sign="product") == pytest.approx(0.584804, abs=1e-6)
    assert mean(-0.5, 0.9, 0.8) == pytest.approx(-0.711379, abs=1e-6)
    assert mean(0.8, 0.45) == pytest.approx(0.6)
    assert mean(0.0, 0.3) == 0.0
    assert np.copysign(1.0, mean(0.0, -0.3)) == 1.0  # no negative zero


@given(some.floats(-1, 1))
def test_a_single_part_is_unchanged(value: float) -> None:
    assert mean(value) == pytest.approx(value, abs=1e-12)


@given(some.floats(-1, 1), some.floats(-1, 1))
def test_the_sign_jumps_only_where_the_size_is_zero(other: float, third: float) -> None:
    assert abs(mean(1e-12, other, third) - mean(-1e-12, other, third)) < 1e-3


def walk(rows: Any) -> Trajectory:
    return Trajectory(observations=np.asarray(rows, dtype=float), actions=np.zeros(len(rows) - 1))


def test_parts_of_transitions_are_combined_step_by_step() -> None:
    reward = rl.kinesthetic(shape.along([0], name="a"), shape.along([1], name="b"))
    scores = reward(walk([[0, 0], [0.8, 0.45], [-0.5, 0.5]]))
    assert scores.steps is not None
    assert scores.steps[0] == pytest.approx([0.6, -0.5])
    assert scores.values == pytest.approx([0.1])
    assert set(scores.parts) == {"a", "b"}


def test_values_outside_are_named_limited_or_refused() -> None:
    rows = walk([[0, 0], [4.0, 0.25]])
    parts = shape.along([0], name="a"), shape.along([1], name="b")
    with pytest.warns(UserWarning, match=r"part 'a' has values in \[4, 4\], expected \[-1, 1\]"):
        assert rl.kinesthetic(*parts)(rows).values == pytest.approx([1.0])
    assert rl.kinesthetic(*parts, normalise="clip")(rows).values == pytest.approx([0.5])
    scores = rl.kinesthetic(*parts, normalise="error")(rows)
    assert scores.status[0] == Status.FAILED
    assert "part 'a' has values in [4, 4]" in str(scores.note(0))


def test_nan_in_one_part_is_a_failure_and_no_zero() -> None:
    @rl.reward
    def broken(next_observation: Any) -> Any:
        return np.where(next_observation[:, 0] > 0.5, np.nan, 0.5)

    scores = rl.kinesthetic(broken, shape.along([1]))([walk([[0, 0], [0.1, 0.5]]), walk([[0, 0], [0.9, 0.5]])])
    assert scores.status.tolist() == [Status.SCORED, Status.FAILED]
    assert scores.values[0] == pytest.approx(0.5)
    assert "broken returned nan at step 0" in str(scores.note(1))


def test_team_spirit_of_two_equal_teams_sums_to_zero() -> None:
    rewards = np.random.default_rng(0).normal(size=(5, 4))
    shared = shared_rewards(rewards, ["x", "x", "y", "y"], 1.0)
    assert shared.sum(-1) == pytest.approx(0.0)
    assert shared_rewards(rewards, list("xxyy"), 0.0)[:, 0] == pytest.approx(rewards[:, 0] - rewards[:, 2:].mean(-1))
    assert shared_rewards([1.0, 3.0], ["x", "x"], 0.5) == pytest.approx([1.5, 2.5])  # nobody to lose against


def test_team_spirit_shares_between_the_players_of_a_match() -> None:
    players = [walk([[0], [one], [0]]) for one in (1.0, 3.0, 5.0)]
    for player in players:
        player.group = "match"
    scores = team_spirit(shape.along([0]), ["x", "x", "y"], 0.5)(players)
    assert scores.values == pytest.approx([0.5 + 1 - 5, 1.5 + 1 - 5, 5 - 2])
    assert scores.steps is not None
    assert scores.steps[0] == pytest.approx([-3.5, 0.0])
    with pytest.raises(ValueError, match="a match has 3 players, but option 'teams' names 2"):
        team_spirit(shape.along([0]), ["x", "y"])(players)
    with pytest.raises(ValueError, match=r"rewards must have shape \[..., 2\]"):
        shared_rewards([1.0], ["x", "y"])
    with pytest.raises(ValueError, match=r"'spirit' must be in \[0, 1\], got 2"):
        team_spirit(shape.along([0]), ["x", "y"], 2.0)


def test_on_line_and_stored_are_one() -> None:
    shaped = rl.kinesthetic(shape.along([0], name="a"), shape.distance([0], [1])) + rl.potential(shape.along([1]), 0.9)
    rows = np.random.default_rng(0).uniform(-1, 1, size=(5, 2))
    stored = shaped(walk(rows))
    along = online(shaped, 1)
    for step in range(4):
        value = along.step(rows[step : step + 1], np.zeros(1), rows[step + 1 : step + 2], np.zeros(1, dtype=bool))
        assert stored.steps is not None
        assert value == pytest.approx(stored.steps[0][step : step + 1])
    assert set(along.parts) >= {"kinesthetic", "kinesthetic.a", "kinesthetic.distance", "potential"}
