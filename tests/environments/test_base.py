from __future__ import annotations

import functools
import math
import subprocess
import sys

import pytest

from rewardlab.environments import ENVIRONMENTS, Environment, Step, TaskSource, play
from rewardlab.environments.single_turn import SingleTurn
from rewardlab.environments.tool_desk import ToolDesk
from rewardlab.registry import UnknownName
from rewardlab.types import Message, Task, message_text


class Guess(Environment):
    def reset(self, task: Task, seed: int) -> list[Message]:
        self.secret = task.metadata["secret"]
        return list(task.prompt or [])

    def step(self, action: Message) -> Step:
        number = int(message_text(action))
        if number == self.secret:
            return Step(reward=1.0, terminated=True, info={"found": True})
        return Step(observation=[{"role": "user", "content": "higher" if number < self.secret else "lower"}])


def guess_task() -> Task:
    return Task(id="g", prompt=[{"role": "user", "content": "Guess."}], metadata={"secret": 3})


def counting() -> object:
    count = 0

    def act(conversation: list[Message]) -> Message:
        nonlocal count
        count += 1
        return {"role": "assistant", "content": str(count)}

    return act


def test_play_records_what_happened() -> None:
    trajectory = play(Guess(), guess_task(), counting())
    assert trajectory.terminated
    assert not trajectory.truncated
    assert [message["content"] for message in trajectory.messages] == ["Guess.", "1", "higher", "2", "higher", "3"]
    assert trajectory.info == {"found": True}
    assert math.isnan(trajectory.rewards[0])
    assert trajectory.rewards[2] == 1.0
    assert trajectory.task == guess_task()


def test_play_stops_at_its_limit() -> None:
    trajectory = play(Guess(), guess_task(), counting(), max_steps=2)
    assert len(trajectory) == 2
    assert trajectory.truncated
    assert not trajectory.terminated


def test_a_step_that_pays_nothing_says_so() -> None:
    assert math.isnan(Step().reward)
    assert not Step().ended
    assert Step(truncated=True).ended


def test_single_turn_ends_with_the_first_reply() -> None:
    environment = SingleTurn()
    trajectory = play(environment, guess_task(), lambda conversation: {"role": "assistant", "content": ""})
    assert trajectory.terminated
    assert len(trajectory) == 1
    with pytest.raises(RuntimeError, match="call reset first"):
        environment.step({"role": "assistant", "content": "again"})
    with pytest.raises(ValueError, match="'bare' has no prompt"):
        environment.reset(Task(id="bare"), seed=0)


def test_registry_names_give_environments() -> None:
    factory = functools.partial(ENVIRONMENTS.resolve("tool_desk"), level="full")
    assert isinstance(factory(), Environment)
    assert isinstance(factory(), TaskSource)
    assert not isinstance(ENVIRONMENTS.resolve("single_turn")(), TaskSource)
    assert ENVIRONMENTS.resolve("tool_desk") is ToolDesk
    with pytest.raises(UnknownName, match="did you mean 'tool_desk'"):
        ENVIRONMENTS.resolve("tooldesk")


def test_the_room_loads_without_torch_or_pydantic() -> None:
    script = "import sys, rewardlab.environments as e; list(e.ENVIRONMENTS); e.Step; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "pydantic"} & set(loaded)
    script = "import sys, rewardlab.environments.tool_desk; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers"} & set(loaded)
