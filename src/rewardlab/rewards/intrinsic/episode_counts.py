"""How often each message was seen in a trajectory, for N environments at once: a table of hashes that grows."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class EpisodeCounts:
    """Counts of messages by environment, as arrays, so that they can be reset, copied and stored as any state.

    Args:
        capacity: different messages of one trajectory that have room at first; beyond that, the room doubles.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity

    def start(self, count: int) -> dict[str, NDArray[Any]]:
        """Nothing seen: `keys` uint64[N, capacity] and `counts` int64[N, capacity]."""
        shape = (count, self.capacity)
        return {"keys": np.zeros(shape, np.uint64), "counts": np.zeros(shape, np.int64)}

    def add(
        self, state: dict[str, NDArray[Any]], captions: Sequence[str]
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """Count one message for each environment; empty ones do not count.

        Returns:
            int64[N], how often each was now seen (0 for an empty one), and the state after it.
        """
        wanted = np.array([message_key(caption) for caption in captions], dtype=np.uint64)
        keys, counts = state["keys"].copy(), state["counts"].copy()
        rows = np.flatnonzero(wanted)
        if rows.size and keys[rows, -1].any():  # a row is full
            keys, counts = (np.concatenate([table, np.zeros_like(table)], axis=1) for table in (keys, counts))
        places = (keys[rows] == wanted[rows, None]) | (keys[rows] == 0)
        columns = places.argmax(axis=1)  # its own place, or the first that is free
        keys[rows, columns] = wanted[rows]
        counts[rows, columns] += 1
        seen = np.zeros(len(wanted), np.int64)
        seen[rows] = counts[rows, columns]
        return seen, {"keys": keys, "counts": counts}

    def reset(self, state: dict[str, NDArray[Any]], mask: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """The state with nothing seen in the rows of `mask`."""
        return {name: np.where(mask[:, None], np.zeros((), table.dtype), table) for name, table in state.items()}


@functools.lru_cache(maxsize=65_536)
def message_key(caption: str) -> int:
    """64 bits that stand for a message; 0 for an empty one."""
    if not caption:
        return 0
    return int.from_bytes(hashlib.blake2b(caption.encode(), digest_size=8).digest(), "little") | 1
