"""Actions that say nothing or cannot be read: answered by the environment, scored, credited and learned from like any other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rewardlab.environments.tool_environment import EMPTY_REPLY, ToolEnvironment
from rewardlab.environments.tools import Toolbox
from rewardlab.policies import LanguageModelPolicy, Limits, Sampling
from rewardlab.policies.engines.base import Completion
from rewardlab.policies.rollout import rollout
from rewardlab.training.credit import GAE, AnchorStates, Group, Redistributed, TurnRewards
from rewardlab.training.objectives import GRPO, PPO
from rewardlab.types import Scores, Task
from tests.policies.worlds import Scripted


class Silent(Scripted):
    """An engine that samples nothing at all, not even the end of a turn."""

    def generate(self, requests, sampling):
        return [Completion(ids=[], logprobs=[], stopped=True) for _ in requests]


@pytest.fixture
def policy():
    return LanguageModelPolicy.tiny(["red green"], vocabulary_size=320, hidden=16, layers=1, heads=2)


def attempts_of(policy, engine):
    tasks = [Task(id="t", prompt=[{"role": "user", "content": "go"}])]
    return rollout(
        policy, lambda: ToolEnvironment(Toolbox([])), tasks, group_size=2, engine=engine, limits=Limits(turns=3),
        sampling=Sampling(max_new_tokens=8),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "answered"),
    [("", EMPTY_REPLY), ('<tool_call>{"name": ', "Error: your tool call cannot be read: <tool_call> is never closed")],
)
@pytest.mark.parametrize("credit", [GAE(), GAE(level="token"), Group(), TurnRewards(), AnchorStates(), Redistributed()])
def test_they_are_answered_and_credited(policy, said, answered, credit):
    attempts = attempts_of(policy, Scripted(policy, [said, "red"]))
    for attempt in attempts:
        assert attempt.terminated
        assert "failed" not in attempt.info
        assert attempt.actions[0]["content"] == said
        assert attempt.observations[1][0]["content"].startswith(answered)
    scores = Scores(values=np.array([1.0, 0.0]), steps=[np.array([0.5, 1.0]), np.array([0.0, 0.5])])
    if isinstance(credit, GAE):
        credit.bind(policy)
    advantages = credit(attempts, scores)
    assert advantages.included.all()
    assert all(row.shape == (2,) and np.isfinite(row).all() for row in advantages.values)
    objective = PPO(learning_rate=1e-3) if isinstance(credit, GAE) else GRPO(learning_rate=1e-3)
    assert math.isfinite(objective.update(policy, attempts, advantages)["loss"])


def test_an_action_without_any_token_ends_by_the_limit_and_moves_nothing(policy):
    attempts = attempts_of(policy, Silent(policy, []))
    assert [(len(one), one.truncated, one.info["limit"]) for one in attempts] == [(3, True, "turns")] * 2
    credit = GAE()
    credit.bind(policy)
    before = [weight.clone() for weight in policy.model.parameters()]
    advantages = credit(attempts, Scores(values=np.array([1.0, 0.0])))
    PPO(learning_rate=1e-3).update(policy, attempts, advantages)
    assert all(torch.equal(left, right) for left, right in zip(before, policy.model.parameters(), strict=True))
