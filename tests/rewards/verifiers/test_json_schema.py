"""JSON verifiers: strict reading, schemas within limits, partial credit; beyond the shipped fixtures."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.parsing import UnreadableJSON
from rewardlab.rewards.spec import from_spec, to_spec
from rewardlab.rewards.verifiers.json_schema import JSONMatch, MatchesSchema, ParsesAsJSON
from rewardlab.rewards.verifiers.json_text import canonical, last_fence, read_json
from rewardlab.types import Status, Trajectory

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from([0.5, 1.0]) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
JSONISH = st.lists(st.sampled_from([*'{}[]",:1ea\\ \n', "```", "json", "null", "NaN"]), max_size=30).map("".join)
READERS = [ParsesAsJSON(where=where) for where in ("whole", "fenced", "last")]


def score(reward, answer: str, reference: object = None):
    return reward(Trajectory.from_text("q", answer, reference=reference))


@given(text=st.text(max_size=100) | JSONISH)
@settings(max_examples=150, deadline=None)
def test_any_text_gets_a_value_in_the_unit_interval(text):
    rewards = [
        (ParsesAsJSON(), None),
        (ParsesAsJSON(where="last"), None),
        (ParsesAsJSON(where="fenced"), None),
        (JSONMatch(), {"a": [1, {}]}),
        (JSONMatch(ordered=False, where="last"), [1, {"a": 1}]),
        (MatchesSchema(), {"type": "object", "patternProperties": {"a": {}}, "additionalProperties": False}),
    ]
    for reward, reference in rewards:
        scores = score(reward, text, reference)
        assert scores.status[0] == Status.SCORED
        assert 0.0 <= scores.values[0] <= 1.0
        assert score(reward, text, reference).values[0] == scores.values[0]


@given(value=VALUES)
@settings(max_examples=100, deadline=None)
def test_json_is_found_wherever_it_stands(value):
    text = json.dumps(value, indent=1)
    assert read_json(f" {text}\n") == value
    assert read_json(f"So:\n```json\n{text}\n```\nok", where="fenced") == value
    if isinstance(value, (dict, list)):
        assert read_json(f"So {{ [ {text} ok", where="last") == value


@given(text=JSONISH)
@settings(max_examples=300, deadline=None)
def test_what_is_accepted_is_what_python_accepts_less_the_refused(text):
    try:
        python = json.loads(text)
    except ValueError:
        python = None
    try:
        ours = read_json(text)
    except UnreadableJSON:
        pairs = re.findall(r'"(?:[^"\\]|\\.)*"\s*:', text)
        assert python is None or "NaN" in text or len(set(pairs)) < len(pairs)
    else:
        assert ours == python


@given(value=VALUES)
@settings(max_examples=100, deadline=None)
def test_the_reference_matches_itself(value):
    text = json.dumps(value)
    for ordered in (True, False):
        assert score(JSONMatch(ordered=ordered), text, text).values[0] == 1.0


@given(given_value=VALUES, wanted=VALUES)
@settings(max_examples=200, deadline=None)
def test_only_equal_values_get_everything(given_value, wanted):
    value = score(JSONMatch(), json.dumps(given_value), json.dumps(wanted)).values[0]
    assert (value == 1.0) == (canonical(given_value) == canonical(wanted))
    backwards = score(JSONMatch(), json.dumps(wanted), json.dumps(given_value)).values[0]
    assert value == pytest.approx(backwards)


@given(items=st.lists(VALUES, max_size=4), data=st.data())
@settings(max_examples=100, deadline=None)
def test_order_matters_only_where_asked(items, data):
    shuffled = data.draw(st.permutations(items))
    assert score(JSONMatch(ordered=False), json.dumps(shuffled), json.dumps(items)).values[0] == 1.0


def test_partial_credit_by_hand():
    wanted = {"name": "Bob", "tags": ["a", "b"], "age": 3}
    given_value = {"name": "Bob", "tags": ["a", "c"], "extra": 1}
    scores = score(JSONMatch(), json.dumps(given_value), wanted)
    assert scores.values[0] == pytest.approx(2 * 2 / (4 + 4))  # name and tags[0] of four leaves on each side
    assert scores.parts["precision"].values[0] == 0.5
    assert scores.parts["recall"].values[0] == 0.5
    assert score(JSONMatch(extra="ignore"), '{"a": 1, "b": 2}', {"a": 1}).values[0] == 1.0


def test_match_options():
    assert score(JSONMatch(tolerance=0.01), "100.5", 100).values[0] == 1.0
    assert score(JSONMatch(), "100.5", 100).values[0] == 0.0
    assert score(JSONMatch(ignore_case=True), '["paris "]', ["Paris"]).values[0] == 1.0
    assert score(JSONMatch(), '["paris"]', ["Paris"]).values[0] == 0.0
    with pytest.raises(ValueError, match=r"option 'tolerance' must be in \[0, 1\), got 2"):
        JSONMatch(tolerance=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 1}', "duplicate key 'a': it stands twice in one object"),
        ("[NaN]", "NaN is not JSON"),
        ("[1e400]", "the number 1e400 is out of range"),
        ("[" * 65 + "]" * 65, "nested deeper than the limit of 64"),
        ("[1", "not JSON: .* at line 1, column"),
    ],
)
def test_problems_say_what_and_where(text, message):
    with pytest.raises(UnreadableJSON, match=message):
        read_json(text)
    assert re.search(message, score(ParsesAsJSON(), text).note(0))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1} then ' + "[" * 65 + "]" * 65, {"a": 1}),  # what is too deep is passed over with all that it holds
        ('["\\ud800"]', ["\ud800"]),
        ('[1] {"a": 1, "a": 2}', [1]),
        ("[[" * 5 + ' {"a": 1}', {"a": 1}),
    ],
)
def test_the_last_readable_value_counts(text, value):
    assert read_json(text, where="last") == value


def test_a_search_through_many_broken_beginnings_is_given_up():
    with pytest.raises(UnreadableJSON, match="too many broken beginnings"):
        read_json('["' * 20_000, where="last")


def test_depth_looks_past_strings():
    assert read_json(json.dumps(["[" * 500])) == ["[" * 500]
    assert read_json("[" * 64 + "]" * 64)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("```json\n1\n```", "1"),
        ("```JSON\n1\n```\n```python\n2\n```", "1"),
        ("```\n1\n```\n```\n2\n```", "2"),
        ("```json\n1", None),
        ("no", None),
    ],
)
def test_last_fence(text, inside):
    block = last_fence(text)
    assert (block.strip() if block is not None else None) == inside


SCHEMAS = [
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    {"type": "array", "items": {"type": ["integer", "null"]}, "uniqueItems": True},
    {"type": "object", "patternProperties": {"^a": {"type": "string"}}, "additionalProperties": {"type": "integer"}},
    {"type": "object", "properties": {"a": {}}, "additionalProperties": False},
    {"type": "string", "pattern": "^.b?$"},
    {"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/list"}], "$defs": {"list": {"type": "array", "maxItems": 1}}},
    {"uniqueItems": True},
]


@given(value=VALUES | st.lists(VALUES, min_size=2, max_size=4))
@settings(max_examples=200, deadline=None)
def test_schemas_agree_with_jsonschema(value):
    for schema in SCHEMAS:
        expected = float(jsonschema.Draft202012Validator(schema).is_valid(value))
        assert score(MatchesSchema(schema=schema), json.dumps(value)).values[0] == expected, schema


def test_catastrophic_pattern_fails():
    keys = {"patternProperties": {"^(a|aa)+$": {}}, "additionalProperties": False}
    for schema, text in (
        ({"pattern": "^(a|aa)+$"}, json.dumps("a" * 9_000 + "!")),
        (keys, json.dumps({"a" * 9_000 + "!": 1})),
    ):
        scores = score(MatchesSchema(schema=schema, time_limit=0.05), text)
        assert scores.status[0] == Status.FAILED
        assert "ran into the time limit" in scores.note(0)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "thing"}, r"\$.type: 'thing' is not valid"),
        ({"patternProperties": {"a": {}}, "unevaluatedProperties": False}, "cannot be checked under a time limit"),
        ({"pattern": "("}, "'\\(' is not a 'regex'"),
    ],
)
def test_bad_schema_is_refused_when_the_reward_is_built(schema, message):
    with pytest.raises(ValueError, match=f"MatchesSchema: option 'schema' cannot be used: .*{message}"):
        MatchesSchema(schema=schema)


def test_formats_only_where_asked():
    schema = {"type": "string", "format": "date"}
    assert score(MatchesSchema(schema=schema), '"soon"').values[0] == 1.0
    assert score(MatchesSchema(schema=schema, formats=True), '"soon"').values[0] == 0.0
    assert score(MatchesSchema(schema=schema, formats=True), '"2024-02-29"').values[0] == 1.0


def test_false_schema_refuses_all():
    assert score(MatchesSchema(schema=False), "1").values[0] == 0.0


@pytest.mark.parametrize("option", [{"max_depth": 0}, {"max_depth": 500}, {"max_characters": 0}, {"where": "middle"}])
def test_bad_options_are_refused(option):
    with pytest.raises(ValueError, match=f"option '{next(iter(option))}' must be"):
        ParsesAsJSON(**option)


@pytest.mark.parametrize("reward", [*READERS, JSONMatch(strict=True), MatchesSchema(schema={"type": "object"})])
def test_spec_round_trip(reward):
    assert from_spec(to_spec(reward)) == reward
