from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from rewardlab.environments.single_turn import SingleTurn
from rewardlab.functional.self_play import gpo_loss
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.logprobs import token_logprobs
from rewardlab.policies.rollout import rollout
from rewardlab.recipes.pieces import piece_policy
from rewardlab.rewards.base import Reward
from rewardlab.training.credit import Advantages, Extremes
from rewardlab.training.loop import train
from rewardlab.training.objectives.self_play import GPO
from rewardlab.types import Scores, Status, Task, Trajectory
from tests.training.test_objectives import gradient_step, reference_gradient, tensors
from tests.training.worlds import policy, tasks

torch.set_num_threads(1)


def attempts(values, groups):
    made = [
        Trajectory.from_messages([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], group=group)
        for group in groups
    ]
    return made, Scores(values=np.asarray(values, dtype=float))


def test_the_best_and_the_worst_keep_their_scores():
    made, scores = attempts([0.1, 0.5, -0.6, 0.0, 2.0, 2.0, 3.0], ["a", "a", "a", "a", "b", "b", "c"])
    advantages = Extremes()(made, scores)
    assert advantages.included.tolist() == [False, True, True, False, False, False, False]
    assert [row[0] for row in advantages.values[1:3]] == [0.5, -0.6]
    assert advantages.statistics == {"groups": 3.0, "zero_variance_groups": 1.0, "single_member_groups": 1.0}
    assert Extremes(keep=None)(made, scores).included.tolist() == [True] * 4 + [False] * 3


def test_failed_samples_take_no_part():
    made, _ = attempts([0.0] * 3, ["a"] * 3)
    scores = Scores(values=[1.0, np.nan, -1.0], status=[Status.SCORED, Status.FAILED, Status.SCORED])
    assert Extremes()(made, scores).included.tolist() == [True, False, True]


def test_the_update_follows_the_gradient_of_the_loss():
    made = rollout(policy(), SingleTurn, tasks(3), group_size=2, sampling=Sampling(max_new_tokens=4), seed=1)
    values = [np.array([value]) for value in np.random.default_rng(0).normal(size=len(made))]
    advantages = Advantages(values=values, included=np.ones(len(made), dtype=bool))
    acting = policy(seed=1)
    objective = GPO(beta=0.7, learning_rate=0.0, max_grad_norm=None, micro_batch_tokens=40)
    measured, caught = gradient_step(objective, acting, made, advantages)
    columns, _ = tensors(made, advantages)
    logprobs = token_logprobs(acting.model, columns.ids, columns.attention_mask, positions_mask=columns.written)
    now, old = (torch.where(columns.written, one, 0.0).sum(-1) for one in (logprobs, columns.logprobs))
    loss = gpo_loss(now, old, torch.tensor([float(one[0]) for one in values]), beta=0.7).mean()
    assert measured["loss"] == pytest.approx(float(loss.detach()), rel=1e-4)
    assert torch.allclose(caught[0], reference_gradient(acting, loss), rtol=1e-3, atol=1e-5)


@dataclass(frozen=True, kw_only=True)
class Shorter(Reward):
    """The mean over the group of whose answer is shorter: antisymmetric, so it adds up to 0 in every group."""

    @property
    def group_wise(self):
        return True

    def _score(self, trajectories, progress):
        lengths = np.array([len(one.completion) for one in trajectories], dtype=float)
        groups = [one.group for one in trajectories]
        same = np.array([[one == other for other in groups] for one in groups])
        wins = np.sign(lengths[None, :] - lengths[:, None])
        return Scores(values=(wins * same).sum(1) / same.sum(1))


def test_it_trains_in_the_loop_with_its_own_credit():
    result = train(
        policy(), SingleTurn, Shorter(), tasks(4), objective="gpo", steps=2, tasks_per_step=4, group_size=4,
        sampling=Sampling(max_new_tokens=4), trackers=(),
    )  # fmt: skip
    assert len(result.metrics) == 2
    assert all(np.isfinite(row["update/loss"]) for row in result.metrics if "update/loss" in row)


@dataclass(frozen=True, kw_only=True)
class PrefersRock(Reward):
    """The mean over the group of how much rather it has the answer: 1 for rock against anything else."""

    @property
    def group_wise(self):
        return True

    def _score(self, trajectories, progress):
        liked = np.array([float(one.completion == "rock") for one in trajectories])
        groups = np.array([one.group for one in trajectories])
        return Scores(values=liked - np.array([liked[groups == group].mean() for group in groups]))


def test_the_policy_moves_to_what_is_preferred_to_its_own_samples():
    playing = piece_policy(["rock", "paper", "scissors"], hidden=32, seed=0)
    asked = [Task(id=f"t{place}", prompt=[{"role": "user", "content": "rock"}]) for place in range(16)]
    sampling = Sampling(max_new_tokens=1)

    def share():
        made = rollout(playing, SingleTurn, asked, group_size=8, sampling=sampling, seed=0)
        return np.mean([one.completion == "rock" for one in made])

    before = share()
    objective = {"type": "gpo", "beta": 1.0, "learning_rate": 1e-2, "epochs": 2}
    train(
        playing, SingleTurn, PrefersRock(), asked, objective=objective, steps=5, tasks_per_step=16, group_size=5,
        sampling=sampling, trackers=(),
    )  # fmt: skip
    assert before < 0.3
    assert share() > 0.6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 0.0}, "beta must be positive"),
        ({"limit": -1.0}, "limit must be positive"),
        ({"normalise": "token_mean"}, 'normalise must be "sequence_mean", got .token_mean'),
    ],
)
def test_bad_options_fail_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        GPO(**options)


def test_keep_must_be_a_number_of_members():
    with pytest.raises(ValueError, match="keep must be at least 1"):
        Extremes(keep=0)
