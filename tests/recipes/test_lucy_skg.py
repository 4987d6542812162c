from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np
import pytest
import yaml

import rewardlab as rl
from rewardlab.recipes.lucy_skg import POTENTIAL, RECIPE, Kick, Options, components, goal, kinesthetic, learn, linear
from rewardlab.recipes.lucy_skg.arms import task_reward
from rewardlab.recipes.lucy_skg.proof import potential_proof, proof
from rewardlab.rewards.shaping.by_transition import state_values, transition_values

SMALL = Options(iterations=1, environments=4, steps=16, epochs=1, batches=1, width=8)


def test_the_car_speeds_up_to_one_and_the_walls_throw_it_back() -> None:
    world = Kick([0], environments=1)
    for _ in range(79):
        _, terminated, truncated = world.step(np.array([[1]]))
        assert not terminated.any()
        assert not truncated.any()
    assert world.observation[0, 0, 0] <= 1.0
    _, _, truncated = world.step(np.array([[0]]))
    assert truncated.all()
    assert (world.observation[0, 0, 2:4] == 0).all()  # the next episode has begun at rest


def test_a_kick_moves_the_ball_into_the_goal() -> None:
    world = Kick([0], environments=1)
    world._car[...], world._ball[...] = (0.3, 0.0), (0.6, 0.0)
    ended = False
    for _ in range(60):
        after, terminated, _ = world.step(np.array([[1]]))
        assert np.linalg.norm(after[0, 0, 8:10]) > 0.1  # never inside one another
        if terminated.any():
            ended = True
            assert after[0, 0, 4] > 0.98
            break
    assert ended


def test_copies_of_one_seed_meet_the_same_starts() -> None:
    world = Kick([3, 3, 4], environments=5)
    assert np.array_equal(world.observation[0], world.observation[1])
    assert not np.array_equal(world.observation[0], world.observation[2])
    assert np.allclose(world.observation[..., 8:10], world.observation[..., 4:6] - world.observation[..., 0:2])


def test_the_utilities_are_the_formulas_of_the_miniature() -> None:
    seen = np.random.default_rng(0).uniform(-1, 1, size=(20, 12))
    seen[:, 8:10], seen[:, 10:12] = seen[:, 4:6] - seen[:, 0:2], np.array([1.0, 0.0]) - seen[:, 4:6]
    aligned, speed, near = (state_values(one, seen) for one in components())
    assert near == pytest.approx(np.exp(-np.linalg.norm(seen[:, 8:10], axis=1)))
    expected = (0.6 * (aligned + near) / 2 + (aligned + speed + near) / 3) / 1.6
    assert state_values(linear(), seen) == pytest.approx(expected)
    place = np.sign(aligned) * np.sqrt(np.abs(aligned) * near)
    sign = np.where((aligned >= 0) & (speed >= 0), 1.0, -1.0)
    attack = sign * np.cbrt(np.abs(aligned * speed * near))
    assert state_values(kinesthetic(), seen) == pytest.approx((0.6 * place + attack) / 1.6)
    columns: dict[str, Any] = {
        "observation": seen,
        "action": None,
        "next_observation": seen,
        "terminated": np.zeros(20, dtype=bool),
    }
    assert transition_values(task_reward(linear(), 3.0), **columns) == pytest.approx(0.3 * expected)
    ended = {**columns, "terminated": np.ones(20, dtype=bool)}
    shaped = transition_values(task_reward(linear(), 2.0, "potential"), **ended)
    assert shaped == pytest.approx(10.0 - 2.0 * expected)


def test_arms_of_a_seed_differ_in_their_reward_alone() -> None:
    one = learn([goal, task_reward(linear(), 1.0), goal], 100, SMALL)
    again = learn([goal], 100, SMALL)
    assert one.success[0] == pytest.approx(one.success[2])
    assert one.success[0] == pytest.approx(again.success[0])
    assert one.part_size[0] == 0.0
    assert one.part_size[1] > 0.0


def test_proofs_give_every_claim() -> None:
    assert set(proof(100, options=SMALL, counter=SMALL)) == {claim.name for claim in RECIPE.claims}
    assert set(potential_proof(100, options=SMALL)) == {claim.name for claim in POTENTIAL.claims}
    assert any(claim.gated for claim in RECIPE.claims)


def test_the_scale_file_holds_the_reward_of_the_paper() -> None:
    text = (files("rewardlab.recipes") / "scale" / "lucy-skg.yaml").read_text()
    data = yaml.safe_load(text)
    reward = rl.from_spec(data["reward"])
    assert rl.from_spec(reward.to_spec()) == reward
    width = 23
    rows = np.random.default_rng(0).normal(size=(4, width)) * 1000
    flags = slice(18, 23)
    rows[:, flags] = 0.0
    values = transition_values(
        reward,
        observation=rows,
        action=None,
        next_observation=rows,
        terminated=np.zeros(4, dtype=bool),
    )
    assert np.isfinite(values).all()
    assert data["control"]["discount"] == pytest.approx(rl.rewards.shaping.discount_from_half_life(10, 15), abs=1e-5)


def test_shaping_trains_in_a_real_gymnasium_environment_with_stable_baselines() -> None:
    import gymnasium
    from stable_baselines3 import PPO

    from rewardlab.environments.control import RewardWrapper
    from rewardlab.rewards.shaping import shape

    up = shape.distance([0], shape.at(0.45), 0.5, name="near")
    fast = shape.speed_towards([1], [0], shape.at(0.45), scale=0.07, name="fast")
    reward = rl.EnvironmentReturn() + 5.0 * rl.potential(rl.kinesthetic(up, fast, name="climb"), 0.99)
    environment = RewardWrapper(gymnasium.make("MountainCarContinuous-v0"), reward)
    model = PPO("MlpPolicy", environment, n_steps=32, batch_size=32, n_epochs=1, seed=0, gamma=0.99)
    model.learn(64)
    seen, _ = environment.reset(seed=1)
    after, value, terminated, _, info = environment.step(np.array([1.0], dtype=np.float32))
    phi = state_values(reward.parts["potential"].phi, np.stack([seen, after]))
    assert not terminated
    assert value == pytest.approx(info["environment_reward"] + 5.0 * (0.99 * phi[1] - phi[0]), abs=1e-6)
    assert "potential" in info["reward_parts"]
