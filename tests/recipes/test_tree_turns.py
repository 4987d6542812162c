from __future__ import annotations

from typing import Any

import pytest

from rewardlab.environments.base import Environment, Step
from rewardlab.policies.engines.base import Sampling
from rewardlab.recipes.pieces import piece_policy
from rewardlab.recipes.tree_preferences import (
    Tree,
    TurnTreeSampler,
)
from rewardlab.types import Message, Task

# ---- turns ----------------------------------------------------------------------------------------------------------------


class Echo(Environment):
    """Answers what was said, twice; then it is over."""

    noise = 0

    def reset(self, task: Task, seed: int) -> list[Message]:
        self.said = 0
        return list(task.prompt or [])

    def step(self, action: Message) -> Step:
        self.said += 1
        return Step(
            observation=[] if self.said > 2 else [{"role": "user", "content": str(action["content"])[:2]}],
            terminated=self.said > 2,
        )


class Forgetful(Echo):
    calls = 0

    def reset(self, task: Task, seed: int) -> list[Message]:
        Forgetful.calls += 1
        return [{"role": "user", "content": "ab"[Forgetful.calls % 2]}]


class Moody(Echo):
    calls = 0

    def step(self, action: Message) -> Step:
        Moody.calls += 1
        self.said = 1
        return Step(observation=[{"role": "user", "content": "abcd"[Moody.calls % 4]}])


def turns(environment: Any, **options: Any) -> Tree:
    policy = piece_policy(["a", "b", "c", "d"], hidden=16, layers=1, heads=2, context=64)
    sampling = Sampling(temperature=2.0, max_new_tokens=8)
    return TurnTreeSampler(policy=policy, environment=environment, sampling=sampling, **options).sample("a")


def test_turns_of_an_agent_branch_and_the_rest_runs_to_the_end() -> None:
    tree = turns(Echo, depth=2, branching=2)
    assert max(tree.nodes[leaf].depth for leaf in tree.leaves) == 3  # the third turn does not branch
    for leaf, trajectory in tree.trajectories.items():
        assert trajectory.tokens is not None
        assert len(trajectory) == tree.nodes[leaf].depth
        assert tuple(trajectory.tokens.ids[trajectory.tokens.step >= 0]) == tree.ids(leaf)
    assert tree.pairs(1)[0].trajectories[0].task is tree.task


def test_environments_that_cannot_be_played_again() -> None:
    with pytest.raises(ValueError, match="begins differently with the same task and seed"):
        turns(Forgetful)
    with pytest.raises(ValueError, match="answered the same 1 actions differently the second time"):
        turns(Moody)
    with pytest.raises(TypeError, match="environment must be a factory"):
        turns(Echo())
    with pytest.raises(ValueError, match="turns must be at least depth, got 1 and 2"):
        turns(Echo, turns=1)
