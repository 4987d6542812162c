"""Python values as JSON, without trusting the sender: plain data is copied, everything else stays where it is.

A value of a built-in type (and of the plain types of the standard library) travels by value, so that the receiver compares
its own objects, whose `==` nobody has tampered with. Anything else travels as a number that stands for it, and becomes a
`Remote` on the other side (`remote.py`).
"""

from __future__ import annotations

import base64
import builtins
import collections
import datetime
import decimal
import fractions
import sys
import types
from collections.abc import Callable
from typing import Any

_EXACT = 2**63
_DATES = {kind.__name__: kind for kind in (datetime.date, datetime.datetime, datetime.time)}
_SEQUENCES: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": collections.deque,
}
_MAPPINGS: dict[str, Callable[[Any], Any]] = {
    "dict": dict,
    "Counter": lambda pairs: collections.Counter(dict(pairs)),
    "OrderedDict": collections.OrderedDict,
    "defaultdict": lambda pairs: collections.defaultdict(None, pairs),
    "keys": lambda pairs: dict(pairs).keys(),
    "items": lambda pairs: dict(pairs).items(),
}
_TYPES = {name: value for name, value in vars(builtins).items() if isinstance(value, type)}
_PLAIN_VALUE: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
    (bytes, lambda value: bytes.__getitem__(value, slice(None))),
)
CHANGEABLE = (list, dict, set, bytearray, collections.deque)


class BadValue(Exception):
    """What came from the other side does not stand for any value."""


def encode(value: Any, refer: Callable[[Any], list[Any]]) -> Any:
    """Turn a value into JSON.

    Args:
        value: anything.
        refer: called for what is not plain data; returns `["here", number, type name]` or `["there", number]`.

    Raises:
        RecursionError: the value contains itself, or is nested too deeply.
    """
    kind = type(value)
    if value is None or kind is bool or kind is float or kind is str:
        return value
    if kind is int:
        return value if -_EXACT < value < _EXACT else ["int", hex(value)]
    if kind is list or kind is tuple or kind is set or kind is frozenset or kind is collections.deque:
        return [kind.__name__, *[encode(entry, refer) for entry in value]]
    if kind in (dict, collections.Counter, collections.OrderedDict, collections.defaultdict):
        return [kind.__name__, *[[encode(key, refer), encode(entry, refer)] for key, entry in value.items()]]
    if kind is type({}.keys()):
        return ["keys", *[[encode(key, refer), None] for key in value]]
    if kind is type({}.items()):
        return ["items", *[[encode(key, refer), encode(entry, refer)] for key, entry in value]]
    if kind is bytes or kind is bytearray:
        return [kind.__name__, base64.b64encode(value).decode("ascii")]
    if kind is complex:
        return ["complex", value.real, value.imag]
    if kind is range:
        return ["range", *[encode(entry, refer) for entry in (value.start, value.stop, value.step)]]
    if kind is decimal.Decimal:
        return ["Decimal", str(value)]
    if kind is fractions.Fraction:
        return ["Fraction", hex(value.numerator), hex(value.denominator)]
    if kind in _DATES.values() and getattr(value, "tzinfo", None) is None:
        return [kind.__name__, value.isoformat()]
    if kind is datetime.timedelta:
        return ["timedelta", value.days, value.seconds, value.microseconds]
    if value is Ellipsis:
        return ["ellipsis"]
    if kind is types.ModuleType:
        return ["module", value.__name__]
    if isinstance(value, type) and _TYPES.get(value.__name__) is value:
        return ["type", value.__name__]
    if kind.__module__ == "numpy":
        return _encode_numpy(value, refer)
    for base, plain in _PLAIN_VALUE:
        if isinstance(value, base):  # an enum, or a class of the program's own: what travels is the plain value in it
            return encode(plain(value), refer)
    if isinstance(value, tuple):
        return ["tuple", *[encode(entry, refer) for entry in tuple.__iter__(value)]]
    return refer(value)


def _encode_numpy(value: Any, refer: Callable[[Any], list[Any]]) -> Any:
    if hasattr(value, "dtype") and value.dtype.kind in "biufc":
        if value.ndim == 0:
            return encode(value.item(), refer)
        content = base64.b64encode(value.tobytes()).decode("ascii")
        return ["array", value.dtype.str, list(value.shape), content]
    return refer(value)


def decode(data: Any, resolve: Callable[[list[Any]], Any]) -> Any:
    """Turn JSON from the other side back into a value.

    Args:
        data: what `encode` made there, or something hostile.
        resolve: called for references; gives the object of our own, or a stand-in for theirs.

    Raises:
        BadValue: the data stands for nothing.
    """
    try:
        return _decode(data, resolve)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError, ImportError) as error:
        raise BadValue(f"the program sent a value that stands for nothing ({type(error).__name__}: {error})") from None


def _decode(data: Any, resolve: Callable[[list[Any]], Any]) -> Any:
    if not isinstance(data, list):
        if isinstance(data, dict):
            raise ValueError("a JSON object")
        return data
    kind, *rest = data
    if kind in _SEQUENCES:
        return _SEQUENCES[kind]([_decode(entry, resolve) for entry in rest])
    if kind in _MAPPINGS:
        return _MAPPINGS[kind]([(_decode(key, resolve), _decode(entry, resolve)) for key, entry in rest])
    if kind == "int":
        return int(rest[0], 16)
    if kind in ("bytes", "bytearray"):
        return _TYPES[kind](base64.b64decode(rest[0]))
    if kind == "complex":
        return complex(float(rest[0]), float(rest[1]))
    if kind == "range":
        return range(*[_decode(entry, resolve) for entry in rest])
    if kind == "Decimal":
        return decimal.Decimal(rest[0])
    if kind == "Fraction":
        return fractions.Fraction(int(rest[0], 16), int(rest[1], 16))
    if kind in _DATES:
        return _DATES[kind].fromisoformat(rest[0])
    if kind == "timedelta":
        return datetime.timedelta(*rest)
    if kind == "ellipsis":
        return ...
    if kind == "type":
        return _TYPES[rest[0]]
    if kind == "module":
        return _module(rest[0])
    if kind == "array":
        import numpy

        if numpy.dtype(rest[0]).kind not in "biufc":
            raise ValueError(rest[0])
        return numpy.frombuffer(base64.b64decode(rest[2]), dtype=rest[0]).reshape(rest[1]).copy()
    return resolve(data)


def _module(name: str) -> types.ModuleType:
    """A module that a program imported and a test names: ours, of the standard library, never theirs."""
    import importlib

    if name.split(".")[0] not in sys.stdlib_module_names or name.startswith("_"):
        raise ImportError(f"{name} is not a module of the standard library")
    return importlib.import_module(name)
