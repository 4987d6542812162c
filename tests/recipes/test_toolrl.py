from __future__ import annotations

import math
from typing import Any

import pytest

from rewardlab.recipes.toolrl import ABLATIONS, EASY, RARE, RECIPE, REWARDS, Arms, Regime, World, toolrl_reward
from rewardlab.recipes.toolrl.world import answer
from rewardlab.types import Task, Trajectory

SMALL = Regime(calls=1, demonstrations=8, steps=2)


def trajectory(text: str, task: Task) -> Trajectory:
    return Trajectory.from_messages([*(task.prompt or []), {"role": "assistant", "content": text}], task=task)


@pytest.mark.parametrize("regime", [RARE, EASY], ids=["rare", "easy"])
def test_right_answers_score_four_and_are_tokenised_as_they_stand(regime: Regime) -> None:
    world = World(regime=regime, seed=100, train=32, test=16)
    demonstrations = world.demonstrations()
    assert (toolrl_reward()(demonstrations).values == 4).all()
    arms = Arms(world=World(regime=SMALL, seed=100, train=8, test=8))
    for one in arms.world.demonstrations():
        tokens = arms.start.encode_demonstration(one)
        assert arms.start.template.decode(tokens.ids[tokens.step >= 0].tolist()) == one.completion
        assert (tokens.step >= 0).sum() <= 24


def test_worlds_repeat_and_their_queries_differ() -> None:
    world, again = World(regime=RARE, seed=3), World(regime=RARE, seed=3)
    ids = [task.id for task in (*world.demonstrated, *world.train_tasks, *world.test_tasks)]
    assert ids == [task.id for task in (*again.demonstrated, *again.train_tasks, *again.test_tasks)]
    assert len(set(ids)) == len(ids) == 256 + 768 + 256
    assert sorted(len(parameters) for _, parameters in world.tools) == [2, 2, 2, 3, 3, 3]


def scores(name: str, text: str, task: Task, progress: float = 0.0) -> float:
    return float(REWARDS[name]()([trajectory(text, task)], progress=progress).values[0])


def test_rewards_of_the_arms_by_hand() -> None:
    """One true call a(x=1, y=2), S_max 4; the numbers of the paper's formula."""
    task = Task(
        id="q",
        prompt=[{"role": "user", "content": "q"}],
        reference=[{"name": "a", "parameters": {"x": 1, "y": 2}}],
        metadata={"other": [{"name": "b", "parameters": {"x": 1}}]},
    )
    right = answer(task)
    wrong_value = right.replace('"y": 2', '"y": 3')
    missing = right.replace(', "y": 2', "")
    assert [scores(name, right, task) for name in ("original", "coarse", "strict", "call")] == [4, 4, 4, 4]
    assert scores("original", wrong_value, task) == 1 + 1.5
    assert scores("original", missing, task) == 1 + 0.75
    assert scores("coarse", wrong_value, task) == 1 - 3
    assert scores("call", wrong_value, task) == 1 + 6 * (1 / 2) - 3  # the name alone, of S_max 2
    assert scores("strict", missing, task) == 1 + 6 * (2 / 4) - 3  # name and value of x, no degree for the parameters
    assert scores("equal_max", wrong_value, task) == 1 + 0.5
    assert scores("original", "tool a", task) == -3  # neither format nor calls
    # other limits at the start and at the end of the training
    assert [scores("dynamic", right, task, progress) for progress in (0.0, 1.0)] == [2 + 2, 1 + 3]
    assert [scores("dynamic", "tool a", task, progress) for progress in (0.0, 1.0)] == [-2 - 2, -1 - 3]
    # the control grades against the other query, and pays for the exact answer alone
    assert scores("shuffled", right, task) == 1 - 3 + 3
    assert scores("shuffled", wrong_value, task) == 1 - 3 - 3


@pytest.mark.parametrize("recipe", [RECIPE, ABLATIONS], ids=["gated", "reported"])
def test_the_proof_returns_every_claim(recipe: Any) -> None:
    options = {"easy": SMALL} if recipe is RECIPE else {}
    outcomes = recipe.proof(100, updates=1, rare=SMALL, **options)
    assert set(outcomes) == {claim.name for claim in recipe.claims}
    assert all(math.isfinite(entry.method) and math.isfinite(entry.baseline) for entry in outcomes.values())
