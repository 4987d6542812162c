from __future__ import annotations

import json
from typing import Any

import pytest

from rewardlab.environments.tool_environment import EMPTY_REPLY, ToolEnvironment
from rewardlab.environments.tools import Toolbox
from rewardlab.types import Message, Task


def double(number: int) -> str:
    """Double a number."""
    if number == 13:
        raise ZeroDivisionError("thirteen")
    return str(2 * number)


def call(name: str, arguments: Any, identity: str = "a") -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": text}}


def action(*calls: Any, content: str = "") -> Message:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


@pytest.fixture
def environment() -> ToolEnvironment:
    environment = ToolEnvironment(Toolbox([double]), max_calls=3)
    environment.reset(Task(id="t", prompt=[{"role": "user", "content": "?"}]), seed=0)
    return environment


def test_calls_are_answered_and_text_ends_the_attempt(environment: ToolEnvironment) -> None:
    step = environment.step(action(call("double", {"number": 4})))
    assert step.observation == [{"role": "tool", "content": "8", "name": "double", "tool_call_id": "a"}]
    assert not step.ended
    step = environment.step({"role": "assistant", "content": "8"})
    assert step.terminated
    assert step.observation == []
    assert step.info == {"calls": 1, "call_errors": 0}


def test_several_calls_at_once_are_answered_in_order(environment: ToolEnvironment) -> None:
    step = environment.step(
        action(call("double", {"number": 1}, "a"), call("double", {"number": 2}, "b"), content="both")
    )
    assert [(message["tool_call_id"], message["content"]) for message in step.observation] == [("a", "2"), ("b", "4")]


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        (call("triple", {"number": 1}), "there is no tool 'triple'"),
        (call("double", "{number: 1}"), "are not JSON"),
        (call("double", "[1]"), "must be a JSON object"),
        (call("double", {}), "missing parameter 'number' (integer)"),
        (call("double", {"number": "1"}), "should be a valid integer"),
        (call("double", {"number": 1, "times": 2}), "unknown parameter 'times'"),
        (call("double", {"number": 13}), "double failed: ZeroDivisionError: thirteen"),
        ({"function": {"name": "double", "arguments": None}}, "missing parameter"),
        ({"id": 3}, "the call has no tool name"),
        ("double(1)", "the call has no tool name"),
    ],
)
def test_a_malformed_call_is_answered_and_the_attempt_goes_on(
    environment: ToolEnvironment, given: Any, answer: str
) -> None:
    step = environment.step(action(given))
    (message,) = step.observation
    assert message["role"] == "tool"
    assert message["content"].startswith("Error: ")
    assert answer in message["content"]
    assert not step.ended
    assert environment.step({"role": "assistant", "content": "x"}).info == {"calls": 1, "call_errors": 1}


def test_arguments_may_be_a_mapping(environment: ToolEnvironment) -> None:
    step = environment.step(action({"function": {"name": "double", "arguments": {"number": 2}}}))
    assert step.observation[0]["content"] == "4"
    assert step.observation[0]["tool_call_id"] == "call_1"


def test_a_tool_that_breaks_is_kept_for_the_user_to_see(environment: ToolEnvironment) -> None:
    step = environment.step(action(call("double", {"number": 13}), call("double", {"number": 1})))
    assert step.info["tool_defects"] == ["double: ZeroDivisionError: thirteen"]
    assert step.observation[1]["content"] == "2"


@pytest.mark.parametrize("content", ["", "  \n", None, []])
def test_an_empty_reply_is_answered_and_cannot_go_on_for_ever(environment: ToolEnvironment, content: Any) -> None:
    empty = {"role": "assistant", "content": content, "tool_calls": []}
    for _ in range(3):
        step = environment.step(empty)
        assert step.observation == [{"role": "user", "content": EMPTY_REPLY}]
        assert not step.ended
    assert environment.step(empty).truncated


def test_the_answer_may_follow_the_last_call(environment: ToolEnvironment) -> None:
    for _ in range(3):
        assert not environment.step(action(call("double", {"number": 1}))).ended
    assert environment.step({"role": "assistant", "content": "2"}).terminated


def test_a_call_too_many_is_not_run(environment: ToolEnvironment) -> None:
    environment.step(action(call("double", {"number": 1}), call("double", {"number": 1})))
    step = environment.step(action(call("double", {"number": 1}), call("double", {"number": 13})))
    assert step.truncated
    assert not step.terminated
    assert [message["content"] for message in step.observation] == ["2"]
    assert step.info == {"calls": 3, "call_errors": 0}


def test_no_step_without_an_attempt(environment: ToolEnvironment) -> None:
    with pytest.raises(RuntimeError, match=r"no attempt was begun; call reset"):
        ToolEnvironment(Toolbox([double])).step({"role": "assistant", "content": "x"})
    environment.step({"role": "assistant", "content": "x"})
    with pytest.raises(RuntimeError, match="the attempt at task 't' has ended; call reset"):
        environment.step({"role": "assistant", "content": "x"})


@pytest.mark.parametrize(
    "wrong", [{"role": "user", "content": "x"}, {"content": "x"}, "x", {"role": "assistant", "content": 3}]
)
def test_what_is_no_assistant_message_is_the_callers_fault(environment: ToolEnvironment, wrong: Any) -> None:
    with pytest.raises(ValueError, match="the action"):
        environment.step(wrong)


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="max_calls must be a whole number of at least 1, got 0"):
        ToolEnvironment(Toolbox([double]), max_calls=0)
    with pytest.raises(ValueError, match="made without a toolbox"):
        ToolEnvironment().reset(Task(id="t", prompt=[{"role": "user", "content": "?"}]), seed=0)
    with pytest.raises(ValueError, match="'t' has no prompt"):
        ToolEnvironment(Toolbox([double])).reset(Task(id="t"), seed=0)
    assert len(ToolEnvironment(Toolbox([double])).tools) == 1
    assert len(ToolEnvironment(Toolbox([double]), show_tools=False).tools) == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('<tool_call>{"name": "double", "arguments": {"number": }}</tool_call>', "not JSON"),
        ('<tool_call>{"name": "double"', "never closed"),
        ("I try <tool_call>double(1)</tool_call>", "not JSON"),
        ('{"name": "double", "arguments": 3}', "must be an object"),
    ],
)
def test_a_call_that_cannot_be_parsed_is_answered(environment: ToolEnvironment, text: str, reason: str) -> None:
    message = {"role": "assistant", "content": text}
    step = environment.step(message)
    (answer,) = step.observation
    assert answer["role"] == "user"
    assert answer["content"].startswith("Error: your tool call cannot be read: ")
    assert reason in answer["content"]
    assert not step.ended
    while not step.ended:
        step = environment.step(message)
    assert step.truncated
    assert step.info["call_errors"] == step.info["calls"] == environment.max_calls + 1


def test_a_call_that_cannot_be_parsed_may_be_the_answer() -> None:
    environment = ToolEnvironment(Toolbox([]), answer_unreadable=False)
    environment.reset(Task(id="x", prompt=[{"role": "user", "content": "go"}]), 0)
    assert environment.step({"role": "assistant", "content": '<tool_call>{"name'}).terminated
