from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import rewardlab as rl
from rewardlab.environments.control import RewardFailure
from rewardlab.rewards.online import CannotStep, RunningNormalise
from rewardlab.training.control import ControlTraining, train_control
from tests.environments.test_control import Cube, moved

SMALL = {"n_steps": 32, "batch_size": 32, "n_epochs": 2, "policy_kwargs": {"net_arch": [8], "activation_fn": "tanh"}}


@rl.reward
def upright(next_observation: np.ndarray) -> np.ndarray:
    return np.cos(next_observation[:, 2])


@rl.reward
def fallen(observation: np.ndarray, terminated: np.ndarray) -> np.ndarray:
    return -1.0 * terminated


REWARD = upright.scheduled(rl.Linear(0.5, 1.0)) + 2.0 * fallen


def cart_pole(**more: Any) -> ControlTraining:
    return train_control(
        "CartPole-v1", REWARD, **{"steps": 256, "environments": 2, "options": SMALL, "log_every": 64, **more}
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[ControlTraining, Path]:
    folder = tmp_path_factory.mktemp("run")
    lines: list[dict] = []
    training = cart_pole(
        folder=folder, checkpoint_every=128, evaluate_every=128, evaluation_episodes=3, callbacks=[lines.append]
    )
    assert lines == training.history
    return training, folder


def test_a_training_logs_every_part_beside_the_environments_own_reward(run: tuple[ControlTraining, Path]) -> None:
    training, folder = run
    assert training.steps == 256
    assert [line["step"] for line in training.history] == [64, 128, 192, 256]
    line = training.history[2]
    assert line["progress"] == 0.75
    assert line["environment/return"] == pytest.approx(line["trajectory/length"])
    assert line["parts/fallen"] == -1.0
    assert 0 < line["parts/scheduled.upright"] <= line["trajectory/length"]
    assert "update/value_loss" in line
    written = [json.loads(text) for text in (folder / "metrics.jsonl").read_text().splitlines()]
    assert written == training.history
    assert [line["step"] for line in training.evaluations] == [128, 256]
    assert training.evaluations[0]["return"] == training.evaluations[0]["length"]  # the true reward is 1 a step
    assert not list(folder.rglob("*.zip"))
    assert not list(folder.rglob("*.pkl"))


def test_the_same_seed_gives_the_same_training(run: tuple[ControlTraining, Path]) -> None:
    again = cart_pole(evaluation_episodes=3, evaluate_every=128)
    for mine, theirs in zip(run[0].history, again.history, strict=True):
        mine, theirs = dict(mine, seconds=0), dict(theirs, seconds=0)
        assert mine == theirs
    other = cart_pole(evaluation_episodes=3, seed=1, evaluate_every=128)
    assert other.history[-1]["reward/return"] != again.history[-1]["reward/return"]


def test_a_training_and_its_policy_are_saved_and_loaded(run: tuple[ControlTraining, Path], tmp_path: Path) -> None:
    training, folder = run
    back = ControlTraining.load(training.save(tmp_path / "saved"))
    assert (back.history, back.evaluations, back.steps) == (training.history, training.evaluations, 256)
    seen = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    from rewardlab.policies import StableBaselinesPolicy

    for policy in (back.policy, StableBaselinesPolicy.load(folder / "policy")):
        np.testing.assert_array_equal(policy.act(seen, True), training.policy.act(seen, True))
    with pytest.raises(FileNotFoundError, match="expected training.json and policy/"):
        ControlTraining.load(tmp_path)


@pytest.mark.parametrize("learner", ["ppo", "sac", "dqn"])
def test_a_stopped_run_goes_on_from_its_checkpoint(learner: str, tmp_path: Path) -> None:
    world = "Pendulum-v1" if learner == "sac" else "CartPole-v1"
    own = {"net_arch": [8]}
    options = (
        SMALL
        if learner == "ppo"
        else {"learning_starts": 20, "train_freq": 8, "buffer_size": 500, "policy_kwargs": own}
    )
    pay = rl.reward(lambda next_observation: next_observation[:, 0], name="place")
    whole = {"learner": learner, "options": options, "log_every": 32, "evaluation_episodes": 1}

    def stop(line: dict) -> None:
        if line["step"] >= 96:
            raise KeyboardInterrupt

    first = RunningNormalise(reward=pay)
    with pytest.raises(KeyboardInterrupt):
        train_control(world, first, steps=128, folder=tmp_path, checkpoint_every=64, callbacks=[stop], **whole)
    second = RunningNormalise(reward=pay)
    training = train_control(world, second, steps=128, folder=tmp_path, resume=True, checkpoint_every=64, **whole)
    assert training.steps == 128
    assert [line["step"] for line in training.history] == [32, 64, 96, 128]
    assert second.count == 128
    if learner != "ppo":
        # the step in which a checkpoint is written reaches the buffer after it
        assert training.policy.model.replay_buffer.size() == 127
        assert training.policy.model._n_updates >= 10
    again = train_control(world, second, steps=128, folder=tmp_path, resume=True, **whole)
    assert again.steps == 128
    with pytest.raises(ValueError, match="holds a training already; give resume=True"):
        train_control(world, second, steps=128, folder=tmp_path, **whole)
    with pytest.raises(
        ValueError, match=r"has environments 1, this one 2; go on with the same, or give another folder"
    ):
        train_control(world, second, steps=128, folder=tmp_path, resume=True, environments=2, **whole)


def test_dict_observations_with_pictures_are_trained_on() -> None:
    training = train_control(
        lambda: Cube(shared=False, side=36),
        moved,
        steps=16,
        learner="a2c",
        log_every=8,
        options={"policy_kwargs": {"net_arch": [8]}},
        true_reward=moved,
        evaluation_episodes=2,
    )
    assert training.evaluations[-1]["return"] == 66.0
    assert training.history[-1]["reward/return"] == 66.0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"learner": "pppo"}, ValueError, "unknown learner 'pppo'; did you mean 'ppo'"),
        ({"options": {"gama": 0.9}}, ValueError, "ppo has no option 'gama'; did you mean 'gamma'"),
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"learner": "sac", "options": {}}, ValueError, "sac needs continuous actions"),
        ({"checkpoint_every": 5}, ValueError, "checkpoint_every needs a folder="),
    ],
)
def test_wrong_options_are_named(change: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        cart_pole(**change)


def test_what_cannot_be_trained_on_is_named() -> None:
    with pytest.raises(TypeError, match="an id such as 'HalfCheetah-v5', or a function that makes one, got TimeLimit"):
        train_control(gymnasium.make("CartPole-v1"), REWARD, steps=10)
    with pytest.raises(CannotStep, match="checks a finished chat"):
        train_control("CartPole-v1", rl.ExactMatch(), steps=10)
    with pytest.raises(RewardFailure, match=r"environment 0, step 2: the simulator's observation \(place\) holds nan"):
        train_control(lambda: Cube(breaks_at=3, shared=False, side=36), moved, steps=10)
