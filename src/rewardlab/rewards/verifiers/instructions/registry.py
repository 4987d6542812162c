"""Constraints: small functions `(text, **options) -> bool`, found by name, with options checked before any text is seen."""

from __future__ import annotations

import functools
import inspect
import json
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal

from rewardlab.registry import nearest

Check = Callable[..., bool]
Relation = Literal["at least", "at most", "less than", "more than", "exactly"]

_CONSTRAINTS: dict[str, Check] = {}


class UnknownConstraint(ValueError):
    """A constraint or one of its options does not exist, is missing, or has a value of the wrong kind."""


def constraint(name: str) -> Callable[[Check], Check]:
    """Register a function `(text, **options) -> bool` as a constraint. Options are keyword-only and annotated.

    Raises:
        ValueError: the name is taken.
    """

    def mark(check: Check) -> Check:
        if name in _CONSTRAINTS:
            raise ValueError(f"the constraint {name!r} is already there; choose another name")
        _CONSTRAINTS[name] = check
        return check

    return mark


def constraints() -> dict[str, Check]:
    """Every constraint by name."""
    return dict(_CONSTRAINTS)


def compare(count: int, relation: Relation, number: int) -> bool:
    """Whether a count stands in a relation to a number."""
    if relation == "at least":
        return count >= number
    if relation == "at most":
        return count <= number
    if relation == "less than":
        return count < number
    if relation == "more than":
        return count > number
    return count == number


def bind(name: str, options: Mapping[str, Any]) -> Callable[[str], bool]:
    """A constraint with its options fixed and checked.

    Args:
        name: a registered constraint.
        options: its options; None stands for an option that is not given, as data sets with one column per option have
            it.

    Raises:
        UnknownConstraint: the name or an option is unknown (the nearest valid one is given), an option is missing, or
        its value
            is of the wrong kind.
    """
    given = {key: value for key, value in options.items() if value is not None}
    try:
        key = json.dumps(given, sort_keys=True)
    except TypeError:
        raise UnknownConstraint(f"the options of constraint {name!r} must be JSON values, got {given!r:.200}") from None
    return _bind(name, key)


@functools.lru_cache(maxsize=4096)
def _bind(name: str, options: str) -> Callable[[str], bool]:
    check = _CONSTRAINTS.get(name)
    if check is None:
        raise UnknownConstraint(f"unknown constraint {name!r}{nearest(name, _CONSTRAINTS)}")
    values: dict[str, Any] = json.loads(options)
    known = _option_checks(check)
    for option in values:
        if option not in known:
            known_options: Any = dict(known)
            raise UnknownConstraint(f"constraint {name!r} has no option {option!r}{nearest(option, known_options)}")
    for option, (required, hint, adapter) in known.items():
        if option not in values:
            if required:
                raise UnknownConstraint(f"constraint {name!r} needs the option {option!r} ({_hint_text(hint)})")
            continue
        values[option] = _checked(name, option, values[option], hint, adapter)
    return functools.partial(check, **values)


def _checked(name: str, option: str, value: Any, hint: Any, adapter: Any) -> Any:
    from pydantic import ValidationError

    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise UnknownConstraint(
            f"constraint {name!r}: option {option!r} must be {_hint_text(hint)}, got {value!r:.80} ({reason})"
        ) from None


@functools.cache
def _option_checks(check: Check) -> dict[str, tuple[bool, Any, Any]]:
    """For each option: whether it must be given, its annotation, and what validates it."""
    from pydantic import TypeAdapter

    hints = typing.get_type_hints(check, include_extras=True)
    return {
        option: (parameter.default is inspect.Parameter.empty, hints[option], TypeAdapter(hints[option]))
        for option, parameter in inspect.signature(check).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def _hint_text(hint: Any) -> str:
    """An annotation as a reader would write it, without what pydantic checks beyond the type."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Annotated:
        return _hint_text(arguments[0])
    if typing.get_origin(hint) is list:
        return f"a list of {_hint_text(arguments[0])}"
    if typing.get_origin(hint) is Literal:
        return f"one of {', '.join(map(repr, arguments))}"
    return hint.__name__ if isinstance(hint, type) else str(hint)
