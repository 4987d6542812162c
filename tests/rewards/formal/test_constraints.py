from __future__ import annotations

import json

import gymnasium
import numpy as np
import pytest

import rewardlab as rl
from rewardlab.environments.control import VectorRewardWrapper
from rewardlab.rewards.formal.constraint_report import report_constraints
from rewardlab.rewards.online import online


@rl.reward
def speed(observation: np.ndarray) -> np.ndarray:
    return observation[:, 0]


@rl.reward
def fast(observation: np.ndarray) -> np.ndarray:
    return (observation[:, 0] > 1.0).astype(float)


@rl.reward
def arrived(next_observation: np.ndarray, terminated: np.ndarray) -> np.ndarray:
    return np.where(terminated, 1.0, np.nan)


def lagrangian(**options: object) -> rl.Lagrangian:
    constraints = (rl.Constraint(fast, at_most=0.25), rl.Constraint(arrived, at_least=0.9, name="arrived"))
    return rl.Lagrangian(speed, constraints, **options)


def walk(first: float, length: int = 4, terminated: bool = False) -> rl.Trajectory:
    return rl.Trajectory(
        observations=np.linspace(first, first + 1.0, length + 1)[:, None],
        actions=np.zeros(length),
        terminated=terminated,
        truncated=not terminated,
    )


def step(stepping: object, values: list[float], terminated: list[bool] | None = None) -> np.ndarray:
    seen = np.array(values)[:, None]
    ended = np.array(terminated or [False] * len(values))
    return stepping.step(seen, np.zeros(len(values)), seen, ended)  # type: ignore[attr-defined]


def test_the_reward_is_weighted_and_nan_steps_pay_nothing():
    stepping = online(lagrangian(), 2)
    third = 1 / 3
    assert step(stepping, [2.0, 0.5], [False, True]) == pytest.approx([third * 2 - third, third * 0.5 + third])
    assert stepping.parts["arrived"].tolist() == [0.0, 1.0]


@pytest.mark.filterwarnings("ignore:constraint")
def test_multipliers_move_beside_running_environments_and_are_settled():
    reward = lagrangian(every=4, learning_rate=0.1, bootstrap="arrived")
    stepping = online(reward, 2)
    for _ in range(2):
        step(stepping, [2.0, 2.0])  # always too fast, and nothing is known of arriving
    assert reward.updates == 0
    stepping.settle()
    assert reward.updates == 1
    (line,) = reward.report().history
    assert line["steps"] == 4
    assert line["rates"]["fast"] == 1.0
    assert np.isnan(line["rates"]["arrived"])
    assert reward.logits[1] > reward.logits[2] == 0.02
    assert reward.weights["speed"] == pytest.approx(reward.weights["arrived"])  # the bootstrap's weight is lent
    other = online(lagrangian(every=4, bootstrap="arrived"), 2)
    other.load_state_dict(stepping.state_dict())
    assert step(other, [2.0, 2.0]) == pytest.approx(step(stepping, [2.0, 2.0]))


def test_nan_in_a_window_warns_and_keeps_the_multiplier():
    stepping = online(lagrangian(every=2), 2)
    with pytest.warns(UserWarning, match="'arrived' had no meaning on any step of the last window"):
        step(stepping, [0.0, 0.0])


def test_a_rate_of_trajectories_counts_each_once():
    once = rl.Constraint(fast, at_most=0.5, per="episode")
    reward = rl.Lagrangian(speed, (once,), every=6)
    stepping = online(reward, 2)
    step(stepping, [2.0, 0.0])
    assert step(stepping, [2.0, 0.0])[0] == pytest.approx(1.0)  # half of the speed; the indicator was paid before
    stepping.reset(np.array([True, True]))
    step(stepping, [0.0, 0.0])
    stepping.settle()
    assert reward.report().history[0]["rates"]["fast"] == 0.5
    assert once([walk(1.5), walk(-3.0)]).values.tolist() == [1.0, 0.0]


def test_finished_trajectories_move_them_in_observe():
    batch = [walk(1.5, terminated=True), walk(1.5)]
    reward = lagrangian(learning_rate=0.5)
    before = reward(batch)
    assert before.scored.all()
    reward.observe(batch, before)
    assert reward.report().history[0]["rates"] == {"fast": 1.0, "arrived": 1.0}
    assert reward(batch).values.sum() < before.values.sum()
    state = json.loads(json.dumps(reward.state_dict()))
    again = lagrangian()
    again.load_state_dict(state)
    assert again.weights == reward.weights
    assert rl.from_spec(rl.to_spec(reward)).weights == pytest.approx(reward.weights)
    frozen = lagrangian(learn=False)
    frozen.observe(batch, frozen(batch))
    assert frozen.updates == 0


def test_the_wrapper_pays_and_learns_in_a_gymnasium_environment():
    leaning = rl.reward(lambda observation: (np.abs(observation[:, 2]) > 0.05).astype(float), name="leaning")
    reward = rl.Lagrangian(rl.EnvironmentReturn(), (rl.Constraint(leaning, at_most=0.1),), every=40)
    world = VectorRewardWrapper(gymnasium.make_vec("CartPole-v1", num_envs=4), reward)
    world.reset(seed=0)
    world.action_space.seed(0)
    for _ in range(60):
        _, paid, *_ = world.step(world.action_space.sample())
    world.settle()
    found = reward.report()
    assert 4 <= len(found.history) <= 6
    (line,) = found.lines
    assert line.rate > 0.1
    assert not line.met
    assert line.binds
    assert line.weight < -0.5
    assert paid.max() < 1.0
    assert "| leaning | at most 0.1 |" in found.table()
    world.close()


def test_the_report_says_which_bind_and_what_does_not_fit_together():
    turns = [{"rates": {"a": 0.0 if place % 2 else 1.0, "b": 1.0 if place % 2 else 0.0}} for place in range(40)]
    found = report_constraints(["a", "b"], [0.5, 0.5], [-1, -1], turns, [0.2, -0.4, -0.4])
    assert found.infeasible_together == ("a", "b")
    assert "Never kept together" in found.table()
    easy = [{"rates": {"a": 0.01 * (place % 3), "b": 0.5 + 0.1 * (place % 2)}} for place in range(40)]
    found = report_constraints(["a", "b"], [0.5, 0.5], [-1, 1], easy, [0.9, -0.05, 0.05])
    assert found.infeasible_together == ()
    assert [line.binds for line in found.lines] == [False, False]
    assert found.met


@pytest.mark.filterwarnings("ignore:constraint")
def test_bad_constraints_are_named():
    with pytest.raises(ValueError, match="needs one bound, at_most= or at_least=, got both; a band is two constraints"):
        rl.Constraint(fast, at_most=0.2, at_least=0.1)
    with pytest.raises(ValueError, match="got neither"):
        rl.Constraint(fast)
    with pytest.raises(ValueError, match=r"a rate in \[0, 1\], got 2"):
        rl.Constraint(fast, at_most=2.0)
    with pytest.raises(ValueError, match="bootstrap is 'goal', which is no constraint; they are fast, arrived"):
        lagrangian(bootstrap="goal")
    with pytest.raises(ValueError, match="needs at_least=, it has at_most="):
        lagrangian(bootstrap="fast")
    with pytest.raises(ValueError, match=r"write rl.Constraint\(indicator"):
        rl.Lagrangian(speed, (fast,))
    with pytest.raises(ValueError, match="stand twice"):
        rl.Lagrangian(speed, (rl.Constraint(fast, at_most=0.1), rl.Constraint(fast, at_least=0.05)))
    with pytest.raises(ValueError, match=r"'speed' gave 2.0, expected 0 or 1 \(or NaN"):
        step(online(rl.Lagrangian(fast, (rl.Constraint(speed, at_most=0.1),)), 1), [2.0])
    with pytest.warns(UserWarning, match="its multiplier never comes down again"):
        rl.Constraint(fast, at_most=0.0)
