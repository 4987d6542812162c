"""Environments that people use elsewhere, run for real."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from rewardlab.environments import ENVIRONMENTS, GymnasiumText, MiniGridText, TaskSource, TextWorldGame, play
from rewardlab.environments.spoken import describe_value, read_choice, read_numbers, spoken_action
from rewardlab.extras import MissingExtra
from rewardlab.types import Task

HOSTILE = ["", " \n", "dance", "-1", "99999999999999999999", "1e999", "NaN", "[" * 50, "\x00", "x" * 5000, "؁٣", "0; 1"]


def say(text):
    return {"role": "assistant", "content": text}


def lake(**options):
    return GymnasiumText(
        "FrozenLake-v1",
        options={"render_mode": "ansi", **options},
        action_names=["left", "down", "right", "up"],
    )


@pytest.fixture(scope="module")
def games(tmp_path_factory):
    return TextWorldGame(rooms=2, objects=2, quest_length=2, folder=tmp_path_factory.mktemp("games"))


# ---- what all have in common ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gymnasium", "minigrid", "textworld"])
def test_names_stand_for_worlds_with_tasks_that_never_overlap(name, games):
    world = games if name == "textworld" else ENVIRONMENTS.resolve(name)()
    assert isinstance(world, TaskSource)
    seeds = {split: set() for split in ("train", "test")}
    for split, found in seeds.items():
        for seed in (0, 1, 7):
            tasks = world.tasks(split, 6, seed)
            assert [task.id for task in tasks[:3]] == [task.id for task in world.tasks(split, 3, seed)]
            assert len({task.id for task in tasks}) == 6
            found.update(task.metadata["seed"] for task in tasks)
            json.dumps([task.metadata for task in tasks])
    assert not seeds["train"] & seeds["test"]
    assert len(seeds["train"]) == 18
    with pytest.raises(RuntimeError, match="call reset"):
        ENVIRONMENTS.resolve(name)().step(say("0"))
    with pytest.raises(ValueError, match=r"metadata\['seed'\] of task 'x' must be a whole number"):
        world.reset(Task(id="x", metadata={"seed": "3"}), 0)


@pytest.mark.parametrize("name", ["gymnasium", "minigrid", "textworld"])
def test_what_cannot_be_read_is_answered_with_what_can(name, games):
    world = {"gymnasium": lake, "minigrid": MiniGridText, "textworld": lambda: games}[name]()
    first = {"gymnasium": "left", "minigrid": "turn left", "textworld": "look"}[name]
    world.reset(world.tasks("train", 1)[0], 0)
    for text in HOSTILE:
        step = world.step(say(text))
        answer = step.observation[0]["content"]
        assert answer.startswith("Error: ")
        assert first in answer
        assert len(answer) < 1000
        assert not step.ended
        assert step.reward == 0  # the game paid nothing, which is not the same as no reward
        assert step.info["refused"]
    assert not world.step(say(f"I think so.\nAction: `{first.upper()}`\n")).info["refused"]
    assert world.step({"role": "assistant", "content": None, "tool_calls": [{}]}).info["refused"]


@pytest.mark.parametrize(
    ("name", "package"), [("gymnasium", "gymnasium"), ("minigrid", "minigrid"), ("textworld", "textworld")]
)
def test_a_missing_package_is_named_with_its_extra(name, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)  # what importing it raises then is what a missing package raises
    extra = "gym" if name == "gymnasium" else "worlds"
    with pytest.raises(MissingExtra, match=rf'pip install "rewardlab\[{extra}\]"'):
        ENVIRONMENTS.resolve(name)()


# ---- Gymnasium --------------------------------------------------------------------------------------------------------


def test_frozen_lake_is_walked_in_words():
    world = lake(is_slippery=False)
    words = iter(["down", "Action: down", "right", "2", "down", "right"])
    trajectory = play(world, world.tasks("test", 1)[0], lambda _: say(next(words)))
    assert trajectory.terminated
    assert trajectory.rewards.tolist() == [0, 0, 0, 0, 0, 1]
    assert trajectory.info == {"refused": False, "score": 1.0, "actions": 6}
    opening = trajectory.observations[0]
    assert opening[0]["content"].endswith("The actions are: left, down, right, up.")
    assert opening[1]["content"].splitlines()[0] == "[S]FFF"
    with pytest.raises(RuntimeError, match="call reset"):
        world.step(say("left"))


def test_the_task_says_where_it_begins_and_the_attempt_how_chance_falls():
    world = GymnasiumText("CartPole-v1")
    first, second = world.tasks("train", 2)
    assert world.reset(first, 0) == world.reset(first, 5)
    assert world.reset(first, 0) != world.reset(second, 0)
    slippery = lake()

    def path(seed):
        words = iter(["right", "down", "right", "down", "right", "down", "right", "down"])
        walked = play(slippery, slippery.tasks("train", 1)[0], lambda _: say(next(words)), seed=seed, max_steps=8)
        return [message["content"] for message in walked.messages]

    assert path(3) == path(3)
    assert len({tuple(path(seed)) for seed in range(6)}) > 1


def _spaces():
    import gymnasium
    from gymnasium import spaces

    class Any(gymnasium.Env):
        metadata = {"render_modes": []}

        def __init__(self, action, observation):
            self.action_space, self.observation_space = action, observation

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.observation_space.seed(seed)
            return self.observation_space.sample(), {}

        def step(self, action):
            assert self.action_space.contains(action)
            return self.observation_space.sample(), 1.0, False, False, {}

    return spaces, Any


@pytest.mark.parametrize(
    ("make", "good", "bad"),
    [
        (lambda s: s.Discrete(3, start=5), ["5", "7"], ["8", "4", "5 6"]),
        (lambda s: s.Text(5, min_length=1, charset="abc"), ["abc", "a"], ["abcd!", "aaaaaa"]),
        (lambda s: s.MultiDiscrete([2, 3]), ["1 2", "[0, 0]", "(1;1)"], ["2 0", "1", "1 2 0", "0.5 1"]),
        (lambda s: s.MultiBinary(2), ["0 1"], ["0 2", "1"]),
        (lambda s: s.Box(-1.0, 1.0, (2,), np.float32), ["0.5 -1", "[1e-3, .25]"], ["0 2", "a b", "inf 0", "0"]),
    ],
)
def test_actions_of_every_small_space(make, good, bad):
    spaces, Any = _spaces()
    world = GymnasiumText(lambda: Any(make(spaces), spaces.Discrete(3)), max_steps=100)
    world.reset(Task(id="x"), 4)
    for text in good:
        assert world.step(say(text)).reward == 1.0
    for text in bad:
        step = world.step(say(text))
        assert "is no action. The actions are: " in step.observation[0]["content"]
        assert step.reward == 0
    demonstration = world.demonstrations(world.tasks("train", 1))[0]
    assert len(demonstration) == 100
    assert demonstration.truncated
    assert (demonstration.rewards == 1.0).all()  # what demonstrations write is what is read


def test_spaces_that_are_no_text_are_refused():
    spaces, Any = _spaces()
    with pytest.raises(ValueError, match="cannot be written as text; Discrete, Text"):
        GymnasiumText(lambda: Any(spaces.Box(0, 1, (3, 3)), spaces.Discrete(2)))
    image = spaces.Box(0, 255, (32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match="an observation of 3072 numbers cannot be read as text; give describe="):
        GymnasiumText(lambda: Any(spaces.Discrete(2), image))
    seen = GymnasiumText(lambda: Any(spaces.Discrete(2), image), describe=lambda array: f"mean {array.mean():.0f}")
    assert seen.reset(Task(id="x"), 1)[1]["content"].startswith("mean 1")
    with pytest.raises(ValueError, match="action_names must be 2 different names"):
        GymnasiumText(lambda: Any(spaces.Discrete(2), spaces.Discrete(2)), action_names=["a", "A"])
    with pytest.raises(ValueError, match="Gymnasium cannot make 'FrozenLak-v1'"):
        GymnasiumText("FrozenLak-v1")
    with pytest.raises(TypeError, match="one object would be shared by all attempts"):
        GymnasiumText(Any(spaces.Discrete(2), spaces.Discrete(2)))


def test_a_policy_can_be_supplied():
    spaces, Any = _spaces()
    world = GymnasiumText(
        lambda: Any(spaces.Discrete(4), spaces.Discrete(4)), demonstrate=lambda seen, chance: seen, max_steps=5
    )
    demonstration = world.demonstrations(world.tasks("test", 1))[0]
    seen = [messages[-1]["content"] for messages in demonstration.observations[:-1]]
    assert [action["content"] for action in demonstration.actions] == seen


def test_words():
    assert describe_value({"a": (1, np.float32(0.123456)), "b": "text"}) == "a: 1, 0.1235\nb: text"
    assert spoken_action(say('think\n**Action**: "go"\n\n')) == "go"
    assert read_choice("1", ["a", "b"]) == 1
    assert read_choice("1", ["1", "0"]) == 0
    assert read_numbers("1, 2", 3) is None


# ---- MiniGrid and BabyAI ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "level",
    [
        "BabyAI-GoToObj-v0",
        "BabyAI-PutNextLocal-v0",
        "BabyAI-UnlockPickup-v0",
        "MiniGrid-DoorKey-5x5-v0",
        "MiniGrid-FourRooms-v0",
    ],
)
def test_scripts_solve_levels(level, capsys):
    world = MiniGridText(level)
    tasks = [*world.tasks("train", 4), *world.tasks("test", 2)]
    demonstrations = world.demonstrations(tasks)
    assert all(one.terminated and one.info["success"] for one in demonstrations)
    assert all(0 < one.rewards[-1] <= 1 for one in demonstrations)
    assert demonstrations[0] == world.demonstrations(tasks)[0]
    assert [one.observations[0] for one in demonstrations] == [task.prompt for task in tasks]
    assert capsys.readouterr().out == ""


def test_no_layout_is_in_both_splits():
    world = MiniGridText("MiniGrid-DoorKey-5x5-v0")
    looks = {}
    for split in ("train", "test"):
        for task in world.tasks(split, 40):
            world.reset(task, 0)
            looks.setdefault(world._state(), set()).add(split)
    assert all(len(splits) == 1 for splits in looks.values())
    assert len(looks) > 20
    with pytest.raises(ValueError, match="too few layouts to split"):
        MiniGridText("MiniGrid-Empty-5x5-v0").tasks("test", 1)


def test_what_is_seen_is_said():
    world = MiniGridText("MiniGrid-DoorKey-5x5-v0")
    demonstration = world.demonstrations(world.tasks("train", 1))[0]
    said = "\n".join(message["content"] for message in demonstration.messages)
    for phrase in (
        "Mission: use the key",
        "a yellow key",
        "a locked yellow door",
        "an open yellow door",
        "You carry a yellow key",
        "a goal",
    ):
        assert phrase in said
    world.reset(world.tasks("train", 1)[0], 0)
    assert world.step(say("drop")).observation[0]["content"].startswith("Nothing happened. ")
    short = MiniGridText("BabyAI-GoToObj-v0", max_steps=2)
    short.reset(short.tasks("train", 1)[0], 0)
    assert not short.step(say("x")).ended
    last = short.step(say("toggle"))
    assert last.truncated
    assert last.info == {"refused": False, "success": False, "actions": 2}


def test_levels_that_there_are_not():
    with pytest.raises(ValueError, match="there is no level 'BabyAI-GoTo0bj-v0'"):
        MiniGridText("BabyAI-GoTo0bj-v0")
    with pytest.raises(ValueError, match="level must be a name such as BabyAI-GoToObj-v0"):
        MiniGridText("CartPole-v1")
    world = MiniGridText("MiniGrid-PutNear-6x6-N2-v0")
    with pytest.raises(ValueError, match="no goal that can be reached by walking"):
        world.demonstrations(world.tasks("train", 1))


# ---- TextWorld --------------------------------------------------------------------------------------------------------


def test_walkthroughs_win_games(games):
    tasks = games.tasks("train", 2)
    demonstrations = games.demonstrations(tasks)
    for one in demonstrations:
        assert one.terminated
        assert one.info == {"refused": False, "success": True, "score": 1.0, "actions": 2}
        assert one.rewards.tolist() == [0.0, 1.0]
        assert "You can: " in one.observations[0][1]["content"]
        assert "RESTART" not in one.observations[-1][0]["content"]
    assert games.demonstrations(tasks) == demonstrations
    assert all(games.game_file(task.metadata["seed"]).exists() for task in tasks)


def test_commands_for_the_interpreter_are_refused(games):
    games.reset(games.tasks("train", 1)[0], 0)
    for text in ("quit", "save", "restart", "undo", "tw-print location", "look. restart", "look then quit", "look\x00"):
        assert games.step(say(text)).info["refused"], text
    assert "see any such thing" in games.step(say("take the moon")).observation[0]["content"]


def test_games_end_at_the_limit(games):
    short = TextWorldGame(rooms=2, objects=2, quest_length=2, folder=games.folder, max_steps=1, show_commands=False)
    short.reset(games.tasks("train", 1)[0], 0)
    step = short.step(say("look"))
    assert step.truncated
    assert not step.info["success"]
    assert "You can" not in step.observation[0]["content"]
    short.close()
    with pytest.raises(ValueError, match="rooms must be a whole number of at least 1, got 0"):
        TextWorldGame(rooms=0)


@pytest.mark.parametrize("name", ["gymnasium", "minigrid"])
def test_a_training_starts_from_a_name(name, tmp_path):
    from rewardlab.config import load_config
    from rewardlab.config.run import run

    path = tmp_path / "train.yaml"
    path.write_text(
        f"environment: {{type: {name}, max_steps: 4}}\noutput: {tmp_path / 'run'}\n"
        "policy: {type: tiny, hidden: 16, layers: 1}\ntasks: {train: 4, test: 2}\nreward: environment_return\n"
        "training: {steps: 1, tasks_per_step: 2, group_size: 2}\nsampling: {max_new_tokens: 4}\nlimits: {turns: 2}\n"
        "keep: {trackers: []}\n"
    )
    outcome = run(load_config(path), progress_bar=False)
    assert outcome.steps == 1
    assert outcome.evaluations[-1]["samples/scored"] == 2
