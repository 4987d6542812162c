from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rewardlab as rl
from rewardlab.rewards import Cascade, Clip, Component, Gate, Product, RewardMix, Squash
from rewardlab.rewards.online import CannotStep, RunningNormalise, online, score_steps
from rewardlab.rewards.shaping import Potential
from tests.rewards.test_transitions import EveryThird


@rl.reward
def speed(next_observation: np.ndarray) -> np.ndarray:
    return next_observation[:, 0]


@rl.reward
def brisk(next_observation: np.ndarray) -> np.ndarray:
    return np.tanh(next_observation[:, 0])


@rl.reward
def calm(action: np.ndarray, observation: np.ndarray) -> np.ndarray:
    return 1.0 - np.abs(action[:, 0])


@rl.reward
def alive(observation: np.ndarray, terminated: np.ndarray, bonus: float = 0.5) -> np.ndarray:
    return bonus * ~terminated


ALGEBRA = {
    "one": speed,
    "sum": speed + 0.5 * calm - 2.0 * EveryThird() + 1.0,
    "nested": 0.1 * (speed * calm) + (speed + alive).named("inner"),
    "product": Product(parts={"a": speed, "b": calm, "c": EveryThird()}),
    "clip": Clip(reward=speed, low=-0.25, high=0.25),
    "gate": Gate(reward=EveryThird(), gate=speed, threshold=0.0, otherwise=-1.0),
    "cascade": Cascade(
        checks={"alive": alive, "speed": speed, "calm": calm}, threshold=(0.5, 0.0, 0.0), combine="mean"
    ),
    "ensemble": rl.ensemble(speed, calm, alive, reduce="median"),
    "kinesthetic": rl.kinesthetic(brisk, calm, weights=[1.0, 3.0]),
    "kinesthetic product": rl.kinesthetic(brisk, calm, alive, sign="product"),
    "potential": speed + Potential(phi=brisk + 0.5 * brisk.clipped(0.0, 0.5), discount=0.9),
    "squash": Squash(reward=speed, by="sigmoid", width=0.5),
    "mix": RewardMix.of(Component(reward=speed, weight=2.0, clip=(-0.5, 0.5), scale=3.0), Component(reward=calm)),
    "scheduled": speed.scheduled(rl.Linear(0.0, 1.0)) + calm,
    "environment": 0.5 * rl.EnvironmentReturn() + speed,
    "running": RunningNormalise(
        reward=speed + EveryThird(), discount=0.9, count=10, mean=0.5, squares=40.0, learn=False
    ),
}
LENGTHS = (5, 3, 7, 1)


def batch() -> list[rl.Trajectory]:
    random = np.random.default_rng(0)
    return [
        rl.Trajectory(
            observations=random.normal(size=(length + 1, 2)),
            actions=random.uniform(-1, 1, size=(length, 1)),
            rewards=random.normal(size=length),
            terminated=length % 2 == 1,
        )
        for length in LENGTHS
    ]


def step_through(reward: rl.Reward, trajectories: list[rl.Trajectory], progress: float) -> list[list[float]]:
    """Each trajectory in an environment of its own; one that ended is reset and begins again, unseen."""
    stepping = online(reward, len(trajectories))
    values: list[list[float]] = [[] for _ in trajectories]
    place = np.zeros(len(trajectories), dtype=int)
    for _ in range(max(LENGTHS)):
        now = [(one, at) for one, at in zip(trajectories, place, strict=True)]
        ends = place + 1 == [len(one) for one in trajectories]
        given = stepping.step(
            np.stack([one.observations[at] for one, at in now]),
            np.stack([one.actions[at] for one, at in now]),
            np.stack([one.observations[at + 1] for one, at in now]),
            ends & [one.terminated for one in trajectories],
            environment_reward=np.array([one.rewards[at] for one, at in now]),
            progress=progress,
        )
        assert given.shape == (len(trajectories),)
        assert set(stepping.parts) == set(stepping.part_names)
        for row, value in enumerate(given):
            values[row].append(float(value))
        place = np.where(ends, 0, place + 1)
        if ends.any():
            stepping.reset(ends)
    return values


@pytest.mark.parametrize("name", ALGEBRA)
def test_stepping_gives_what_scoring_steps_of_stored_trajectories_gives(name: str) -> None:
    trajectories, reward = batch(), ALGEBRA[name]
    stored = score_steps(reward, trajectories, progress=0.75)
    stepped = step_through(reward, trajectories, 0.75)
    for index, length in enumerate(LENGTHS):
        np.testing.assert_allclose(stored.steps[index], stepped[index][:length], atol=1e-12)
        # the trajectory that begins again after a reset gets the same values once more
        again = stepped[index][length : 2 * length]
        np.testing.assert_allclose(again, stored.steps[index][: len(again)], atol=1e-12)


@pytest.mark.parametrize("name", ["one", "sum", "environment", "kinesthetic", "potential", "scheduled"])
def test_where_steps_add_up_stepping_gives_what_calling_the_reward_gives(name: str) -> None:
    called = ALGEBRA[name](batch(), progress=0.75)
    stored = score_steps(ALGEBRA[name], batch(), progress=0.75)
    bias = {"sum": 1.0}.get(name, 0.0)  # a constant of a sum counts once for a trajectory, and at every step on-line
    for index, length in enumerate(LENGTHS):
        np.testing.assert_allclose(stored.steps[index] - bias, called.steps[index], atol=1e-12)
        if name != "kinesthetic":
            assert stored.values[index] - bias * (length - 1) == pytest.approx(called.values[index])


def test_parts_have_the_names_that_scores_give_them() -> None:
    reward = ALGEBRA["nested"]
    names = {name for name, _ in reward(batch()).flat_parts()}
    assert set(online(reward).part_names) == names
    assert {name for name, _ in score_steps(reward, batch()).flat_parts()} == names
    assert online(speed).part_names == ("speed",)


def test_a_part_of_weight_zero_is_logged_and_decides_nothing() -> None:
    broken = rl.reward(lambda observation: np.full(len(observation), np.nan), name="broken")
    stepping = online(speed + 0.0 * broken, 2)
    ones = np.ones((2, 1))
    assert stepping.step(ones, ones, ones, np.zeros(2, bool)).tolist() == [1, 1]
    assert np.isnan(stepping.parts["broken"]).all()
    assert np.isnan(online(speed + broken, 2).step(ones, ones, ones, np.zeros(2, bool))).all()
    for whole in (
        Gate(reward=speed, gate=broken),
        rl.kinesthetic(speed, broken),
        speed * broken,
        rl.ensemble(speed, broken),
    ):
        assert np.isnan(online(whole, 2).step(ones, ones, ones, np.zeros(2, bool))).all(), whole.label


def test_running_normalisation_shares_statistics_and_resets_returns_of_each_environment() -> None:
    reward = RunningNormalise(reward=speed, discount=0.5, limit=None, epsilon=0.0)
    stepping = online(reward, 2)
    ones = np.ones((2, 1))
    seen: list[float] = []
    returns = np.zeros(2)
    for row in ([1.0, 3.0], [2.0, -1.0], [0.5, 4.0]):
        value = np.array(row)
        returns = returns * 0.5 + value
        seen += returns.tolist()
        given = stepping.step(ones, ones, value[:, None], np.zeros(2, bool))
        np.testing.assert_allclose(given, value / np.std(seen))
        stepping.reset(np.array([True, False]))
        returns[0] = 0.0
    assert reward.count == 0  # nothing changes on the reward while it runs
    stepping.settle()
    assert (reward.count, reward.mean) == (6, pytest.approx(np.mean(seen)))
    assert reward(batch()).values[0] == pytest.approx(speed(batch()).values[0] / np.std(seen))
    rebuilt = RunningNormalise(reward=speed)
    rebuilt.load_state_dict(reward.state_dict())
    assert rebuilt.statistics == reward.statistics


def test_the_running_kind_of_normalise_goes_on_line_too() -> None:
    stepping = online(speed.normalised(), 2)
    ones = np.ones((2, 1))
    stepping.step(ones, ones, np.array([[1.0], [3.0]]), np.zeros(2, bool))
    given = stepping.step(ones, ones, np.array([[5.0], [7.0]]), np.zeros(2, bool))
    seen = np.array([1.0, 3, 5, 7])
    np.testing.assert_allclose(given, (seen[2:] - seen.mean()) / seen.std(), rtol=1e-6)


def test_the_state_is_saved_and_taken_back(tmp_path: Any) -> None:
    reward = RunningNormalise(reward=speed + EveryThird(), discount=0.9)
    random = np.random.default_rng(1)
    rows = random.normal(size=(8, 3, 1))
    first = online(reward, 3)
    for row in rows[:4]:
        first.step(row, row, row, np.zeros(3, bool))
    np.savez(tmp_path / "state.npz", **first.state_dict())
    second = online(reward, 3)
    second.load_state_dict(dict(np.load(tmp_path / "state.npz")))
    for row in rows[4:]:
        given = [one.step(row, row, row, np.zeros(3, bool)) for one in (first, second)]
        np.testing.assert_array_equal(*given)
    with pytest.raises(ValueError, match=r"RunningNormalise beside 2 environments needs .*0\.1\.steps\(2,\)"):
        online(reward.named("RunningNormalise"), 2).load_state_dict(first.state_dict())


def test_a_combination_of_ones_own_says_what_it_does_at_a_transition() -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True, kw_only=True)
    class Worst(rl.Reward):
        parts: dict[str, rl.Reward]

        def children(self):
            return self.parts

        def combine_transitions(self, values, progress):
            return np.minimum(values["speed"], values["calm"])

    ones = np.ones((2, 1))
    stepping = online(Worst(parts={"speed": speed, "calm": calm}), 2)
    assert stepping.step(ones, ones, 3 * ones, np.zeros(2, bool)).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (
            speed + rl.reward(lambda completion: 1.0, name="polite"),
            "'polite' cannot be stepped: it is a function of a whole sample",
        ),
        (rl.ExactMatch(), "cannot be stepped: it checks a finished chat against its reference"),
        (speed.normalised(by="group"), "it normalises by group, which compares whole trajectories"),
        (rl.EnvironmentReturn(discount=0.9), "on-line the learner discounts"),
        (rl.hybrid(speed, calm), "Hybrid combines whole trajectories; define combine_transitions"),
        (RewardMix.of(Component(reward=speed, mask=lambda one: True)), "its option 'mask' looks at a whole trajectory"),
    ],
)
def test_what_cannot_be_stepped_is_named_with_the_reason(reward: rl.Reward, message: str) -> None:
    with pytest.raises(CannotStep, match=message):
        online(reward)


def test_wrong_use_is_named() -> None:
    with pytest.raises(TypeError, match="expected a reward, got function; make a function of observation"):
        online(lambda observation: 1.0)  # type: ignore[arg-type]
    ones = np.ones((2, 3))
    wide = rl.reward(lambda observation: observation, name="wide")
    with pytest.raises(
        ValueError, match=r"wide returned shape \(2, 3\) for 2 transitions; .*reduce over the last axis"
    ):
        online(wide, 2).step(ones, ones, ones, np.zeros(2, bool))
    with pytest.raises(ValueError, match="a scheduled reward needs the progress of training; set `.progress`"):
        online(ALGEBRA["scheduled"], 2).step(ones, ones, ones, np.zeros(2, bool))
    with pytest.raises(ValueError, match="is the environment's own reward; give step"):
        online(rl.EnvironmentReturn(), 2).step(ones, ones, ones, np.zeros(2, bool))
