"""Options checked by pydantic against the signature of what takes them: a class and its configuration are one thing."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation

from rewardlab.registry import KeyPath, Registry, SpecError, nearest


@functools.cache
def options_model(target: Callable[..., Any], leave_out: tuple[str, ...] = ()) -> type[BaseModel]:
    """A pydantic model of the options that a class or function takes.

    Args:
        target: what takes them; its annotations say their types, its docstring what they are.
        leave_out: parameters that a configuration cannot give.
    """
    hints = _hints(target)
    described = _described(target)
    entries: dict[str, Any] = {}
    for name, parameter in inspect.signature(target).parameters.items():
        if name in leave_out or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        hint = hints.get(name, Any)
        default = ... if parameter.default is parameter.empty else parameter.default
        if type(default).__name__ == "_HAS_DEFAULT_FACTORY_CLASS":
            default = _factory_default(target, name)
        entries[name] = (_writable(hint), Field(default, description=described.get(name)))
    with warnings.catch_warnings():  # an option may have the name of a method of pydantic's that is no longer used
        warnings.filterwarnings("ignore", message="Field name .* shadows an attribute", category=UserWarning)
        return create_model(
            getattr(target, "__name__", "options"),
            __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=()),
            **entries,
        )


def check_options(
    target: Callable[..., Any],
    options: Mapping[str, Any],
    *,
    kind: str,
    path: KeyPath = (),
    leave_out: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Check options, and bring them to the types that the target asks for.

    Returns:
        The options that were given, and no others.

    Raises:
        SpecError: an option that is not there (the nearest one is named), a missing one, or a value of the wrong type.
    """
    model = options_model(target, leave_out)
    try:
        checked = model.model_validate(dict(options))
    except ValidationError as error:
        raise first_error(error, model, dict(options), kind=kind, path=path) from None
    return {name: getattr(checked, name) for name in checked.model_fields_set}


def build(
    registry: Registry, spec: Mapping[str, Any] | str, *, path: KeyPath = (), given: Mapping[str, Any] | None = None
) -> Any:
    """Build what a spec of a registry stands for.

    Args:
        registry: where its name is looked up.
        spec: `{"type": name, option: value}`, or a bare name.
        path: where it stands in a larger document.
        given: arguments that do not come from the configuration.

    Raises:
        SpecError: an unknown name or option, or values that are refused.
    """
    target, options = registry.target(spec, path=path, given=tuple(given or ()))
    name = spec if isinstance(spec, str) else spec["type"]
    checked = check_options(target, options, kind=f"{registry.kind} {name!r}", path=path, leave_out=tuple(given or ()))
    try:
        return target(**checked, **(given or {}))
    except SpecError as error:  # of a spec inside of this one, which does not know where it stands
        raise SpecError(f"{registry.kind} {name!r}: {error}", (*path, *error.path)) from error
    except (TypeError, ValueError) as error:
        raise SpecError(f"{registry.kind} {name!r}: {error}", path) from error


def first_error(
    error: ValidationError, model: type[BaseModel], data: Any, *, kind: str, path: KeyPath = ()
) -> SpecError:
    """What pydantic found wrong first, in our words: the key, the value, what was expected, the nearest valid key.

    Args:
        error: what pydantic raised.
        model: what it checked against.
        data: what it checked.
        kind: what the data is, for the message ("the configuration").
        path: where the data stands in a larger document.
    """
    details = error.errors()[0]
    where: KeyPath = details["loc"]
    if details["type"] == "extra_forbidden":
        owner = _model_at(model, where[:-1])
        known = owner.model_fields if owner is not None else {}
        inside = f" under {_dotted(where[:-1])!r}" if where[:-1] else ""
        elsewhere = [place for place in _places(model) if place[-1] == where[-1]]
        hint = f"; did you mean {_dotted(elsewhere[0])!r}?" if elsewhere else nearest(str(where[-1]), known)
        return SpecError(f"{kind} has no key {str(where[-1])!r}{inside}{hint}", (*path, *where))
    if details["type"] == "missing":
        inside = f" under {_dotted(where[:-1])!r}" if where[:-1] else ""
        return SpecError(f"{kind} needs the key {str(where[-1])!r}{inside}", (*path, *where[:-1]))
    if details["type"] == "invalid_key":
        return SpecError(f"{kind} has the key {where[-1]}, which is no text; keys are names", (*path, *where[:-1]))
    # pydantic puts the branches of a union behind the key: only what the data holds is a key
    keys, value = _followed(data, where)
    same = [entry for entry in error.errors() if _followed(data, entry["loc"])[0] == keys]
    expected = " or ".join(dict.fromkeys(_expected(entry) for entry in same))
    if not keys:
        return SpecError(f"{kind} must be {expected}, got {value!r:.80}", path)
    return SpecError(f"{kind}: {_dotted(keys)!r} must be {expected}, got {value!r:.80}", (*path, *keys))


_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "a string",
    "list": "a list, such as [a, b]",
    "tuple": "a list, such as [a, b]",
    "set": "a list, such as [a, b]",
    "dict": "a mapping of keys",
    "mapping": "a mapping of keys",
    "model": "a mapping of keys",
    "dataclass": "a mapping of keys",
    "none": "null",
    "iterable": "a list, such as [a, b]",
    "sequence": "a list, such as [a, b]",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
}


def _expected(details: Any) -> str:
    """What pydantic wanted, as the end of "must be"."""
    code, context = details["type"], details.get("ctx", {})
    if code in _BOUNDS:
        words, key = _BOUNDS[code]
        return f"{words} {context[key]}"
    if code == "literal_error":
        return str(context["expected"]).replace("'", "").replace(" or ", ", ").join(("one of ", ""))
    if code == "is_instance_of":
        return _EXPECTED.get(context["class"].lower(), f"a {context['class']}")
    family = code.partition("_")[0]
    return _EXPECTED.get(family, details["msg"][:1].lower() + details["msg"][1:])


def _followed(data: Any, where: KeyPath) -> tuple[KeyPath, Any]:
    """The part of a location that leads somewhere in the data, and what stands there."""
    keys: list[str | int] = []
    for key in where:
        inside = isinstance(data, Mapping) and key in data
        if not inside and not (isinstance(data, (list, tuple)) and isinstance(key, int) and key < len(data)):
            break
        data = data[key]
        keys.append(key)
    return tuple(keys), data


def _dotted(path: KeyPath) -> str:
    return ".".join(str(key) for key in path)


def _places(model: type[BaseModel], above: KeyPath = ()) -> list[KeyPath]:
    """Every key that a model has below its own, as paths."""
    places: list[KeyPath] = []
    for name in model.model_fields:
        inner = _model_at(model, (name,))
        if inner is not None:
            places += [(*above, name, key) for key in inner.model_fields] + _places(inner, (*above, name))
    return places


def _model_at(model: type[BaseModel], where: KeyPath) -> type[BaseModel] | None:
    for key in where:
        entry = model.model_fields.get(str(key))
        if entry is None:
            return None
        candidates = (entry.annotation, *typing.get_args(entry.annotation))
        found = [hint for hint in candidates if isinstance(hint, type) and issubclass(hint, BaseModel)]
        if not found:
            return None
        model = found[0]
    return model


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    source = target if dataclasses.is_dataclass(target) or not isinstance(target, type) else target.__init__  # type: ignore[misc]
    try:
        return typing.get_type_hints(source)
    except NameError:  # an annotation that is only imported for type checkers
        names: dict[str, Any] = {}
        module = inspect.getmodule(target)
        for owner in reversed(inspect.getmro(target)) if isinstance(target, type) else (source,):
            for name, text in getattr(owner, "__annotations__", {}).items():
                space = {**vars(inspect.getmodule(owner) or module)}
                names[name] = _one_hint(text, space)
        return names


def _one_hint(text: Any, space: dict[str, Any]) -> Any:
    if not isinstance(text, str):
        return text
    holder = type("Holder", (), {"__annotations__": {"entry": text}})
    try:
        return typing.get_type_hints(holder, globalns=space)["entry"]
    except NameError:
        return Any


def _writable(hint: Any) -> Any:
    """The hint where pydantic can check it, and anything where it cannot."""
    from pydantic import TypeAdapter

    try:
        own = isinstance(hint, type) and hasattr(hint, "__get_pydantic_core_schema__")
        TypeAdapter(hint, config=None if own else ConfigDict(arbitrary_types_allowed=True))
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, TypeError):
        return Any
    return hint


def _factory_default(target: Any, name: str) -> Any:
    for entry in dataclasses.fields(target):
        if entry.name == name and entry.default_factory is not dataclasses.MISSING:
            return entry.default_factory()
    return ...


def _described(target: Callable[..., Any]) -> dict[str, str]:
    """What the `Args` section of a docstring (of the class and those it extends) says about each option."""
    owners = inspect.getmro(target) if isinstance(target, type) else (target,)
    found: dict[str, str] = {}
    for owner in owners:
        lines = (inspect.cleandoc(owner.__doc__) if owner.__doc__ else "").splitlines()
        if "Args:" not in lines:
            continue
        names: list[str] = []
        for line in lines[lines.index("Args:") + 1 :]:
            if line and not line.startswith(" "):
                break
            if line.startswith("    ") and not line.startswith("     ") and ":" in line:
                head, _, text = line.strip().partition(": ")
                names = [name for name in head.split(", ") if name not in found]  # "low, high: limits of ..."
                found |= dict.fromkeys(names, text)
            elif line.strip():
                found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found
