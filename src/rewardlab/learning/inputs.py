"""Where a fitter gets the features of items from, as cheaply as the encoder allows.

Features of a frozen encoder are computed once. Inputs that are all alike in length (vectors, images, segments of control
tasks) are put into tensors once and picked by index. Everything else is cut into batches of similar length at every step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from rewardlab.policies.batching import micro_batches
from rewardlab.rewards.models.base import Batch, Encoded, Encoder
from rewardlab.rewards.models.network import Network
from rewardlab.types import Trajectory

LARGEST_BATCH = 16_384
"""The most work (tokens, padding included) in one batch where nobody says otherwise."""

OVERHEAD = 64
"""What one more batch costs, in tokens: the time that goes to launching work, whatever its size."""


class Inputs(ABC):
    """The items of some data, ready to be encoded.

    Args:
        lengths: of each item, its work (tokens of a text).
    """

    cheap = True
    """Whether an item that stands twice in a batch may as well be computed twice."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = list(lengths)

    @abstractmethod
    def encode(self, items: Tensor) -> Encoded:
        """Features of some items, in the order given, with gradients where the encoder learns."""

    @abstractmethod
    def all(self) -> Encoded:
        """Features of all items, without gradients and without dropout."""


class CachedFeatures(Inputs):
    """Features that never change, computed once."""

    def __init__(self, encoded: Encoded) -> None:
        super().__init__([1] * len(encoded))
        self.encoded = encoded

    def encode(self, items: Tensor) -> Encoded:
        """Rows of what was computed."""
        return self.encoded.select(items)

    def all(self) -> Encoded:
        """What was computed."""
        return self.encoded


class IndexedInputs(Inputs):
    """Inputs of one length, collated once."""

    def __init__(self, network: Network, batch: Batch, length: int) -> None:
        self.count = len(next(iter(batch.values())))
        super().__init__([length] * self.count)
        self.encoder = network.encoder
        self.batch = {name: column.to(network.device) for name, column in batch.items()}

    def encode(self, items: Tensor) -> Encoded:
        """The encoder's features of the rows."""
        encoded: Encoded = self.encoder({name: column[items] for name, column in self.batch.items()})
        return encoded

    @torch.no_grad()
    def all(self) -> Encoded:
        """Features, some thousands of items at a time."""
        size = max(1, LARGEST_BATCH // max(1, self.lengths[0]))
        with evaluating(self.encoder):
            return Encoded.concatenate(
                [
                    self.encoder({name: column[start : start + size] for name, column in self.batch.items()})
                    for start in range(0, self.count, size)
                ]
            )


class RaggedInputs(Inputs):
    """Inputs of different length: batches of similar length, and prompts read once where the encoder can do that.

    Args:
        network: whose encoder it is.
        prepared: what it made of each item.
        batch_length: the most work in one batch.
        autocast: the type that the encoder computes in; None for that of its weights.
        recompute: whether activations are computed again on the way back, for encoders that do not do it themselves.
        agree: where processes hold parts of the encoder, the largest over all of them of a number of batches; whoever has
            fewer computes something of no weight, since all have to call the encoder equally often.
    """

    cheap = False

    def __init__(
        self,
        network: Network,
        prepared: Sequence[Any],
        *,
        batch_length: int | None = None,
        autocast: torch.dtype | None = None,
        recompute: bool = False,
        agree: Callable[[int], int] | None = None,
    ) -> None:
        self.network = network
        self.encoder = network.encoder
        super().__init__([self.encoder.length(one) for one in prepared])
        self.prepared = list(prepared)
        self.batch_length = batch_length or LARGEST_BATCH
        self.autocast = autocast
        self.recompute = recompute
        self.agree = agree

    def encode(self, items: Tensor) -> Encoded:
        """The encoder's features, batch by batch; items that answer one prompt share its computation where they can."""
        chosen = [self.prepared[item] for item in items.tolist()]
        groups = self._groups(chosen)
        batches = micro_batches(list(map(self._work, groups)), self.batch_length, overhead=OVERHEAD)
        spare = 0 if self.agree is None else self.agree(len(batches)) - len(batches)
        pieces, order = [], []
        for numbers in batches:
            rows = [row for number in numbers for row, _ in groups[number]]
            together = [one for number in numbers for _, one in groups[number]]
            if len(together) == len(numbers):
                batch = self.encoder.collate(together)
            else:
                places = iter(range(len(together)))
                batch = self.encoder.collate_groups(  # type: ignore[operator]
                    together, [[next(places) for _ in groups[number]] for number in numbers]
                )
            pieces.append(self._piece(batch))
            order += rows
        for _ in range(spare):
            shortest = min(chosen, key=self.encoder.length)
            pieces[0] = _beside(pieces[0], self._piece(self.encoder.collate([shortest])))
        return Encoded.concatenate(pieces).select(torch.argsort(torch.tensor(order, device=items.device)))

    def _groups(self, chosen: Sequence[Any]) -> list[list[tuple[int, Any]]]:
        find = getattr(self.encoder, "groups", None)
        groups = [[row] for row in range(len(chosen))] if find is None else find(chosen)
        return [[(row, chosen[row]) for row in group] for group in groups]

    def _work(self, group: Sequence[tuple[int, Any]]) -> int:
        if len(group) == 1:
            return self.encoder.length(group[0][1])
        return int(self.encoder.group_length([one for _, one in group]))  # type: ignore[operator]

    def all(self) -> Encoded:
        """Features of all items."""
        with torch.no_grad(), evaluating(self.encoder):
            return self.encode(torch.arange(len(self.prepared), device=self.network.device))

    def _piece(self, batch: Batch) -> Encoded:
        placed = {name: column.to(self.network.device) for name, column in batch.items()}
        with torch.autocast(self.network.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            if self.recompute and torch.is_grad_enabled():
                encoded = torch.utils.checkpoint.checkpoint(self.encoder, placed, use_reentrant=False)
            else:
                encoded = self.encoder(placed)
        return _wide(encoded) if self.autocast is not None else encoded


def make_inputs(
    network: Network,
    items: Sequence[Trajectory],
    *,
    batch_length: int | None = None,
    autocast: torch.dtype | None = None,
    recompute: bool = False,
    agree: Callable[[int], int] | None = None,
) -> Inputs:
    """The cheapest inputs that the encoder allows.

    Args:
        network: whose encoder reads the items.
        items: trajectories.
        batch_length: the most work in one batch; None for 16384.
        autocast: the type that a learning encoder computes in.
        recompute, agree: see `RaggedInputs`.

    Raises:
        ValueError: an item cannot be read; the message says which.
    """
    encoder: Encoder = network.encoder
    prepared = encoder.prepare(items)
    if is_frozen(encoder):
        return CachedFeatures(network.encode_prepared(prepared, batch_length=batch_length or LARGEST_BATCH).detach())
    lengths = {encoder.length(one) for one in prepared}
    if len(lengths) == 1 and autocast is None and not recompute and not hasattr(encoder, "collate_groups"):
        batch = encoder.collate(prepared)
        if all(len(column) == len(prepared) for column in batch.values()):
            return IndexedInputs(network, batch, lengths.pop())
    return RaggedInputs(
        network,
        prepared,
        batch_length=batch_length,
        autocast=autocast,
        recompute=recompute,
        agree=agree,
    )


def is_frozen(encoder: Encoder) -> bool:
    """Whether nothing in the encoder learns."""
    return encoder.frozen or not any(weight.requires_grad for weight in encoder.parameters())


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Within this, a module computes without dropout."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


def _wide(encoded: Encoded) -> Encoded:
    """Features in float32, whatever the encoder computed in: comparisons are differences of like numbers."""
    return replace(
        encoded,
        response=encoded.response.float(),
        prompt=None if encoded.prompt is None else encoded.prompt.float(),
        steps=None if encoded.steps is None else encoded.steps.float(),
    )


def _beside(encoded: Encoded, other: Encoded) -> Encoded:
    """The same features, which also depend on others, by nothing."""
    columns = [column for column in (other.response, other.prompt, other.steps) if column is not None]
    return replace(encoded, response=encoded.response + 0.0 * sum(column.sum() for column in columns))
