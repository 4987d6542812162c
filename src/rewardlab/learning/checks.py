"""What columns of judgements must hold, said in the words of whoever made them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def check_columns(count: int, **columns: Sequence[Any] | NDArray[Any] | None) -> None:
    """Every column that is there has one entry for each row.

    Raises:
        ValueError: one has more or fewer.
    """
    for name, column in columns.items():
        if column is not None and len(column) != count:
            raise ValueError(f"{name} must have one entry per row, got {len(column)} for {count} rows")


def check_items(name: str, places: NDArray[np.int64], items: int) -> None:
    """Numbers of items that exist.

    Raises:
        ValueError: one does not.
    """
    wrong = np.flatnonzero((places < 0) | (places >= items))
    if wrong.size:
        raise ValueError(f"{name} names item {places[wrong[0]]} in row {wrong[0]}, there are {items} items (from 0)")


def check_probabilities(name: str, values: NDArray[np.float64], hint: str) -> None:
    """Numbers in [0, 1].

    Raises:
        ValueError: one is outside, or is none.
    """
    wrong = np.flatnonzero(~((values >= 0) & (values <= 1)))
    if wrong.size:
        raise ValueError(f"{name} must be in [0, 1], got {values[wrong[0]]} in row {wrong[0]}; {hint}")


def checked_weight(weight: ArrayLike | None) -> NDArray[np.float64] | None:
    """Weights of rows: finite and not negative.

    Raises:
        ValueError: they are not.
    """
    if weight is None:
        return None
    found = np.asarray(weight, np.float64)
    wrong = np.flatnonzero(~(np.isfinite(found) & (found >= 0)))
    if wrong.size:
        raise ValueError(f"weight must be finite and not negative, got {found[wrong[0]]} in row {wrong[0]}")
    return found


def together(pairs: Sequence[Sequence[int]], count: int) -> list[int]:
    """Of each of `count` items the smallest item that it hangs together with, through any chain of rows that name both.

    Args:
        pairs: of each row the items that it names.
        count: how many items there are.
    """
    parent = list(range(count))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for row in pairs:
        first = root(int(row[0]))
        for item in row[1:]:
            other = root(int(item))
            low, high = min(first, other), max(first, other)
            parent[high] = low
            first = low
    return [root(item) for item in range(count)]
