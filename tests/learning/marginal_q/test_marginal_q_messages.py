from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from pettingzoo import ParallelEnv

from rewardlab.learning.marginal_q import MarginalQ, collect_joint, split_joint
from rewardlab.learning.marginal_q.critics import MarginalReward
from rewardlab.recipes.mamql.game import TwoGemsGame, demonstrated
from rewardlab.types import Trajectory


def log(agent: int, steps: int = 3, **columns: Any) -> Trajectory:
    options: dict[str, Any] = {"group": "7", "truncated": True, "info": {"agent": agent}}
    return Trajectory(observations=np.zeros((steps + 1, 2)), actions=np.zeros(steps, int), **{**options, **columns})


def test_a_joint_log_with_gaps_is_refused_with_episode_and_step() -> None:
    seen = [{"a": 0, "b": 0}] * 3
    with pytest.raises(ValueError, match=r"episode '3', step 1: the joint log lacks the actions of agent 'b'"):
        split_joint(seen, [{"a": 1, "b": 1}, {"a": 1}], episode="3")
    with pytest.raises(ValueError, match=r"episode '3', step 2: the joint log lacks the observations of agent 'a'"):
        split_joint([*seen[:2], {"b": 0}], [{"a": 1, "b": 1}] * 2, episode="3")
    with pytest.raises(
        ValueError, match=r"episode '3': the joint log has 2 steps of actions and 2 of observations; expected 3"
    ):
        split_joint(seen[:2], [{"a": 1, "b": 1}] * 2, episode="3")
    with pytest.raises(
        ValueError, match=r"episode '3', step 0: actions of an agent 'c' that was not there at the start"
    ):
        split_joint(seen[:2], [{"a": 1, "b": 1, "c": 0}], episode="3")


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        ([], r"there are no demonstrations"),
        ([log(0), log(1, 2)], r"episode '7', step 2: agent 1 has 2 steps and agent 0 has 3; all agents must act"),
        ([log(0)], r"episode '7': no trajectory of agent 1; it has 1 of 2 agents"),
        ([log(0), log(0)], r"episode '7': agent 0 is there twice"),
        ([log(0), log(5)], r"episode '7': agent 5 is not among 0..1"),
        ([log(0, group=None), log(1)], r"demonstration 0 has no group; give all trajectories of one episode the same group"),
        ([log(0), Trajectory(observations=np.full((4, 2), np.nan), actions=np.zeros(3, int), group="7")],
         r"episode '7', agent 1: has observation \[nan, nan\] at step 0, which is not finite"),
        ([log(0), Trajectory(observations=np.zeros((4, 2)), actions=np.zeros((3, 2)), group="7")],
         r"episode '7': the actions of agent 1 have shape \(2,\) and type float64; MarginalQ takes discrete actions"),
        ([log(0), Trajectory(observations={"x": np.zeros((4, 2))}, actions=np.zeros(3, int), group="7")],
         r"observations are a dict with the keys 'x'; expected 'observation' and 'action_mask'"),
    ],
)  # fmt: skip
def test_demonstrations_that_do_not_fit_together(shown: list[Trajectory], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        MarginalQ(2, gamma=0.9).fit(shown, steps=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_agents": 0}, r"option 'n_agents' must be a positive number"),
        ({"critic": "both"}, r"option 'critic' must be one of marginal, joint, got 'both'"),
        ({"phi": "js"}, r"option 'phi' must be one of chi2, tv, kl, got 'js'"),
        ({"value_term": "x"}, r"option 'value_term' must be one of policy, expert, mixed, initial"),
        ({"gamma": 1.2}, r"option 'gamma' must be in \(0, 1\], got 1.2"),
        ({"target": 0}, r"option 'target' must be in \(0, 1\] or None, got 0"),
        ({"l2": -1}, r"option 'l2' must not be negative"),
        ({"regularise": "both", "value_term": "expert"}, r"regularise='both' needs phi='chi2'"),
        ({"replay": 2}, r"option 'replay' must hold a step of all 4 games, got 2"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MarginalQ(**{"n_agents": 2, **options})


def test_fits_that_cannot_be() -> None:
    shown = [log(0), log(1)]
    with pytest.raises(ValueError, match=r"value_term='policy' needs states of play, and there is no environment"):
        MarginalQ(2, value_term="policy").fit(shown)
    with pytest.raises(ValueError, match=r"gamma is 1, and episode '7' does not end in a terminal state"):
        MarginalQ(2, gamma=1.0).fit(shown)
    with pytest.raises(ValueError, match=r"share=True needs agents that are alike, got \[2, 3\] actions"):
        MarginalQ(2, share=True, actions=(2, 3)).fit(shown)
    with pytest.raises(ValueError, match=r"have 400 joint actions, more than 256 to average over"):
        MarginalQ(3, critic="joint", actions=20).fit([*shown, log(2)])
    with pytest.raises(ValueError, match=r"actions has 3 entries for 2 agents"):
        MarginalQ(2, actions=(2, 2, 2)).fit(shown)
    with pytest.raises(ValueError, match=r"this MarginalReward has no critic"):
        MarginalReward().transition(np.zeros((1, 2)), np.zeros(1, int), np.zeros((1, 2)), np.zeros(1, bool))
    with pytest.raises(TypeError, match=r"option 'n_agents' must be a whole number, got '2'"):
        MarginalQ("2")  # type: ignore[arg-type]
    fit = MarginalQ(2, gamma=0.9).fit(shown, steps=1)
    with pytest.raises(ValueError, match=r"the agent sees observations of shape \(2,\), got \(5,\) for each of 3 rows"):
        fit.policy(0).act(np.zeros((3, 5)))
    with pytest.raises(IndexError, match=r"there is no agent 2; the fit has agents 0 to 1"):
        fit.policy(2)


class Continuous(TwoGemsGame):
    def action_space(self, agent: str) -> Any:
        return gymnasium.spaces.Box(-1.0, 1.0, (2,))


class Leaves(TwoGemsGame):
    def step(self, actions: Any) -> Any:
        seen, rewards, ended, cut, told = super().step(actions)
        return seen, rewards, {**ended, "red": True}, cut, told


def test_environments_that_do_not_fit() -> None:
    shown = demonstrated(1, seed=0)
    method = MarginalQ(2, gamma=0.9, games=1)
    with pytest.raises(
        TypeError, match=r"expected a PettingZoo parallel environment .*, got OrderEnforcing|got TimeLimit"
    ):
        method.fit(shown, lambda: gymnasium.make("CartPole-v1"), steps=1)
    with pytest.raises(TypeError, match=r"the action space of agent 'red' is Box.*; MarginalQ sums over actions|a Box"):
        method.fit(shown, Continuous, steps=1)
    with pytest.raises(ValueError, match=r"agent 'red' left a game that went on for others"):
        method.fit(shown, Leaves, steps=1)
    with pytest.raises(ValueError, match=r"the environment has 2 agents \(red, blue\), and n_agents is 1"):
        MarginalQ(1, gamma=0.9).fit([one for one in shown if one.info["agent"] == 0], TwoGemsGame, steps=1)
    with pytest.raises(ValueError, match=r"these demonstrations belong to another environment"):
        method.fit([log(0), log(1)], TwoGemsGame, steps=1)
    with pytest.raises(ValueError, match=r"episodes must be at least 1, got 0"):
        collect_joint(TwoGemsGame, [], episodes=0)
    assert issubclass(Leaves, ParallelEnv)
