from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rewardlab.learning.demonstrations.base import DemonstrationFit
from rewardlab.learning.demonstrations.off_policy import (
    OffPolicyGAIL,
    subsampled,
    warn_of_survival_bias,
)
from rewardlab.learning.demonstrations.relabelling_buffer import RelabellingReplayBuffer
from rewardlab.learning.demonstrations.spaces import SpaceCode, columns_of
from rewardlab.recipes.lipschitz_gail.world import expert_trajectories
from rewardlab.rewards.models import AdversarialReward, TransitionBatch
from rewardlab.rewards.transitions import TransitionReward
from rewardlab.types import Trajectory

BOX = spaces.Box(-10.0, 10.0, (1,), np.float32)
TORQUE = spaces.Box(-2.0, 2.0, (1,), np.float32)


class Sum(TransitionReward):
    """State plus action, so that a reward tells which step it is of."""

    def transition(self, observation: Any, action: Any, next_observation: Any, terminated: Any) -> Any:
        return observation[:, 0] + action[:, 0]


def filled(reward: Any, **options: Any) -> RelabellingReplayBuffer:
    """Steps 0 to 5, actions 1 (0.5 as stored), a termination after step 2 and a time limit after step 5."""
    buffer = RelabellingReplayBuffer(16, BOX, TORQUE, "cpu", reward=reward, **options)
    for step in range(6):
        limit = {"TimeLimit.truncated": True} if step == 5 else {}
        seen = np.full((1, 1), float(step))
        buffer.add(seen, seen + 1, np.full((1, 1), 0.5), np.array([-7.0]), np.array([step in (2, 5)]), [limit])
    return buffer


def test_rewards_are_computed_when_drawn_and_actions_come_back_in_their_scale() -> None:
    buffer = filled(Sum())
    sample = buffer._get_samples(np.array([0, 2, 5]))
    assert sample.rewards.flatten().tolist() == [1.0, 3.0, 6.0]
    assert sample.dones.flatten().tolist() == [0.0, 1.0, 0.0]  # a time limit bootstraps
    assert buffer.environment_rewards[:6, 0].tolist() == [-7.0] * 6
    assert buffer.draw(4, np.random.default_rng(0)).action.tolist() == [[1.0]] * 4


def test_n_steps_stop_at_ends() -> None:
    sample = filled(Sum(), n_steps=3, gamma=0.5)._get_samples(np.array([0, 1, 4]))
    assert sample.rewards.flatten().tolist() == [1 + 0.5 * 2 + 0.25 * 3, 2 + 0.5 * 3, 5 + 0.5 * 6]
    assert sample.dones.flatten().tolist() == [1.0, 1.0, 0.0]
    assert sample.discounts is not None
    assert sample.discounts.flatten().tolist() == [0.125, 0.25, 0.25]


def test_ends_are_worth_what_staying_there_for_ever_is() -> None:
    reward = AdversarialReward.for_spaces(BOX, TORQUE, absorbing=True, hidden=(8,))
    plain = AdversarialReward.for_spaces(BOX, TORQUE, absorbing=True, hidden=(8,))
    buffer = filled(reward, gamma=0.9)
    batch = buffer.transitions(np.array([1, 2]), np.zeros(2, dtype=int))
    rewards = buffer._get_samples(np.array([1, 2])).rewards.flatten().numpy()
    assert rewards == pytest.approx(plain.of(batch) + np.array([0.0, 9.0]) * plain.absorbing_value, rel=1e-5)


def test_replayed_rewards_follow_the_discriminator() -> None:
    reward = AdversarialReward.for_spaces(BOX, TORQUE, hidden=(8,))
    buffer = filled(reward)
    before = buffer._get_samples(np.array([3])).rewards.item()
    expert = buffer.draw(8, np.random.default_rng(1))
    reward.fit_step(expert.take(slice(0, 4)), expert.take(slice(4, 8)))
    after = buffer._get_samples(np.array([3])).rewards.item()
    assert after != before
    assert after == pytest.approx(reward.of(buffer.transitions(np.array([3]), np.array([0])))[0], rel=1e-6)


def test_dqn_takes_the_buffer_too() -> None:
    from stable_baselines3 import DQN

    class Upright(TransitionReward):
        def transition(self, observation: Any, action: Any, next_observation: Any, terminated: Any) -> Any:
            assert action.ndim == 1
            return 1.0 - np.abs(observation[:, 2])

    model = DQN(
        "MlpPolicy",
        gymnasium.make("CartPole-v1"),
        replay_buffer_class=RelabellingReplayBuffer,
        replay_buffer_kwargs={"reward": Upright()},
        learning_starts=20,
        seed=0,
        device="cpu",
    )
    model.learn(60)
    sample = model.replay_buffer.sample(16)  # type: ignore[union-attr]
    assert ((sample.rewards > 0.5) & (sample.rewards < 1)).all()
    with pytest.raises(TypeError, match="needs a reward with `transition`"):
        RelabellingReplayBuffer(16, BOX, TORQUE, "cpu", reward="speed")  # type: ignore[arg-type]


def test_imitation_on_a_real_environment_and_back_from_disk(tmp_path: Path) -> None:
    method = OffPolicyGAIL(
        learning_starts=100, report_every=100, hidden=(16,), reward_hidden=(16, 16), n_steps=3, batch_size=32
    )
    fit = method.fit(expert_trajectories()[:4], "Pendulum-v1", steps=220, seed=0)
    assert fit.steps == 220
    assert [line["steps"] for line in fit.history] == [101, 201, 220]
    last = fit.history[-1]
    for name in (
        "expert_accuracy",
        "held_out_accuracy",
        "overfitting",
        "gradient_max",
        "validity",
        "td_error",
        "value_max",
    ):
        assert np.isfinite(last[name]), name
    assert last["fit_penalty"] >= 0
    assert last["environment_return"] < -100
    seen = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 2.0]], np.float32)
    action = fit.policy.act(seen, deterministic=True)
    assert action.shape == (2, 1)
    assert (np.abs(action) <= 2).all()
    again = DemonstrationFit.load(fit.save(tmp_path))
    assert again.policy.act(seen, deterministic=True) == pytest.approx(action)
    assert again.reward(expert_trajectories()[:1]).values == pytest.approx(fit.reward(expert_trajectories()[:1]).values)
    repeated = method.fit(expert_trajectories()[:4], "Pendulum-v1", steps=220, seed=0)
    assert repeated.policy.act(seen, deterministic=True) == pytest.approx(action)


@pytest.mark.parametrize(
    "options", [{"reward": "distilled"}, {"precondition": "dynamics"}], ids=["distilled", "purple"]
)
def test_other_rewards_go_the_same_way(options: dict[str, Any], tmp_path: Path) -> None:
    method = OffPolicyGAIL(
        learning_starts=30, report_every=20, hidden=(8,), reward_hidden=(8,), n_steps=2, batch_size=8, **options
    )
    fit = method.fit(expert_trajectories()[:2], "Pendulum-v1", steps=60, seed=0)
    last = fit.history[-1]
    if "precondition" in options:
        assert 0.7 <= last["multiplier"] <= 1
        assert last["fit_dynamics_loss"] > 0
        assert last["gradient_max"] > 0
    else:
        assert fit.history[0]["error_after"] < fit.history[0]["error_before"]
        assert 0 < last["agent_reward"] <= 1
    again = DemonstrationFit.load(fit.save(tmp_path))
    assert again.reward(expert_trajectories()[:1]).values == pytest.approx(
        fit.reward(expert_trajectories()[:1]).values, rel=1e-6
    )


def test_the_policy_is_the_actor_that_was_trained() -> None:
    from stable_baselines3 import TD3

    from rewardlab.learning.demonstrations.base import Run
    from rewardlab.learning.demonstrations.off_policy import policy_of

    environment = gymnasium.make("Pendulum-v1")
    model = TD3("MlpPolicy", environment, policy_kwargs={"net_arch": [8]}, seed=1, device="cpu")
    codes = (
        SpaceCode.of(environment.observation_space, "observation"),
        SpaceCode.of(environment.action_space, "action"),
    )
    columns = columns_of(expert_trajectories()[:1], *codes)
    policy = policy_of(model, Run(columns, *codes, environment, 1, 0, None), noise=0.1)
    seen = columns.observation[:5]
    assert policy.act(seen, deterministic=True) == pytest.approx(model.predict(seen, deterministic=True)[0], abs=1e-5)


def test_demonstrations_are_thinned() -> None:
    codes = SpaceCode.of(BOX, "observation"), SpaceCode.of(TORQUE, "action")
    long = Trajectory(observations=np.arange(42.0)[:, None] / 10, actions=np.zeros((41, 1)), truncated=True)
    short = Trajectory(observations=np.zeros((4, 1)), actions=np.ones((3, 1)), terminated=True)
    columns = columns_of([long, short], *codes)
    expert, rest = subsampled(columns, 20, 0)
    assert 3 <= len(expert) <= 4
    assert len(expert) + len(rest) == 44
    one, _ = subsampled(columns_of([short], *codes), 20, 0)
    assert len(one) == 1
    everything, same = subsampled(columns, 1, 0)
    assert len(everything) == len(same) == 44
    ended, _ = subsampled(columns, 20, 0, absorbing=True)
    assert ended.terminated.sum() == 1
    assert ended.absorbing is not None
    assert ended.absorbing.sum() == 1
    assert isinstance(ended, TransitionBatch)


def test_survival_bias_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="'softplus' is never negative, so going on pays, but the demonstrations end"):
        assert warn_of_survival_bias("softplus", absorbing=False, expert_ends=True)
    with pytest.warns(UserWarning, match="'log' is never positive, so ending early pays"):
        assert warn_of_survival_bias("log", absorbing=False, expert_ends=False, agent_ends=True)
    assert not warn_of_survival_bias("softplus", absorbing=True, expert_ends=True)
    assert not warn_of_survival_bias("logit", absorbing=False, expert_ends=True, agent_ends=True)


def test_wrong_worlds_are_named() -> None:
    from rewardlab.learning.demonstrations.off_policy import single

    demo = Trajectory(observations=np.zeros((3, 4), np.float32), actions=np.zeros(2, np.int64))
    with pytest.raises(TypeError, match="TD3 acts in boxes, and this environment has 2 discrete actions; use GAIL"):
        OffPolicyGAIL().fit([demo], "CartPole-v1", steps=10)
    with pytest.raises(ValueError, match="belong to another environment"):
        OffPolicyGAIL().fit([demo], "Pendulum-v1", steps=10)
    with pytest.raises(TypeError, match="takes a Gymnasium id"):
        single(3)
    with pytest.raises(ValueError, match="option 'reward' must be 'adversarial' or 'distilled'"):
        OffPolicyGAIL(reward="red")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'absorbing' goes with reward='adversarial'"):
        OffPolicyGAIL(precondition="dynamics", absorbing=True)
    with pytest.raises(ValueError, match="option 'subsample' must be a positive number, got 0.0"):
        OffPolicyGAIL(subsample=0)
