from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pettingzoo.classic import rps_v2
from pettingzoo.test import parallel_api_test

from rewardlab.learning.marginal_q import MarginalQ, MarginalQFit, collect_joint, coordination, split_joint
from rewardlab.recipes.mamql.game import TwoGemsGame, demonstrated
from rewardlab.rewards import TransitionReward
from rewardlab.types import Trajectory


def joint_return(fit: MarginalQFit, episodes: int = 12) -> float:
    played = collect_joint(TwoGemsGame, [fit.policy(0), fit.policy(1)], episodes=episodes, seed=5, deterministic=True)
    return float(sum(one.rewards.sum() for one in played)) / episodes


@pytest.fixture(scope="module")
def offline() -> MarginalQFit:
    return MarginalQ(2, gamma=0.9).fit(demonstrated(20, seed=100), steps=150, seed=100)


def test_off_line_agents_of_a_pettingzoo_world_play_as_they_were_shown(offline: MarginalQFit) -> None:
    parallel_api_test(TwoGemsGame(), num_cycles=60)
    assert joint_return(offline) > 9.0  # demonstrators get 12.6, random agents about 0
    for line in offline.agents:
        assert line["correlation"] > 0.1
        assert 0.0 <= line["saturated"] < 0.5
        assert 0.0 < line["entropy"] < np.log(5)
    assert offline.history[-1]["step"] == 150
    assert offline.history[-1]["loss"][0] < offline.history[0]["loss"][0]


def test_rewards_prefer_the_own_gem_and_influence_shows_whose_events_count(offline: MarginalQFit) -> None:
    fresh = demonstrated(20, seed=101)
    reward = offline.reward(1)
    assert isinstance(reward, TransitionReward)
    own = [one for one in fresh if one.info["agent"] == 1]
    scores = reward(own)
    assert scores.steps is not None
    found = np.concatenate([one for one in scores.steps if one is not None])
    true = np.concatenate([one.rewards for one in own])
    assert found[true > 0].mean() > found[true <= 0].mean()
    table = offline.influence(fresh)
    assert table.shape == (2, 2)
    assert table[0, 0] > table[0, 1]
    assert table[1, 1] > table[1, 0]


def test_reward_and_policy_follow_from_the_values(offline: MarginalQFit) -> None:
    one = demonstrated(1, seed=102)[0]
    policy, reward, values = offline.policy(0), offline.reward(0), offline.values(0)
    here, then = one.observations[:-1], one.observations[1:]
    action_values = values(here) + policy.logprob(here, one.actions)  # at temperature 1, Q = V + log pi
    terminated = np.zeros(len(one), dtype=bool)
    assert np.allclose(
        reward.transition(here, one.actions, then, terminated), action_values - 0.9 * values(then), atol=1e-5
    )
    assert np.allclose(reward.transition(here, one.actions, then, ~terminated), action_values, atol=1e-5)


def test_a_fit_is_written_without_pickle_and_read_back_to_the_bit(offline: MarginalQFit, tmp_path: Path) -> None:
    back = MarginalQFit.load(offline.save(tmp_path / "fit"))
    seen = demonstrated(1, seed=3)[0].observations
    assert np.array_equal(back.policy(0).logprobs(seen), offline.policy(0).logprobs(seen))
    assert back.agents == offline.agents
    assert back.history == offline.history
    from rewardlab.learning.demonstrations.base import read_part, write_part

    for part in (offline.policy(1), offline.reward(1)):
        again = read_part(write_part(part, tmp_path / part.kind), tmp_path / part.kind)
        assert type(again) is type(part)
    with pytest.raises(FileNotFoundError, match=r"holds no marginal_q.json"):
        MarginalQFit.load(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"value_term": "policy", "regularise": "both"},
        {"value_term": "mixed", "target": 0.05, "share": True},
        {"critic": "joint", "value_term": "expert", "phi": "tv"},
        {"value_term": "initial", "phi": "kl", "temperature": 0.5},
    ],
)
def test_other_forms_learn_the_same_numbers_twice(options: dict[str, Any]) -> None:
    shown = demonstrated(8, seed=100)
    method = MarginalQ(2, gamma=0.9, games=2, hidden=(32,), **options)
    fits = [method.fit(shown, TwoGemsGame, steps=30, seed=1) for _ in range(2)]
    assert fits[0].history == fits[1].history
    assert fits[0].history[-1]["loss"][0] < fits[0].history[0]["loss"][0]
    assert ("replay_gap" in fits[0].agents[0]) == (options["value_term"] in ("policy", "mixed"))
    seen = shown[0].observations
    assert np.allclose(np.exp(fits[0].policy(0).logprobs(seen)).sum(1), 1.0)


def test_an_environment_of_pettingzoo_itself() -> None:
    class Fixed:
        def __init__(self, action: int) -> None:
            self.action = action

        def act(self, observations: Any, deterministic: bool = False) -> Any:
            return np.full(len(observations), self.action)

    def world() -> Any:
        return rps_v2.parallel_env(num_actions=3, max_cycles=6)

    shown = collect_joint(world, [Fixed(0), Fixed(2)], episodes=6)
    assert [len(one) for one in shown] == [len(shown[0])] * 12
    fit = MarginalQ(2, gamma=0.9, games=2, learning_rate=1e-2, hidden=(16,), value_term="mixed").fit(
        shown, world, steps=80
    )
    played = collect_joint(world, [fit.policy(0), fit.policy(1)], episodes=2, deterministic=True)
    assert [set(one.actions.tolist()) for one in played] == [{0}, {2}] * 2
    assert sum(one.rewards.sum() for one in played) == 0.0  # a game of opposed goals


def test_illegal_actions_are_never_played_and_do_not_raise_values() -> None:
    masks = np.tile([True, True, False], (5, 1))
    seen = {"observation": np.zeros((5, 2), np.float32), "action_mask": masks}
    shown = [
        Trajectory(observations=seen, actions=np.array([0, 1, 0, 1]), group="a", truncated=True, info={"agent": agent})
        for agent in (0, 1)
    ]
    fit = MarginalQ(2, gamma=0.9, actions=3).fit(shown, steps=20)
    logs = fit.policy(0).logprobs(seen)
    assert np.isneginf(logs[:, 2]).all()
    assert np.allclose(np.exp(logs[:, :2]).sum(1), 1.0)
    assert set(fit.policy(0).act(seen).tolist()) <= {0, 1}
    shown[1].actions[2] = 2
    with pytest.raises(ValueError, match=r"episode 'a', step 2: agent 1 took action 2, which its mask forbids"):
        MarginalQ(2, gamma=0.9, actions=3).fit(shown, steps=1)


def test_agents_that_follow_a_hidden_signal_are_noticed() -> None:
    draw = np.random.default_rng(0)
    signal = draw.integers(0, 2, 200)
    apart = draw.integers(0, 2, 200)

    def shown(other: np.ndarray) -> list[Trajectory]:
        seen = np.zeros((201, 1), np.float32)
        return [Trajectory(observations=seen, actions=column, group="a", truncated=True) for column in (signal, other)]

    assert coordination(shown(signal), 2)["excess"] == pytest.approx(np.log(2), abs=0.02)
    assert abs(coordination(shown(apart), 2)["excess"]) < 0.02
    with pytest.warns(UserWarning, match=r"the agents' actions share 0.6\d nats beyond what the state tells"):
        MarginalQ(2, gamma=0.9).fit(shown(signal), steps=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MarginalQ(2, gamma=0.9).fit(shown(apart), steps=1)


def test_a_value_that_only_falls_on_states_of_play_is_told() -> None:
    method = MarginalQ(2, gamma=0.9, l2=0.0, learning_rate=0.05, hidden=(16,), phi="kl", games=2)
    with pytest.warns(UserWarning, match=r"the mean value of agent \d on states of play fell steadily, from"):
        method.fit(demonstrated(1, seed=0), TwoGemsGame, steps=60, seed=0)


def test_split_joint_keeps_what_each_agent_saw() -> None:
    logs = split_joint(
        [{"a": 0, "b": [1.0, 2.0]}, {"a": 1, "b": [3.0, 4.0]}],
        [{"a": 1, "b": 0}],
        episode="x",
        terminated={"a": True, "b": False},
    )
    assert [one.group for one in logs] == ["x", "x"]
    assert [one.info["name"] for one in logs] == ["a", "b"]
    assert [one.terminated for one in logs] == [True, False]
    assert logs[1].observations.tolist() == [[1.0, 2.0], [3.0, 4.0]]
