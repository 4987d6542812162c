"""Rankings by noise in a real environment, and a reward that is fitted to them without any label."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from rewardlab.learning import fit
from rewardlab.learning.degraded import NoisyPolicy, piece, ranked_by_noise
from rewardlab.policies.control import collect
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Trajectory


def balance(observations: np.ndarray) -> np.ndarray:
    """A linear controller that keeps the pole up."""
    return (observations @ np.array([0.1, 0.5, 3.0, 1.0]) > 0).astype(np.int64)


def carts(count: int = 4) -> gymnasium.vector.SyncVectorEnv:
    return gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("CartPole-v1", max_episode_steps=100)] * count)


def test_a_reward_fitted_to_rankings_by_noise_orders_as_the_true_one() -> None:
    data = ranked_by_noise(balance, carts(), levels=(0.0, 0.5, 1.0), episodes=8, pairs=200, length=20, seed=0)
    assert len(data) == 200
    assert 0.3 < data.label.mean() < 0.7
    model = RewardModel.make({"type": "mlp", "inputs": 4, "hidden": [32], "seed": 0}, {"type": "scalar", "seed": 0})
    fit(model, data, epochs=8, learning_rate=1e-2)
    fresh = [
        one
        for noise in (0.0, 0.5, 1.0)
        for one in collect(
            NoisyPolicy(balance, carts().single_action_space, noise, seed=9), carts(), episodes=4, seed=7
        )
    ]
    returns = np.array([one.rewards.sum() for one in fresh])
    assert np.corrcoef(model(fresh).values, returns)[0, 1] > 0.5
    again = ranked_by_noise(balance, carts(), levels=(1.0, 0.5, 0.0), episodes=8, pairs=200, length=20, seed=0)
    assert all(
        np.array_equal(one.observations, other.observations) for one, other in zip(data.items, again.items, strict=True)
    )


def test_noise_is_as_frequent_as_it_is_asked_to_be() -> None:
    space = gymnasium.spaces.Discrete(1000)
    policy = NoisyPolicy(lambda observations: np.zeros(len(observations), np.int64), space, 0.3)
    assert (policy.act(np.zeros((5000, 2))) > 0).mean() == pytest.approx(0.3, abs=0.03)
    with pytest.raises(ValueError, match=r"noise must be in \[0, 1\], got 2"):
        NoisyPolicy(balance, space, 2)


def test_pieces_are_steps_in_a_row() -> None:
    whole = Trajectory(
        observations=np.arange(6.0)[:, None], actions=np.arange(5), rewards=np.arange(5.0), terminated=True
    )
    middle, end = piece(whole, 1, 2), piece(whole, 3, 2)
    assert middle.observations[:, 0].tolist() == [1, 2, 3]
    assert (middle.terminated, middle.truncated) == (False, True)
    assert (end.terminated, end.truncated) == (True, False)
    assert end.rewards.tolist() == [3, 4]
    with pytest.raises(ValueError, match="steps 4 to 6 were asked for, and the trajectory has 5"):
        piece(whole, 4, 2)


def test_noise_that_ranks_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two levels of noise"):
        ranked_by_noise(balance, carts(1), levels=(0.5, 0.5))
    with pytest.raises(ValueError, match="pairs must be at least 1, got 0"):
        ranked_by_noise(balance, carts(1), pairs=0)
