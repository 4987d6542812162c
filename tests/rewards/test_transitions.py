from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import rewardlab as rl
from rewardlab.storage import read_trajectories, write_trajectories


@dataclass(frozen=True, kw_only=True)
class EveryThird(rl.StatefulReward):
    """1 at each third step of a trajectory, plus a trace of what was seen."""

    def start(self, count: int) -> dict[str, Any]:
        return {"steps": np.zeros(count, dtype=int), "seen": np.zeros((count, 1))}

    def advance(self, state, observation, action, next_observation, terminated, info=None):
        steps = state["steps"] + 1
        seen = state["seen"] + next_observation
        return (steps % 3 == 0) + 0.01 * seen[:, 0], {"steps": steps, "seen": seen}


def walk(length: int, *, start: float = 0.0, **columns: Any) -> rl.Trajectory:
    rows = start + np.arange(length + 1.0)[:, None]
    return rl.Trajectory(observations=rows, actions=np.zeros((length, 1)), **columns)


def by_hand(trajectory: rl.Trajectory) -> np.ndarray:
    seen = np.cumsum(trajectory.observations[1:, 0])
    return (np.arange(1, len(trajectory) + 1) % 3 == 0) + 0.01 * seen


def test_stored_trajectories_are_scored_side_by_side_as_each_alone() -> None:
    batch = [walk(4), walk(9, start=2.0), walk(1), walk(4, start=-1.0), walk(6)]
    scores = EveryThird()(batch)
    for index, trajectory in enumerate(batch):
        np.testing.assert_allclose(scores.steps[index], by_hand(trajectory))
        np.testing.assert_allclose(EveryThird()([trajectory]).steps[0], by_hand(trajectory))
        assert scores.values[index] == pytest.approx(by_hand(trajectory).sum())


def test_reset_gives_fresh_rows_where_the_mask_says_and_leaves_the_given_state() -> None:
    reward = EveryThird()
    state = reward.start(3)
    ones = np.ones((3, 1))
    _, state = reward.advance(state, ones, ones, ones, np.zeros(3, bool))
    fresh = reward.reset(state, np.array([False, True, False]))
    assert fresh["steps"].tolist() == [1, 0, 1]
    assert fresh["seen"][:, 0].tolist() == [1, 0, 1]
    assert state["steps"].tolist() == [1, 1, 1]


def test_one_transition_of_a_stateful_reward_is_the_first_of_a_trajectory() -> None:
    ones = np.ones((2, 1))
    assert EveryThird().transition(ones, ones, ones, np.zeros(2, bool)).tolist() == [0.01, 0.01]


def test_a_trajectory_in_which_the_simulator_gave_nan_is_failed_with_the_step() -> None:
    broken, first, acted = walk(5), walk(5), walk(5)
    broken.observations[3] = np.nan
    first.observations[0] = np.inf
    acted.actions[2] = np.nan
    constant = rl.reward(lambda observation: np.ones(len(observation)))
    for reward in (EveryThird(), constant):
        scores = reward([walk(5), broken, first, acted])
        assert scores.failed.tolist() == [False, True, True, True]
        assert scores.note(1) == "the observation after step 2 holds nan: the simulator's numbers went wrong there"
        assert scores.note(2) == "the first observation holds inf: the simulator's numbers went wrong there"
        assert scores.note(3) == "the action of step 2 holds nan: the policy's numbers went wrong there"


def dicts(length: int) -> rl.Trajectory:
    rows = np.arange(length + 1.0)
    seen = {
        "position": rows[:, None],
        "goal": {"height": 2 * rows},
        "camera": np.zeros((length + 1, 4, 4, 3), np.uint8),
    }
    return rl.Trajectory(observations=seen, actions=np.arange(length), terminated=True)


@rl.reward
def nearer(observation: dict, next_observation: dict, terminated: np.ndarray) -> np.ndarray:
    return next_observation["goal"]["height"] - observation["position"][:, 0] + 10 * terminated


def test_dict_observations_are_dicts_of_arrays_for_the_reward_and_on_disk(tmp_path) -> None:
    batch = [dicts(3), dicts(2)]
    scores = nearer(batch)
    assert scores.steps[0].tolist() == [2, 3, 14]
    assert scores.steps[1].tolist() == [2, 13]
    for name in ("dicts.jsonl", "dicts.parquet"):
        write_trajectories(tmp_path / name, batch)
        assert list(read_trajectories(tmp_path / name)) == batch
    assert not batch[0].is_chat
    batch[1].observations["goal"]["height"][2] = np.nan
    assert "the observation after step 1 (goal.height) holds nan" in nearer(batch).note(1)


def test_dict_and_tuple_observations_of_the_wrong_shape_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"2 actions needs 3 observations, got 2 in observations\['goal'\]"):
        rl.Trajectory(observations={"goal": np.zeros(2)}, actions=np.zeros(2))
    with pytest.raises(TypeError, match=r"observations\['goal'\] must be an array .*got str; stack"):
        rl.Trajectory(observations={"goal": "near"}, actions=np.zeros(2))
    with pytest.raises(TypeError, match="tuple of 2 arrays, as a Tuple space gives them; name its parts in a dict"):
        rl.Trajectory(observations=(np.zeros((5, 2)), np.zeros(5)), actions=np.zeros(4))


def test_a_reward_may_read_what_the_simulator_said() -> None:
    @rl.reward
    def speed(next_observation: np.ndarray, info: dict) -> np.ndarray:
        return info["velocity"]

    told = walk(3, info={"steps": {"velocity": np.array([1.0, 2.0, 4.0]), "other": np.zeros(3)}})
    scores = speed([told, walk(3), walk(3, info={"steps": {"velocity": np.zeros(2)}})])
    assert scores.values[0] == 7
    assert "expected trajectory.info['steps'], a dict of arrays" in scores.note(1)
    assert "has 2 rows for 3 steps" in scores.note(2)
