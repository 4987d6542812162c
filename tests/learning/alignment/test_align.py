"""`align` on real Gymnasium environments, what it gives, and what it refuses."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import rewardlab as rl
from rewardlab.environments.control import VectorRewardWrapper
from rewardlab.learning.alignment import Alignment, align
from rewardlab.policies.control import collect
from rewardlab.rewards.online import score_steps

FEW = {"episodes": 12, "warm_up": 4, "warm_up_steps": 3, "inner_steps": 2, "every": 2, "buffer": 20, "outer_batch": 4}


@rl.reward
def upright(next_observation):
    return -np.abs(next_observation[:, 2])


@rl.reward
def leaning_left(next_observation):
    return (next_observation[:, 2] < 0).astype(float)


@pytest.fixture(scope="module")
def aligned() -> Alignment:
    return align("CartPole-v1", {"upright": upright, "left": leaning_left}, horizon=60, seed=3, hidden=(16,), **FEW)


def test_every_hint_has_a_weight_at_every_state(aligned: Alignment) -> None:
    states = np.zeros((5, 4), dtype=np.float32)
    weights = aligned.weights(states)
    assert list(weights) == ["constant", "primary", "upright", "left"]
    assert all(values.shape == (5,) for values in weights.values())
    assert weights["primary"][0] != 1.0  # it learned
    assert set(aligned.believed(states)) == {"upright", "left"}
    assert 0.5 <= aligned.discount <= 0.999
    assert [line["episodes"] for line in aligned.history] == [2, 4, 6, 8, 10, 12]
    assert all(isinstance(line["primary_return"], float) for line in aligned.history)


def test_the_blend_is_what_its_parts_say_inside_an_environment_and_on_trajectories(aligned: Alignment) -> None:
    vector = VectorRewardWrapper(
        gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync"), aligned.reward
    )
    trajectories = collect(aligned.policy, vector, episodes=2, seed=0)
    scores = aligned.reward(trajectories)
    for trajectory in trajectories:
        weights = aligned.weights(np.asarray(trajectory.observations)[:-1])
        hints = {
            name: score_steps(hint, [trajectory]).steps[0]
            for name, hint in (("upright", upright), ("left", leaning_left))
        }
        # CartPole's own reward is 1 a step; what stands in the trajectory is the blend, so the formula is checked on-line
        expected = weights["constant"] + weights["primary"] + sum(weights[name] * hints[name] for name in hints)
        np.testing.assert_allclose(trajectory.rewards, expected, rtol=1e-5, atol=1e-6)
    assert {"primary", "upright", "left", "weight_constant", "weight_left"} <= set(scores.parts)


def test_it_comes_back_from_disk(aligned: Alignment, tmp_path) -> None:
    again = Alignment.load(aligned.save(tmp_path / "run"), auxiliary={"left": leaning_left, "upright": upright})
    states = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    for name, values in aligned.weights(states).items():
        np.testing.assert_array_equal(values, again.weights(states)[name])
    np.testing.assert_array_equal(
        aligned.policy.act(states, deterministic=True), again.policy.act(states, deterministic=True)
    )
    assert (again.discount, again.history) == (aligned.discount, aligned.history)
    with pytest.raises(ValueError, match="learned with the hints upright, left; got upright"):
        Alignment.load(tmp_path / "run", auxiliary={"upright": upright})
    with pytest.raises(FileNotFoundError, match=r"alignment\.json"):
        Alignment.load(tmp_path, auxiliary={})


def test_tables_and_a_fixed_discount() -> None:
    @rl.reward
    def far(next_observation):
        return np.asarray(next_observation, dtype=float) / 15

    found = align("FrozenLake-v1", far, discount=0.95, start="primary", **FEW)
    assert found.discount == pytest.approx(0.95, abs=1e-3)
    weights = found.weights(np.arange(16))
    assert weights["far"].shape == (16,)
    assert found.policy.act(np.arange(16)).shape == (16,)


def test_continuous_actions() -> None:
    @rl.reward
    def calm(action, next_observation):
        return -np.square(action).sum(-1)

    found = align("Pendulum-v1", calm, horizon=20, form="linear", **FEW)
    assert found.policy.act(np.zeros((3, 3), dtype=np.float32)).shape == (3, 1)


@pytest.mark.parametrize(
    ("hints", "error", "message"),
    [
        ([], ValueError, "there is no hint to align"),
        ({"up": 3}, TypeError, "hint 'up' is a int, expected a reward"),
        ({"primary": upright}, ValueError, "must not be called 'primary'"),
        ([upright, upright], ValueError, "two hints have one name"),
    ],
)
def test_wrong_hints_are_named(hints, error, message) -> None:
    with pytest.raises(error, match=message):
        align("CartPole-v1", hints, **FEW)


def test_an_unknown_option_is_named_with_the_nearest() -> None:
    with pytest.raises(TypeError, match="align has no option 'episode'.*did you mean 'episodes'"):
        align("CartPole-v1", upright, episode=3)


def test_spaces_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match="form 'table' needs whole-number observations"):
        align("CartPole-v1", upright, form="table", **FEW)
    with pytest.raises(ValueError, match="reads vectors, and the observations are whole numbers"):
        align("FrozenLake-v1", upright, form="network", **FEW)


def test_a_hint_without_a_value_stops_the_run_and_says_where() -> None:
    @rl.reward
    def broken(next_observation):
        return np.full(len(next_observation), np.nan)

    with pytest.raises(ValueError, match="reward 'broken' has no value for episode 0: .*at step 0"):
        align("CartPole-v1", broken, **FEW)
