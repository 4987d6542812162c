"""References of tool calls in every form, BFCL possible answers among them, and what happens when one cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

from rewardlab.parsing import render_tool_calls
from rewardlab.parsing.tool_calls import openai_calls
from rewardlab.rewards.verifiers.tool_calls import ToolCallMatch
from rewardlab.types import Task, Trajectory

Calls = list[tuple[str, dict[str, Any]]]

ONE: Calls = [("a", {"x": 1, "y": 2})]


def reference(calls: Calls) -> list[dict[str, Any]]:
    return [{"name": name, "parameters": arguments} for name, arguments in calls]


def structured(true: Any, given: Calls, **task: Any) -> Trajectory:
    message = {"role": "assistant", "content": None, "tool_calls": openai_calls(given)}
    return Trajectory(observations=[[], []], actions=[message], task=Task(id="t", reference=true, **task))


def written(true: Any, text: str) -> Trajectory:
    message = {"role": "assistant", "content": text}
    return Trajectory(observations=[[], []], actions=[message], task=Task(id="t", reference=true))


@pytest.mark.parametrize(
    "true",
    [
        [{"name": "a", "parameters": {"x": 1, "y": 2}}],
        [{"name": "a", "arguments": {"x": 1, "y": 2}}],
        [{"name": "a", "arguments": '{"x": 1, "y": 2}'}],
        {"name": "a", "parameters": {"x": 1, "y": 2}},
        openai_calls(ONE),
        [{"function": {"name": "a", "arguments": {"x": 1, "y": 2}}}],
        [{"a": {"x": [1], "y": [2, 3], "z": ["", 4]}}],
        {"tool_calls": openai_calls(ONE), "response": "done"},
        "a(x=1, y=2)",
        ["a(x=1, y=2)"],
        [["a(x=1, y=2)"], []],
        "<think>so</think>\n" + render_tool_calls(openai_calls(ONE), "toolrl"),
        render_tool_calls(openai_calls(ONE), "hermes"),
        render_tool_calls(openai_calls(ONE), "llama3"),
    ],
)
def test_references_of_every_kind(true: Any) -> None:
    scores = ToolCallMatch()([structured(true, ONE), structured(true, [("a", {"x": 1, "y": 7})])])
    assert scores.notes is None
    assert scores.values[0] == 1.0
    assert scores.values[1] == pytest.approx(0.75)


@pytest.mark.parametrize(
    "true", [[], {"tool_calls": []}, {"tool_calls": None}, {"response": "Hello."}, "<response>Hi</response>"]
)
def test_references_without_a_call(true: Any) -> None:
    assert list(ToolCallMatch()([written(true, "Hello."), structured(true, ONE)]).values) == [1.0, 0.0]


@pytest.mark.parametrize(
    ("true", "reason"),
    [
        (None, "has no reference"),
        ("42", "holds neither calls nor a <response>"),
        ("<tool_call>{oops}</tool_call>", "cannot be read"),
        (42, "is a int"),
        ([42], "where a call should stand"),
        ([{"parameters": {}}], "has no name"),
        ([{"name": "a", "parameters": None}], "must be an object, got None"),
        ([{"name": "a", "parameters": [1]}], "must be an object"),
        ([{"name": "a", "arguments": "{oops"}], "cannot be read"),
        ([{"name": "a", "arguments": {}, "parameters": {}}], "both parameters and arguments"),
        (["sort('file')"], "by position"),
    ],
)
def test_an_unreadable_reference_is_a_failure_and_never_a_low_score(true: Any, reason: str) -> None:
    scores = ToolCallMatch()(structured(true, ONE))
    assert scores.failed.all()
    assert reason in (scores.note(0) or "")


def test_reference_format_takes_one_reading_only() -> None:
    answers, calls = [{"a": {"x": [1]}}], reference(ONE)
    assert ToolCallMatch(reference_format="bfcl")(structured(calls, ONE)).failed.all()
    assert ToolCallMatch(reference_format="calls")(structured(answers, ONE)).failed.all()
    assert ToolCallMatch(reference_format="bfcl")(structured(answers, [("a", {"x": 1})])).values[0] == 1


def test_reference_from_metadata() -> None:
    reward = ToolCallMatch(reference_key="calls")
    assert reward(structured(None, ONE, metadata={"calls": reference(ONE)})).values[0] == 1
    scores = reward(structured(reference(ONE), ONE, metadata={"other": 1}))
    assert scores.failed.all()
    assert "has the key 'calls'; the metadata has other" in (scores.note(0) or "")


def test_reference_under_a_key_of_the_reference_itself() -> None:
    reward = ToolCallMatch(reference_key="calls")
    assert reward(structured({"answer": "3", "calls": reference(ONE)}, ONE)).values[0] == 1
    assert reward(structured({"answer": "3", "calls": reference(ONE)}, [])).values[0] == 0


def test_reference_in_python_syntax_by_position_with_the_description_of_the_tool() -> None:
    tools = [
        {"type": "function", "function": {"name": "sort", "parameters": {"properties": {"file": {"type": "string"}}}}}
    ]
    trajectory = structured(["sort('a.txt')"], [("sort", {"file": "a.txt"})], tools=tools)
    assert ToolCallMatch()(trajectory).values[0] == 1


# ---- BFCL possible answers ---------------------------------------------------------------------------------------------

ANSWER = [{"book": {"city": ["Paris", "Paris, France"], "nights": [2], "price": [99.5, 100.0], "note": ["", "none"]}}]
BOOKED: dict[str, Any] = {"city": "paris france", "nights": 2, "price": 100}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 1.0),
        ({"note": "None"}, 1.0),
        ({"note": ""}, 1.0),
        ({"note": "late"}, (1 + 3 / 4 + 3) / 5),  # a wrong optional value counts as one parameter too many
        ({"other": 1}, (1 + 3 / 4 + 3) / 5),
        ({"city": "Rome"}, 4 / 5),
        ({"nights": 2.0}, 4 / 5),  # a float where an integer is meant
        ({"nights": True}, 4 / 5),
        ({"price": "100"}, 4 / 5),
    ],
)
def test_possible_answers(changes: dict[str, Any], expected: float) -> None:
    scores = ToolCallMatch(compare="bfcl")(structured(ANSWER, [("book", {**BOOKED, **changes})]))
    assert scores.values[0] == pytest.approx(expected)
    assert scores.parts["exact"].values[0] == (expected == 1.0)


def test_a_declared_float_takes_whole_numbers_both_ways() -> None:
    tools = [{"name": "f", "parameters": {"properties": {"x": {"type": "float"}}}}]
    for given_value in (0, 0.0):
        assert (
            ToolCallMatch(compare="bfcl")(
                structured([{"f": {"x": [0]}}], [("f", {"x": given_value})], tools=tools)
            ).values[0]
            == 1
        )


@pytest.mark.parametrize(
    ("options", "given", "right"),
    [
        ([{"a": [1, 2], "b": ["", 3]}], {"a": 2}, True),
        ([{"a": [1, 2], "b": ["", 3]}], {"a": 2, "b": 3}, True),
        ([{"a": [1, 2], "b": ["", 3]}], {"a": 2, "b": 4}, False),
        ([{"a": [1, 2], "b": ["", 3]}], {"b": 3}, False),
        ([{"a": [1]}], {"a": 1, "c": 1}, False),
        ([{"a": [{"b": [1]}]}], {"a": {"b": 1}}, True),
        ([{"format": "epoch_millis"}], {"format": "epoch_millis"}, True),
        ([[{"n": ["x"]}, {"n": ["y"]}]], [{"n": "X"}, {"n": "y"}], True),
        ([[{"n": ["x"]}, {"n": ["y"]}]], [{"n": "x"}], False),
        ([["a", "b"], ["b", "a"]], ["b", "a"], True),
        ([["a", "b"]], ["b", "a"], False),
        ([], [], True),
        ([], "x", False),
        ([None], None, True),
        ([[]], [], True),
    ],
)
def test_nested_acceptable_values(options: list[Any], given: Any, right: bool) -> None:
    scores = ToolCallMatch(compare="bfcl")(structured([{"f": {"x": options}}], [("f", {"x": given})]))
    assert (scores.values[0] == 1.0) == right
