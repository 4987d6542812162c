"""Any value of a trajectory as strict JSON, and back without loss.

Plain values stay as they are, so that other tools read the files. What JSON cannot say becomes an object with one tag:

    {"$float": "nan"}                                                    also "inf" and "-inf"
    {"$array": {"dtype": "<f4", "shape": [2, 3], "base64": "..."}}       the bytes of a numpy array, in C order
    {"$text": "..."}                                                     base64 of UTF-8 text that holds lone surrogates
    {"$dict": [[key, value], ...]}                                       a dict whose keys are not all plain strings

A user's own dict whose only key is one of these gets one more "$" in front, and loses it when read. Tuples become lists, and
numpy scalars the Python number of equal value; bytes and other objects are refused, with the keys that lead to them.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

_TAG = re.compile(r"\$+(?:float|array|text|dict)\Z")
_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_ARRAY_KINDS = "biufcmMU"
_MAX_INTEGER_BITS = 14_000  # Python itself refuses to write or read integers of more than 4,300 digits
_PLAIN = frozenset((int, bool, type(None)))
_write = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False).encode
_SEPARATORS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})


class Unwritable(TypeError):
    """A value that no trajectory file can hold.

    Args:
        reason: what is wrong with it.
        path: the keys that lead to it, from the outside in.
    """

    def __init__(self, reason: str, path: tuple[Any, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path

    def under(self, key: Any) -> Unwritable:
        """The same error, one level further out."""
        self.path = (key, *self.path)
        return self

    def __str__(self) -> str:
        if not self.path:
            return self.reason
        shown = self.path[:12]
        where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in shown).lstrip(".")
        return f"{where}{'...' if len(self.path) > len(shown) else ''}: {self.reason}"


def to_json(value: Any) -> str:
    """An encoded value as one line of strict JSON; line separators within text are escaped, so any splitter is safe."""
    text = _write(value)
    return text if text.isascii() else text.translate(_SEPARATORS)


def encode(value: Any) -> Any:
    """Turn a value into one that strict JSON can hold.

    Raises:
        Unwritable: it holds bytes, an object array or anything else with no JSON form; `path` leads to it.
    """
    kind = type(value)
    if kind is str:
        return value if value.isascii() else _encode_text(value)
    if kind is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if kind is dict:
        return _encode_dict(value)
    if kind is list or kind is tuple:
        return _encode_list(value)
    if kind in _PLAIN:
        return _encode_integer(value) if kind is int else value
    return _encode_other(value)


def decode(value: Any) -> Any:
    """Undo `encode` on a parsed JSON value.

    Raises:
        ValueError: a tagged value is damaged; the message says how.
    """
    kind = type(value)
    if kind is dict:
        if len(value) == 1:
            ((key, inner),) = value.items()
            if key[:1] == "$" and _TAG.match(key):
                return _decode_tag(key, inner)
            return {key: decode(inner)}
        return {key: decode(inner) for key, inner in value.items()}
    if kind is list:
        return [decode(inner) for inner in value]
    return value


def encode_array(array: np.ndarray) -> dict[str, Any]:
    """A numpy array as dtype, shape and base64 of its bytes in C order."""
    if array.dtype.kind not in _ARRAY_KINDS:
        raise Unwritable(
            f"an array of dtype {array.dtype} cannot be written; expected booleans, numbers, text or dates "
            "(use .tolist() for an array of objects)"
        )
    content = base64.b64encode(array.tobytes()).decode("ascii")
    return {"$array": {"dtype": array.dtype.str, "shape": list(array.shape), "base64": content}}


def decode_array(content: Any) -> np.ndarray:
    """Undo `encode_array`; the array is writable.

    Raises:
        ValueError: the description and the bytes do not fit.
    """
    if not isinstance(content, dict) or not content.keys() >= {"dtype", "shape", "base64"}:
        raise ValueError(f"$array needs the keys dtype, shape and base64, got {content!r:.80}")
    name, shape, text = content["dtype"], content["shape"], content["base64"]
    if not isinstance(name, str) or not isinstance(shape, list) or not isinstance(text, str):
        raise ValueError(f"$array must hold a dtype string, a shape list and base64 text, got {content!r:.80}")
    if any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f"the shape of $array must be a list of sizes, got {shape!r:.80}")
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError, SyntaxError) as error:
        raise ValueError(f"the dtype of $array is unknown: {name!r:.40}") from error
    if dtype.kind not in _ARRAY_KINDS or not dtype.itemsize:
        raise ValueError(f"the dtype of $array must be booleans, numbers, text or dates, got {name!r:.40}")
    data = _from_base64(text, "$array")
    expected = math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise ValueError(f"$array of shape {shape} and dtype {name} needs {expected} bytes, got {len(data)}")
    return np.frombuffer(data, dtype=dtype).reshape(shape).copy()


def _encode_text(text: str) -> Any:
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "surrogatepass")
        return {"$text": base64.b64encode(raw).decode("ascii")}
    return text


def _encode_integer(value: int) -> int:
    if value.bit_length() > _MAX_INTEGER_BITS:
        raise Unwritable(f"an integer of {value.bit_length()} bits is too long to be read back; write it as hex text")
    return value


def _encode_list(value: Any) -> list[Any]:
    encoded = []
    for index, inner in enumerate(value):
        try:
            encoded.append(encode(inner))
        except Unwritable as error:
            raise error.under(index) from None
        except RecursionError:
            raise Unwritable("nested too deeply, or holds itself") from None
    return encoded


def _encode_dict(value: Mapping[Any, Any]) -> dict[str, Any]:
    encoded: dict[str, Any] = {}
    plain = True
    for key, inner in value.items():
        if type(key) is not str or (not key.isascii() and type(_encode_text(key)) is not str):
            plain = False
            break
        try:
            encoded[key] = inner if type(inner) is str and inner.isascii() else encode(inner)
        except Unwritable as error:
            raise error.under(key) from None
        except RecursionError:
            raise Unwritable("nested too deeply, or holds itself", (key,)) from None
    if not plain:
        return {"$dict": [[_encode_key(key), _encode_under(key, inner)] for key, inner in value.items()]}
    if len(encoded) == 1:
        ((key, inner),) = encoded.items()
        if key[:1] == "$" and _TAG.match(key):
            return {"$" + key: inner}
    return encoded


def _encode_key(key: Any) -> Any:
    if key is None or isinstance(key, (str, bool, int, float)):
        return encode(key)
    raise Unwritable(f"a key of type {type(key).__name__} cannot be written: {key!r:.60}; use a string")


def _encode_under(key: Any, inner: Any) -> Any:
    try:
        return encode(inner)
    except Unwritable as error:
        raise error.under(key) from None


def _encode_other(value: Any) -> Any:
    """Values whose exact type is none of JSON's own: arrays, numpy scalars and subclasses."""
    if isinstance(value, np.ndarray):
        return encode_array(value)
    if isinstance(value, np.generic):
        plain = value.item()
        if value.dtype.kind in "biuU" or (value.dtype.kind == "f" and isinstance(plain, float)):
            return encode(plain)
    elif isinstance(value, str):
        return encode(str.__str__(value))
    elif isinstance(value, int):
        return encode(int(value))
    elif isinstance(value, float):
        return encode(float(value))
    elif isinstance(value, Mapping):
        return _encode_dict(value)
    elif isinstance(value, (list, tuple)):
        return _encode_list(value)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        raise Unwritable(
            f"bytes cannot be written ({len(value)} of them); use np.frombuffer(value, dtype=np.uint8), or text in base64"
        )
    raise Unwritable(
        f"a {type(value).__module__}.{type(value).__qualname__} cannot be written: {value!r:.60}; expected None, a bool, "
        "a number, text, a list, a dict or a numpy array"
    )


def _decode_tag(key: str, inner: Any) -> Any:
    if key[1] == "$":
        return {key[1:]: decode(inner)}
    if key == "$float":
        if not isinstance(inner, str) or inner not in _FLOATS:
            raise ValueError(f'$float must be "nan", "inf" or "-inf", got {inner!r:.40}')
        return _FLOATS[inner]
    if key == "$array":
        return decode_array(inner)
    if key == "$text":
        if not isinstance(inner, str):
            raise ValueError(f"$text must be base64 text, got {inner!r:.40}")
        return _from_base64(inner, "$text").decode("utf-8", "surrogatepass")
    if not isinstance(inner, list) or any(not isinstance(pair, list) or len(pair) != 2 for pair in inner):
        raise ValueError(f"$dict must be a list of pairs, got {inner!r:.40}")
    try:
        return {decode(name): decode(entry) for name, entry in inner}
    except TypeError as error:
        raise ValueError(f"a key of $dict is not text, a number or null: {inner!r:.80}") from error


def _from_base64(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:  # binascii.Error is one, and so is text that is not ASCII
        raise ValueError(f"{what} holds text that is not base64: {text!r:.40}") from error
