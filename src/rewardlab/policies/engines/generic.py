"""The forward pass of any transformers decoder over the slot store: its own code, with our cache and our masks.

The model is called with a four-dimensional attention mask, explicit positions and a cache whose layers write into the store.
Models that build their mask otherwise (ALiBi) or keep other state than keys and values (recurrent ones) do not fit; the
engine compares a few logits with the plain forward before it uses this, and goes to `plain.py` where they differ.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from rewardlab.policies.engines.forward import UnsupportedModel
from rewardlab.policies.engines.store import Span, Store


class GenericForward:
    """Next-token logits through the model's own forward.

    Args:
        model: a transformers causal language model, wrapped by peft or not.

    Raises:
        UnsupportedModel: the model attends in a way that an explicit mask cannot express.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        config = self.model.config.get_text_config(decoder=True)
        implementation = getattr(config, "_attn_implementation", "eager")
        if implementation not in ("eager", "sdpa"):
            raise UnsupportedModel(f"attention {implementation!r} takes no explicit mask; load with sdpa or eager")
        self.additive = implementation == "eager"
        self.window = getattr(config, "sliding_window", None)
        types = getattr(config, "layer_types", None)
        self.layer_types = sorted(set(types)) if types else None
        for kind in self.layer_types or ():
            if kind not in ("full_attention", "sliding_attention"):
                raise UnsupportedModel(f"layers of type {kind!r}")
        if getattr(config, "use_sliding_window", True) is False:
            self.window = None
        self.store = Store()

    def refresh(self) -> None:
        """Nothing to do: the model's own weights are used."""

    def __call__(self, span: Span) -> Tensor:
        """Logits float[row, vocab] after each row's last token."""
        if span.counts is None and span.uniform:
            return self._uniform(span)
        row, column = span.grid()
        longest = 1 if span.counts is None else max(span.counts)
        if span.counts is None:
            ids, positions = span.tokens[:, None], span.positions[:, None]
        else:
            # padding repeats the row's last token at its last position: it sees what that token sees, and is never read
            last = span.last()
            assert last is not None
            ids = span.tokens[last][:, None].repeat(1, longest)
            positions = span.positions[last][:, None].repeat(1, longest)
            ids[row, column] = span.tokens
            positions[row, column] = span.positions
        cache = Cache(layer_class_to_replicate=_layers(self.store, span, (row, column)))
        logits = self.model(
            input_ids=ids,
            attention_mask=self._mask(positions, span.width),
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            **({"logits_to_keep": 1} if longest == 1 else {}),
        ).logits
        if span.counts is None:
            return logits[:, -1]
        counts = torch.tensor(span.counts, device=logits.device)
        return logits[torch.arange(span.rows, device=logits.device), counts - 1]

    def _uniform(self, span: Span) -> Tensor:
        """One token for each of some rows of equal length: nothing to mask, unless a window has to be."""
        position = span.positions[:1, None]
        mask = None if self.window is None else self._mask(position, span.width)
        cache = Cache(layer_class_to_replicate=_layers(self.store, span, None))
        return self.model(
            input_ids=span.tokens[:, None],
            attention_mask=mask,
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]

    def _mask(self, positions: Tensor, width: int) -> Tensor | dict[str, Tensor]:
        columns = torch.arange(width, device=positions.device)
        seen = columns <= positions[:, None, :, None]
        if self.window is None:
            return self._written(seen)
        near = seen & (columns > positions[:, None, :, None] - self.window)
        if self.layer_types is None:
            return self._written(near)
        if self.layer_types == ["full_attention"]:
            return self._written(seen)
        return {"full_attention": self._written(seen), "sliding_attention": self._written(near)}

    def _written(self, seen: Tensor) -> Tensor:
        if not self.additive:
            return seen
        dtype = self.model.dtype
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, torch.finfo(dtype).min)


def _layers(store: Store, span: Span, grid: tuple[Tensor, Tensor] | None) -> Any:
    """What the cache calls to make its layers, in order: each gets the next pair of planes."""
    made: list[_StoreLayer] = []

    def make() -> _StoreLayer:
        made.append(_StoreLayer(store, span, grid, number=len(made)))
        return made[-1]

    return make


class _StoreLayer(DynamicLayer):
    """One layer of a cache that lives in the store; without a grid, all rows write into the last column."""

    def __init__(self, store: Store, span: Span, grid: tuple[Tensor, Tensor] | None, number: int) -> None:
        super().__init__()
        self.store, self.span, self.grid, self.number = store, span, grid, number

    def update(
        self, key_states: Tensor, value_states: Tensor, *arguments: Any, **options: Any
    ) -> tuple[Tensor, Tensor]:
        """Write the new keys and values into their slots, and return all columns in use."""
        span = self.span
        found = []
        for offset, states in ((0, key_states), (1, value_states)):
            plane = self.store.plane(2 * self.number + offset, states)
            used = plane[span.first : span.first + span.rows, :, : span.width]
            if self.grid is None:
                used[:, :, -1:] = states
            else:
                row, column = self.grid
                used[row, :, span.positions] = states[row, :, column]
            found.append(used)
        return found[0], found[1]

    def get_seq_length(self) -> int:
        """Columns in use before these tokens: what models take as the number of past tokens."""
        return self.span.width - (1 if self.span.counts is None else max(self.span.counts))

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Width and offset of the mask."""
        return self.span.width, 0
