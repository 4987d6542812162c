from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from tests.learning.demonstrations.worlds_for_tests import balancing, swinging

from rewardlab.learning.demonstrations import BehaviourCloning, DemonstrationFit, imitate, mean_return
from rewardlab.registry import SpecError
from rewardlab.types import Trajectory


def test_a_balancing_controller_is_cloned_and_comes_back_from_disk(tmp_path):
    demonstrations = balancing(5)
    lines = []
    found = BehaviourCloning().fit(demonstrations, "CartPole-v1", steps=300, seed=3, progress=lines.append)
    again = BehaviourCloning().fit(demonstrations, "CartPole-v1", steps=300, seed=3)
    assert mean_return(found.policy, "CartPole-v1", episodes=10, seed=7) >= 195
    assert found.history == again.history == lines
    assert found.reward is None
    loaded = DemonstrationFit.load(found.save(tmp_path))
    observations = demonstrations[0].observations
    assert np.array_equal(loaded.policy.act(observations, True), found.policy.act(observations, True))
    assert np.allclose(
        loaded.policy.logprob(observations[:-1], demonstrations[0].actions),
        found.policy.logprob(observations[:-1], demonstrations[0].actions),
    )
    assert (loaded.method, loaded.seed, loaded.steps) == ("behaviour_cloning", 3, found.steps)
    assert [line["step"] for line in loaded.history] == [line["step"] for line in found.history]


def test_continuous_actions_are_cloned_within_their_bounds():
    found = imitate(swinging(6), "Pendulum-v1", method="behaviour_cloning", steps=500)
    assert found.history[-1]["held_out_error"] < 0.1
    actions = found.policy.act(np.array([[0.0, 1.0, 8.0]] * 50, dtype=np.float32))
    assert actions.shape == (50, 1)
    assert np.abs(actions).max() <= 2.0


def test_it_stops_early_on_held_out_trajectories():
    rng = np.random.default_rng(0)
    noise = [
        Trajectory(observations=rng.normal(size=(31, 4)), actions=rng.integers(0, 2, 30), truncated=True)
        for _ in range(6)
    ]
    found = BehaviourCloning(patience=2, entropy=0.0).fit(noise, "CartPole-v1", steps=2_000)
    assert found.steps < 1_000  # there is nothing to learn, so more updates only fit the noise


def test_one_trajectory_is_enough():
    found = BehaviourCloning().fit(balancing(1), "CartPole-v1", steps=100)
    assert found.history[-1]["held_out_accuracy"] > 0.6


def test_bad_demonstrations_are_named():
    cart, pendulum = balancing(1, length=20), swinging(1, length=20)
    clone = BehaviourCloning()
    with pytest.raises(ValueError, match=r"demonstration 0 has .* of shape \(3,\).*Box of shape \(4,\)"):
        clone.fit(pendulum, "CartPole-v1")
    with pytest.raises(ValueError, match=r"demonstration 0 has .*another environment"):
        clone.fit(cart, "Pendulum-v1")
    mixed = Trajectory(observations=cart[0].observations, actions=np.full((20, 1), 0.5), truncated=True)
    with pytest.raises(ValueError, match=r"action space is Discrete\(2\); continuous actions belong"):
        clone.fit([mixed], "CartPole-v1")
    mixed = Trajectory(observations=pendulum[0].observations, actions=np.zeros(20, dtype=int), truncated=True)
    with pytest.raises(ValueError, match="discrete actions belong to another environment"):
        clone.fit([mixed], "Pendulum-v1")
    outside = Trajectory(observations=cart[0].observations, actions=np.full(20, 2), truncated=True)
    with pytest.raises(ValueError, match=r"has the action 2 at step 0, outside 0\.\.1"):
        clone.fit([outside], "CartPole-v1")
    broken = np.array(cart[0].observations)
    broken[7] = np.nan
    with pytest.raises(ValueError, match=r"demonstration 1 has observation \[nan, .*\] at step 7, which is not finite"):
        clone.fit([cart[0], Trajectory(observations=broken, actions=cart[0].actions)], "CartPole-v1")
    with pytest.raises(ValueError, match="there are no demonstrations"):
        clone.fit([], "CartPole-v1")
    with pytest.raises(TypeError, match=r"write \[trajectory\]"):
        clone.fit(cart[0], "CartPole-v1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="is a chat"):
        clone.fit([Trajectory.from_text("a", "b")], "CartPole-v1")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (gymnasium.spaces.Dict({"a": gymnasium.spaces.Discrete(2)}), "is a Dict; .*FlattenObservation"),
        (gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(2)]), "is a Tuple; .*FlattenObservation"),
        (gymnasium.spaces.Box(0, 255, (8, 8, 3), np.uint8), r"box of shape \(8, 8, 3\) \(an image\?\)"),
        (gymnasium.spaces.MultiBinary(3), "is a MultiBinary; expected"),
    ],
)
def test_spaces_that_need_an_encoder_are_refused(space, message):
    environment = gymnasium.make("CartPole-v1")
    environment.observation_space = space
    with pytest.raises(TypeError, match=message):
        BehaviourCloning().fit(balancing(1, length=5), environment)


def test_unknown_names_and_options_are_met_with_the_nearest():
    with pytest.raises(SpecError, match="did you mean 'behaviour_cloning'"):
        imitate(balancing(1, length=5), "CartPole-v1", method="behavior_cloning")
    with pytest.raises(SpecError, match="no option 'batchsize'; did you mean 'batch_size'"):
        imitate(balancing(1, length=5), "CartPole-v1", method={"type": "behaviour_cloning", "batchsize": 3})
    with pytest.raises(ValueError, match="'learning_rate' must be a positive number, got -1"):
        BehaviourCloning(learning_rate=-1)
    with pytest.raises(TypeError, match="environment must be a Gymnasium id"):
        BehaviourCloning().fit(balancing(1, length=5), 3)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        BehaviourCloning().fit(balancing(1, length=5), "CartPole-v1", steps=0)
