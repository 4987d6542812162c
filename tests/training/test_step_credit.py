"""What credit for steps and tokens is made of: step values, advantages of tokens, targets of a value head."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rewardlab.training import Trainer
from rewardlab.training.credit import Advantages, Batch
from rewardlab.training.credit.base import step_values
from rewardlab.training.objectives.rows import make_rows
from rewardlab.types import Scores, Status, Task, Tokens, Trajectory
from tests.training.worlds import SaysIt, policy, tasks


def trajectory(rewards, **columns):
    actions = [{"role": "assistant", "content": "x"}] * len(rewards)
    observations = [[] for _ in range(len(rewards) + 1)]
    return Trajectory(observations=observations, actions=actions, rewards=rewards, task=Task(id="t"), **columns)


def test_step_values_by_source():
    made = [trajectory([0.5, math.nan]), trajectory([1.0])]
    scores = Scores(
        values=np.array([3.0, math.nan]),
        status=np.array([Status.SCORED, Status.FAILED]),
        steps=[np.array([1, 2]), None],
    )
    found = {
        name: [row.tolist() for row in step_values(made, scores, name)] for name in ("outcome", "scores", "environment")
    }
    assert found == {"outcome": [[0, 3], [0]], "scores": [[1, 2], [0]], "environment": [[0.5, 0], [0]]}


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (None, "no step values"),
        ([np.zeros(3)], "2 actions but step values of shape"),
        ([np.array([1, math.inf])], "not finite"),
    ],
)
def test_wrong_step_values_name_the_trajectory(steps, said):
    with pytest.raises(ValueError, match=rf"trajectory 0 \(task 't'\).*{said}"):
        step_values([trajectory([0.0, 0.0])], Scores(values=np.zeros(1), steps=steps), "scores")


def test_columns_of_tokens_and_targets_reach_the_rows():
    step = np.array([-1, 0, 0, -1, 1, 1, -1])
    made = trajectory([0.0, 0.0], tokens=Tokens(ids=np.zeros(7), step=step, logprobs=np.zeros(7)))
    included = np.ones(1, dtype=bool)
    values = [np.array([5.0, 7.0])]
    plain = Advantages(
        values=values, included=included, targets=[np.array([2.0, 3.0])], baselines=[np.array([1.0, 0.0])]
    )
    (row,) = make_rows([made], plain)
    assert row.advantage.tolist() == [0, 5, 5, 0, 7, 7, 0]
    nan = math.nan
    assert np.array_equal(row.target, np.float32([nan, 2, nan, nan, 3, nan, nan]), equal_nan=True)
    assert np.array_equal(row.baseline, np.float32([nan, 1, nan, nan, 0, nan, nan]), equal_nan=True)
    tokens = [np.array([1.0, 2.0, 3.0, 4.0])]
    (row,) = make_rows([made], Advantages(values=values, included=included, tokens=tokens, targets=tokens))
    assert row.advantage.tolist() == [0, 1, 2, 0, 3, 4, 0]
    assert np.array_equal(row.target, np.float32([nan, 1, 2, nan, 3, 4, nan]), equal_nan=True)
    with pytest.raises(ValueError, match="4 written tokens but 3 token advantages"):
        make_rows([made], Advantages(values=values, included=included, tokens=[np.ones(3)]))


def test_columns_are_checked():
    with pytest.raises(ValueError, match="targets must have 1 rows"):
        Advantages(values=[np.ones(1)], included=np.ones(1), targets=[])
    with pytest.raises(ValueError, match="its tokens are not finite"):
        Advantages(values=[np.ones(1)], included=np.ones(1), tokens=[np.array([math.nan])])


def test_the_trainer_binds_seats_to_the_policy_once():
    bound = []

    class Bound(Batch):
        def bind(self, policy):
            bound.append(policy)

    acting = policy()
    Trainer(policy=acting, environment=object, reward=SaysIt(), tasks=tasks(2), credit=Bound())
    assert bound == [acting]
