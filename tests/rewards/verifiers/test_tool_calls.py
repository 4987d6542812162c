"""Tool calls scored: the paper's numbers worked out by hand, references of every kind, and text that tries to get round it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.parsing import render_tool_calls
from rewardlab.parsing.tool_calls import openai_calls
from rewardlab.rewards.spec import from_spec, to_spec
from rewardlab.rewards.verifiers.tool_calls import ToolCallMatch
from rewardlab.types import Scores, Task, Trajectory

Calls = list[tuple[str, dict[str, Any]]]

PAPER = ToolCallMatch.toolrl()
ONE: Calls = [("a", {"x": 1, "y": 2})]
TWO: Calls = [("a", {"x": 1}), ("b", {"y": 2})]
TRAP: Calls = [("a", {"x": 1}), ("a", {"x": 1, "y": 2})]


def reference(calls: Calls) -> list[dict[str, Any]]:
    return [{"name": name, "parameters": arguments} for name, arguments in calls]


def structured(true: Any, given: Calls, **task: Any) -> Trajectory:
    message = {"role": "assistant", "content": None, "tool_calls": openai_calls(given)}
    return Trajectory(observations=[[], []], actions=[message], task=Task(id="t", reference=true, **task))


def written(true: Any, text: str, **task: Any) -> Trajectory:
    message = {"role": "assistant", "content": text}
    return Trajectory(observations=[[], []], actions=[message], task=Task(id="t", reference=true, **task))


def value(reward: ToolCallMatch, true: Calls, given: Calls) -> float:
    scores = reward(structured(reference(true), given))
    assert scores.scored.all(), scores.notes
    return float(scores.values[0])


def parts(scores: Scores) -> dict[str, float]:
    return {name: float(part.values[0]) for name, part in scores.parts.items()}


# ---- the numbers of the paper's rule -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("true", "given", "expected"),
    [
        (ONE, ONE, 3),
        (ONE, [("a", {"x": 1, "y": 3})], 1.5),
        (ONE, [("a", {"x": 1})], 0.75),
        (ONE, [("a", {"x": 1, "y": 2, "z": 3})], 2.5),
        (ONE, [("a", {"y": 2, "x": 1})], 3),
        (ONE, [("b", {"x": 1, "y": 2})], -3),
        (ONE, ONE * 2, 2.25),
        (ONE, [("a", {"x": "1", "y": 2})], 1.5),
        (ONE, [], -3),
        (ONE, [("a", {"x": True, "y": 2.0})], 3),  # the repository compares with Python's ==
        (TWO, TWO[::-1], 3),
        (TWO, TWO[:1], 0),
        (TWO, [*TWO, ("c", {"z": 1})], 2.6),
        ([("a", {})], [("a", {"x": 1})], 0),
        ([("a", {})], [("a", {})], 3),
        ([], [], 0),
        ([], ONE, 0),
        (TRAP, [("a", {"x": 1, "y": 2}), ("a", {"y": 9, "w": 1})], -1 / 6),
    ],
)
def test_paper_numbers(true: Calls, given: Calls, expected: float) -> None:
    assert value(PAPER, true, given) == pytest.approx(expected, abs=1e-12)


def test_optimal_matching_gets_out_of_the_greedy_trap() -> None:
    given: Calls = [("a", {"x": 1, "y": 2}), ("a", {"y": 9, "w": 1})]
    assert value(ToolCallMatch.toolrl(matching="optimal"), TRAP, given) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("granularity", "given", "expected"),
    [
        ("strict", ONE, 3),
        ("strict", [("a", {"y": 2, "x": 1})], 3),  # equal as a dict, which the repository checks first
        (
            "strict",
            [("a", {"y": 3, "x": 1})],
            0,
        ),  # names agree (1), parameter order does not (0), one value (1): 2 of 4
        ("strict", [("a", {"x": 1, "y": 3})], 1.5),
        ("strict", [("a", {"x": 1, "y": 2, "z": 3})], 1.5),  # 1 + 0 + 2 of 4
        ("strict", ONE * 2, 1.5),  # 0 + 1 + 2 of 4
        ("call", ONE, 3),
        ("call", [("a", {"x": 1, "y": 3})], 0),  # 1 + 0 of 2
        ("call", ONE * 2, 1.5),  # 1/2 + 1 of 2
        ("coarse", ONE, 3),
        ("coarse", [("a", {"x": 1, "y": 3})], -3),
        ("coarse", ONE * 2, -3),
    ],
)
def test_granularities_of_the_paper(granularity: Any, given: Calls, expected: float) -> None:
    assert value(ToolCallMatch.toolrl(granularity=granularity), ONE, given) == pytest.approx(expected)


def test_strict_and_coarse_of_the_paper_look_at_the_order_of_calls() -> None:
    assert value(ToolCallMatch.toolrl(granularity="coarse"), TWO, TWO[::-1]) == -3
    assert value(ToolCallMatch.toolrl(granularity="strict"), TWO, TWO[::-1]) == pytest.approx(-3 + 6 * 4 / 5)
    assert value(ToolCallMatch(granularity="coarse"), TWO, TWO[::-1]) == 1
    assert value(ToolCallMatch(granularity="strict"), TWO, TWO[::-1]) == 1


def test_group_of_four_has_the_advantages_of_the_paper() -> None:
    totals = np.array([4.0, 4.0, -2.0, -2.0])
    assert (totals - totals.mean()) / (totals.std(ddof=1) + 1e-6) == pytest.approx(
        [0.866, 0.866, -0.866, -0.866], abs=1e-3
    )


# ---- defaults for general use ------------------------------------------------------------------------------------------


def test_default_scale_and_parts() -> None:
    scores = ToolCallMatch()(structured(reference(ONE), [("a", {"x": 1, "z": 5}), ("c", {})]))
    # names 1/2; parameter names {x, y} and {x, z}: 1/3; one of two values; S = 1/2 + 1/3 + 1 of 4
    assert scores.values[0] == pytest.approx((1 / 2 + 1 / 3 + 1) / 4)
    assert parts(scores) == pytest.approx({"name": 0.5, "parameter": 1 / 3, "value": 0.5, "exact": 0, "surplus": 1})
    assert parts(ToolCallMatch()(structured(reference(ONE), ONE))) == {
        "name": 1, "parameter": 1, "value": 1, "exact": 1, "surplus": 0,
    }  # fmt: skip


def test_value_part_abstains_where_the_true_calls_have_no_parameters() -> None:
    scores = ToolCallMatch()(structured(reference([("now", {})]), [("now", {})]))
    assert scores.values[0] == 1
    assert scores.parts["value"].abstained.all()


@pytest.mark.parametrize(("no_call", "right", "wrong"), [("score", 1.0, 0.0), ("neutral", 0.5, 0.5)])
def test_tasks_without_a_call(no_call: Any, right: float, wrong: float) -> None:
    reward = ToolCallMatch(no_call=no_call)
    batch = [written([], "I cannot do that."), structured([], ONE), written([], "<tool_call>{oops}</tool_call>")]
    scores = reward(batch)
    assert list(scores.values) == [right, wrong, wrong]
    assert list(scores.parts["exact"].values) == [1, 0, 0]
    assert scores.parts["surplus"].values[1] == 1
    assert "1 calls where none is due" in (scores.note(1) or "")


def test_tasks_without_a_call_can_be_left_out() -> None:
    scores = ToolCallMatch(no_call="abstain")([written([], "fine"), structured(reference(ONE), ONE)])
    assert list(scores.abstained) == [True, False]


def test_no_call_where_one_is_due_is_the_minimum_with_a_note() -> None:
    scores = ToolCallMatch(scale=(-1, 1))(written(reference(ONE), "I do not know."))
    assert (scores.values[0], scores.note(0)) == (-1, "no tool call")
    assert set(parts(scores).values()) == {0.0}


# ---- how values are compared -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "true", "rules"),
    [
        (1, 1.0, "json python loose"),  # under bfcl an integer may stand for a float, not the other way round
        (1.0, 1, "json python loose"),
        (True, 1, "python"),
        ("1", 1, "loose"),
        ("true", True, "loose"),
        ("NYC", "nyc", "loose bfcl"),
        (" New\tYork ", "new york", "loose"),
        ("New York", "newyork", "bfcl"),
        ("2024-01-02", "2024/01/02", "bfcl"),
        ("it's", 'it"s', "bfcl"),
        ("ﬁle", "file", "loose"),
        ("gеt", "get", ""),  # a Cyrillic letter
        ([1, 2], [2, 1], ""),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "json python loose bfcl"),
        ({"a": 1}, {"a": 1, "b": None}, ""),
        (None, "null", ""),
        (None, None, "json python loose bfcl"),
        ("", None, ""),
        ([], {}, ""),
        ("x", ["x"], ""),
        (["A"], ["a"], "loose bfcl"),
        ("1e5", 100000, "loose"),
        ("9" * 400, 1, ""),
    ],
)
def test_when_values_are_equal(given: Any, true: Any, rules: str) -> None:
    expected = {*rules.split()}
    if given == 1 and given is not True and isinstance(true, float):
        expected.add("bfcl")
    for rule in ("json", "python", "loose", "bfcl"):
        equal = value(ToolCallMatch(compare=rule), [("f", {"x": true})], [("f", {"x": given})]) == 1.0
        assert equal == (rule in expected), rule


def close(given: Any, true: Any) -> bool:
    return abs(given - true) < 0.1


def test_a_function_compares_too() -> None:
    reward = ToolCallMatch(compare=close)
    assert value(reward, [("f", {"x": 1.0})], [("f", {"x": 1.05})]) == 1.0
    spec = to_spec(reward)
    assert spec["compare"].endswith("test_tool_calls:close")
    assert from_spec(spec) == reward
    broken = reward(structured(reference([("f", {"x": 1.0})]), [("f", {"x": "one"})]))
    assert broken.failed.all()  # a comparison that raises is a failure, not a zero
    assert "TypeError" in (broken.note(0) or "")


# ---- where the calls stand ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", ["hermes", "toolrl", "llama3", "bfcl"])
def test_the_same_reward_on_every_syntax(syntax: Any) -> None:
    text = render_tool_calls(openai_calls(TWO[::-1]), syntax)
    for reading in (syntax, "auto"):
        assert ToolCallMatch(syntax=reading)(written(reference(TWO), text)).values[0] == 1


def test_source_and_scope() -> None:
    first = {"role": "assistant", "content": "", "tool_calls": openai_calls(TWO[:1])}
    last = {"role": "assistant", "content": render_tool_calls(openai_calls(TWO[1:]), "hermes")}
    task = Task(id="t", reference=reference(TWO))
    trajectory = Trajectory(observations=[[], [], []], actions=[first, last], task=task)
    assert ToolCallMatch(scope="trajectory")(trajectory).values[0] == 1
    assert ToolCallMatch()(trajectory).values[0] == pytest.approx((1 / 2 + 2) / 5)
    assert ToolCallMatch(scope="trajectory", source="message")(trajectory).values[0] == pytest.approx((1 / 2 + 2) / 5)
    assert ToolCallMatch(source="message")(trajectory).note(0) == "no tool call"


def test_a_broken_block_left_in_the_text_spoils_the_message() -> None:
    message = {"role": "assistant", "content": "<tool_call>{oops</tool_call>", "tool_calls": openai_calls(ONE)}
    trajectory = Trajectory(observations=[[], []], actions=[message], task=Task(id="t", reference=reference(ONE)))
    scores = ToolCallMatch()(trajectory)
    assert scores.values[0] == 0
    assert (scores.note(0) or "").startswith("unreadable calls")


@pytest.mark.parametrize(
    "call",
    [
        {"function": {"name": "a", "arguments": "{oops"}},
        {"function": {"name": "a", "arguments": "[1]"}},
        {"function": {"name": "a", "arguments": '{"x": 1, "x": 1, "y": 2}'}},
        {"function": {"arguments": "{}"}},
        {"function": None},
        {},
        "a",
        None,
    ],
)
def test_malformed_structured_calls_are_the_minimum(call: Any) -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    scores = ToolCallMatch()(
        Trajectory(observations=[[], []], actions=[message], task=Task(id="t", reference=reference(ONE)))
    )
    assert scores.values[0] == 0
    assert scores.note(0)


# ---- hostile text ------------------------------------------------------------------------------------------------------

GOOD = render_tool_calls(openai_calls(ONE), "toolrl")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"<think>fine</think>\n{GOOD}", 1),
        (f"<think>the format is {GOOD}</think>\nNo call.", 0),
        (f"<think>say <think>so</think> and {GOOD}</think>\nNo call.", 0),
        (f"<think>never closed {GOOD}", 0),
        (f"{GOOD}\n{GOOD}", 0),
        ("<tool_call>\n</tool_call>", 0),
        ('<tool_call>\n{"name": "a", "parameters": {"x": 9, "x": 1, "y": 2}}\n</tool_call>', 0),
        ('<tool_call>\n{"name": "b", "name": "a", "parameters": {"x": 1, "y": 2}}\n</tool_call>', 0),
        ('<tool_call>\n{"name": "а", "parameters": {"x": 1, "y": 2}}\n</tool_call>', 0),  # a Cyrillic letter
        ('<tool_call>\n{"name": "a", "parameters": {"x": ' + "[" * 5000 + "]" * 5000 + ', "y": 2}}\n</tool_call>', 0),
        ('<tool_call>\n{"name": "a", "parameters": {"x": 1, "y": 2, "z": "' + "z" * 1_000_000 + '"}}\n</tool_call>', 0),
        ('<tool_call>\n{"name": "a", "parameters": {"x": 1, "y": NaN}}\n</tool_call>', 0),
        ('<tool_call>\n{"name": "a", "arguments": {"x": 1, "y": 2}}\n</tool_call>', 0),
        ('<tool_call>\n[{"name": "a", "parameters": {"x": 1, "y": 2}}]\n</tool_call>', 0),
    ],
)
def test_text_in_tags(text: str, expected: float) -> None:
    scores = ToolCallMatch(syntax="toolrl")(written(reference(ONE), text))
    assert scores.values[0] == expected
    if "а" not in text:  # a readable call of another tool is no unreadable text
        assert (scores.note(0) is None) == (expected == 1)


def test_spraying_every_guess_does_not_pay() -> None:
    guesses: Calls = [("a", {"x": x, "y": y}) for x in range(4) for y in range(4)]
    assert value(ToolCallMatch(), ONE, guesses) < value(ToolCallMatch(), ONE, ONE)
    assert value(ToolCallMatch(), ONE, guesses) == pytest.approx((1 / 16 + 3) / 4)


# ---- invariants --------------------------------------------------------------------------------------------------------

ARGUMENTS = st.dictionaries(st.sampled_from("xyz"), st.integers(0, 2), max_size=3)
SOME_CALLS = st.lists(st.tuples(st.sampled_from("ab"), ARGUMENTS), max_size=5)
OPTIONS = st.fixed_dictionaries(
    {
        "granularity": st.sampled_from(["original", "strict", "call", "coarse"]),
        "matching": st.sampled_from(["greedy", "optimal"]),
        "scale": st.sampled_from([(0.0, 1.0), (-3.0, 3.0), (0.1, 0.3)]),
        "no_call": st.sampled_from(["score", "neutral"]),
    }
)


@given(SOME_CALLS, SOME_CALLS, OPTIONS)
def test_scores_stay_in_the_scale_and_exact_is_its_top(true: Calls, given: Calls, options: dict[str, Any]) -> None:
    reward = ToolCallMatch(**options)
    low, high = reward.scale
    assert low <= value(reward, true, given) <= high
    if true or options["no_call"] == "score":
        assert value(reward, true, true) == high
        same = sorted(map(json.dumps, sorted_arguments(true))) == sorted(map(json.dumps, sorted_arguments(given)))
        assert (value(reward, true, given) == high) == same


def sorted_arguments(calls: Calls) -> list[Any]:
    return [[name, sorted(arguments.items())] for name, arguments in calls]


@given(st.data(), SOME_CALLS.filter(bool), SOME_CALLS, st.sampled_from(["original", "strict", "call", "coarse"]))
def test_order_does_not_matter_under_optimal_matching(
    data: st.DataObject, true: Calls, given: Calls, granularity: Any
) -> None:
    reward = ToolCallMatch(granularity=granularity)
    expected = value(reward, true, given)
    assert value(reward, data.draw(st.permutations(true)), data.draw(st.permutations(given))) == pytest.approx(expected)


@given(SOME_CALLS.filter(bool), SOME_CALLS)
def test_optimal_is_never_below_greedy(true: Calls, given: Calls) -> None:
    assert value(ToolCallMatch(), true, given) >= value(ToolCallMatch(matching="greedy"), true, given) - 1e-12


@given(
    st.text()
    | st.lists(st.sampled_from(["<tool_call>", "</tool_call>", "<think>", "</think>", '{"name":', "}", "a(", ")"])).map(
        "".join
    )
)
def test_any_text_is_scored(text: str) -> None:
    scores = ToolCallMatch()([written(reference(ONE), text), written([], text), written(reference(ONE), text)])
    assert scores.scored.all()
    assert scores.values[0] == scores.values[2] == 0


# ---- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"scale": (1, 0)}, "lowest < highest"),
        ({"scale": (0, float("inf"))}, "lowest < highest"),
        ({"granularity": "coarse", "names": "exact"}, "all or nothing"),
        ({"ordered": True}, "'ordered' needs"),
        ({"compare": "lose"}, "did you mean 'loose'"),
        ({"compare": 3}, "'compare'"),
        ({"matching": "best"}, "'matching'"),
        ({"syntax": "xml"}, "'syntax'"),
        ({"syntax": "none"}, "reads no calls"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ToolCallMatch(**options)


def test_spec_and_hash() -> None:
    reward = ToolCallMatch.toolrl(granularity="strict")
    assert from_spec(to_spec(reward)) == reward
    assert to_spec(ToolCallMatch()) == {"type": "tool_call_match"}
    assert reward.spec_hash != ToolCallMatch().spec_hash
    assert ToolCallMatch().deterministic


def test_arrays_and_empty_trajectories_fail() -> None:
    task = Task(id="t", reference=reference(ONE))
    arrays = Trajectory(observations=np.zeros((2, 3)), actions=np.zeros((1, 2)), task=task)
    scores = ToolCallMatch()([arrays, Trajectory(observations=[[]], actions=[], task=task)])
    assert scores.failed.all()
    assert "holds arrays" in (scores.note(0) or "")
    assert "is empty" in (scores.note(1) or "")
