from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from tests.learning.demonstrations.worlds_for_tests import balancing, swinging

from rewardlab.learning.demonstrations import AIRL, GAIL, DemonstrationFit, PPOOptions, mean_return
from rewardlab.learning.demonstrations.generator import Generator, RunningDeviation, reward_rollout
from rewardlab.learning.demonstrations.spaces import SpaceCode
from rewardlab.learning.demonstrations.worlds import spaces_of


def generator_in(environment, *, steps=400, seed=0, **options):
    observation, action = (
        SpaceCode.of(space, what) for space, what in zip(spaces_of(environment), ("observation", "action"), strict=True)
    )
    mean, spread = np.zeros(observation.width, np.float32), np.ones(observation.width, np.float32)
    return Generator(environment, PPOOptions(**options), observation, action, mean, spread, steps=steps, seed=seed)


def test_gail_learns_to_balance_and_comes_back_from_disk(tmp_path):
    found = GAIL().fit(balancing(6), "CartPole-v1", steps=5_000, seed=1)
    assert mean_return(found.policy, "CartPole-v1", episodes=10, seed=7) > 45  # a random policy gets 22
    assert found.steps == found.history[-1]["step"] >= 5_000
    loaded = DemonstrationFit.load(found.save(tmp_path))
    trajectory = balancing(1, seed=50, length=30)[0]
    assert np.allclose(loaded.reward(trajectory).values, found.reward(trajectory).values)
    assert np.array_equal(
        loaded.policy.act(trajectory.observations, True), found.policy.act(trajectory.observations, True)
    )


def test_the_same_seed_gives_the_same_numbers():
    first, second, other = (
        GAIL(updates=1).fit(swinging(2), "Pendulum-v1", steps=1_100, seed=seed).history for seed in (4, 4, 5)
    )
    assert first == second
    assert first != other


def test_airl_pays_less_for_an_end_than_for_going_on():
    found = AIRL(ppo=PPOOptions(discount=0.9)).fit(balancing(4), "CartPole-v1", steps=2_000, seed=2)
    assert found.reward.absorbing_value < 0  # the demonstrator never ends there
    assert found.reward.potential == 0.9
    assert found.history[-1]["expert_accuracy"] > 0.5
    assert np.isfinite(found.reward(balancing(1)).values).all()


@pytest.mark.parametrize("native", [True, False])
def test_a_rollout_holds_transitions_and_marks_what_is_none(native):
    made = "CartPole-v1" if native else gymnasium.vector.SyncVectorEnv(
        [lambda: gymnasium.make("CartPole-v1")] * 4, autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP
    )  # fmt: skip
    generator = generator_in(made, environments=4, rollout=100)
    rollout = generator.gather()
    ended = rollout.terminated | rollout.truncated
    assert ended.any()
    assert generator.done == rollout.valid.sum()
    assert rollout.valid.all() != native  # a native vector resets in a step of its own
    follows = np.isclose(rollout.next_observation[:-1], rollout.observation[1:]).all(-1)
    assert (follows | ended[:-1])[rollout.valid[:-1]].all()
    assert (
        (np.abs(rollout.next_observation[ended][:, [0, 2]]) > [2.4, 0.2095]).any(1).all()
    )  # it fell, and was not reset
    lengths = (rollout.reward * rollout.valid).cumsum(0)[ended]
    assert max(rollout.returns) <= lengths.max()


def test_the_agent_never_makes_more_steps_than_were_asked_for():
    generator = generator_in("Pendulum-v1", steps=100, environments=8, rollout=64)
    while generator.done < 100:
        rollout = generator.gather()
        generator.learn(rollout, rollout.reward)
    assert generator.done == 104  # whole steps of eight environments


def test_rewards_are_scaled_by_the_deviation_of_their_discounted_sums():
    scale = RunningDeviation(1, 0.5)
    rewards = np.array([[4.0], [0.0], [8.0]])
    ended = np.array([[False], [True], [False]])
    sums = np.array([4.0, 2.0, 8.0])
    assert np.allclose(scale(rewards, ended, np.ones_like(ended)), rewards / sums.std())
    more = scale(np.array([[2.0]]), np.array([[True]]), np.array([[True]]))
    assert np.allclose(more, 2.0 / np.append(sums, 6.0).std())


def test_a_whole_rollout_is_rewarded_by_one_call():
    generator = generator_in("CartPole-v1", environments=4, rollout=60)
    rollout = generator.gather()
    calls = []

    def reward(**columns):
        calls.append(len(columns["observation"]))
        return columns["next_observation"][:, 0] - columns["observation"][:, 0]

    found = reward_rollout(reward, rollout)
    assert calls == [rollout.valid.sum()]
    assert (found[~rollout.valid] == 0).all()
    assert np.allclose(found[rollout.valid], (rollout.next_observation - rollout.observation)[rollout.valid][:, 0])


def test_a_simulator_that_gives_nan_is_named():
    class Broken(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            self.count = 0
            return np.zeros(2, np.float32), {}

        def step(self, action):
            self.count += 1
            return np.full(2, np.nan if self.count == 3 else 0.0, np.float32), 0.0, False, False, {}

    with pytest.raises(FloatingPointError, match=r"environment 0 gave the observation \[nan, nan\] after 8 steps"):
        generator_in(Broken, environments=4).gather()


def test_bad_options_are_named():
    with pytest.raises(ValueError, match="GAIL: option 'updates' must be a positive number, got 0"):
        GAIL(updates=0)
    with pytest.raises(ValueError, match="PPOOptions: option 'rollout' must be a positive number, got -1"):
        PPOOptions(rollout=-1)
