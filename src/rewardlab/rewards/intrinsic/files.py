"""The state of an intrinsic reward in two files: plain values as JSON, arrays as npz without objects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

VALUES, ARRAYS = "intrinsic.json", "intrinsic.npz"
_MARK = "array:"


def write_state(state: dict[str, Any], folder: str | Path) -> None:
    """Write a state of dicts, lists, plain values and arrays."""
    arrays: dict[str, Any] = {}

    def cut(value: Any, path: str) -> Any:
        if isinstance(value, np.ndarray):
            arrays[path] = value
            return {_MARK: path}
        if isinstance(value, dict):
            return {key: cut(inner, f"{path}.{key}") for key, inner in value.items()}
        return value

    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    (place / VALUES).write_text(json.dumps(cut(state, "state")), encoding="utf-8")
    np.savez(place / ARRAYS, **arrays)


def read_state(folder: str | Path) -> dict[str, Any]:
    """What `write_state` wrote.

    Raises:
        FileNotFoundError: there is no such state in the folder.
    """
    place = Path(folder)
    if not (place / VALUES).is_file():
        raise FileNotFoundError(f"{place} holds no {VALUES}; give the folder that IntrinsicReward.save wrote")
    with np.load(place / ARRAYS, allow_pickle=False) as arrays:

        def join(value: Any) -> Any:
            if isinstance(value, dict):
                if set(value) == {_MARK}:
                    return arrays[value[_MARK]]
                return {key: join(inner) for key, inner in value.items()}
            return value

        state: dict[str, Any] = join(json.loads((place / VALUES).read_text(encoding="utf-8")))
    return state


def plain(item: str | tuple[str, str]) -> str | list[str]:
    """A caption, or a pair of captions, as JSON writes it."""
    return item if isinstance(item, str) else list(item)


def item_of(stored: str | Sequence[str]) -> str | tuple[str, str]:
    """A caption or a pair as it was before JSON."""
    return stored if isinstance(stored, str) else (stored[0], stored[1])
