"""Keys and values of many conversations in preallocated planes: a row (slot) for each, filled from the left.

Because a row is filled from the left, column and position are the same number, rows may differ in length, and nothing has to
be moved when a conversation goes on. Rows are exchanged so that the ones at work are always the first ones: what the model
reads is then a plain slice, however many rows have finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens to compute: for some neighbouring slots, the next tokens of each, packed one after the other.

    Args:
        first: the first slot.
        rows: how many slots.
        tokens: int64[token], all rows' tokens one row after the other.
        positions: int64[token], where in its row each token stands.
        counts: how many tokens each row has; None when each has exactly one (a decoding step).
        width: columns that the rows reach into once these tokens are in.
        uniform: whether all rows reach exactly `width` and have one token, so that nothing needs masking.
        fresh: whether every row starts at position 0, so that plain causal attention over the new tokens is all there is.
    """

    first: int
    rows: int
    tokens: Tensor
    positions: Tensor
    counts: list[int] | None
    width: int
    uniform: bool = False
    fresh: bool = False

    def grid(self) -> tuple[Tensor, Tensor]:
        """int64[token] each: the row (from 0) of every token, and its place among its row's new tokens."""
        device = self.tokens.device
        if self.counts is None:
            row = torch.arange(self.rows, device=device)
            return row, torch.zeros_like(row)
        counts = torch.tensor(self.counts)
        row = torch.repeat_interleave(torch.arange(self.rows), counts)
        column = torch.arange(len(row)) - torch.repeat_interleave(counts.cumsum(0) - counts, counts)
        return row.to(device), column.to(device)

    def last(self) -> Tensor | None:
        """int64[row]: where each row's last token stands among the packed ones; None when each row has just one."""
        if self.counts is None:
            return None
        return (torch.tensor(self.counts).cumsum(0) - 1).to(self.tokens.device)


class Store:
    """The planes. A plane is float[slot, head, column, dim]; a layer has one for keys and one for values.

    Args:
        shapes: heads and dim of each plane; None where planes are made as the model first writes to them.
        dtype, device: of planes given by `shapes`.
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, int]] = (),
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.slots = 0
        self.capacity = 0
        self.planes: list[Tensor | None] = [
            torch.empty((0, heads, 0, dim), dtype=dtype, device=device) for heads, dim in shapes
        ]

    def plane(self, number: int, like: Tensor) -> Tensor:
        """A plane, made on first use for states `like` float[row, head, token, dim]."""
        while len(self.planes) <= number:
            self.planes.append(None)
        plane = self.planes[number]
        if plane is None:
            plane = like.new_zeros((self.slots, like.shape[1], self.capacity, like.shape[3]))
            self.planes[number] = plane
        return plane

    def reserve(self, slots: int, capacity: int) -> None:
        """Make room for so many slots and columns; what is stored stays. Grows by half at least, so that it rarely grows."""
        if slots <= self.slots and capacity <= self.capacity:
            return
        if slots > self.slots:
            slots = max(slots, self.slots * 3 // 2)
        if capacity > self.capacity:
            capacity = max((capacity + 31) // 32 * 32, self.capacity * 3 // 2)
        slots, capacity = max(slots, self.slots), max(capacity, self.capacity)
        for number, plane in enumerate(self.planes):
            if plane is not None:
                # zeros, because a masked column still takes part in products, where NaN would spread
                larger = plane.new_zeros((slots, plane.shape[1], capacity, plane.shape[3]))
                larger[: self.slots, :, : self.capacity] = plane
                self.planes[number] = larger
        self.slots, self.capacity = slots, capacity

    def copy(self, sources: Sequence[int], targets: Sequence[int], width: int) -> None:
        """Copy the first `width` columns of some slots to other slots."""
        if not len(sources):
            return
        for plane in self.planes:
            if plane is not None:
                source, target = _indices(sources, plane), _indices(targets, plane)
                plane[:, :, :width][target] = plane[:, :, :width][source]

    def swap(self, some: Sequence[int], others: Sequence[int], width: int) -> None:
        """Exchange the first `width` columns of slots pairwise; no slot may be named twice."""
        self.copy([*some, *others], [*others, *some], width)

    def clear(self) -> None:
        """Give the memory back."""
        self.slots = self.capacity = 0
        for number, plane in enumerate(self.planes):
            if plane is not None:
                self.planes[number] = plane.new_empty((0, plane.shape[1], 0, plane.shape[3]))


def _indices(slots: Sequence[int], plane: Tensor) -> Tensor:
    return torch.tensor(slots, device=plane.device)
