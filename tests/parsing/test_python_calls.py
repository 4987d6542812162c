"""Calls in Python syntax: read from the tree, never evaluated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.parsing import parse_tool_calls
from rewardlab.parsing.python_calls import UnreadableCall, read_python_calls, write_python_calls


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("[f(x=1), a.b(y='z')]", [("f", {"x": 1}), ("a.b", {"y": "z"})]),
        ("f()", [("f", {})]),
        ("f(x=1), g(y=2)", [("f", {"x": 1}), ("g", {"y": 2})]),
        ("[]", []),
        ("f(x=(1, -2.5), y=[True, None], z={'k': 'v'})", [("f", {"x": [1, -2.5], "y": [True, None], "z": {"k": "v"}})]),
        ("f(x=true, y=null)", [("f", {"x": True, "y": None})]),
        ("f(**{'from': 1, 'user-id': 'é'})", [("f", {"from": 1, "user-id": "é"})]),
    ],
)
def test_reads_literals(text: str, calls: list[tuple[str, dict[str, object]]]) -> None:
    assert read_python_calls(text) == calls


@pytest.mark.parametrize(
    "text",
    [
        "f(x=__import__('os').system('true'))",
        "f(x=1 + 1)",
        "f(x=g())",
        "f(x=y)",
        "f(x=-True)",
        "f(x=[i for i in range(9)])",
        "f(x=f'{1}')",
        "f(x=1e999)",
        "f(x=b'bytes')",
        "f(x=1j)",
        "f(x={1: 2})",
        "f(x={'a': 1, 'a': 2})",
        "f(x=1, **{'x': 2})",
        "f(**y)",
        "f(x={**{'a': 1}})",
        "f(*[1])",
        "f(x=1)(y=2)",
        "f[0](x=1)",
        "1",
        "f(x=1",
        "x = 1",
        "f(x='\ud800')",
        "f(\0)",
    ],
)
def test_refuses_what_would_have_to_be_computed(text: str) -> None:
    with pytest.raises(UnreadableCall):
        read_python_calls(text)


@pytest.mark.parametrize(
    "text",
    [
        "f(x=" + "[" * 3000 + "]" * 3000 + ")",
        "f(x=" + "-" * 4000 + "1)",
        "f(x=" + "-" * 40_000 + "1)",
        "f(x=" + "not " * 15_000 + "1)",
        "f(x=" + "lambda:" * 9000 + "1)",
        "f(x=1" + "+1" * 4000 + ")",
        "f(x=1" + "**1" * 20_000 + ")",
        "f" + ".a" * 30_000 + "()",
        "f(x=" + "1 if 1 else " * 5000 + "1)",
        "f(x=" + "g(" * 4000 + ")" * 4001,
        "f(x='" + "a" * 1_000_000 + "')",
    ],
)
def test_hostile_nesting_is_refused_without_a_crash(text: str) -> None:
    with pytest.raises(UnreadableCall):
        read_python_calls(text)


@pytest.mark.parametrize("text", ["ｆ(x=1)", "f(ﬁle=1)", "a.ｂ()", "[g(x='é'), f(µ=1)]"])
def test_look_alike_names_are_refused_not_normalised(text: str) -> None:
    with pytest.raises(UnreadableCall, match="look-alike"):
        read_python_calls(text)
    assert read_python_calls("天気(都市='東京')") == [("天気", {"都市": "東京"})]


def test_arguments_by_position_need_the_description() -> None:
    tools = [{"name": "sort", "parameters": {"properties": {"file": {}, "reverse": {}}}}]
    assert parse_tool_calls("[sort('a', reverse=True)]", "bfcl", tools=tools).tool_calls[0]["function"] == {
        "name": "sort",
        "arguments": '{"file": "a", "reverse": true}',
    }
    for text, described in (("[sort('a')]", []), ("[sort('a', True, 3)]", tools), ("[sort('a', file='b')]", tools)):
        parsed = parse_tool_calls(text, "bfcl", tools=described)
        assert parsed.tool_calls == []
        assert parsed.errors


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(
        st.tuples(st.sampled_from(["f", "math.hypot"]), st.dictionaries(st.text(), VALUES, max_size=4)), max_size=3
    )
)
def test_reads_what_it_wrote(calls: list[tuple[str, dict[str, object]]]) -> None:
    assert sorted_keys(read_python_calls(write_python_calls(calls))) == sorted_keys(calls)


def sorted_keys(calls: list[tuple[str, dict[str, object]]]) -> list[tuple[str, list[tuple[str, object]]]]:
    return [(name, sorted(arguments.items(), key=lambda item: item[0])) for name, arguments in calls]


def test_a_name_that_python_cannot_call_is_refused() -> None:
    with pytest.raises(ValueError, match="'Search Managers' cannot be written as a Python call"):
        write_python_calls([("Search Managers", {})])
