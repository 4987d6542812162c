"""Strict JSON: what the standard reader lets pass and this one refuses, and the limits."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.parsing import UnreadableJSON, read_json
from rewardlab.parsing.json_values import MAX_CHARACTERS, MAX_DEPTH, NestedTooDeep, write_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_reads_what_it_wrote(value: object) -> None:
    assert read_json(write_json(value)) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 1}', "duplicate key 'a'"),
        ('[{"a": {"b": 1, "b": 2}}]', "duplicate key 'b'"),
        ("NaN", "NaN is not JSON"),
        ('{"a": -Infinity}', "-Infinity is not JSON"),
        ("1e999", "the number 1e999 is out of range"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('"\ud800"', "surrogate"),
        ("9" * 5000, "not strict JSON"),
        ("{'a': 1}", "not JSON"),
        ("[1, 2", "not JSON: Expecting ',' delimiter at line 1, column 6"),
        ('{"a": 1} trailing', "not JSON"),
        ("", "not JSON"),
    ],
)
def test_refuses_what_two_readers_could_read_differently(text: str, reason: str) -> None:
    with pytest.raises(UnreadableJSON, match=reason):
        read_json(text)


def test_depth_is_limited_exactly() -> None:
    def nested(depth: int) -> str:
        return "[" * depth + "]" * depth

    read_json(nested(MAX_DEPTH))
    with pytest.raises(UnreadableJSON, match="deeper than the limit of 64"):
        read_json(nested(MAX_DEPTH + 1))
    with pytest.raises(UnreadableJSON, match="deeper than the limit of 64"):
        read_json(nested(100_000))


def test_many_brackets_that_are_not_deep_are_read() -> None:
    text = json.dumps([[1]] * 500)
    assert read_json(text) == [[1]] * 500


def test_limits_are_the_callers() -> None:
    assert read_json("[[1]]", max_characters=5, max_depth=2) == [[1]]
    with pytest.raises(UnreadableJSON, match="the text has 5 characters, at most 4 are read"):
        read_json("[[1]]", max_characters=4)
    with pytest.raises(NestedTooDeep, match="nested deeper than the limit of 1 levels"):
        read_json("[[1]]", max_depth=1)
    assert read_json('"\\ud800"', half_surrogates=True) == "\ud800"


def test_a_syntax_error_knows_where_it_stands() -> None:
    with pytest.raises(UnreadableJSON) as caught:
        read_json('{"a":\n }')
    assert caught.value.position == 7
    with pytest.raises(UnreadableJSON) as caught:
        read_json("NaN")
    assert caught.value.position is None


def test_size_is_limited() -> None:
    assert read_json('"' + "a" * (MAX_CHARACTERS - 2) + '"')
    with pytest.raises(UnreadableJSON, match="at most 262144"):
        read_json('"' + "a" * MAX_CHARACTERS + '"')
