"""The queue of an annotator: which items wait, which are asked about next, and which are dropped when it is full."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Item = str | tuple[str, str]
"""What is labelled: one caption, or a pair of captions to compare."""

Order = Literal["lifo", "fifo", "frequency"]
ORDERS = ("lifo", "fifo", "frequency")


@dataclass(slots=True)
class Waiting:
    """An item in the queue: how often it was submitted, and the environment step at which it was first."""

    item: Item
    count: int
    seen: int


class WaitingItems:
    """Items that wait for a label.

    Args:
        order: "lifo" takes what was seen last, so that a slow annotator still keeps up with what the policy does now (an
            item seen again counts as new); "fifo" what came first; "frequency" what was submitted most often.
        size: most items that wait. Of too many, "lifo" drops the oldest, "fifo" refuses the newest, and "frequency" drops
            the rarest.
        dedupe: whether an item that waits already is only counted; otherwise it waits twice.
    """

    def __init__(self, order: Order, size: int, dedupe: bool = True) -> None:
        self.order, self.size, self.dedupe = order, size, dedupe
        self._entries: dict[Item | int, Waiting] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, item: object) -> bool:
        """Whether an item waits (known under `dedupe` only)."""
        return item in self._entries

    def put(self, items: Sequence[Item], seen: Sequence[int]) -> tuple[int, list[Item]]:
        """Add items, the last one as the newest.

        Args:
            items: what is to be labelled.
            seen: the environment step at which each was first seen.

        Returns:
            How many entries the queue did not have before, and what was dropped for want of room.
        """
        added = 0
        dropped: list[Item] = []
        for item, step in zip(items, seen, strict=True):
            key: Item | int = item
            if not self.dedupe:
                self._serial += 1
                key = self._serial
            entry = self._entries.get(key)
            if entry is not None:
                entry.count += 1
                if self.order != "fifo":  # seen again: the newest
                    self._entries[key] = self._entries.pop(key)
            elif self.order == "fifo" and len(self._entries) >= self.size:
                dropped.append(item)
            else:
                self._entries[key] = Waiting(item, 1, step)
                added += 1
        over = len(self._entries) - self.size
        if over > 0:
            dropped += [self._entries.pop(key).item for key in self._least(over)]
        return added, dropped

    def take(self, count: int) -> list[Waiting]:
        """The next items to ask about, at most `count`; they wait no longer."""
        return [self._entries.pop(key) for key in self._next(count)]

    def give_back(self, entries: Sequence[Waiting]) -> None:
        """Items whose question went wrong wait again, where they were: they are the next in any order."""
        if self.order == "fifo":
            old, self._entries = self._entries, {}
            self._enter(entries)
            self._entries.update(old)
        else:
            self._enter(entries[::-1])  # the newest of them was the first to be taken

    def entries(self) -> list[Waiting]:
        """All that waits, the oldest first."""
        return list(self._entries.values())

    def replace(self, entries: Sequence[Waiting]) -> None:
        """Put stored entries in place of all that waits."""
        self._entries = {}
        self._enter(entries)

    def _enter(self, entries: Sequence[Waiting]) -> None:
        for entry in entries:
            self._serial += 1
            known = self._entries.pop(entry.item, None) if self.dedupe else None
            if known is not None:
                entry.count += known.count
            self._entries[entry.item if self.dedupe else self._serial] = entry

    def _next(self, count: int) -> list[Item | int]:
        keys = list(self._entries)
        if self.order == "fifo":
            return keys[:count]
        if self.order == "lifo":
            return keys[: -count - 1 : -1]
        places = heapq.nlargest(count, range(len(keys)), key=lambda place: (self._entries[keys[place]].count, place))
        return [keys[place] for place in places]

    def _least(self, count: int) -> list[Item | int]:
        keys = list(self._entries)
        if self.order != "frequency":
            return keys[:count]
        places = heapq.nsmallest(count, range(len(keys)), key=lambda place: (self._entries[keys[place]].count, place))
        return [keys[place] for place in places]
