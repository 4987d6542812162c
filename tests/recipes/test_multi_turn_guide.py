from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rewardlab.config.audit import audit
from rewardlab.environments.base import play as act
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.rollout import Limits
from rewardlab.recipes.multi_turn_guide import (
    BASE,
    RECIPE,
    TRANSFER,
    Complexity,
    Level,
    Network,
    Quest,
    Setting,
    Split,
    split_budget,
    transfer_matrix,
)
from rewardlab.recipes.multi_turn_guide.simulation import features, play
from rewardlab.recipes.pieces import piece_policy
from rewardlab.rewards.turns import Thinned, TurnIncrements, thin
from rewardlab.training import WarmStart, train
from rewardlab.types import Scores, Status, Task, Trajectory

SMALL = Level(rooms=2, objects=2, length=2)


def trajectory(rewards, **info):
    actions = [{"role": "assistant", "content": "x"}] * len(rewards)
    return Trajectory(observations=[[]] * (len(rewards) + 1), actions=actions, rewards=np.array(rewards), info=info)


# ---- the world ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [BASE, Level(rooms=3, objects=4, length=5), Level(rooms=1, objects=7, length=6)])
def test_quests_can_be_done_and_splits_never_overlap(level):
    world = Quest(rooms=level.rooms, objects=level.objects, length=level.length, seed=3)
    train_tasks, test_tasks = world.tasks("train", 40), world.tasks("test", 40)
    assert not {tuple(one.reference) for one in train_tasks} & {tuple(one.reference) for one in test_tasks}
    for one in world.demonstrations(train_tasks[:10]):
        assert one.terminated
        assert one.info["won"]
        assert np.nansum(one.rewards) == pytest.approx(1.0)
        assert len(one) <= level.turns


def test_hostile_actions_cost_a_turn_and_the_limit_is_a_loss():
    world = Quest()
    task = world.tasks("test", 1)[0]
    lost = act(world, task, lambda _: {"role": "assistant", "content": "take99 {'a': 1}\x00"})
    assert len(lost) == BASE.turns == 13
    assert (lost.truncated, lost.terminated, lost.info["won"]) == (True, False, False)
    with pytest.raises(RuntimeError, match="call reset"):
        world.step({"role": "assistant", "content": "left"})
    with pytest.raises(ValueError, match="is no quest of this world"):
        world.reset(Task(id="x", prompt=[], reference=[99]), 0)


def test_the_simulation_is_the_same_world():
    """The actions that a network drew, said one by one in the text world, pay the same."""
    level = Level(rooms=3, objects=4, length=3)
    network = Network(level, seed=1)
    quests = level.split(5)["train"][:12]
    played = play(network, level, level.places(5), quests, torch.Generator().manual_seed(0))
    world = Quest(rooms=3, objects=4, length=3, seed=5)
    for row, quest in enumerate(quests):
        said = [["left", "right"][one] if one < 2 else f"take{one - 2}" for one in played.actions[row].tolist()]
        words = iter(said)
        task = Task(id="q", prompt=[], reference=quest.tolist())
        one = act(world, task, lambda _, words=words: {"role": "assistant", "content": next(words)})
        assert len(one) == int(played.mask[row].sum())
        assert one.rewards * 3 == pytest.approx(played.hits[row][: len(one)].numpy())
        assert one.info["won"] == bool(played.won[row])


def test_values_and_scores_of_a_smaller_level_fit_a_larger_network():
    states = features(SMALL, Level(rooms=3, objects=4, length=5), np.array([[0, 1]]), np.array([1]), np.array([1]))
    assert states.shape == (1, 5 * 5 + 5 + 3)
    assert states.sum() == 5 + 1 + 1


# ---- rewards ------------------------------------------------------------------------------------------------------------


def test_increments_by_the_rules_of_the_guide():
    won, lost = trajectory([1.0, 0.0, 2.0], won=True), trajectory([1.0, 0.0, 2.0], won=False)

    def steps(one, **options):
        return TurnIncrements(most=4.0, **options)([one]).steps[0].tolist()

    assert steps(won, normalise="won_count") == [0.5, 0.0, 1.0]
    assert steps(won) == pytest.approx([1 / 3, 0.0, 2 / 3])
    assert steps(lost) == steps(lost, normalise="won_count") == [0.25, 0.0, 0.5]
    assert steps(won, normalise="max") == [0.25, 0.0, 0.5]
    assert steps(won, normalise=None) == [1.0, 0.0, 2.0]
    assert steps(won, density="sparse") == [0.0, 0.0, 1.0]
    assert steps(lost, density="sparse") == [0.0, 0.0, 0.0]
    assert steps(lost, density="last") == [0.0, 0.0, 0.75]
    assert steps(trajectory([0.0, 0.0], won=True), normalise="won_count") == [0.0, 0.0]
    assert steps(trajectory([2.0, -1.0], won=True)) == [1.0, -0.5]


def test_an_end_is_not_taken_for_a_victory():
    over = trajectory([1.0])
    over.terminated = True
    scores = TurnIncrements()([over, trajectory([1.0], won=False)])
    assert scores.status.tolist() == [Status.FAILED, Status.FAILED]
    assert "info has no 'won'" in scores.note(0)
    assert "set most=" in scores.note(1)


def test_a_victory_in_uneven_parts_is_worth_one():
    for parts in (3, 7, 11, 49):
        scores = TurnIncrements()([trajectory([1.0] * parts, won=True)])
        assert scores.values.tolist() == [1.0]


def test_thinned_rewards_keep_their_sum():
    steps = np.array([1.0, 0.0, 2.0, 3.0, 0.0, 4.0, 0.0])
    assert thin(steps, 1.0).tolist() == steps.tolist()
    assert thin(steps, 0.5).tolist() == [0, 0, 3.0, 0, 0, 7.0, 0]
    assert thin(steps, 0.0).tolist() == [0, 0, 0, 0, 0, 10.0, 0]
    assert thin(np.zeros(3), 0.5).tolist() == [0, 0, 0]
    scores = Thinned(reward=TurnIncrements(normalise=None), keep=0.0)([trajectory([1.0, 2.0], won=True)])
    assert scores.steps[0].tolist() == [0.0, 3.0]
    assert scores.values.tolist() == [3.0]


# ---- the rest of the guide ------------------------------------------------------------------------------------------------


def test_budgets():
    assert split_budget(2_400, [0, 24, 240]) == [
        Split(demonstrations=0, episodes=2400),
        Split(demonstrations=24, episodes=2160),
        Split(demonstrations=240, episodes=0),
    ]
    for bad, said in (([1.5], "whole numbers"), ([-1], "whole numbers"), ([241], "more than the budget")):
        with pytest.raises(ValueError, match=said):
            split_budget(2_400, bad)


def test_a_transfer_matrix():
    found = transfer_matrix(lambda name: name.upper(), lambda one, name: float(one == name.upper()), ["a", "b"])
    assert found.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_levels_join_when_the_last_is_won():
    levels = {name: [Task(id=f"{name}{n}", prompt=[]) for n in range(3)] for name in ("easy", "hard")}
    curriculum = Complexity(levels=levels, count=4, memory=2.0)

    def attempt(value):
        tasks = curriculum.sample()
        made = [trajectory([0.0]) for _ in tasks]
        for one, task in zip(made, tasks, strict=True):
            one.task = task
        curriculum.observe(made, Scores(values=np.full(len(made), value)))
        return {task.id[:4] for task in tasks}

    assert attempt(0.0) == {"easy"}
    assert attempt(1.0) == {"easy"}
    assert attempt(1.0) == {"hard", "easy"}
    again = Complexity(levels=levels, count=4)
    again.load_state_dict(curriculum.state_dict())
    assert [task.id for task in again.sample()] == [task.id for task in curriculum.sample()]


def test_the_audit_finds_what_undoes_a_choice():
    config = {
        "environment": "single_turn",
        "reward": {"type": "clip", "high": 1.0, "reward": {"type": "turn_increments"}},
        "training": {"objective": "rloo", "group_size": 1},
    }
    found = [one.name for one in audit(config, base_success=0.0)]
    assert found == ["dense_reward_summed", "little_divergence_paid", "group_of_one", "nothing_to_reinforce"]
    right = {
        "environment": "single_turn",
        "reward": {"type": "turn_increments"},
        "training": {
            "objective": {"type": "ppo", "kl_coefficient": 0.01},
            "credit": {"type": "gae", "source": "scores"},
        },
    }
    assert audit(right, base_success=0.1) == []
    right["training"]["credit"] = {"type": "gae"}
    assert [one.name for one in audit(right)] == ["dense_reward_summed"]
    right["training"] = {
        "objective": {"type": "awr", "kl_coefficient": 0.01},
        "credit": {"type": "gae", "source": "scores"},
    }
    assert [one.name for one in audit(right)] == ["value_head_untrained"]


def test_it_runs_through_the_trainer_with_a_language_model():
    """Cloned on a few quests, then PPO with turn rewards and a value head, as the guide says."""
    world = Quest(rooms=2, objects=2, length=2)
    tasks = world.tasks("train", 3)
    acting = piece_policy(world.pieces, hidden=32, layers=1, heads=2, context=64)
    run = train(
        acting, lambda: Quest(rooms=2, objects=2, length=2), TurnIncrements(most=1.0), tasks, steps=10, group_size=8,
        tasks_per_step=3, objective={"type": "ppo", "learning_rate": 5e-3, "epochs": 2, "kl_coefficient": 0.001},
        credit={"type": "gae", "source": "scores", "bootstrap": False, "hidden": 16}, trackers=[],
        sampling=Sampling(max_new_tokens=2), limits=Limits(turns=10),
        warm_start=WarmStart(demonstrations=world.demonstrations(tasks), steps=12, batch_size=3, learning_rate=5e-3),
    )  # fmt: skip
    rewards = [line["reward/mean"] for line in run.metrics]
    assert np.mean(rewards[-3:]) > np.mean(rewards[:3]) + 0.1


@pytest.mark.parametrize("recipe", [RECIPE, TRANSFER])
def test_the_proof_returns_every_claim(recipe):
    options = {"level": SMALL} if recipe is RECIPE else {"mixes": (0, 2, 4)}
    outcomes = recipe.proof(100, updates=1, **options)
    assert set(outcomes) == {claim.name for claim in recipe.claims}
    assert all(math.isfinite(entry.method) and math.isfinite(entry.baseline) for entry in outcomes.values())


@pytest.mark.parametrize("algorithm", ["ppo", "rloo", "grpo", "rloo_to_go"])
def test_every_arm_learns_a_small_world(algorithm):
    setting = Setting(level=SMALL, seed=100)
    arm = setting.arm(algorithm, "dense", updates=30, rate=1e-2)
    arm.train(setting.start(1), measured_every=30)
    assert arm.curve[-1] > arm.curve[0] + 0.1
