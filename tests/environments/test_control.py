"""Rewards inside running environments: whatever runs them and however they start again, a trajectory gets the same reward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

import rewardlab as rl
from rewardlab.environments.control import RewardFailure, RewardVecEnv, RewardWrapper, VectorRewardWrapper
from rewardlab.rewards.online import RunningNormalise, score_steps
from tests.rewards.test_transitions import EveryThird

LIMIT = 45


@rl.reward
def upright(observation: np.ndarray, action: np.ndarray, next_observation: np.ndarray) -> np.ndarray:
    return np.cos(next_observation[:, 2]) - 0.1 * action + observation[:, 0]


@rl.reward
def fallen(terminated: np.ndarray, next_observation: np.ndarray) -> np.ndarray:
    return -10.0 * terminated + next_observation[:, 1]


REWARD = upright + 0.5 * fallen + EveryThird().named("third") + 0.25 * rl.EnvironmentReturn().named("own")


def cart_pole() -> gymnasium.Env:
    return gymnasium.make("CartPole-v1", max_episode_steps=LIMIT)


def act(observations: np.ndarray) -> np.ndarray:
    """A policy that depends on what it sees alone, and lets some poles fall before the limit."""
    return (np.atleast_2d(observations)[:, 2] > 0).astype(np.int64)


def episodes_alone(make: Callable[[], gymnasium.Env], reward: rl.Reward, seeds: range, count: int) -> list[list[Any]]:
    """The first trajectories of each environment on its own: their books, and themselves."""
    found = []
    for seed in seeds:
        environment = RewardWrapper(make(), reward)
        mine: list[Any] = []
        for number in range(count):
            seen, _ = environment.reset(seed=seed if number == 0 else None)
            rows, actions, earned, ended = [seen], [], [], False
            while not ended:
                actions.append(int(act(seen)[0]))
                seen, _, terminated, truncated, info = environment.step(actions[-1])
                rows.append(seen)
                earned.append(info["environment_reward"])
                ended = terminated or truncated
            trajectory = rl.Trajectory(
                observations=np.stack(rows), actions=np.array(actions), rewards=np.array(earned), terminated=terminated
            )
            mine.append((info["reward_episode"], trajectory))
        found.append(mine)
    return found


@pytest.fixture(scope="module")
def alone() -> list[list[Any]]:
    return episodes_alone(cart_pole, REWARD, range(5, 8), 3)


def same(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert left["length"] == right["length"]
    assert left["parts"].keys() == right["parts"].keys()
    for name in ("return", "environment_return"):
        assert left[name] == pytest.approx(right[name])
    for name, total in left["parts"].items():
        assert total == pytest.approx(right["parts"][name])


def test_a_wrapped_environment_gives_what_the_reward_says_of_the_stored_trajectory(alone: list[list[Any]]) -> None:
    books = [book for mine in alone for book, _ in mine]
    trajectories = [one for mine in alone for _, one in mine]
    assert {one.terminated for one in trajectories} == {True, False}
    scores = score_steps(REWARD, trajectories)
    np.testing.assert_allclose([book["return"] for book in books], scores.values)
    np.testing.assert_allclose([book["environment_return"] for book in books], [len(one) for one in trajectories])
    for name in ("upright", "fallen", "third", "own"):
        np.testing.assert_allclose([book["parts"][name] for book in books], scores.parts[name].values)


def vectors(mode: AutoresetMode, make: Callable[[], gymnasium.Env] = cart_pole, count: int = 3) -> Any:
    return SyncVectorEnv([make] * count, autoreset_mode=mode)


def books_of(environment: Any, seed: int, count: int) -> list[list[dict[str, Any]]]:
    """The books of the first trajectories in each environment of a vector."""
    found: list[list[dict[str, Any]]] = [[] for _ in range(environment.num_envs)]
    seen, _ = environment.reset(seed=seed)
    disabled = environment.metadata["autoreset_mode"] == AutoresetMode.DISABLED
    while min(map(len, found)) < count:
        seen, given, terminated, truncated, infos = environment.step(act(seen))
        assert given.shape == terminated.shape
        for index in np.flatnonzero(infos.get("_reward_episode", [])):
            book = infos["reward_episode"]
            row = {name: column[index] for name, column in book.items() if name != "parts"}
            found[index].append({**row, "parts": {name: column[index] for name, column in book["parts"].items()}})
        if disabled and (terminated | truncated).any():
            seen, _ = environment.reset(options={"reset_mask": terminated | truncated})
    return found


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_every_way_of_starting_again_gives_the_same_trajectories_the_same_reward(
    mode: AutoresetMode, alone: list[list[Any]]
) -> None:
    environment = VectorRewardWrapper(vectors(mode), REWARD)
    found = books_of(environment, 5, 3)
    for mine, theirs in zip(alone, found, strict=True):
        for (book, _), other in zip(mine, theirs, strict=False):
            same(book, other)
    assert len(environment.episodes) == sum(map(len, found))
    assert set(environment.episodes[0]) == {"return", "environment_return", "length", "parts"}


def test_a_vector_environment_written_as_one_is_wrapped_too() -> None:
    environment = VectorRewardWrapper(
        gymnasium.make_vec("CartPole-v1", 3, "vector_entry_point", max_episode_steps=LIMIT), REWARD
    )
    found = books_of(environment, 5, 2)
    assert all(book["parts"]["own"] == pytest.approx(book["length"]) for mine in found for book in mine)
    assert {book["length"] for mine in found for book in mine} != {LIMIT}


def test_the_step_in_which_an_environment_is_only_reset_gives_nothing() -> None:
    environment = VectorRewardWrapper(vectors(AutoresetMode.NEXT_STEP), REWARD)
    seen, _ = environment.reset(seed=5)
    ended, resets = np.zeros(3, bool), 0
    for _ in range(150):
        seen, given, terminated, truncated, infos = environment.step(act(seen))
        assert not given[ended].any()
        assert not infos["reward_parts"]["upright"][ended].any()
        assert given[~ended].all()
        resets += int(ended.sum())
        ended = terminated | truncated
    assert resets > 3


def test_stable_baselines_gets_the_same(alone: list[list[Any]]) -> None:
    environment = RewardVecEnv(DummyVecEnv([lambda: Monitor(cart_pole())] * 3), REWARD)
    environment.seed(5)
    seen = environment.reset()
    found: list[list[dict[str, Any]]] = [[], [], []]
    while min(map(len, found)) < 3:
        seen, given, ended, infos = environment.step(act(seen))
        assert given.dtype == np.float32
        for index, info in enumerate(infos):
            parts = info["reward_parts"]
            whole = parts["upright"] + 0.5 * parts["fallen"] + parts["third"] + 0.25 * parts["own"]
            assert given[index] == pytest.approx(whole, rel=1e-5)
            assert info["environment_reward"] == 1.0
            assert ("reward_episode" in info) == ended[index]
            if ended[index]:
                found[index].append(info["reward_episode"])
                assert info["episode"]["r"] == info["reward_episode"]["environment_return"]  # Monitor's is untouched
    for mine, theirs in zip(alone, found, strict=True):
        for (book, _), other in zip(mine, theirs, strict=False):
            same(book, other)


def cheetah() -> gymnasium.Env:
    return gymnasium.make("HalfCheetah-v5", max_episode_steps=4)


@rl.reward
def told(info: dict, observation: np.ndarray) -> np.ndarray:
    return info["x_velocity"] + 0 * observation[:, 0]


def test_what_a_simulator_says_is_that_of_the_step_and_not_of_the_reset() -> None:
    actions = np.random.default_rng(0).uniform(-1, 1, size=(9, 2, 6))
    one = RewardWrapper(cheetah(), told)
    one.reset(seed=3)
    expected = [one.step(actions[step, 0])[1] for step in range(4)]
    for mode in AutoresetMode:
        environment = VectorRewardWrapper(vectors(mode, cheetah, 2), told)
        environment.reset(seed=3)
        given = [environment.step(actions[step])[1][0] for step in range(4)]
        np.testing.assert_allclose(given, expected)
        if mode == AutoresetMode.DISABLED:
            continue
        after = environment.step(actions[4])[1]  # every environment is only reset in this step, or goes on
        assert (after == 0).all() == (mode == AutoresetMode.NEXT_STEP)
    stable = RewardVecEnv(DummyVecEnv([cheetah] * 2), told)
    stable.seed(3)
    stable.reset()
    given = [stable.step(actions[step])[1][0] for step in range(4)]
    np.testing.assert_allclose(given, expected, rtol=1e-5)


class Cube(gymnasium.Env):
    """Dict observations with a picture; gives NaN at a step that one may choose, and may write into the same arrays."""

    action_space = spaces.Discrete(2)

    def __init__(self, breaks_at: int = -1, shared: bool = True, side: int = 4) -> None:
        self.breaks_at, self.shared = breaks_at, shared
        picture = spaces.Box(0, 255, (side, side, 3), np.uint8)
        self.observation_space = spaces.Dict({"place": spaces.Box(-9, 9, (2,), np.float64), "picture": picture})
        self.seen = {"place": np.zeros(2), "picture": np.zeros((side, side, 3), np.uint8)}

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        self.seen["place"][:] = 0
        self.seen["picture"][:] = 0
        return self.look(), {}

    def look(self) -> Any:
        return self.seen if self.shared else {name: column.copy() for name, column in self.seen.items()}

    def step(self, action: int) -> Any:
        self.steps += 1
        self.seen["place"] += [1, action]
        self.seen["picture"] += 1
        if self.steps == self.breaks_at:
            self.seen["place"][1] = np.nan
        return self.look(), 1.0, self.steps == 6, False, {}


@rl.reward
def moved(observation: dict, next_observation: dict) -> np.ndarray:
    brighter = next_observation["picture"].astype(float).mean(axis=(1, 2, 3)) - observation["picture"].mean(
        axis=(1, 2, 3)
    )
    return next_observation["place"][:, 0] - observation["place"][:, 0] + 10 * brighter


def test_dict_observations_and_environments_that_write_into_the_same_memory() -> None:
    one = RewardWrapper(Cube(), moved)
    one.reset()
    assert [one.step(1)[1] for _ in range(6)] == [11.0] * 6
    many = VectorRewardWrapper(SyncVectorEnv([Cube] * 2, copy=False), moved)
    many.reset()
    given = [many.step(np.ones(2, int))[1][1] for _ in range(10)]
    assert given == [11.0] * 6 + [0.0] + [11.0] * 3
    # where an environment starts again in the same step, its last observation must be its own: Gymnasium keeps a reference
    makers = [lambda: Cube(shared=False)] * 2
    for environment in (
        VectorRewardWrapper(SyncVectorEnv(makers, copy=False, autoreset_mode="SameStep"), moved),
        RewardVecEnv(DummyVecEnv(makers), moved),
    ):
        environment.reset()
        assert [environment.step(np.ones(2, int))[1].tolist() for _ in range(8)] == [[11.0, 11.0]] * 8


def test_a_simulator_that_gives_nan_is_named_with_its_environment_and_step() -> None:
    message = r"environment 1, step 2: the simulator's observation \(place\) holds nan"
    makers = [Cube, lambda: Cube(breaks_at=3)]
    many = VectorRewardWrapper(SyncVectorEnv(makers, autoreset_mode="SameStep"), moved)
    many.reset()
    for _ in range(2):
        many.step(np.ones(2, int))
    with pytest.raises(RewardFailure, match=message + r".*on_failure='flag'"):
        many.step(np.ones(2, int))
    stable = RewardVecEnv(DummyVecEnv(makers), moved)
    stable.reset()
    for _ in range(2):
        stable.step(np.ones(2, int))
    with pytest.raises(RewardFailure, match=message):
        stable.step(np.ones(2, int))

    flagged = VectorRewardWrapper(SyncVectorEnv(makers, autoreset_mode="SameStep"), moved, on_failure="flag")
    flagged.reset()
    outcomes = [flagged.step(np.ones(2, int)) for _ in range(8)]
    assert [bool(np.isnan(given[1])) for _, given, *_ in outcomes] == [
        False,
        False,
        True,
        True,
        True,
        True,
        False,
        False,
    ]
    assert not any(np.isnan(given[0]) for _, given, *_ in outcomes)
    assert outcomes[3][4]["reward_failed"].tolist() == [False, True]
    assert "reward_failed" not in outcomes[7][4]
    assert flagged.episodes[1]["failed"] == "step 2: the simulator's observation (place) holds nan"
    assert "failed" not in flagged.episodes[0]


def test_a_reward_that_gives_nan_is_named_with_the_part() -> None:
    @rl.reward
    def root(next_observation: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.sqrt(next_observation[:, 1])

    environment = RewardWrapper(cart_pole(), upright + root, on_failure="flag")
    environment.reset(seed=5)
    infos = [environment.step(0)[4] for _ in range(2)]
    assert infos[-1]["reward_failed"].startswith("step 0: part 'root' gave nan")


def test_a_reward_is_swapped_while_the_environments_run() -> None:
    environment = VectorRewardWrapper(vectors(AutoresetMode.SAME_STEP), EveryThird())
    seen, _ = environment.reset(seed=5)
    for _ in range(2):
        seen, *_ = environment.step(act(seen))
    environment.swap(fallen)
    seen, given, *_, infos = environment.step(act(seen))
    np.testing.assert_allclose(given, seen[:, 1])
    assert list(infos["reward_parts"]) == ["fallen"]
    environment.swap(EveryThird())  # it begins anew, in the middle of the trajectories
    third = []
    for _ in range(3):
        seen, given, *_ = environment.step(act(seen))
        third.append(given > 0.9)
    assert np.array(third).tolist() == [[False] * 3, [False] * 3, [True] * 3]


def test_scheduled_rewards_know_the_progress() -> None:
    reward = upright.scheduled(rl.Linear(0.0, 1.0))
    environment = VectorRewardWrapper(vectors(AutoresetMode.SAME_STEP), reward, total_steps=12)
    environment.reset(seed=5)
    steps = [environment.step(np.ones(3, int)) for _ in range(5)]
    shares = [float((given / infos["reward_parts"]["upright"])[0]) for _, given, *_, infos in steps]
    np.testing.assert_allclose(shares, [0, 0.25, 0.5, 0.75, 1.0])
    environment.progress = 0.5
    _, given, *_, infos = environment.step(np.ones(3, int))
    np.testing.assert_allclose(given, 0.5 * infos["reward_parts"]["upright"])
    with pytest.raises(ValueError, match=r"progress must be in \[0, 1\], got 2"):
        environment.progress = 2
    bare = VectorRewardWrapper(vectors(AutoresetMode.SAME_STEP), reward)
    bare.reset(seed=5)
    with pytest.raises(ValueError, match="set `.progress` of the wrapper .*or give the wrapper `total_steps`"):
        bare.step(np.ones(3, int))


def test_running_statistics_take_no_reset_in_and_go_back_into_the_reward() -> None:
    reward = RunningNormalise(reward=rl.EnvironmentReturn(), discount=0.5)
    environment = VectorRewardWrapper(vectors(AutoresetMode.NEXT_STEP), reward)
    found = books_of(environment, 5, 2)
    environment.settle()
    unfinished = 3 * 2 * LIMIT  # no more than so many steps are still open
    total = sum(int(book["length"]) for mine in found for book in mine)
    assert total <= reward.count <= total + unfinished
    assert 1.0 < reward.mean < 2.0  # a reset taken in would give 0


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            spaces.Tuple([spaces.Box(-1, 1), spaces.Discrete(2)]),
            "observation_space is a Tuple of 2 spaces, whose parts have no names .*TransformObservation.*FlattenObservation",
        ),
        (
            spaces.Dict({"arm": spaces.Tuple([spaces.Box(-1, 1)])}),
            r"observation_space\['arm'\] is a Tuple of 1 spaces",
        ),
        (spaces.Text(5), "observation_space is Text, which does not hold arrays; expected Box, Discrete"),
    ],
)
def test_observations_that_a_reward_cannot_read_are_refused(space: spaces.Space, message: str) -> None:
    environment = Cube()
    environment.observation_space = space
    with pytest.raises(TypeError, match=message):
        RewardWrapper(environment, upright)


def test_wrong_options_are_named() -> None:
    with pytest.raises(ValueError, match="on_failure must be 'raise' or 'flag', got 'ignore'"):
        RewardWrapper(cart_pole(), upright, on_failure="ignore")
    with pytest.raises(ValueError, match="total_steps must be at least 1"):
        RewardWrapper(cart_pole(), upright, total_steps=0)


def test_texts_in_info_reach_a_reward_inside_a_vec_env() -> None:
    class Talks(gymnasium.Wrapper):
        def step(self, action):
            observation, reward, terminated, truncated, info = self.env.step(action)
            self.said = not getattr(self, "said", False)
            return observation, reward, terminated, truncated, {**info, "message": "hello"} if self.said else info

    heard: list[list[object]] = []

    @rl.reward(per="transition")
    def listening(next_observation, info):
        heard.append(list(info.get("message", [None] * len(next_observation))))
        return np.array([1.0 if text == "hello" else 0.0 for text in heard[-1]])

    environment = RewardVecEnv(DummyVecEnv([lambda: Talks(cart_pole())] * 2), listening)
    environment.reset()
    rewards = [environment.step(np.array([0, 1]))[1].tolist() for _ in range(2)]
    assert heard == [["hello", "hello"], [None, None]]
    assert rewards == [[1.0, 1.0], [0.0, 0.0]]
