from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rewardlab as rl
from rewardlab.audit import lipschitz
from rewardlab.rewards.models import AdversarialReward, TransitionBatch
from rewardlab.rewards.transitions import TransitionReward
from rewardlab.types import Trajectory


class Slope(TransitionReward):
    """Three times the observation; a cliff of height 5 at 1."""

    def transition(self, observation: Any, action: Any, next_observation: Any, terminated: Any) -> Any:
        return 3.0 * observation[:, 0] + 5.0 * (observation[:, 0] > 1.0)


def batch(values: Any) -> TransitionBatch:
    seen = np.asarray(values, dtype=float)[:, None]
    return TransitionBatch(
        observation=seen, action=np.zeros_like(seen), next_observation=seen, terminated=np.zeros(len(seen), bool)
    )


def test_slopes_by_hand() -> None:
    smooth = np.linspace(-0.5, 0.5, 11)
    found = lipschitz(Slope(), batch(smooth))
    assert found.slope == pytest.approx(3.0 * smooth.std())  # in units of the spread
    assert found.gradients is None
    assert found.points == 11
    cliff = lipschitz(Slope(), batch([0.0, 0.5, 0.95, 1.05, 1.5]))
    assert set(cliff.steepest) == {2, 3}
    assert cliff.slope > 10
    assert lipschitz(Slope(), batch([1.0, 1.0, 1.0])).slope == 0.0  # all at one place


def test_a_learned_reward_gives_its_gradients() -> None:
    reward = AdversarialReward(observation_width=1, action_width=1, hidden=(8,))
    draw = np.random.default_rng(0)
    seen = draw.normal(size=(300, 1))
    one = Trajectory(observations=seen, actions=draw.normal(size=(299, 1)))
    found = lipschitz(reward, [one], target=0.0, most=100)
    assert found.points == 100
    assert found.above == 1.0
    assert found.gradients is not None
    assert found.gradients[0] < found.gradients[-1]
    # softplus of the logit is at most as steep as the logit
    assert found.slope <= reward.gradient_norms(TransitionBatch.from_trajectories([one])).max() * 1.05
    assert found.to_json()["points"] == 100


def test_wrong_input_is_named() -> None:
    with pytest.raises(TypeError, match="needs a reward of transitions, got 'exact_match'"):
        lipschitz(rl.ExactMatch(), batch([0.0, 1.0]))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs at least two points, got 1"):
        lipschitz(Slope(), batch([0.0]))
    with pytest.raises(ValueError, match="neighbours must be at least 1"):
        lipschitz(Slope(), batch([0.0, 1.0]), neighbours=0)
