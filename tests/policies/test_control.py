from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3 import DQN, PPO, SAC

from rewardlab.environments.control import VectorRewardWrapper
from rewardlab.policies import ControlPolicy, RandomPolicy, StableBaselinesPolicy, collect
from rewardlab.rewards.online import score_steps
from rewardlab.storage import check_spaces
from tests.environments.test_control import REWARD, Cube, act, cart_pole, cheetah, moved, told, vectors


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_collected_trajectories_are_whole_however_environments_start_again(mode: AutoresetMode) -> None:
    environment = VectorRewardWrapper(vectors(mode), REWARD)
    batch = collect(act, environment, episodes=7, seed=5)
    assert len(batch) == 7
    reference = collect(act, VectorRewardWrapper(vectors(AutoresetMode.SAME_STEP), REWARD), episodes=7, seed=5)
    assert batch == reference
    check_spaces(batch, environment.single_observation_space, environment.single_action_space)
    assert {one.terminated for one in batch} == {True, False}
    assert all(one.terminated != one.truncated for one in batch)
    # the reward that came step by step is the reward of the stored trajectory
    own = [one.rewards for one in batch]
    for one in batch:
        one.rewards = np.ones(len(one))
    scores = score_steps(REWARD, batch)
    for rewards, steps in zip(own, scores.steps, strict=True):
        np.testing.assert_allclose(rewards, steps, atol=1e-12)


def test_steps_are_counted_and_open_trajectories_are_cut_off() -> None:
    for mode in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP):
        batch = collect(act, vectors(mode), steps=200, seed=5)
        assert 200 <= sum(map(len, batch)) < 203
        assert sum(one.truncated and len(one) < 45 for one in batch) <= 3
        whole = collect(act, vectors(mode), episodes=3, seed=5)
        assert whole[0] == batch[0]


def test_what_simulators_say_is_kept_by_name() -> None:
    for mode in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP):
        environment = VectorRewardWrapper(vectors(mode, cheetah, 2), told)
        policy = RandomPolicy(environment.single_action_space, seed=1)
        batch = collect(policy, environment, episodes=4, seed=3, info=["x_velocity"])
        scores = told(batch)
        for one, steps in zip(batch, scores.steps, strict=True):
            assert len(one) == 4
            np.testing.assert_allclose(one.rewards, steps)
    with pytest.raises(ValueError, match="info names 'speed', which the simulators do not say; they say x_position"):
        collect(policy, environment, episodes=1, info=["speed"])


def test_a_failed_reward_marks_its_trajectory_and_dict_observations_stay_dicts() -> None:
    makers = [lambda: Cube(shared=False), lambda: Cube(breaks_at=3, shared=False)]
    environment = VectorRewardWrapper(SyncVectorEnv(makers, autoreset_mode="SameStep"), moved, on_failure="flag")
    good, bad = collect(RandomPolicy(environment.single_action_space), environment, episodes=2)
    assert good.observations["picture"].shape == (7, 4, 4, 3)
    assert good.rewards.tolist() == [11.0] * 6
    assert bad.info["failed"] == "the reward failed at step 2"
    assert "the observation after step 2 (place) holds nan" in moved([good, bad]).note(1)


def test_the_random_policy_repeats_itself_and_stays_in_its_space() -> None:
    for space in (spaces.Discrete(3), spaces.Box(-1, 2, (2,)), spaces.MultiDiscrete([2, 4])):
        policy = RandomPolicy(space, seed=4)
        first = [policy.act(np.zeros((5, 3))) for _ in range(2)]
        policy.seed(4)
        np.testing.assert_array_equal(first[0], policy.act(np.zeros((5, 3))))
        assert not np.array_equal(first[0], first[1])
        assert all(space.contains(row) for row in first[0].astype(space.dtype))


def test_wrong_use_of_collect_is_named() -> None:
    with pytest.raises(ValueError, match="give episodes= or steps=, one of the two"):
        collect(act, vectors(AutoresetMode.SAME_STEP))
    with pytest.raises(ValueError, match="episodes must be at least 1, got 0"):
        collect(act, vectors(AutoresetMode.SAME_STEP), episodes=0)
    with pytest.raises(TypeError, match="expected a vector of environments, got TimeLimit; make one with"):
        collect(act, cart_pole(), episodes=1)


@pytest.mark.parametrize(
    ("cls", "world", "options"),
    [
        (PPO, "CartPole-v1", {"policy_kwargs": {"net_arch": [8], "activation_fn": "relu"}}),
        (DQN, "CartPole-v1", {"policy_kwargs": {"net_arch": [8]}}),
        (SAC, "Pendulum-v1", {"policy_kwargs": {"net_arch": [8]}}),
    ],
)
def test_policies_are_saved_without_pickle_and_come_back(cls: Any, world: str, options: dict, tmp_path: Any) -> None:
    from rewardlab.policies.stable_baselines import build_learner

    model = build_learner(
        cls.__name__.lower(), _stable(world), {**options, **({"buffer_size": 10} if cls is not PPO else {})}, seed=3
    )
    policy = StableBaselinesPolicy(model, options=options)
    assert isinstance(policy, ControlPolicy)
    policy.save(tmp_path / "policy")
    assert {entry.name for entry in (tmp_path / "policy").iterdir()} == {"policy.json", "weights.safetensors"}
    back = StableBaselinesPolicy.load(tmp_path / "policy")
    seen = gymnasium.make_vec(world, 4).reset(seed=0)[0]
    np.testing.assert_array_equal(back.act(seen, deterministic=True), policy.act(seen, deterministic=True))
    assert back.learner == cls.__name__.lower()


def _stable(world: str) -> Any:
    from stable_baselines3.common.vec_env import DummyVecEnv

    return DummyVecEnv([lambda: gymnasium.make(world)])


def test_what_is_no_policy_on_disk_is_named(tmp_path: Any) -> None:
    with pytest.raises(FileNotFoundError, match="expected policy.json and weights.safetensors"):
        StableBaselinesPolicy.load(tmp_path)


@pytest.mark.parametrize(
    ("learner", "options", "message"),
    [
        ("pp0", {}, "unknown learner 'pp0'; did you mean 'ppo'"),
        ("ppo", {"learning_rte": 1}, "ppo has no option 'learning_rte'; did you mean 'learning_rate'"),
        ("ppo", {"seed": 1}, "option 'seed' of ppo is not given here: give seed= itself"),
        ("ppo", {"learning_rate": lambda left: left}, "which no file can hold, .*give a plain number"),
        ("ppo", {"policy_kwargs": {"activation_fn": "tahn"}}, "unknown activation 'tahn'; did you mean 'tanh'"),
        ("sac", {}, r"sac needs continuous actions \(a Box\), and the action space is Discrete\(2\); use ppo or dqn"),
    ],
)
def test_wrong_learners_and_options_are_named(learner: str, options: dict, message: str) -> None:
    from rewardlab.policies.stable_baselines import build_learner

    with pytest.raises(ValueError, match=message):
        build_learner(learner, _stable("CartPole-v1"), options)
    with pytest.raises(ValueError, match="dqn needs discrete actions, and the action space is Box"):
        build_learner("dqn", _stable("Pendulum-v1"), {})
