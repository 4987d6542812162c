from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from tests.learning.demonstrations.worlds_for_tests import balancing, swinging

from rewardlab.learning.demonstrations import ASAF, DemonstrationFit, imitate, mean_return
from rewardlab.types import Trajectory

QUICK = {"rollout": 400, "batch_size": 100, "learning_rate": 3e-3, "epochs": 4, "environments": 4, "hidden": (32,)}


def test_a_balancing_controller_is_imitated_without_reward_or_critic(tmp_path):
    demonstrations = balancing(4)
    found = ASAF(**QUICK).fit(demonstrations, "CartPole-v1", steps=3000, seed=1)
    assert found.reward is None
    assert 3000 <= found.steps < 3004
    assert mean_return(found.policy, "CartPole-v1", episodes=5, seed=5) >= 100
    assert found.history[-1]["expert_logprob"] > found.history[0]["expert_logprob"]
    loaded = DemonstrationFit.load(found.save(tmp_path))
    seen = demonstrations[0].observations
    assert np.array_equal(loaded.policy.act(seen, True), found.policy.act(seen, True))


@pytest.mark.parametrize("window", [10, "trajectory"])
def test_windows_learn_and_repeat(window):
    method = {"type": "asaf", "window": window, **QUICK, "batch_size": 10}
    first, second = (imitate(balancing(3), "CartPole-v1", method=method, steps=800, seed=2) for _ in range(2))
    assert first.history == second.history
    assert len(first.history) >= 1
    assert first.history[-1]["expert_logprob"] > -0.69


def test_windows_stay_inside_trajectories():
    rows, mask = ASAF(window=3, stride=2)._windows(np.array([0, 0, 0, 0, 0, 1, 1, 2, 2, 2]))
    kept = [row[one].tolist() for row, one in zip(rows, mask, strict=True)]
    assert kept == [[0, 1, 2], [2, 3, 4], [5, 6], [7, 8, 9]]
    rows, mask = ASAF(window="trajectory")._windows(np.array([0, 0, 1]))
    assert [row[one].tolist() for row, one in zip(rows, mask, strict=True)] == [[0, 1], [2]]
    rows, _ = ASAF()._windows(np.array([0, 0, 1]))
    assert rows.tolist() == [[0], [1], [2]]


def test_continuous_actions_are_imitated_within_their_bounds():
    found = ASAF(**QUICK).fit(swinging(4), "Pendulum-v1", steps=2000, seed=0)
    assert found.history[-1]["expert_logprob"] > found.history[0]["expert_logprob"]
    assert np.abs(found.policy.act(np.zeros((20, 3), np.float32))).max() <= 2.0


def test_the_log_ratio_is_a_reward_of_transitions():
    demonstrations = balancing(2)
    before, after = (
        ASAF(**QUICK).fit(demonstrations, "CartPole-v1", steps=steps, seed=0).policy for steps in (400, 2000)
    )
    scores = ASAF.as_reward(before, after)(demonstrations)
    seen, done = demonstrations[0].observations[:-1], demonstrations[0].actions
    assert scores.steps[0] == pytest.approx(after.logprob(seen, done) - before.logprob(seen, done))
    assert scores.values.mean() > 0  # the later policy takes the demonstrator's actions more often


class BreaksDown(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, **options):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.full(2, np.nan, np.float32), 0.0, False, False, {}


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="option 'window' must be at least 1 or 'trajectory', got 0"):
        ASAF(window=0)
    with pytest.raises(ValueError, match=r"Box of shape \(4,\)"):
        ASAF().fit(swinging(1), "CartPole-v1", steps=10)
    one = Trajectory(observations=np.zeros((3, 2), np.float32), actions=np.zeros(2, np.int64), truncated=True)
    with pytest.raises(FloatingPointError, match="environment 0 gave an observation that is not finite after 0 steps"):
        ASAF().fit([one], BreaksDown, steps=10)
