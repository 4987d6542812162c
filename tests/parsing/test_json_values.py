"""Strict JSON: what the standard reader lets pass and this one refuses, and the limits."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.parsing import UnreadableJSON, read_json
from rewardlab.parsing.json_values import MAX_CHARACTERS, MAX_DEPTH, write_json

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
        ("1e999", "too large"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('"\ud800"', "surrogate"),
        ("9" * 5000, "not strict JSON"),
        ("{'a': 1}", "not JSON"),
        ("[1, 2", "not JSON"),
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
    with pytest.raises(UnreadableJSON, match="deeper than 64"):
        read_json(nested(MAX_DEPTH + 1))
    with pytest.raises(UnreadableJSON, match="deeper than 64"):
        read_json(nested(100_000))


def test_many_brackets_that_are_not_deep_are_read() -> None:
    text = json.dumps([[1]] * 500)
    assert read_json(text) == [[1]] * 500


def test_size_is_limited() -> None:
    assert read_json('"' + "a" * (MAX_CHARACTERS - 2) + '"')
    with pytest.raises(UnreadableJSON, match="at most 262144"):
        read_json('"' + "a" * MAX_CHARACTERS + '"')
