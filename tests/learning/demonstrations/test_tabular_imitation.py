from __future__ import annotations

import numpy as np
import pytest
from tests.learning.demonstrations.worlds_for_tests import balancing

from rewardlab.environments.tabular import MarkovDecisionProcess
from rewardlab.functional.reward_distances import starc
from rewardlab.learning.demonstrations import DemonstrationFit, MaximumCausalEntropy
from rewardlab.learning.demonstrations.entropy import demonstrated_occupancy, soft_policy
from rewardlab.types import Trajectory


def small_world():
    """Five states in a row, left and right; the right end is worth something, and nothing ends."""
    transitions = np.zeros((5, 2, 5))
    for state in range(5):
        transitions[state, 0, max(state - 1, 0)] = 1.0
        transitions[state, 1, min(state + 1, 4)] = 1.0
    rewards = np.zeros((5, 2))
    rewards[4] = 1.0
    return MarkovDecisionProcess(transitions, rewards, 0.9, np.full(5, 0.2))


def test_the_demonstrators_visits_and_a_like_reward_are_recovered(tmp_path):
    world = small_world()
    demonstrator = soft_policy(world, 3.0 * world.rewards)
    demonstrations = world.sample(demonstrator, 400, steps=60, seed=1)
    found = MaximumCausalEntropy().fit(demonstrations, world, steps=300)
    assert np.abs(found.policy.probabilities - demonstrator).max() < 0.1
    learned = found.reward.table_values
    assert starc(learned, world.rewards, world.transitions, 0.9) < 0.35
    assert starc(-learned, world.rewards, world.transitions, 0.9) > 1.7
    assert found.history[-1]["difference"] < found.history[0]["difference"] / 20
    loaded = DemonstrationFit.load(found.save(tmp_path))
    assert np.array_equal(loaded.reward.table_values, learned)
    assert np.array_equal(loaded.policy.act(np.arange(5), True), found.policy.act(np.arange(5), True))
    assert np.allclose(loaded.reward(demonstrations[:3]).values, found.reward(demonstrations[:3]).values)


def test_features_share_what_is_learned():
    world = small_world()
    demonstrations = world.sample(soft_policy(world, 3.0 * world.rewards), 100, steps=60, seed=1)
    distance = np.arange(5.0)[:, None] / 4
    found = MaximumCausalEntropy(features=distance).fit(demonstrations, world, steps=300)
    slope = np.diff(found.reward.table_values[:, 0])
    assert np.allclose(slope, slope[0])
    assert slope[0] > 0
    with pytest.raises(
        ValueError, match=r"'features' must be \[5, K\] or \[5, 2, K\] for this world, got shape \(3, 1\)"
    ):
        MaximumCausalEntropy(features=np.ones((3, 1))).fit(demonstrations, world)


def test_visits_are_discounted_and_cut_off_demonstrations_go_on():
    world = small_world()

    def visits(**end):
        one = Trajectory(observations=np.array([0, 1, 2]), actions=np.array([1, 1]), **end)
        found = MaximumCausalEntropy().fit([one], world, steps=1)
        assert found.steps == 1
        from rewardlab.learning.demonstrations.base import Run
        from rewardlab.learning.demonstrations.spaces import SpaceCode, columns_of

        codes = SpaceCode("discrete", "observation", count=5), SpaceCode("discrete", "action", count=2)
        return demonstrated_occupancy(Run(columns_of([one], *codes), *codes, world, 1, 0, None), 0.9)

    ended, cut = visits(terminated=True), visits(truncated=True)
    assert ended[0, 1] == 1.0
    assert ended[1, 1] == pytest.approx(0.9)
    assert ended.sum() == pytest.approx(1.9)
    assert cut.sum() == pytest.approx(10.0)


def test_a_table_of_gymnasium_is_a_world():
    demonstrations = [
        Trajectory(
            observations=np.array([0, 4, 8, 9, 13, 14, 15]), actions=np.array([1, 1, 2, 1, 2, 2]), terminated=True
        )
    ]
    import gymnasium

    lake = gymnasium.make("FrozenLake-v1", is_slippery=False)
    found = MaximumCausalEntropy(l2=1e-4).fit(demonstrations, lake, steps=300)
    states = demonstrations[0].observations[:-1]
    assert found.policy.probabilities[states, demonstrations[0].actions].min() > 0.3
    assert found.reward.table_values[15].tolist() == [0.0] * 4  # the goal is terminal and earns nothing itself


def test_worlds_without_a_table_and_foreign_states_are_refused():
    with pytest.raises(TypeError, match=r"needs a finite world whose dynamics are known.*use GAIL or AIRL"):
        MaximumCausalEntropy().fit(balancing(1, length=5), "CartPole-v1")
    with pytest.raises(ValueError, match=r"observation space is Discrete\(5\); continuous observations belong"):
        MaximumCausalEntropy().fit(balancing(1, length=5), small_world())
