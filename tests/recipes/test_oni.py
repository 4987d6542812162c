from __future__ import annotations

import json
import math
import threading
from pathlib import Path

import numpy as np
import pytest

import rewardlab
from rewardlab.recipes.oni import RECIPE, Arm, Dungeons, Settings, Teacher, World, learn
from rewardlab.recipes.oni.dungeon import KEY, NOTHING, ORNAMENT, STAIRS, TRAP
from rewardlab.rewards.intrinsic import IntrinsicReward, intrinsic_value
from rewardlab.rewards.online import online
from tests.policies.server import ChatServer

SCALE = Path(rewardlab.__file__).parent / "recipes/scale/oni.yaml"
UP, DOWN, LEFT, RIGHT, STAY = range(5)


def walk(world, layout, actions):
    """Messages of one agent that begins at cell 0 of levels whose content is given by cell."""
    dungeons = Dungeons(world, [0], 1)
    dungeons.content[:], dungeons.begin[:], dungeons.cell[:] = NOTHING, 0, 0
    for cell, what in layout.items():
        dungeons.content[:, :, cell] = what
    dungeons.nouns[:] = 3
    told, ends = [], []
    for action in actions:
        messages, won, late = dungeons.step(np.array([[action]]), np.zeros((1, 1), dtype=int))
        told.append(world.texts[messages[0, 0]])
        ends.append((bool(won[0, 0]), bool(late[0, 0])))
    return told, ends, dungeons


def test_the_rules_of_a_dungeon():
    layout = {1: STAIRS, 5: KEY, 6: ORNAMENT, 2: TRAP}
    told, ends, _ = walk(World(levels=2), layout, [UP, RIGHT, STAY, RIGHT, DOWN, RIGHT, LEFT, UP, RIGHT])
    assert told == [
        "You bump into the old old wall.",
        "The old old hatch is locked.",
        "",
        "You fall into the old old pit.",  # and back at the start
        "You take the old old key.",
        "You see a old old carpet.",
        "",  # the key is taken once
        "",
        "You descend the old old stairs.",
    ]
    assert ends == [(False, False)] * 9
    assert walk(World(levels=1), layout, [DOWN, UP, RIGHT])[1][-1] == (True, False)
    assert walk(World(levels=1), layout, [STAY] * 30)[1][-1] == (False, True)


def test_messages_of_a_world():
    assert World().messages - 1 == 26
    varied = World(levels=5, adjectives=30, vocabulary="level")
    assert len(set(varied.texts)) == varied.messages == 34 * 900 + 1
    assert varied.helpful.sum() == 11 * 900  # the rat among them, where there is one


def test_the_fast_rewards_of_the_recipe_are_those_of_the_class():
    world = World(levels=2, adjectives=2)
    teacher = Teacher(Arm("oracle"), world, 8, 0, np.zeros(0, dtype=int), 0)
    reward = IntrinsicReward(caption=lambda next_observation: [world.texts[one] for one in next_observation])
    reward.warm_start({text: float(good) for text, good in zip(world.texts[1:], world.helpful[1:], strict=True)})
    stepping = online(reward, 8)
    dungeons, generator = Dungeons(world, [3], 8), np.random.default_rng(0)
    seen = np.zeros((8, world.messages), dtype=int)
    paid = 0.0
    for _ in range(200):
        messages, won, late = dungeons.step(generator.integers(5, size=(1, 8)), generator.integers(4, size=(1, 8)))
        told, over = messages[0], (won | late)[0]
        seen[np.arange(8), told] += told > 0
        fast = intrinsic_value(teacher.values[told], seen[np.arange(8), told], coefficient=0.1, exponent=3.0)
        slow = stepping.step(told, told, told, won[0])
        assert np.array_equal(fast, slow)
        paid += slow.sum()
        seen[over] = 0
        stepping.reset(over)
        dungeons.restart(over[None])
    assert paid > 0


def test_labels_teach_within_the_budget_and_the_right_goal_only():
    arms = [Arm("retrieval"), Arm("retrieval", goal="traps"), Arm("extrinsic")]
    result = learn(World(levels=2), arms, [100, 101], 2000, 100, Settings(environments=16))
    assert result.success[0].min() > 0.9
    assert result.labels[0].max() <= 200
    assert result.labels[2].max() == 0
    again = learn(World(levels=2), arms, [100, 101], 2000, 100, Settings(environments=16))
    assert np.array_equal(result.success, again.success)


def test_the_proof_returns_every_claim():
    outcomes = RECIPE.proof(100, dungeons=1, long_dungeons=1, steps=400)
    assert set(outcomes) == {claim.name for claim in RECIPE.claims}
    assert all(math.isfinite(entry.method) and math.isfinite(entry.baseline) for entry in outcomes.values())


# ---- in a real environment ---------------------------------------------------------------------------------------------------


def job(url, **changes):
    from rewardlab.recipes.oni.scale import Job

    return Job(
        **{
            "environment": "MiniGrid-DoorKey-5x5-v0",
            "make": "rewardlab.recipes.oni.grids:view_grid",
            "caption": "rewardlab.recipes.oni.grids:view_caption",
            "goal": "pick up the key",
            "endpoint": {"name": "m", "base_url": url},
            "learner": {"type": "ppo", "n_steps": 64, "batch_size": 64, "n_epochs": 1},
            "annotator": {"batch": 8},
            "models": ["retrieval"],
            "environments": 2,
            "steps": 256,
            "seeds": [0],
            "evaluation_episodes": 1,
            **changes,
        }
    )


def test_ppo_in_a_real_environment_gets_labels_from_an_endpoint_and_never_waits(tmp_path):
    from rewardlab.recipes.oni.scale import run

    def helps(body, number):
        caption = body["messages"][0]["content"].split("Message: ")[-1].split("\n")[0]
        return {"content": f"Keys open doors.\nLabel: {'COPPER' if 'key' in caption else 'WILLOW'}"}

    with ChatServer(helps) as server:
        (one,) = run(job(server.url), tmp_path / "a")
    told = one["annotation"]
    assert told["labelled"] > 3
    assert told["failed"] == told["errors"] == 0
    assert 0 < told["positive_rate"] < 1
    assert all("key" in entry["caption"] for entry in told["top"])
    stored = json.loads((tmp_path / "a/retrieval_0/intrinsic.json").read_text())
    assert len(stored["labels"]) == told["labelled"]

    gate = threading.Event()
    with ChatServer(lambda body, number: gate.wait(60) and {"content": ""}) as server:
        (silent,) = run(job(server.url), tmp_path / "b")
        gate.set()
    assert silent["annotation"]["labelled"] == 0
    assert silent["annotation"]["known_share"] == 0.0
    assert silent["steps"] == one["steps"] >= 256
    (plain,) = run(job(None, models=[None]), tmp_path / "c")
    assert plain["steps"] == silent["steps"]


def test_captions_of_a_grid():
    from rewardlab.recipes.oni.grids import view_caption, view_grid

    environment = view_grid("MiniGrid-DoorKey-5x5-v0")
    before, _ = environment.reset(seed=0)
    after = before.copy()
    view = after.reshape(7, 7, 3)
    view[3, 5], view[3, 6] = (4, 4, 2), (5, 0, 0)
    pair = np.stack([before, before]), np.stack([after, before])
    assert view_caption(*pair) == ["You carry a red key and face a locked yellow door.", ""]


def test_the_scale_file_says_what_would_run(tmp_path, capsys):
    from rewardlab.recipes.oni import scale

    scale.main([str(SCALE), "--check"])
    told = capsys.readouterr().out
    assert "4 models x 5 seeds x 2000000 steps" in told
    assert "step onto the green goal square" in told
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(SCALE.read_text().replace("  goal:", "  gaol:"))
    with pytest.raises(ValueError, match="control has no option 'gaol'; did you mean 'goal'"):
        scale.read_job(wrong)
