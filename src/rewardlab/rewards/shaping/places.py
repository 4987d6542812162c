"""Where in an observation a point, a velocity or a number stands, as plain values that a specification can hold.

Columns of a flat observation are a list of integers; `columns("car", 0, 1)` names columns of an entry of a Dict observation;
`at(1.0, 0.0)` is a fixed point. The three are told apart by their types, never by their values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import StrictInt

Columns = tuple[StrictInt, ...]
Place = Annotated[Columns | str | dict[str, Any], "a place in an observation"]
"""Columns of a flat observation, the key of a Dict observation, or what `at` and `columns` make."""


def at(*coordinates: float) -> dict[str, Any]:
    """A fixed point.

    Raises:
        ValueError: a coordinate is not a finite number, or there are none.
    """
    if not coordinates or not np.isfinite(coordinates).all():
        raise ValueError(f"a fixed point needs finite coordinates, got {coordinates}")
    return {"at": [float(one) for one in coordinates]}


def columns(key: str, *positions: int) -> dict[str, Any]:
    """Columns of one entry of a Dict observation; all of them where no positions are given."""
    return {"key": key, "columns": list(positions)} if positions else {"key": key}


def check_place(place: Any, owner: str, option: str) -> None:
    """Raise a ValueError for a place that says nothing."""
    if isinstance(place, tuple) and not place:
        raise ValueError(f"{owner}: option {option!r} is empty, expected columns of the observation, such as [0, 1]")
    if not isinstance(place, Mapping):
        return
    known = ({"at"}, {"key"}, {"key", "columns"})
    if set(place) not in known:
        raise ValueError(
            f"{owner}: option {option!r} has the keys {sorted(place)}, expected 'at' (a fixed point), or 'key' and "
            "'columns' (of a Dict observation)"
        )
    if "at" in place:
        at(*place["at"])


def read_place(observation: Any, place: Any, owner: str, option: str) -> NDArray[np.float64]:
    """The numbers that stand at a place.

    Args:
        observation: [N, width], or a dict of such arrays.
        place: see `Place`.
        owner: who asks, for messages.
        option: which of its options the place is.

    Returns:
        float64[N, columns]; [1, columns] for a fixed point.

    Raises:
        ValueError: the observation has no such place.
    """
    if isinstance(place, Mapping) and "at" in place:
        return np.asarray(place["at"], dtype=np.float64)[None]
    chosen: list[int] | None
    if isinstance(place, tuple):
        if isinstance(observation, Mapping):
            raise ValueError(
                f"{owner}: option {option!r} names columns {list(place)}, but observations are dicts with the keys "
                f"{', '.join(map(repr, observation))}; name the key, as in columns({next(iter(observation))!r}, 0, 1)"
            )
        source, chosen = observation, list(place)
    else:
        key = place if isinstance(place, str) else place["key"]
        chosen = None if isinstance(place, str) else place.get("columns")
        if not isinstance(observation, Mapping):
            raise ValueError(
                f"{owner}: option {option!r} names the key {key!r}, but observations are arrays of shape "
                f"{np.shape(observation)}; name columns, such as [0, 1]"
            )
        if key not in observation:
            raise ValueError(
                f"{owner}: option {option!r} names the key {key!r}; observations have {', '.join(map(repr, observation))}"
            )
        source = observation[key]
    array = np.asarray(source, dtype=np.float64)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ValueError(
            f"{owner}: option {option!r} reads columns, but observations have shape {array.shape}; expected [N, width]"
        )
    if chosen is None:
        return array
    wrong = [position for position in chosen if not -array.shape[1] <= position < array.shape[1]]
    if wrong:
        raise ValueError(f"{owner}: option {option!r} names column {wrong[0]}, but there are {array.shape[1]} columns")
    return array[:, chosen]


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors of length 1 in the same directions; the vector of length 0 stays as it is.

    Args:
        vectors: float64[N, dimension].
    """
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
