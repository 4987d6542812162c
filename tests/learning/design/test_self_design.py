from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from rewardlab.learning.design import (
    CallableCount,
    DesignedEnvironment,
    Episodes,
    ExploRS,
    GridCount,
    HashCount,
    TabularCount,
    explors,
    model_probabilities,
)


def window(rewards: list[float], *, present: list[bool] | None = None, actions: list[int] | None = None) -> Episodes:
    """One episode of one copy in states 0, 1, 2 ..., under a uniform policy over two actions."""
    length = len(rewards)
    return Episodes(
        observations=np.arange(length).reshape(1, length, 1),
        actions=np.array(actions or [0] * length).reshape(1, length, 1),
        rewards=np.array(rewards).reshape(1, length, 1),
        probabilities=np.full((1, length, 1, 2), 0.5),
        present=np.array(present or [True] * length).reshape(1, length, 1),
    )


def test_one_update_by_hand() -> None:
    """Returns .5 and 1 with discount .5: the learned part moves by rate * pi * (G - V) * (1_a - pi)."""
    designer = ExploRS(states=3, actions=2, discount=0.5, rate=0.1, baseline_rate=0.2)
    designer.update(window([0.0, 1.0], actions=[0, 1]))
    assert designer.designed[0] == pytest.approx(
        np.array([[0.1 * 0.5 * 0.5 * 0.5, -0.1 * 0.5 * 0.5 * 0.5], [-0.1 * 0.5 * 0.5, 0.1 * 0.5 * 0.5], [0, 0]])
    )
    assert designer.baseline[0] == pytest.approx([0.2 * 0.5 / 2, 0.2 * 1 / 2, 0])  # a mean over steps
    designer.clip = 0.01
    designer.update(window([0.0, 1.0], actions=[0, 1]))
    assert np.abs(designer.designed).max() == 0.01


def test_the_learned_part_follows_original_returns_alone_and_padding_says_nothing() -> None:
    first, second = (ExploRS(states=3, actions=2, bonus=1.0) for _ in range(2))
    for _ in range(20):  # one of them has paid bonuses, and learns the same
        second.shape(np.array([0]), np.array([0]), np.array([1]), np.array([False]), np.zeros(1))
    for designer in (first, second):
        designer.update(window([0.0, -1.0]))
    assert np.array_equal(first.designed, second.designed)
    assert first.baseline[0, 1] < 0  # negative returns are fitted like any other
    padded = ExploRS(states=3, actions=2)
    padded.update(window([0.0, -1.0, 9.0], present=[True, True, False]))
    assert np.array_equal(padded.designed, first.designed)


def test_the_bonus_counts_states_that_were_left_and_is_never_paid_at_the_end() -> None:
    designer = ExploRS(states=3, actions=2, bonus=2.0, maximum=1.0, rate=0.0)

    def step(state: int, following: int, ended: bool = False) -> float:
        return float(
            designer.shape(np.array([state]), np.zeros(1, int), np.array([following]), np.array([ended]), np.ones(1))[0]
        )

    assert step(0, 1) == pytest.approx(1 + 2 / np.sqrt(4 + 0))
    assert step(1, 0) == pytest.approx(1 + 2 / np.sqrt(4 + 1))  # state 0 was left once
    assert step(0, 2, ended=True) == 1.0
    assert designer.counts[0].tolist() == [2, 1, 0]


def test_strengths_by_copy_give_the_parts() -> None:
    designer = ExploRS(states=2, actions=2, copies=4, rate=[0, 0, 0.1, 0.1], bonus=[0, 1, 0, 1])
    shaped = designer.shape(np.zeros(4, int), np.zeros(4, int), np.ones(4, int), np.zeros(4, bool), np.ones(4))
    assert shaped.tolist() == [1, 2, 1, 2]
    many = window([0.0, 1.0])
    designer.update(
        Episodes(**{name: np.repeat(getattr(many, name), 4, axis=2) for name in Episodes.__dataclass_fields__})
    )
    assert (np.abs(designer.designed).max(axis=(1, 2)) > 0).tolist() == [False, False, True, True]


def test_designers_are_saved_and_refuse_what_is_not_theirs(tmp_path) -> None:
    designer = ExploRS(states=3, actions=2)
    designer.update(window([0.0, 1.0]))
    designer.save(tmp_path / "designer.npz")
    again = ExploRS(states=3, actions=2)
    again.load(tmp_path / "designer.npz")
    assert np.array_equal(again.designed, designer.designed)
    with pytest.raises(ValueError, match=r"ExploRS.designed has the shape \(1, 4, 2\), got \(1, 3, 2\)"):
        ExploRS(states=4, actions=2).load(tmp_path / "designer.npz")


def test_counting_needs_an_abstraction_where_states_do_not_repeat() -> None:
    with pytest.raises(ValueError, match="4 features.*never repeat.*HashCount"):
        explors(features=4, actions=2)
    with pytest.raises(ValueError, match="give states= .* or features="):
        explors(actions=2)
    with pytest.raises(ValueError, match="learner must be 'policy_gradient' or 'q', got 'sarsa'"):
        explors(actions=2, states=3, learner="sarsa")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"TabularCount counts state numbers.*float64\[2, 4\].*never repeat"):
        TabularCount(5).index(np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"cells from 0 to 7, expected \[0, 4\)"):
        CallableCount(lambda seen: np.array([0, 7]), 4).index(np.zeros((2, 1)))
    with pytest.raises(ValueError, match=r"int\[2\], one cell for each observation, got float64\[2\]"):
        CallableCount(lambda seen: np.zeros(2), 4).index(np.zeros((2, 1)))
    with pytest.raises(ValueError, match="bits must lie in"):
        HashCount(3, bits=40)
    with pytest.raises(ValueError, match="made for 3 features, got observations with 4"):
        HashCount(3).index(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="maximum must be positive"):
        ExploRS(states=2, actions=2, maximum=0.0)
    q = explors(states=3, actions=2, learner="q")
    assert isinstance(q, ExploRS)
    assert q.clip == 0.01


def test_hashes_are_near_for_near_observations_and_the_same_for_the_same() -> None:
    points = np.random.default_rng(0).normal(size=(200, 4))
    count = HashCount(4, bits=8, seed=1)
    cells = count.index(points)
    assert np.array_equal(cells, HashCount(4, bits=8, seed=1).index(points))
    assert cells.max() < count.size
    assert len(np.unique(cells)) > 20
    assert (count.index(points * 1.0001) == cells).mean() > 0.99


def test_grids_sort_boxes_and_count_the_outside_at_the_edge() -> None:
    count = GridCount(low=(0.0, -1.0), high=(1.0, 1.0), cells=(2, 4))
    seen = np.array([[0.1, -0.9], [0.6, -0.9], [0.1, 0.9], [5.0, 5.0], [-5.0, -5.0]])
    assert count.index(seen).tolist() == [0, 4, 3, 7, 0]
    assert count.size == 8
    with pytest.raises(ValueError, match="made for 2 features, got observations with 3"):
        count.index(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="low, high and cells"):
        GridCount(low=(0.0,), high=(1.0,), cells=(2, 4))
    with pytest.raises(ValueError, match="would have 100000000 cells"):
        GridCount(low=(0.0,) * 4, high=(1.0,) * 4, cells=(100,) * 4)


class Corridor(gymnasium.Env):
    """Left and right over four cells, cut after six steps; the last cell pays and ends."""

    observation_space = gymnasium.spaces.Discrete(4)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.cell, self.time = 0, 0
        return 0, {}

    def step(self, action):
        self.cell = min(max(self.cell + (1 if action else -1), 0), 3)
        self.time += 1
        ended = self.cell == 3
        return self.cell, float(ended), ended, self.time >= 6 and not ended, {}


def test_the_wrapper_keeps_the_original_reward_and_counts_cut_episodes() -> None:
    designer = explors(states=4, actions=2, every=2)
    environment = DesignedEnvironment(Corridor(), designer)
    generator = np.random.default_rng(0)
    for _ in range(4):
        environment.reset()
        done = False
        while not done:
            _, reward, terminated, truncated, info = environment.step(generator.integers(2))
            done = terminated or truncated
            assert info["environment_reward"] == float(terminated)
            assert reward > info["environment_reward"] - 0.1 if not terminated else True
    recent = environment.recent()
    assert recent.present.sum(axis=1).ravel().tolist() == [len(episode[1]) for episode in environment._episodes]
    assert recent.rewards.sum() == (recent.returns(1.0)[:, 0] > 0).sum()
    assert (recent.returns(1.0)[:, 0] == 0).any()  # one that was cut counts as nothing reached
    assert np.abs(designer.designed).max() > 0
    with pytest.raises(ValueError, match=r"rows sum to 1, got the shape \[3\]"):
        DesignedEnvironment(Corridor(), designer, lambda seen: np.zeros(3))._probabilities(np.arange(2))
    with pytest.raises(ValueError, match="needs discrete actions, got Box"):
        DesignedEnvironment(gymnasium.make("Pendulum-v1"), designer)
    nested = Corridor()
    nested.observation_space = gymnasium.spaces.Dict({"cell": gymnasium.spaces.Discrete(4)})
    with pytest.raises(ValueError, match="state numbers or arrays, got the observation space Dict.*FlattenObservation"):
        DesignedEnvironment(nested, designer)
    with pytest.raises(ValueError, match="designer is for 3 actions, and the environment has 2"):
        DesignedEnvironment(Corridor(), ExploRS(states=4, actions=3))
    with pytest.raises(ValueError, match="designer is for 9 states, and the environment has 4"):
        DesignedEnvironment(Corridor(), ExploRS(states=9, actions=2))
    with pytest.raises(ValueError, match="designer with one copy, got 3"):
        DesignedEnvironment(Corridor(), ExploRS(states=4, actions=2, copies=3))


def test_a_reward_that_is_not_a_number_is_named_with_its_step() -> None:
    class Broken(Corridor):
        def step(self, action):
            cell, reward, terminated, truncated, info = super().step(action)
            return cell, np.nan if self.time == 2 else reward, terminated, truncated, info

    environment = DesignedEnvironment(Broken(), explors(states=4, actions=2))
    environment.reset()
    environment.step(0)
    with pytest.raises(ValueError, match="step 1: the designed reward is nan from the original nan"):
        environment.step(0)


@pytest.mark.parametrize("learner", ["PPO", "DQN"])
def test_a_real_learner_with_a_network_in_a_real_environment(learner: str, tmp_path) -> None:
    stable_baselines3 = pytest.importorskip("stable_baselines3")
    kind = "q" if learner == "DQN" else "policy_gradient"
    designer = explors(features=4, actions=2, count=HashCount(4, bits=6), learner=kind, every=2, hidden=16)
    environment = DesignedEnvironment(gymnasium.make("CartPole-v1"), designer)
    steps = {"n_steps": 64, "batch_size": 64, "n_epochs": 1} if learner == "PPO" else {"learning_starts": 32}
    model = getattr(stable_baselines3, learner)("MlpPolicy", environment, seed=0, device="cpu", **steps)
    environment.policy = model_probabilities(model)
    model.learn(192)
    assert designer.acts
    assert designer.counts.sum() >= 192
    seen = np.random.default_rng(0).normal(size=(5, 4))
    assert 0 < np.abs(designer.designed(seen)).max() <= designer.clip + 1e-7
    assert environment.recent().probabilities.sum(-1)[environment.recent().present] == pytest.approx(1.0)
    designer.save(tmp_path / "designer.npz")
    again = explors(features=4, actions=2, count=HashCount(4, bits=6), every=2, hidden=16)
    again.load(tmp_path / "designer.npz")
    assert again.acts
    assert np.array_equal(again.counts, designer.counts)
    assert again.network(again._inputs(seen)).detach().numpy() == pytest.approx(
        designer.network(designer._inputs(seen)).detach().numpy()
    )
