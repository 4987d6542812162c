"""Our environments in TRL's tool loop."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from transformers.utils import get_json_schema
from trl import GRPOConfig, GRPOTrainer

import rewardlab as rl
from rewardlab.environments.tool_desk.reward import ToolDeskSuccess
from rewardlab.integrations.trl import dataset, environment_factory, reward_functions
from rewardlab.integrations.trl.environments import TASK_COLUMN, read_task
from rewardlab.types import message_text
from tests.integrations import trainers

DESK = partial(rl.ToolDesk, level="small", show_tools=True)


@pytest.fixture(scope="module")
def tasks():
    return DESK().tasks("train", 4, seed=0)


def act(attempt, actions):
    """What TRL's loop does with the messages that a model wrote; returns the completion."""
    completion = []
    for action in actions:
        completion.append(action)
        for call in action.get("tool_calls") or ():
            name, arguments = rl.types.call_arguments(call)
            try:
                result = getattr(attempt, name)(**arguments)
            except AttributeError as error:
                result = str({"error": str(error)})
            completion.append({"role": "tool", "name": name, "content": result})
    return completion


def score(reward, attempts, rows, completions):
    (function,) = reward_functions(reward)
    columns = {name: [row[name] for row in rows] for name in rows[0] if name != "prompt"}
    return function(
        prompts=[row["prompt"] for row in rows],
        completions=completions,
        completion_ids=[[1]] * len(rows),
        environments=attempts,
        **columns,
    )


def test_tasks_come_back_as_they_were(tasks):
    rows = dataset(tasks, DESK)
    assert [read_task(text) for text in rows[TASK_COLUMN]] == tasks
    for row, task in zip(rows, tasks, strict=True):
        assert row["prompt"] == [{"role": m["role"], "content": message_text(m)} for m in DESK().reset(task, 0)]


def test_methods_describe_the_tools(tasks):
    attempt = environment_factory(DESK)()
    for schema in DESK().tools:
        wanted = schema["function"]
        made = get_json_schema(getattr(attempt, wanted["name"]))["function"]
        assert made["name"] == wanted["name"]
        assert made["description"] == wanted["description"]
        theirs, ours = made["parameters"], wanted["parameters"]
        assert list(theirs["properties"]) == list(ours["properties"])
        assert set(theirs.get("required", [])) == set(ours.get("required", []))
        for name, parameter in ours["properties"].items():
            assert theirs["properties"][name].get("type") == parameter.get("type"), (wanted["name"], name)
            if "description" in parameter:
                assert theirs["properties"][name]["description"] == parameter["description"]


def test_demonstrations_win_and_the_environment_hears_the_answer(tasks):
    seen = []

    @rl.reward
    def watch(trajectory):
        seen.append(trajectory)
        return 0.0

    rows = list(dataset(tasks, DESK))
    factory = environment_factory(DESK)
    attempts = [factory() for _ in tasks]
    for attempt, row in zip(attempts, rows, strict=True):
        attempt.reset(**row)
    demonstrations = DESK().demonstrations(tasks)
    completions = [act(attempt, show.actions) for attempt, show in zip(attempts, demonstrations, strict=True)]
    assert score(ToolDeskSuccess() + watch, attempts, rows, completions) == [1.0] * 4
    for trajectory, show in zip(seen, demonstrations, strict=True):
        assert trajectory.info["success"] == show.info["success"]
        assert trajectory.info["calls"] == show.info["calls"]
        assert trajectory.terminated
        assert [message_text(m) for m in trajectory.messages] == [message_text(m) for m in show.messages]
    # used again, as TRL does: the last attempt leaves nothing behind
    attempts[0].reset(**rows[0])
    wrong = act(attempts[0], [{"role": "assistant", "content": "no idea"}])
    assert score(ToolDeskSuccess(), attempts[:1], rows[:1], [wrong]) == [0.0]


def test_calls_after_the_end_and_attempts_without_an_answer(tasks):
    (row,) = list(dataset(tasks[:1], DESK))
    attempt = environment_factory(partial(DESK, max_calls=1))()
    attempt.reset(**row)
    call = DESK().demonstrations(tasks[:1])[0].actions[0]
    completion = act(attempt, [call, call, call])
    assert completion[-1]["content"] == "Error: the attempt has ended."
    assert score(ToolDeskSuccess(), [attempt], [row], [completion]) == [0.0]


class Paying(rl.Environment):
    """Pays for every call, and breaks on demand."""

    tools = (
        {
            "type": "function",
            "function": {
                "name": "dig",
                "description": "Dig.",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "depth": {"type": "integer"},
                        "tool": {"enum": ["spade", "hand"]},
                        "places": {"type": "array", "items": {"type": "string"}},
                    },
                    "required": ["depth"],
                },
            },
        },
    )

    def reset(self, task, seed):
        return list(task.prompt)

    def step(self, action):
        if not action.get("tool_calls"):
            return rl.environments.Step(terminated=True, reward=10.0, info={"seed": 1})
        _, arguments = rl.types.call_arguments(action["tool_calls"][0])
        if arguments.get("depth") == 13:
            raise RuntimeError("the spade broke")
        return rl.environments.Step(
            observation=[{"role": "tool", "content": json.dumps(arguments)}], reward=float(arguments["depth"])
        )


def dig(*depths):
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"type": "function", "function": {"name": "dig", "arguments": {"depth": depth}}} for depth in depths
        ],
    }


def test_what_the_environment_pays_is_in_the_trajectory_and_a_broken_one_fails():
    rows = list(dataset([rl.Task(id=str(i), prompt=[{"role": "user", "content": "dig"}]) for i in range(3)]))
    factory = environment_factory(Paying)
    assert get_json_schema(factory().dig)["function"]["parameters"]["properties"]["tool"]["enum"] == ["spade", "hand"]
    attempts = [factory() for _ in rows]
    for attempt, row in zip(attempts, rows, strict=True):
        attempt.reset(**row)
    answer = {"role": "assistant", "content": "done"}
    unknown = {"type": "function", "function": {"name": "fill", "arguments": {}}}
    confused = {**dig(5), "tool_calls": [unknown, *dig(5)["tool_calls"]]}
    completions = [
        act(attempts[0], [dig(1, 2), dig(4), answer]),
        act(attempts[1], [dig(1), dig(13), answer]),
        act(attempts[2], [confused, answer]),
    ]
    assert completions[1][3]["content"] == "Error: the attempt has ended."
    assert score(rl.EnvironmentReturn(), attempts, rows, completions) == [17.0, None, 15.0]


def test_wrong_use():
    class Silent(Paying):
        tools = ()

    class Clash(Paying):
        tools = ({"type": "function", "function": {"name": "reset", "parameters": {}}},)

    class Other(Paying):
        def reset(self, task, seed):
            return [{"role": "user", "content": "something else"}]

    with pytest.raises(ValueError, match="shows no tools"):
        environment_factory(Silent)
    with pytest.raises(ValueError, match="'reset', which TRL takes for its own"):
        environment_factory(Clash)
    with pytest.raises(ValueError, match=r"no column 'rewardlab_task'"):
        environment_factory(Paying)().reset(prompt=[{"role": "user", "content": "dig"}])
    task = rl.Task(id="t", prompt=[{"role": "user", "content": "dig"}])
    with pytest.raises(ValueError, match="opens task 't' with other messages"):
        environment_factory(Other)().reset(**dataset([task])[0])
    with pytest.raises(ValueError, match="task 't' has no prompt"):
        dataset([rl.Task(id="t")])
    with pytest.raises(ValueError, match="task 't' cannot be written as JSON"):
        dataset([rl.Task(id="t", prompt=task.prompt, metadata={"x": np.nan})])


def test_the_tool_desk_in_the_real_trainer(tmp_path, tasks):
    chosen = tasks[:2]
    policy = trainers.tiny([show.messages for show in DESK().demonstrations(chosen)], hidden=64, layers=2, context=512)
    policy.tokenizer.response_template = trainers.RESPONSE_TEMPLATE
    assert trainers.memorise(policy, DESK().demonstrations(chosen), steps=100, rate=5e-3) < 0.05
    trainer = trainers.run(
        GRPOTrainer,
        GRPOConfig,
        tmp_path,
        reward_functions(ToolDeskSuccess()),
        dataset(chosen, DESK),
        policy,
        extra={"environment_factory": environment_factory(DESK)},
        max_completion_length=300,
        temperature=0.1,
        max_steps=1,
    )
    entry = trainer.state.log_history[0]
    assert entry["rewards/reward/mean"] > 0.7, entry
    assert entry["rewards/calls_ok/mean"] > 0.7, entry
    assert entry["rewards/reward/failed"] == 0
