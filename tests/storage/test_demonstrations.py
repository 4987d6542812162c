from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import rewardlab as rl
from rewardlab.storage import check_spaces, read_demonstrations, write_trajectories
from rewardlab.storage.minari import from_minari, to_minari

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:minari")


def pole(path: Path, **changes: Any) -> Path:
    """Two trajectories of three and two steps, laid end to end, as files with expert data have them."""
    columns = {
        "obs": np.arange(20, dtype=np.float32).reshape(5, 4) / 20,
        "actions": np.array([[0], [1], [1], [0], [1]], np.float32),
        "rewards": np.array([1, 2, 3, 4, 5], np.float32),
        "traj_id": np.array([3, 3, 3, 7, 7], np.int32),
    }
    columns.update(changes)
    np.savez(path, **{name: column for name, column in columns.items() if column is not None})
    return path


def test_the_last_action_is_left_out_because_nobody_saw_what_came_of_it(tmp_path: Path) -> None:
    first, second = read_demonstrations(pole(tmp_path / "pole.npz"))
    assert (len(first), len(second)) == (2, 1)
    np.testing.assert_array_equal(first.observations[:, 0], np.array([0, 4, 8], np.float32) / 20)
    assert first.rewards.tolist() == [1, 2]
    assert first.info == {"demonstration": "3", "unfinished": {"action": [1.0], "reward": 3.0}}
    assert (first.terminated, first.truncated) == (False, True)
    assert first.actions.dtype == np.float32


def test_or_it_is_kept_with_its_own_observation_repeated(tmp_path: Path) -> None:
    space = spaces.Discrete(2)
    first, second = read_demonstrations(pole(tmp_path / "pole.npz", rewards=None), end="repeat", action_space=space)
    assert (len(first), len(second)) == (3, 2)
    np.testing.assert_array_equal(first.observations[3], first.observations[2])
    assert first.actions.tolist() == [0, 1, 1]
    assert first.actions.dtype == np.int64
    assert np.isnan(first.rewards).all()
    assert first.info["end"] == "repeated"


def test_trajectories_of_one_length_in_one_block(tmp_path: Path) -> None:
    block = np.zeros((2, 5, 3), np.float32)
    block[:, :, 2] = [0, 2, 1, 2, 0]
    np.savez(tmp_path / "car.npz", traj=block)
    first, second = read_demonstrations(tmp_path / "car.npz")
    assert first.observations.shape == (5, 2)
    assert second.actions.tolist() == [0, 2, 1, 2]
    check_spaces([first, second], gymnasium.make("MountainCar-v0").observation_space, spaces.Discrete(3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"obs": None}, "has no observations: expected an array called 'obs' or 'observations', got actions, rewards"),
        ({"traj_id": None}, "has no trajectory: expected an array called 'traj_id'"),
        ({"actions": np.zeros((4, 1))}, "one row for each step, got 5 observations, 4 actions"),
        (
            {"traj_id": np.array([1, 2, 1, 1, 2])},
            "rows of one trajectory do not stand together; sort them by 'traj_id'",
        ),
        ({"actions": np.array(["a"] * 5)}, "actions must be numbers, got dtype <U1"),
        ({"obs": np.array([{}] * 5, dtype=object)}, "hold pickles, which may run code, and are not read"),
        ({"traj": np.zeros((4, 3))}, r"'traj' must have shape \[trajectory, step, .*got \(4, 3\)"),
    ],
)
def test_a_file_that_does_not_fit_says_what_is_wrong(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_demonstrations(pole(tmp_path / "pole.npz", **changes))


def test_a_file_that_is_not_there_or_is_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file '.*nothing.npz'"):
        read_demonstrations(tmp_path / "nothing.npz")
    with pytest.raises(
        FileNotFoundError, match=r"neither a file, nor the folder of a Minari data set, .*download=True"
    ):
        read_demonstrations(tmp_path / "nothing")
    (tmp_path / "text.npz").write_text("no zip")
    with pytest.raises(ValueError, match="cannot be read as arrays"):
        read_demonstrations(tmp_path / "text.npz")
    with pytest.raises(ValueError, match="end must be 'drop' or 'repeat', got 'keep'"):
        read_demonstrations(tmp_path / "text.npz", end="keep")  # type: ignore[arg-type]


def test_own_files_are_demonstrations_too(tmp_path: Path) -> None:
    one = rl.Trajectory(observations=np.zeros((3, 2)), actions=np.zeros(2, int))
    write_trajectories(tmp_path / "own.jsonl", [one])
    assert read_demonstrations(tmp_path / "own.jsonl") == [one]


def walked(random: np.random.Generator, length: int, **columns: Any) -> rl.Trajectory:
    seen = {"place": random.normal(size=(length + 1, 2)), "goal": random.normal(size=(length + 1, 1))}
    told = {"steps": {"speed": random.normal(size=length)}}
    return rl.Trajectory(
        observations=seen,
        actions=random.uniform(-1, 1, size=(length, 3)).astype(np.float32),
        rewards=random.normal(size=length),
        info=told,
        **columns,
    )


DICT = spaces.Dict(
    {"place": spaces.Box(-np.inf, np.inf, (2,), np.float64), "goal": spaces.Box(-np.inf, np.inf, (1,), np.float64)}
)


def test_a_minari_data_set_comes_back_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    batch = [walked(random, 4, terminated=True), walked(random, 1, truncated=True), walked(random, 6, terminated=True)]
    to_minari(
        batch, "walks/mine-v0", observation_space=DICT, action_space=spaces.Box(-1, 1, (3,)), root=tmp_path, author="me"
    )
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    for source in ("walks/mine-v0", tmp_path / "walks" / "mine-v0", tmp_path / "walks" / "mine-v0" / "data"):
        back = read_demonstrations(source)
        for old, new, number in zip(batch, back, range(3), strict=True):
            assert new.info.pop("demonstration") == str(number)
            assert new == old


def test_trajectories_of_a_real_environment_are_a_minari_data_set(tmp_path: Path) -> None:
    environment, batch = gymnasium.make("CartPole-v1"), []
    for seed in range(3):
        seen, _ = environment.reset(seed=seed)
        rows, earned, terminated = [seen], [], False
        while not terminated:
            seen, reward, terminated, _, _ = environment.step(1)
            rows.append(seen)
            earned.append(reward)
        actions = np.ones(len(earned), np.int64)
        batch.append(rl.Trajectory(observations=np.stack(rows), actions=actions, rewards=earned, terminated=True))
    dataset = to_minari(batch, "cartpole/right-v0", environment="CartPole-v1", root=tmp_path)
    assert dataset.total_steps == sum(map(len, batch))
    assert dataset.recover_environment().spec.id == "CartPole-v1"
    back = from_minari(dataset)
    check_spaces(back, environment.observation_space, environment.action_space)
    for old, new in zip(batch, back, strict=True):
        new.info.clear()
        assert new == old


def test_what_minari_cannot_hold_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs at least one trajectory"):
        to_minari([], "x/y-v0", environment="CartPole-v1", root=tmp_path)
    one = rl.Trajectory(observations=np.zeros((3, 2)), actions=np.zeros(2, int))
    with pytest.raises(ValueError, match="give environment=, or both observation_space= and action_space="):
        to_minari([one], "x/y-v0", root=tmp_path)
    with pytest.raises(ValueError, match=r"trajectory 0: observations have shape \(2,\), .*of shape \(4,\)"):
        to_minari([one], "x/y-v0", environment="CartPole-v1", root=tmp_path)


FLAT = spaces.Box(-2, 2, (3,), np.float32)
SEEN = np.zeros((3, 3), np.float32)
PICTURE = spaces.Box(0, 255, (8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("observations", "actions", "observation_space", "action_space", "message"),
    [
        (SEEN, np.array([[0.25], [0.5]]), FLAT, spaces.Discrete(2), r"actions are continuous \(\[0.25\] at step 0\), .*Discrete\(2\): they are from another"),
        (SEEN, np.array([[0.0], [1.0]]), FLAT, spaces.Discrete(2), r"whole numbers in a column of float64.*read_demonstrations\(\.\.\., action_space="),
        (SEEN, np.array([0, 1]), FLAT, spaces.Box(-1, 1, (2,)), r"single whole numbers \(discrete\), and the environment's action_space is Box.*continuous"),
        (SEEN, np.array([0, 5]), FLAT, spaces.Discrete(3), r"action 5 at step 1 is not in Discrete\(3\), which holds 0 to 2"),
        (SEEN, np.array([[0.0, 0.5], [0.2, -1.5]]), FLAT, spaces.Box(-1, 1, (2,)), r"action at step 1 has -1.5 at place 1, outside the bounds \[-1, 1\]"),
        (np.zeros((3, 11)), np.zeros((2, 2)), FLAT, None, r"observations have shape \(11,\), .*of shape \(3,\): they are from another environment"),
        (np.zeros((3, 3, 1)), np.zeros((2, 2)), FLAT, None, r"the same numbers in another shape: reshape\(-1, 3\)"),
        (np.zeros((3, 3, 8, 8), np.uint8), np.zeros(2), PICTURE, None, r"axes in another order: transpose them \(channels first or last\)"),
        (SEEN, np.zeros(2), PICTURE, None, "one is a picture and the other is not"),
        (np.full((3, 8, 8, 3), 0.5), np.zeros(2), PICTURE, None, r"pictures of float64 in \[0, 1\], .*uint8 in \[0, 255\]: multiply by 255"),
        (np.where(np.arange(9).reshape(3, 3) == 4, np.nan, 0), np.zeros(2), FLAT, None, "observation at step 1 holds nan"),
        (SEEN, np.zeros(2), DICT, None, "observations are one array, and the environment's observation_space is a Dict of goal, place"),
        ({"place": np.zeros((3, 2))}, np.zeros(2), DICT, None, "observations have the keys place, and the environment's observation_space has goal, place"),
        ({"place": np.zeros((3, 2)), "goal": np.zeros((3, 4))}, np.zeros(2), DICT, None, r"observation 'goal's have shape \(4,\), and the environment's observation_space\['goal'\]"),
        ({"place": np.zeros((3, 2))}, np.zeros(2), FLAT, None, "observations are a dict of place, .*FlattenObservation"),
        (SEEN, np.zeros(2), spaces.Tuple([FLAT]), None, "a Tuple has no names: make it a Dict"),
    ],
)  # fmt: skip
def test_demonstrations_from_another_space_are_named(
    observations: Any, actions: Any, observation_space: Any, action_space: Any, message: str
) -> None:
    one = rl.Trajectory(observations=observations, actions=actions)
    with pytest.raises((TypeError, ValueError), match=message):
        check_spaces([one], observation_space, action_space)


def test_demonstrations_of_the_space_pass() -> None:
    check_spaces([rl.Trajectory(observations=SEEN, actions=np.array([0, 1]))], FLAT, spaces.Discrete(2))
    check_spaces([rl.Trajectory(observations=SEEN, actions=np.full((2, 2), 1.000001))], FLAT, spaces.Box(-1, 1, (2,)))
    with pytest.raises(TypeError, match="trajectory 0 is a chat"):
        check_spaces([rl.Trajectory.from_text("q", "a")], FLAT, FLAT)
