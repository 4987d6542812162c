"""What a generated reward may see: a real adapter object, described to a language model by its own hints and docstrings.

The adapter is an ordinary class, built from observations, whose attributes hold N states at once (leading axis N). The same
class gives the text of the prompt, the static check of a program and the values that a program gets, so that none of them
can drift from another. Hints say what *one* state has: `Scalar`, `Flag`, `Annotated[NDArray[np.float64], (3,)]`, another
class of the view, or a method that takes objects of the view.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

Form = Literal["scalar", "vectorised"]
"""`scalar`: a program sees one state and returns one number, as in the paper. `vectorised`: it sees N states, returns N."""

Scalar = Annotated[NDArray[np.float64], ()]
"""One number for each state; the adapter holds float[N]."""
Flag = Annotated[NDArray[np.bool_], ()]
"""True or False for each state; the adapter holds bool[N]."""


class ViewError(TypeError):
    """An adapter whose hints cannot be read, or whose values are not what its hints say."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value: its shape in one state, whether it is True or False, and the comment for the prompt."""

    shape: tuple[int, ...]
    flag: bool = False
    comment: str = ""

    def describe(self, form: Form) -> str:
        """The type as the prompt names it."""
        kind = "bool" if self.flag else "float"
        if form == "vectorised":
            return f"ndarray[({', '.join(['N', *map(str, self.shape)])}{',' if not self.shape else ''})] of {kind}"
        if not self.shape:
            return kind
        return f"ndarray[({', '.join(map(str, self.shape))}{',' if len(self.shape) == 1 else ''})]"


@dataclass(frozen=True, slots=True)
class Method:
    """Something that can be asked about objects of the view: parameter name -> class name, and what it gives."""

    parameters: dict[str, str]
    leaf: Leaf


@dataclass(frozen=True, slots=True)
class Part:
    """One class of a view."""

    name: str
    comment: str
    bases: tuple[str, ...]
    attributes: dict[str, Leaf | str] = field(default_factory=dict)
    methods: dict[str, Method] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Everything that a program can name on it."""
        return [*self.attributes, *self.methods]


@dataclass(frozen=True, slots=True)
class ViewSchema:
    """All classes of a view, the root first."""

    root: str
    parts: dict[str, Part]

    def objects(self) -> dict[str, str]:
        """Path -> class name of every object, the root at the path ''."""
        found: dict[str, str] = {}

        def walk(path: str, name: str) -> None:
            found[path] = name
            for attribute, kind in self.parts[name].attributes.items():
                if isinstance(kind, str):
                    walk(f"{path}.{attribute}".lstrip("."), kind)

        walk("", self.root)
        return found

    def fits(self, given: str, wanted: str) -> bool:
        """Whether an object of one class may stand where another is asked for."""
        return given == wanted or wanted in self.parts[given].bases

    def to_json(self) -> dict[str, Any]:
        """What the program's side needs to refuse what is not listed."""
        return {
            path: {
                "class": name,
                "bases": [name, *self.parts[name].bases],
                "objects": [key for key, kind in self.parts[name].attributes.items() if isinstance(kind, str)],
                "names": self.parts[name].names,
                "methods": {key: method.parameters for key, method in self.parts[name].methods.items()},
            }
            for path, name in self.objects().items()
        }


def schema_of(view: Any) -> ViewSchema:
    """Read the hints of a view.

    Args:
        view: the adapter's class, or an object of it.

    Raises:
        ViewError: a hint is missing or cannot be read; the class and the attribute are named.
    """
    root = view if isinstance(view, type) else type(view)
    parts: dict[str, Part] = {}
    asked: dict[str, type] = {}
    _read_class(root, parts, (), asked)
    while missing := [cls for name, cls in asked.items() if name not in parts]:  # classes that only parameters name
        _read_class(missing[0], parts, (), asked)
    return ViewSchema(root=root.__name__, parts=parts)


def abstraction(view: Any, *, form: Form = "scalar") -> str:
    """The compact Python description of a view that a language model reads.

    Args:
        view: the adapter's class, or an object of it.
        form: whether types are those of one state, or of N states at once.

    Raises:
        ViewError: a hint is missing or cannot be read.
    """
    schema = schema_of(view)
    blocks = []
    for part in schema.parts.values():
        base = f"({part.bases[0]})" if part.bases else ""
        lines = [f"class {part.name}{base}:"]
        if part.comment:
            lines.append(f'    """{part.comment}"""')
        for name, kind in part.attributes.items():
            text = kind if isinstance(kind, str) else kind.describe(form)
            note = schema.parts[kind].comment if isinstance(kind, str) else kind.comment
            lines.append(f"    self.{name} : {text}" + (f"  # {note}" if note else ""))
        for name, method in part.methods.items():
            given = "".join(f", {key}: {value}" for key, value in method.parameters.items())
            note = f"  # {method.leaf.comment}" if method.leaf.comment else ""
            lines.append(f"    def {name}(self{given}) -> {method.leaf.describe(form)}: ...{note}")
        blocks.append("\n".join(lines) + "\n")
    return "\n\n".join(blocks)


def view_values(schema: ViewSchema, view: Any, count: int, *, names: set[str] | None = None) -> dict[str, NDArray[Any]]:
    """Everything that programs may read, as plain arrays.

    Args:
        schema: of the view's class.
        view: the adapter object, which holds `count` states.
        count: how many.
        names: only attributes and methods that are called so; None for all.

    Returns:
        Path -> array[count, ...]; the answers of a method stand under `robot.check_grasp(cubeA)`.

    Raises:
        ViewError: a value has another shape than its hint says.
    """
    objects = schema.objects()
    values: dict[str, NDArray[Any]] = {}
    for path, name in objects.items():
        thing = _follow(view, path)
        for attribute, kind in schema.parts[name].attributes.items():
            if isinstance(kind, Leaf) and (names is None or attribute in names):
                key = f"{path}.{attribute}".lstrip(".")
                values[key] = _checked(getattr(thing, attribute), kind, count, key)
        for called, method in schema.parts[name].methods.items():
            if names is not None and called not in names:
                continue
            for given in _choices(schema, objects, list(method.parameters.values())):
                key = f"{path}.{called}({', '.join(given)})".lstrip(".")
                answer = getattr(thing, called)(*(_follow(view, one) for one in given))
                values[key] = _checked(answer, method.leaf, count, key)
    return values


def check_view(view: type, observations: Any, count: int) -> None:
    """Build a view from observations and compare all of its values with its hints.

    Raises:
        ViewError: they differ; the attribute, what it has and what was hinted are named.
    """
    view_values(schema_of(view), view(observations), count)


# ---- hints -----------------------------------------------------------------------------------------------------------


def _read_class(cls: type, parts: dict[str, Part], within: tuple[str, ...], asked: dict[str, type]) -> None:
    if cls.__name__ in within:
        raise ViewError(f"{cls.__name__} holds itself, by way of {' -> '.join(within)}; a view must be a tree")
    if cls.__name__ in parts:
        return
    bases = tuple(base.__name__ for base in cls.__mro__[1:-1])
    part = Part(name=cls.__name__, comment=_comment(cls.__dict__.get("__doc__")), bases=bases)
    parts[cls.__name__] = part
    within = (*within, cls.__name__)
    for name, hint in _hints(cls, cls.__name__).items():
        if not name.startswith("_"):
            _add(part, name, hint, "", parts, within, asked)
    for owner in reversed(cls.__mro__[:-1]):
        for name, member in vars(owner).items():
            if name.startswith("_"):
                continue
            if isinstance(member, property):
                hints = _hints(member.fget, f"{cls.__name__}.{name}")
                _add(part, name, hints.get("return"), _comment(member.__doc__), parts, within, asked)
            elif inspect.isfunction(member):
                part.methods[name] = _method(member, f"{cls.__name__}.{name}", asked)


def _add(
    part: Part,
    name: str,
    hint: Any,
    comment: str,
    parts: dict[str, Part],
    within: tuple[str, ...],
    asked: dict[str, type],
) -> None:
    where = f"{part.name}.{name}"
    if inspect.isclass(hint) and hint not in (float, bool, int) and not issubclass(hint, (np.ndarray, np.generic)):
        part.attributes[name] = hint.__name__
        _read_class(hint, parts, within, asked)
        return
    part.attributes[name] = _leaf(hint, comment, where)


def _method(function: Any, where: str, asked: dict[str, type]) -> Method:
    hints = _hints(function, where)
    parameters: dict[str, str] = {}
    for name in list(inspect.signature(function).parameters)[1:]:
        hint = hints.get(name)
        if not inspect.isclass(hint) or hint in (float, bool, int, str) or issubclass(hint, np.ndarray):
            raise ViewError(
                f"parameter {name!r} of {where} must be hinted with a class of the view, got {hint!r}: what a method says "
                "is worked out outside of the sandbox, for every object that it can be asked about"
            )
        parameters[name] = hint.__name__
        asked[hint.__name__] = hint
    return Method(parameters=parameters, leaf=_leaf(hints.get("return"), _comment(function.__doc__), where))


def _leaf(hint: Any, comment: str, where: str) -> Leaf:
    if hint in (float, int):
        return Leaf((), comment=comment)
    if hint is bool:
        return Leaf((), flag=True, comment=comment)
    if typing.get_origin(hint) is Annotated:
        inner, *notes = typing.get_args(hint)
        shapes = [note for note in notes if isinstance(note, tuple)]
        texts = [note for note in notes if isinstance(note, str)]
        if len(shapes) == 1 and all(isinstance(size, int) for size in shapes[0]):
            flag = inner is bool or "bool" in str(inner)
            return Leaf(shapes[0], flag=flag, comment=comment or " ".join(texts))
    raise ViewError(
        f"{where} must be hinted with Scalar, Flag, Annotated[NDArray[np.float64], (3,)] (the shape in one state), float, "
        f"bool or a class of the view, got {hint!r}"
    )


def _hints(target: Any, where: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(target, include_extras=True)
    except NameError as error:
        raise ViewError(f"the hints of {where} cannot be read: {error}; define its classes before it") from error


def _comment(text: str | None) -> str:
    return " ".join((text or "").strip().split("\n\n")[0].split())


# ---- values ----------------------------------------------------------------------------------------------------------


def _follow(view: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        view = getattr(view, name)
    return view


def _choices(schema: ViewSchema, objects: Mapping[str, str], wanted: list[str]) -> Iterator[tuple[str, ...]]:
    if not wanted:
        yield ()
        return
    for path, name in objects.items():
        if path and schema.fits(name, wanted[0]):
            for rest in _choices(schema, objects, wanted[1:]):
                yield (path, *rest)


def _checked(value: Any, leaf: Leaf, count: int, where: str) -> NDArray[Any]:
    array = np.ascontiguousarray(np.asarray(value, dtype=bool if leaf.flag else np.float64))
    if array.shape != (count, *leaf.shape):
        raise ViewError(
            f"{where} of the view has shape {array.shape}, but its hint says {(count, *leaf.shape)} for {count} states"
        )
    return array
