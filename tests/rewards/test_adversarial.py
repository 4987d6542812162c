from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from rewardlab.rewards.models.adversarial import AdversarialReward
from rewardlab.rewards.models.transition_inputs import TransitionBatch
from rewardlab.rewards.spec import UnwritableReward, from_spec
from rewardlab.types import Trajectory

BOX = spaces.Box(-np.array([1.0, 8.0], np.float32), np.array([1.0, 8.0], np.float32))
TORQUE = spaces.Box(-2.0, 2.0, (1,), np.float32)


def batch(count: int, *, shift: float = 0.0, seed: int = 0, terminated: bool = False) -> TransitionBatch:
    draw = np.random.default_rng(seed)
    seen = draw.normal(shift, 0.5, (count, 2)).astype(np.float32)
    return TransitionBatch(
        observation=seen,
        action=draw.uniform(-2, 2, (count, 1)).astype(np.float32),
        next_observation=seen + 0.1,
        terminated=np.full(count, terminated),
    )


def reward(**options: Any) -> AdversarialReward:
    return AdversarialReward.for_spaces(BOX, TORQUE, **{"hidden": (16, 16), **options})


@pytest.mark.parametrize("penalty", ["wgan", "dragan", "nagard", None])
@pytest.mark.parametrize("inputs", ["sa", "ss", "sas", "s"])
def test_it_learns_to_tell_the_expert(penalty: Any, inputs: Any) -> None:
    one = reward(penalty=penalty, inputs=inputs, learning_rate=1e-2, noise=0.5)
    for step in range(40):
        metrics = one.fit_step(batch(32, shift=-1.0, seed=step), batch(20, shift=1.0, seed=1000 + step))
    assert metrics["expert_accuracy"] + metrics["agent_accuracy"] > 1.6
    assert ("penalty" in metrics) == (penalty is not None)
    assert one.of(batch(32, shift=1.0, seed=5)).mean() > one.of(batch(32, shift=-1.0, seed=5)).mean() + 0.3


def test_a_penalty_keeps_gradients_short() -> None:
    found = {}
    agent, expert = batch(64, shift=-0.3), batch(8, shift=0.3, seed=1)
    for penalty in ("wgan", None):
        one = reward(penalty=penalty, learning_rate=1e-2)
        for _ in range(100):
            one.fit_step(agent, expert)
        found[penalty] = one.diagnostics(agent, expert, batch(50, shift=0.3, seed=2))
    assert found["wgan"]["gradient_max"] < 3 < found[None]["gradient_max"]
    assert found["wgan"]["overfitting"] < found[None]["overfitting"] + 0.05
    assert found["wgan"]["validity"] > found[None]["validity"]


def test_weight_nought_is_the_path_without_penalty_to_the_bit() -> None:
    two = [reward(penalty="wgan", weight=0.0, seed=3), reward(penalty=None, seed=3)]
    for one in two:
        for step in range(5):
            one.fit_step(batch(16, seed=step), batch(7, seed=50 + step))  # the short side draws random numbers too
    first, second = (one.state_dict() for one in two)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    heavy = reward(penalty="wgan", weight=1.0, seed=3)
    heavy.fit_step(batch(16), batch(7))
    assert any(not torch.equal(heavy.state_dict()[name], first[name]) for name in first if "weight" in name)


def test_forms_by_hand_and_without_overflow() -> None:
    logits = np.array([0.0, 1.0, -2.0])
    agent = reward(form="softplus").in_form(logits)
    assert agent[0] == pytest.approx(np.log(2))
    assert (agent >= 0).all()
    odds = 1 / (1 + np.exp(-logits))
    assert reward(form="log").in_form(logits) == pytest.approx(np.log(odds))
    assert reward(form="both").in_form(logits) == pytest.approx(-np.log(1 - odds) + np.log(odds), abs=1e-6)
    assert reward(form="logit").in_form(logits) == pytest.approx(reward(form="both").in_form(logits), abs=1e-6)
    far = np.array([800.0, -800.0])
    assert reward().in_form(far).tolist() == [800.0, 0.0]
    assert reward(form="log").in_form(far).tolist() == [0.0, -800.0]


def test_identical_sides_give_log_two_and_no_division() -> None:
    one = reward(learning_rate=1e-2, entropy=0.0)
    same = batch(64)
    for _ in range(200):
        metrics = one.fit_step(same, same)
    assert one.of(same) == pytest.approx(np.full(64, np.log(2)), abs=0.05)
    assert all(np.isfinite(value) for value in metrics.values())


def test_a_single_expert_point_is_enough() -> None:
    for halves in (False, True):
        assert np.isfinite(reward(halves=halves).fit_step(batch(16), batch(1))["loss"])


def test_discrete_actions_are_one_hot_and_constants_are_kept(tmp_path: Path) -> None:
    one = AdversarialReward.for_spaces(BOX, spaces.Discrete(3, start=1), hidden=(8,))
    rows = one.rows(
        TransitionBatch(
            observation=np.array([[1.0, 8.0], [0.0, -4.0]]),
            action=np.array([1, 3]),
            next_observation=np.zeros((2, 2)),
            terminated=np.zeros(2, bool),
        )
    )
    assert rows.tolist() == [[1, 1, 1, 0, 0], [0, -0.5, 0, 0, 1]]
    with pytest.raises(ValueError, match=r"takes actions that are integers from 1 to 3, got float64 such as \[0.5\]"):
        one.transition(np.zeros((1, 2)), np.array([0.5]), np.zeros((1, 2)), np.zeros(1, bool))
    with pytest.raises(ValueError, match="takes actions from 1 to 3, got 0"):
        one.transition(np.zeros((1, 2)), np.array([0]), np.zeros((1, 2)), np.zeros(1, bool))
    assert reward().rows(batch(3))[:, 2] == pytest.approx(batch(3).action[:, 0] / 2)
    saved = AdversarialReward.load(one.save(tmp_path))
    assert saved == one
    assert saved.action_start == 1


def test_constant_numbers_of_demonstrations_are_not_divided_by() -> None:
    seen = np.stack([np.linspace(0, 1, 11), np.full(11, 3.0)], axis=1)
    one = AdversarialReward(observation_width=2, action_width=1).scaled_to(
        [Trajectory(observations=seen, actions=np.zeros((10, 1)))]
    )
    assert one.observation_scale is not None
    assert one.observation_scale[1] == 1.0
    assert np.isfinite(
        one.rows(TransitionBatch.from_trajectories([Trajectory(observations=seen, actions=np.zeros((10, 1)))]))
    ).all()


def test_absorbing_states_tell_ends_apart() -> None:
    one = reward(inputs="sas", absorbing=True)
    rows = one.rows(batch(2, terminated=True))
    assert rows.shape == (2, 7)
    assert rows[:, 2].tolist() == [0, 0]
    assert rows[:, 4:].tolist() == [[0, 0, 1], [0, 0, 1]]
    gone = Trajectory(observations=np.ones((3, 2)), actions=np.ones((2, 1)), terminated=True)
    columns = TransitionBatch.from_trajectories([gone], absorbing=True)
    assert len(columns) == 3
    assert one.rows(columns)[2].tolist() == [0, 0, 1, 0, 0, 0, 1]
    assert one.absorbing_value == pytest.approx(one.of(columns)[2])
    with pytest.raises(ValueError, match="make it with absorbing=True"):
        _ = reward().absorbing_value


def test_shaping_and_log_probabilities_as_airl_has_them() -> None:
    one = reward(inputs="s", form="logit", potential=0.9)
    ended, on = batch(4, terminated=True), batch(4)
    assert not np.allclose(one.logits(ended), one.logits(on))
    assert one.logits(ended, shaped=False) == pytest.approx(one.logits(on, shaped=False))
    likely = TransitionBatch(**{name: getattr(on, name) for name in on.__slots__} | {"log_probability": np.zeros(4)})
    with pytest.raises(ValueError, match="one of the batches has log-probabilities"):
        one.fit_step(likely, on)
    assert np.isfinite(one.fit_step(likely, likely)["loss"])


def test_saved_and_loaded_it_goes_on_exactly(tmp_path: Path) -> None:
    one = reward(spectral_norm=True, label_smoothing=(0.7, 1.2))
    one.fit_step(batch(8), batch(8, seed=1))
    again = AdversarialReward.load(one.save(tmp_path))
    for each in (one, again):
        each.fit_step(batch(8, seed=2), batch(8, seed=3))
    assert (one.of(batch(8)) == again.of(batch(8))).all()
    assert one.named("other").discriminator is one.discriminator
    with pytest.raises(FileNotFoundError, match="holds no saved reward"):
        AdversarialReward.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="build it with the same options"):
        reward(hidden=(4,)).load_state_dict(one.state_dict())


def test_it_is_never_cached_and_a_frozen_copy_stays() -> None:
    one = reward()
    assert not one.deterministic
    assert one.spec_hash is None
    with pytest.raises(
        ValueError, match="adversarial is not deterministic, so remembering its scores would change them"
    ):
        one.cached()
    assert from_spec(one.to_spec()) == one
    frozen = one.frozen()
    before = frozen.of(batch(4))
    one.fit_step(batch(8), batch(8, seed=1))
    assert frozen.deterministic
    assert (frozen.of(batch(4)) == before).all()
    assert (one.of(batch(4)) != before).any()
    with pytest.raises(ValueError, match="this reward is frozen"):
        frozen.fit_step(batch(8), batch(8))
    with pytest.raises(UnwritableReward, match=r"save\(directory\)"):
        one.to_spec()


def test_trajectories_are_scored_with_the_newest_weights() -> None:
    environment = gymnasium.make("Pendulum-v1")
    one = AdversarialReward.for_spaces(environment.observation_space, environment.action_space)
    seen, _ = environment.reset(seed=0)
    observations, actions = [seen], []
    for _ in range(5):
        actions.append(np.array([0.5], np.float32))
        observations.append(environment.step(actions[-1])[0])
    trajectory = Trajectory(observations=np.stack(observations), actions=np.stack(actions))
    columns = TransitionBatch.from_trajectories([trajectory])
    first = one([trajectory])
    assert first.steps is not None
    assert first.steps[0] == pytest.approx(one.of(columns))
    one.fit_step(columns, columns)
    assert one([trajectory]).values[0] != first.values[0]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            spaces.Dict({"a": BOX}),
            "observation space is a Dict; a discriminator reads vectors: wrap the environment with",
        ),
        (spaces.Tuple([BOX]), "observation space is a Tuple"),
        (spaces.Box(0, 255, (8, 8, 3), np.uint8), "is an image, a Box of shape .8, 8, 3.; put an encoder before it"),
        (spaces.MultiBinary(3), "observation space is a MultiBinary"),
    ],
)
def test_spaces_that_are_no_vectors_are_refused(space: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        AdversarialReward.for_spaces(space, TORQUE)


def test_wrong_options_and_batches_are_named() -> None:
    for options, message in (
        ({"weight": -1.0}, "option 'weight' must be not negative, got -1.0"),
        ({"penalty": "gan"}, "option 'penalty' must be"),
        ({"label_smoothing": (1.2, 0.7)}, "two bounds"),
        ({"inputs": "s", "halves": True}, "no second half"),
        ({"action_scale": (0.0,)}, "option 'action_scale' must be positive"),
        ({"observation_scale": (1.0,)}, "must have 2 numbers, got 1"),
    ):
        with pytest.raises(ValueError, match=message):
            reward(**options)
    one = reward()
    with pytest.raises(ValueError, match="the expert batch is empty"):
        one.fit_step(batch(4), batch(0))
    wrong = np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"takes observations of 2 numbers, got shape \(3,\); these belong to another"):
        one.transition(wrong, np.zeros((4, 1)), wrong, np.zeros(4, bool))
    with pytest.raises(ValueError, match="got a dictionary of observations"):
        one.transition({"a": wrong}, np.zeros((4, 1)), wrong, np.zeros(4, bool))  # type: ignore[arg-type]
    broken = np.zeros((4, 2))
    broken[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"observation \[0.0, nan\] at row 2, which is not finite"):
        one.transition(broken, np.zeros((4, 1)), broken, np.zeros(4, bool))
    with pytest.raises(ValueError, match="trajectory 0 has an observation that is not finite at step 2"):
        TransitionBatch.from_trajectories([Trajectory(observations=broken, actions=np.zeros((3, 1)))])
    scores = one([Trajectory(observations=broken, actions=np.zeros((3, 1)))])
    assert not scores.scored[0]
    assert scores.notes is not None


def test_networks_without_second_derivatives_are_refused() -> None:
    class Attention(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.read = torch.nn.Linear(3, 8)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            hidden = self.read(rows).view(1, 1, -1, 8)
            return torch.nn.functional.scaled_dot_product_attention(hidden, hidden, hidden).sum(-1).view(-1, 1)

    one = reward()
    one.discriminator.network.body = Attention()
    with pytest.raises(TypeError, match="cannot be differentiated twice"):
        one.fit_step(batch(8), batch(8, seed=1))
