from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import jsonschema
import pytest
import typing_extensions
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from rewardlab.environments.tools import Toolbox, ToolError, tool, tool_schema


class Address(BaseModel):
    street: str
    title: str = "Home"


class Point(typing_extensions.TypedDict):
    x: int


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Pair:
    left: int
    right: int


def parameter(hint: Any, default: Any = ...) -> dict[str, Any]:
    def probe(value):  # type: ignore[no-untyped-def]
        return "ok"

    probe.__annotations__ = {"value": hint}
    if default is not ...:
        probe.__defaults__ = (default,)
    return tool_schema(probe)["function"]["parameters"]


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (str, {"type": "string"}),
        (bool, {"type": "boolean"}),
        (Literal["kg", "g"], {"type": "string", "enum": ["kg", "g"]}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (Annotated[str, "the name"], {"type": "string", "description": "the name"}),
        (
            Annotated[int, Field(description="how many", ge=1)],
            {"type": "integer", "description": "how many", "minimum": 1},
        ),
    ],
)
def test_schema_of_each_type(hint: Any, expected: dict[str, Any]) -> None:
    parameters = parameter(hint)
    assert parameters["properties"]["value"] == expected
    assert parameters["required"] == ["value"]
    assert parameters["additionalProperties"] is False


@pytest.mark.parametrize(
    ("hint", "name", "inner"),
    [
        (Address, "Address", {"street": {"type": "string"}, "title": {"type": "string", "default": "Home"}}),
        (Point, "Point", {"x": {"type": "integer"}}),
        (Pair, "Pair", {"left": {"type": "integer"}, "right": {"type": "integer"}}),
    ],
)
def test_schema_of_structured_types(hint: Any, name: str, inner: dict[str, Any]) -> None:
    parameters = parameter(hint)
    assert parameters["properties"]["value"] == {"$ref": f"#/$defs/{name}"}
    assert parameters["$defs"][name]["properties"] == inner


def test_schema_of_an_enum() -> None:
    assert parameter(Colour)["$defs"]["Colour"]["enum"] == ["red"]


def test_defaults_are_optional() -> None:
    parameters = parameter(int, default=4)
    assert parameters["properties"]["value"] == {"type": "integer", "default": 4}
    assert "required" not in parameters


def documented(days: int, unit: Literal["kg", "g"] = "kg", title: str = "x") -> str:
    """Count the days
    from now.

    More that models need not read.

    Args:
        days: how many,
            all in all.
        unit (str): which unit: kg or g.

    Returns:
        The count.
    """
    return f"{days} {unit} {title}"


def test_google_docstrings_become_descriptions() -> None:
    function = tool_schema(documented)["function"]
    assert function["name"] == "documented"
    assert function["description"] == "Count the days from now."
    properties = function["parameters"]["properties"]
    assert properties["days"]["description"] == "how many, all in all."
    assert properties["unit"]["description"] == "which unit: kg or g."
    assert "description" not in properties["title"]
    assert properties["title"] == {"type": "string", "default": "x"}  # a parameter called title is kept


def test_schemas_are_valid_json_schema() -> None:
    for function in (documented, structured):
        schema = tool_schema(function)["function"]["parameters"]
        jsonschema.Draft202012Validator.check_schema(schema)
        json.dumps(schema)


def structured(address: Address, points: list[Point], pair: Pair | None = None, colour: Colour = Colour.RED) -> Any:
    return {
        "street": address.street,
        "first": points[0]["x"],
        "pair": pair and pair.left + pair.right,
        "is": colour.value,
    }


def test_structured_arguments_arrive_as_their_types() -> None:
    arguments = {"address": {"street": "A"}, "points": [{"x": 3}], "pair": {"left": 1, "right": 2}, "colour": "red"}
    assert Toolbox([structured]).call("structured", arguments) == '{"street": "A", "first": 3, "pair": 3, "is": "red"}'


@pytest.mark.parametrize(
    ("define", "complaint"),
    [
        (lambda: tool(untyped), "parameter 'days' has no type hint"),
        (lambda: tool(variadic), "cannot be given by name"),
        (lambda: tool(waiting), "is async"),
        (lambda: tool_schema(print), "must be a function"),
        (lambda: tool_schema(unwritable), "JSON Schema cannot express"),
        (lambda: tool(name="two words")(documented), "letters, digits"),
    ],
)
def test_a_function_that_is_no_tool_is_refused_early(define: Any, complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        define()


def untyped(days):  # type: ignore[no-untyped-def]
    return days


def variadic(*days: int) -> str:
    return ""


async def waiting(days: int) -> str:
    return ""


def unwritable(days: Toolbox) -> str:
    return ""


@tool(name="break")
def breaks(days: int) -> str:
    """Break."""
    if days == 0:
        raise ToolError("days must not be 0")
    raise KeyError("inner")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({}, "Error: documented: missing parameter 'days' (integer)"),
        ({"days": "3"}, "Error: documented: parameter 'days' should be a valid integer, got \"3\""),
        ({"days": 3.5}, "Error: documented: parameter 'days' should be a valid integer, got 3.5"),
        ({"days": True}, "Error: documented: parameter 'days' should be a valid integer, got true"),
        ({"days": None}, "Error: documented: parameter 'days' should be a valid integer, got null"),
        ({"days": float("nan")}, "Error: documented: parameter 'days' should be a valid integer, got NaN"),
        ({"days": 3, "unit": "lb"}, "Error: documented: parameter 'unit' should be 'kg' or 'g', got \"lb\""),
        ({"days": 3, "titel": "a"}, "Error: documented: unknown parameter 'titel'; did you mean 'title'?"),
        ({"titel": "a"}, "missing parameter 'days' (integer); unknown parameter 'titel'"),
        ('{"days": 3', "Error: arguments of tool call 'documented' are not JSON"),
        ("[3]", "Error: arguments of documented must be a JSON object, got [3]"),
        ("", "Error: documented: missing parameter 'days'"),
        ({"days": 3, "title": "\ud800"}, "Error: documented: the arguments cannot be read"),
        ({"days": 3, "title": {1, 2}}, "Error: documented: the arguments are not JSON"),
        ('{"days": ' + "[" * 5000 + "]" * 5000 + "}", "Error: "),
    ],
)
def test_wrong_arguments_are_answered(arguments: Any, complaint: str) -> None:
    result = Toolbox([documented]).run("documented", arguments)
    assert complaint in result.text
    assert result.trouble == "arguments"
    assert result.defect is None


def test_good_arguments_run_the_tool() -> None:
    toolbox = Toolbox([documented, breaks])
    assert toolbox.call("documented", {"days": 3}) == "3 kg x"
    assert toolbox.call("documented", '{"days": 3, "unit": "g"}') == "3 g x"
    assert list(toolbox) == ["documented", "break"]
    assert [schema["function"]["name"] for schema in toolbox.schemas] == ["documented", "break"]


def test_an_unknown_tool_is_answered_with_the_known_ones() -> None:
    result = Toolbox([documented]).run("count", {})
    assert result.text == "Error: there is no tool 'count'; the tools are documented"
    assert result.trouble == "unknown"


def test_a_tool_that_refuses_and_a_tool_that_breaks() -> None:
    toolbox = Toolbox([breaks])
    refused = toolbox.run("break", {"days": 0})
    assert (refused.text, refused.trouble, refused.defect) == ("Error: days must not be 0", "refused", None)
    broken = toolbox.run("break", {"days": 1})
    assert broken.text == "Error: break failed: KeyError: 'inner'"
    assert broken.trouble == "raised"
    assert broken.defect == "break: KeyError: 'inner'"


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two tools are called 'documented'"):
        Toolbox([documented, documented])


def test_long_output_is_cut_and_says_so() -> None:
    def much() -> str:
        return "x" * 100

    assert Toolbox([much], longest=10).call("much", {}) == "x" * 10 + " [cut: 100 characters in all]"


def test_output_of_every_kind_becomes_text() -> None:
    def give(what: str) -> Any:
        return {"nothing": None, "number": 2.5, "list": ["ä", 1], "model": Address(street="B")}[what]

    toolbox = Toolbox([give])
    outputs = [toolbox.call("give", {"what": what}) for what in ("nothing", "number", "list", "model")]
    assert outputs == ["done", "2.5", '["ä", 1]', '{"street":"B","title":"Home"}']


@pytest.mark.parametrize(
    "call", [None, "look_up", [], {}, {"function": None}, {"function": {"name": 3}}, {"function": {}}]
)
def test_what_is_no_call_is_answered(call: Any) -> None:
    message, result = Toolbox([documented]).answer(call, identity="call_7")
    assert message == {"role": "tool", "content": result.text, "tool_call_id": "call_7"}
    assert result.text == "Error: the call has no tool name; the tools are documented"


def test_an_answer_carries_the_id_of_its_call() -> None:
    call = {"id": "abc", "type": "function", "function": {"name": "documented", "arguments": '{"days": 1}'}}
    message, _ = Toolbox([documented]).answer(call)
    assert message == {"role": "tool", "content": "1 kg x", "name": "documented", "tool_call_id": "abc"}


def test_methods_share_one_schema_and_keep_their_object() -> None:
    class Counter:
        def __init__(self, start: int) -> None:
            self.start = start

        def add(self, number: int) -> str:
            """Add."""
            return str(self.start + number)

    boxes = [Toolbox([Counter(start).add]) for start in (1, 2)]
    assert [box.call("add", {"number": 1}) for box in boxes] == ["2", "3"]
    assert boxes[0].schemas[0] is boxes[1].schemas[0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["days", "unit", "title", "other"]), json_values) | json_values)
def test_arguments_run_only_when_the_published_schema_allows_them(arguments: Any) -> None:
    result = Toolbox([documented]).run("documented", arguments)
    validator = jsonschema.Draft202012Validator(tool_schema(documented)["function"]["parameters"])
    if result.trouble is None:
        assert validator.is_valid(arguments)
    else:
        assert result.trouble == "arguments"
        assert result.text.startswith("Error: ")
