"""Tool calls in sampled text: every syntax both ways, what is refused, and what hostile text does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardlab.parsing import SYNTAXES, parse_tool_calls, render_tool_calls, split_thought
from rewardlab.parsing.tool_calls import MAX_CALLS

WRITTEN = [syntax for syntax in SYNTAXES if syntax not in ("auto", "none")]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TAGGED = st.sampled_from(["</tool_call>", "<tool_call>", "</think>", "<think>", "; {", "}\n{", "\u2028", "\x85"])
CALLS = st.lists(
    st.tuples(st.sampled_from(["f", "math.hypot"]), st.dictionaries(st.text() | TAGGED, VALUES | TAGGED, max_size=3)),
    min_size=1,
    max_size=3,
)


def openai(*calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for index, (name, arguments) in enumerate(calls)
    ]


def plain(tool_calls: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in tool_calls]


@pytest.mark.parametrize("syntax", WRITTEN)
@given(calls=CALLS)
def test_rendered_calls_are_read_back(syntax: Any, calls: list[tuple[str, dict[str, Any]]]) -> None:
    text = render_tool_calls(openai(*calls), syntax)
    for reading in (syntax, "auto"):
        for prefix in ("", "<think>I could call <tool_call>{}</tool_call></think>\n"):
            parsed = parse_tool_calls(prefix + text, reading)
            assert parsed.errors == []
            assert plain(parsed.tool_calls) == calls
            assert parsed.content.strip() == prefix.strip()


@given(st.sampled_from(SYNTAXES), st.text() | st.lists(TAGGED | st.text(max_size=6)).map("".join))
def test_never_raises_and_loses_no_text(syntax: Any, text: str) -> None:
    parsed = parse_tool_calls(text, syntax)
    if not parsed.tool_calls and text.replace(" ", "").strip() != "[]":
        assert parsed.content.strip() == text.strip() or split_thought(text)[1].replace(" ", "").strip() == "[]"


@given(st.lists(TAGGED | st.text(max_size=4)).map("".join))
def test_a_thought_and_the_rest_join_to_the_text(text: str) -> None:
    thought, rest = split_thought(text)
    assert thought + rest == text


@pytest.mark.parametrize(
    ("text", "thought"),
    [
        ("<think>a</think>b", "<think>a</think>"),
        ("no tags", ""),
        ("opened by the template</think>b", "opened by the template</think>"),
        ("<think>never closed <tool_call>", "<think>never closed <tool_call>"),
        ("<think>use <think>...</think> first</think>b", "<think>use <think>...</think> first</think>"),
        ("<think>quotes <think> once</think>b", "<think>quotes <think> once</think>"),
        ("<think>a</think>b says </think>", "<think>a</think>"),
        ("mentions <think> in passing", ""),
    ],
)
def test_where_a_thought_ends(text: str, thought: str) -> None:
    assert split_thought(text)[0] == thought


def test_examples_of_each_syntax() -> None:
    expected = [("get_weather", {"city": "Paris"}), ("now", {})]
    texts = {
        "hermes": 'Let me look.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>\n'
        '<tool_call>{"name": "now", "arguments": {}}</tool_call>',
        "toolrl": '<tool_call>\n{"name": "get_weather", "parameters": {"city": "Paris"}}\n\n{"name": "now", "parameters": {}}\n'
        "</tool_call>",
        "llama3": '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris"}}; {"name": "now", "parameters": {}}'
        "<|eom_id|>",
        "bfcl": "[get_weather(city='Paris'), now()]",
    }
    for syntax, text in texts.items():
        for reading in (syntax, "auto"):
            parsed = parse_tool_calls(text, reading)  # type: ignore[arg-type]
            assert plain(parsed.tool_calls) == expected, (syntax, reading, parsed.errors)
            assert parsed.content == ("Let me look." if syntax == "hermes" else "")
    assert parse_tool_calls(texts["hermes"]).message["tool_calls"][1]["id"] == "call_1"


@pytest.mark.parametrize(
    ("syntax", "text", "reason"),
    [
        ("hermes", '<tool_call>{"name": "f", "parameters": {}}</tool_call>', "no arguments"),
        (
            "hermes",
            '<tool_call>{"name": "f", "arguments": {}}\n{"name": "g", "arguments": {}}</tool_call>',
            "more text after the value",
        ),
        ("hermes", '<tool_call>{"name": "f", "arguments": {}}', "never closed"),
        ("hermes", '{"name": "f", "arguments": {}}</tool_call>', "without <tool_call>"),
        ("hermes", "<tool_call></tool_call>", "empty"),
        ("hermes", '<tool_call>{"name": "f", "arguments": {"x": NaN}}</tool_call>', "NaN"),
        ("hermes", '<tool_call>{"name": "f", "arguments": {"x": 1, "x": 1}}</tool_call>', "duplicate key 'x'"),
        ("hermes", '<tool_call>{"name": "f", "name": "g", "arguments": {}}</tool_call>', "duplicate key 'name'"),
        ("hermes", '<tool_call>{"name": "f", "arguments": null}</tool_call>', "must be an object, got NoneType"),
        ("hermes", '<tool_call>{"name": "f", "arguments": "{}"}</tool_call>', "must be an object, got str"),
        ("hermes", '<tool_call>{"arguments": {}}</tool_call>', "must have a name"),
        ("hermes", '<tool_call>{"name": 3, "arguments": {}}</tool_call>', "must have a name"),
        ("toolrl", '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>', "no parameters"),
        ("toolrl", '<tool_call>\n[{"name": "f", "parameters": {}}]\n</tool_call>', "must be an object, got list"),
        ("toolrl", '<tool_call>\n{"name": "f",\n"parameters": {}}\n</tool_call>', "not JSON"),
        (
            "toolrl",
            '<tool_call>\n{"name": "f", "parameters": {}}\n</tool_call>\n<tool_call>\n{"name": "f", "parameters": {}}\n</tool_call>',
            "2 <tool_call> blocks",
        ),
        ("toolrl", '<tool_call>\n{"name": "f", "parameters": {}}\nthen\n</tool_call>', "not JSON"),
        ("llama3", '<|python_tag|>{"name": "f"', "not JSON"),
        ("llama3", '{"name": "f", "parameters": {}, "arguments": {}}', "both of"),
        ("llama3", '{"name": "f", "parameters": {}}; {"x": 1}', "must have a name"),
        ("bfcl", "[f(x=1]", "not Python calls"),
        ("bfcl", "[f(x=open('/etc/passwd'))]", "not a literal"),
        ("auto", '<tool_call>{"name": "f", "arguments": {}, "parameters": {}}</tool_call>', "both of"),
    ],
)
def test_errors_name_what_is_wrong_and_keep_the_text(syntax: Any, text: str, reason: str) -> None:
    parsed = parse_tool_calls(text, syntax)
    assert parsed.tool_calls == []
    assert len(parsed.errors) == 1
    assert reason in parsed.errors[0]
    assert parsed.content == text


@pytest.mark.parametrize(
    ("syntax", "text"),
    [
        ("auto", "It is sunny."),
        ("auto", '{"city": "Paris"}'),  # an answer in JSON is no call
        ("auto", "f(x=1)"),
        ("auto", "[1] says so"),
        ("llama3", '{"city": "Paris"}'),
        ("llama3", "{not json"),
        ("bfcl", "The result of f(x) is 3"),
        ("bfcl", "[1, 2]"),
        ("hermes", "[f(x=1)]"),
        ("auto", '<think><tool_call>{"name": "f", "arguments": {}}</tool_call></think>No tool is needed.'),
        ("auto", '<think>unfinished <tool_call>{"name": "f", "arguments": {}}</tool_call>'),
    ],
)
def test_text_without_calls_is_content_alone(syntax: Any, text: str) -> None:
    parsed = parse_tool_calls(text, syntax)
    assert (parsed.content, parsed.tool_calls) == (text, [])
    if "{not" not in text:
        assert parsed.errors == []


def test_none_leaves_the_text_alone() -> None:
    text = '<tool_call>{"name": "f", "arguments": {}}</tool_call><tool_call>'
    assert parse_tool_calls(text, "none").message == {"role": "assistant", "content": text}


def test_a_readable_call_beside_a_broken_one() -> None:
    parsed = parse_tool_calls(
        '<tool_call>{"name": "f", "arguments": {}}</tool_call><tool_call>{oops}</tool_call>', "hermes"
    )
    assert plain(parsed.tool_calls) == [("f", {})]
    assert parsed.content == "<tool_call>{oops}</tool_call>"
    assert len(parsed.errors) == 1


def test_auto_reads_lists_and_pretty_printed_objects() -> None:
    block = json.dumps([{"name": "f", "arguments": {"x": 1}}, {"name": "g", "parameters": {}}], indent=2)
    assert plain(parse_tool_calls(f"<tool_call>{block}</tool_call>").tool_calls) == [("f", {"x": 1}), ("g", {})]


def test_look_alikes_stay_different() -> None:
    parsed = parse_tool_calls('<tool_call>{"name": "gеt", "arguments": {"ﬁle": "Å"}}</tool_call>', "hermes")
    assert plain(parsed.tool_calls) == [("gеt", {"ﬁle": "Å"})]
    assert parse_tool_calls('＜tool_call＞{"name": "f", "arguments": {}}＜/tool_call＞').tool_calls == []


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>" + "[" * 200_000 + "</tool_call>",
        '<tool_call>{"name": "f", "arguments": ' + '{"a":' * 5000 + "1" + "}" * 5000 + "}</tool_call>",
        '<tool_call>{"name": "f", "arguments": {"x": "' + "a" * 1_000_000 + '"}}</tool_call>',
        '<tool_call>{"name": "f", "arguments": {}}</tool_call>' * (MAX_CALLS + 1),
        "<tool_call>" * 100_000,
        '{"name": ' * 30_000,
        '{"name": "f", "parameters": {}};' * 5000,
        "[f(x=" + "(" * 60_000 + ")]",
        "<|python_tag|>" + "{;" * 100_000,
    ],
)
def test_hostile_text_is_an_error(text: str) -> None:
    parsed = parse_tool_calls(text)
    assert parsed.tool_calls == []
    assert parsed.errors
    assert len(parsed.errors[0]) < 300


def test_render_refuses_what_it_cannot_write() -> None:
    with pytest.raises(ValueError, match="syntax to write"):
        render_tool_calls([], "auto")
    with pytest.raises(ValueError, match="must be an object"):
        render_tool_calls([{"function": {"name": "f", "arguments": "[1]"}}])
    with pytest.raises(ValueError, match="no name"):
        render_tool_calls([{"function": {"arguments": "{}"}}])
    with pytest.raises(ValueError, match="duplicate key"):
        render_tool_calls([{"function": {"name": "f", "arguments": '{"x": 1, "x": 2}'}}])
    assert render_tool_calls([]) == ""
    assert render_tool_calls([], "bfcl") == "[]"


def test_an_unknown_syntax_is_named() -> None:
    with pytest.raises(ValueError, match="syntax must be one of auto, hermes, toolrl, llama3, bfcl, none, got 'xml'"):
        parse_tool_calls("", "xml")  # type: ignore[arg-type]
