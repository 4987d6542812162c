"""Tools for agents, made from typed Python functions: JSON Schema from the hints, and every bad call answered in words.

What a model gets wrong comes back to it as text, as a real tool server would answer, and never ends a run. Arguments
are held to the types that the schema states: `"3"` is refused where an integer is asked for (and so is `3.0`, or `true`),
since a tool that guesses what was meant teaches a policy to be careless. An integer is taken where a number is asked for.

A tool runs in the caller's thread. One that never returns stops its rollout: Python cannot kill a thread, so a tool that
runs other people's code must bring its own limits (a child process with a deadline).
"""

from __future__ import annotations

import inspect
import json
import re
import typing
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from rewardlab.registry import nearest
from rewardlab.types import Message, call_arguments

if TYPE_CHECKING:
    from pydantic import BaseModel

F = TypeVar("F", bound=Callable[..., Any])
Trouble = Literal["unknown", "arguments", "refused", "raised"]
"""Why a call gave no output: no such tool, wrong arguments, the tool said no (`ToolError`), or the tool broke."""


class ToolError(Exception):
    """Raised by a tool to tell the model what is wrong with its call; the text is written for the model to read."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What one call gave.

    Args:
        text: what the model reads; begins with `Error: ` where the call gave no output.
        trouble: None for a call that worked, else what kind of trouble it was.
        defect: type and text of the exception where the tool itself broke (`trouble == "raised"`): worth a look, since the
            fault may be the tool's and not the model's.
    """

    text: str
    trouble: Trouble | None = None
    defect: str | None = None


@dataclass(frozen=True, slots=True)
class _Shape:
    """What is known of a function from its signature alone, so that methods of many objects share one."""

    name: str
    schema: dict[str, Any]
    parameters: tuple[str, ...]
    arguments: type[BaseModel]


_SHAPES: weakref.WeakKeyDictionary[Callable[..., Any], _Shape] = weakref.WeakKeyDictionary()


@overload
def tool(function: F) -> F: ...
@overload
def tool(*, name: str) -> Callable[[F], F]: ...
def tool(function: F | None = None, *, name: str | None = None) -> F | Callable[[F], F]:
    """Mark a function as a tool: checks now, and not in the middle of a rollout, that a schema can be made from it.

    Args:
        function: what to mark; it stays an ordinary function.
        name: what the model calls it, if not by its Python name.

    Raises:
        TypeError: a parameter has no type hint, or one that JSON cannot express; the message names it.
    """
    if function is None:
        return lambda marked: _mark(marked, name)
    return _mark(function, name)


def tool_schema(function: Callable[..., Any]) -> dict[str, Any]:
    """Describe a typed function in the OpenAI format.

    The first paragraph of the docstring becomes the description. A parameter is described by its line under `Args:` (Google
    style), or by `Annotated[int, "how many days"]`. Hints may be int, float, str, bool, Literal, Optional, list, dict, Enum,
    pydantic models, dataclasses and (below Python 3.12: from `typing_extensions`) TypedDict.

    Args:
        function: a function or a bound method.

    Returns:
        `{"type": "function", "function": {"name", "description", "parameters"}}`.

    Raises:
        TypeError: a parameter has no type hint, or one that JSON cannot express; the message names it.
    """
    return _shape(function).schema


class Toolbox:
    """Some tools under their names, called the way a model calls them.

    Args:
        functions: typed functions or bound methods, marked with `@tool` or not.
        longest: characters of output that a model is given; more is cut, and the cut is said.

    Raises:
        TypeError: a function cannot be described.
        ValueError: two tools have one name.
    """

    def __init__(self, functions: Sequence[Callable[..., Any]], *, longest: int = 10_000) -> None:
        self._tools: dict[str, tuple[Callable[..., Any], _Shape]] = {}
        self._longest = longest
        for function in functions:
            shape = _shape(function)
            if shape.name in self._tools:
                raise ValueError(f"two tools are called {shape.name!r}; give one another name with @tool(name=...)")
            self._tools[shape.name] = (function, shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """The descriptions of all tools in the OpenAI format."""
        return [shape.schema for _, shape in self._tools.values()]

    def call(self, name: str, arguments: Mapping[str, Any] | str) -> str:
        """Call a tool and give what the model reads: its output, or a text that begins with `Error: `.

        Args:
            name: which tool.
            arguments: by name, or the JSON text of that.
        """
        return self.run(name, arguments).text

    def run(self, name: str, arguments: Mapping[str, Any] | str) -> ToolResult:
        """Like `call`, and says what kind of trouble there was."""
        try:
            _, given = call_arguments({"name": name, "arguments": arguments})
        except ValueError as error:
            return _trouble("arguments", str(error))
        if name not in self._tools:
            return _trouble(
                "unknown", f"there is no tool {name!r:.60}; the tools are {', '.join(self._tools) or '(none)'}"
            )
        function, shape = self._tools[name]
        if not isinstance(given, Mapping):
            return _trouble("arguments", f"arguments of {name} must be a JSON object, got {_shown(given)}")
        try:
            checked = _check(shape, given)
        except ToolError as error:
            return _trouble("arguments", f"{name}: {error}")
        try:
            text = _text(function(**checked))
        except ToolError as error:
            return _trouble("refused", str(error))
        except Exception as error:  # noqa: BLE001  # the border to other people's tools; `defect` keeps what was raised
            defect = f"{type(error).__name__}: {error}"
            return ToolResult(f"Error: {name} failed: {defect:.200}", "raised", f"{name}: {defect}")
        if len(text) > self._longest:
            text = f"{text[: self._longest]} [cut: {len(text)} characters in all]"
        return ToolResult(text)

    def answer(self, call: Any, *, identity: str | None = None) -> tuple[Message, ToolResult]:
        """Answer one entry of `tool_calls` with a tool message.

        Args:
            call: in the OpenAI format; anything else is answered with an error.
            identity: the id to answer under where the call has none.

        Returns:
            The message, and what it was made from.
        """
        given = call if isinstance(call, Mapping) else {}
        function = given.get("function", given)
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(name, str) or not name:
            result = _trouble(
                "unknown", f"the call has no tool name; the tools are {', '.join(self._tools) or '(none)'}"
            )
            name = None
        else:
            arguments = function.get("arguments", {})
            result = self.run(name, {} if arguments is None else arguments)
        message: Message = {"role": "tool", "content": result.text}
        if name is not None:
            message["name"] = name
        known = given.get("id")
        if isinstance(known, str) or identity is not None:
            message["tool_call_id"] = known if isinstance(known, str) else identity
        return message, result


# ---- from a function to its schema ------------------------------------------------------------------------------------


def _mark(function: F, name: str | None) -> F:
    _SHAPES[function] = _read_shape(function, name)
    return function


def _shape(function: Callable[..., Any]) -> _Shape:
    """The shape of a function; made once for a function, and once for a method of any number of objects."""
    if not (inspect.isfunction(function) or inspect.ismethod(function)):
        raise TypeError(f"a tool must be a function or a method, got {function!r:.80}")
    plain: Callable[..., Any] = getattr(function, "__func__", function)
    shape = _SHAPES.get(plain)
    if shape is None:
        shape = _SHAPES[plain] = _read_shape(plain, None)
    return shape


def _read_shape(function: Callable[..., Any], name: str | None) -> _Shape:
    from pydantic import ConfigDict, Field, PydanticSchemaGenerationError, PydanticUserError, create_model
    from pydantic.errors import PydanticInvalidForJsonSchema

    name = name or str(getattr(function, "__name__", ""))
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name):
        raise TypeError(f"a tool's name must be 1 to 64 letters, digits, _ or -, got {name!r}; use @tool(name=...)")
    if inspect.iscoroutinefunction(function):
        raise TypeError(
            f"tool {name!r} is async; environments call tools in plain threads, so make it an ordinary function"
        )
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"tool {name!r}: a type hint cannot be read: {error}; define its types at module level"
        ) from error
    summary, lines = _read_docstring(function)
    definitions: dict[str, Any] = {}
    names: list[str] = []
    for position, parameter in enumerate(inspect.signature(function).parameters.values()):
        if position == 0 and parameter.name in ("self", "cls"):
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(
                f"tool {name!r}: parameter {parameter} cannot be given by name, which is how models give them"
            )
        if parameter.name not in hints:
            raise TypeError(
                f"tool {name!r}: parameter {parameter.name!r} has no type hint; write {parameter.name}: str, say"
            )
        annotated = hints[parameter.name]
        description = _description(getattr(annotated, "__metadata__", ())) or lines.get(parameter.name)
        default = ... if parameter.default is parameter.empty else parameter.default
        # fields get neutral names and the real ones as aliases, since pydantic keeps some names for itself
        definitions[f"argument_{len(names)}"] = (
            annotated,
            Field(default, alias=parameter.name, description=description),
        )
        names.append(parameter.name)
    try:
        arguments = create_model(
            name,
            __config__=ConfigDict(extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=False),
            **definitions,
        )
        parameters = _without_titles(arguments.model_json_schema())
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema, PydanticUserError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise TypeError(f"tool {name!r} has a type hint that JSON Schema cannot express: {reason}") from error
    parameters.setdefault("properties", {})
    schema = {"type": "function", "function": {"name": name, "description": summary, "parameters": parameters}}
    return _Shape(name, schema, tuple(names), arguments)


def _description(metadata: Sequence[Any]) -> str | None:
    """What `Annotated[...]` says of a parameter: a plain string, or the description of a pydantic `Field`."""
    for note in metadata:
        text = note if isinstance(note, str) else getattr(note, "description", None)
        if isinstance(text, str):
            return text
    return None


def _read_docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """First paragraph of a Google-style docstring, and the description of each parameter under `Args:`."""
    text = inspect.getdoc(function) or ""
    summary = " ".join(text.partition("\n\n")[0].split())
    section = re.search(r"^(?:Args|Arguments|Parameters):[ \t]*\n((?:[ \t]+.*\n?|[ \t]*\n)*)", text, re.MULTILINE)
    if re.match(r"(?:Args|Arguments|Parameters|Returns|Raises):", summary):
        summary = ""
    found: dict[str, str] = {}
    if section is None:
        return summary, found
    indent = None
    current = None
    for line in section[1].splitlines():
        if not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        indent = depth if indent is None else indent
        entry = re.match(r"\*{0,2}(\w+)[ \t]*(?:\([^)]*\))?:[ \t]*(.*)", line.strip()) if depth <= indent else None
        if entry:
            current = entry[1]
            found[current] = entry[2].strip()
        elif current is not None:
            found[current] = f"{found[current]} {line.strip()}".strip()
    return summary, {name: description for name, description in found.items() if description}


def _without_titles(schema: Any, *, names: bool = False) -> Any:
    """A schema without the titles that pydantic makes up; `names` where the keys are names and not keywords."""
    if isinstance(schema, list):
        return [_without_titles(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value
        if key in ("default", "enum", "const", "examples") and not names
        # a keyword `properties` or `$defs` holds names, under which schemas follow
        else _without_titles(value, names=key in ("properties", "$defs") and not names)
        for key, value in schema.items()
        if names or key != "title"
    }


# ---- from a model's arguments to a call -------------------------------------------------------------------------------


def _check(shape: _Shape, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as the function's own types; a ToolError that names every parameter at fault otherwise."""
    from pydantic import ValidationError

    try:
        text = json.dumps(given)
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolError(f"the arguments are not JSON: {error}") from error
    try:
        checked = shape.arguments.model_validate_json(text, strict=True)
    except ValidationError as error:
        problems = [_problem(shape, dict(entry)) for entry in error.errors(include_url=False)[:5]]
        raise ToolError("; ".join(dict.fromkeys(problems))) from error
    return {name: getattr(checked, f"argument_{index}") for index, name in enumerate(shape.parameters)}


def _problem(shape: _Shape, error: dict[str, Any]) -> str:
    """One finding of pydantic's in the words of a tool."""
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error["loc"]).lstrip(".")
    reason = error["msg"].replace("Input should be", "should be")
    if not place:
        return f"the arguments cannot be read: {reason}"
    if error["type"] == "missing":
        properties = shape.schema["function"]["parameters"]["properties"]
        kind = properties.get(place, {}).get("type")
        return f"missing parameter '{place}'" + (f" ({kind})" if isinstance(kind, str) else "")
    if error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
        known = dict.fromkeys(shape.parameters)
        return f"unknown parameter '{place:.60}'" + (nearest(place, known) if known else "; it takes none")
    return f"parameter '{place}' {reason}, got {_shown(error.get('input'))}"


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _text(value: Any) -> str:
    """What a tool returned, as text: strings as they are, nothing as `done`, all else as JSON."""
    from pydantic import BaseModel

    if isinstance(value, str):
        return value
    if value is None:
        return "done"
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    return json.dumps(value, ensure_ascii=False, default=str)


def _trouble(kind: Trouble, reason: str) -> ToolResult:
    return ToolResult(f"Error: {reason}", kind)
