"""Attention of lines whose sequences share a beginning, computed piece by piece instead of under one large mask.

A mask over a whole line makes attention look at every pair of its tokens, those that may not see each other too. Here the
shared part is one causal call, and every rest is one call on the shared part and itself, so that nothing is computed only to
be masked. The pieces are many small calls, which pays on a processor; elsewhere the mask stays.

Transformers looks attention up by name in the model's configuration, so the name is changed while a model runs. What the
pieces are is kept per thread: without it, and for layers of any other kind, the function is transformers' own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rewardlab.policies.wrapping import unwrapped

NAME = "rewardlab_shared_prompt"


@dataclass(frozen=True, slots=True)
class Rest:
    """Where one sequence goes on behind what it shares: `line[start:end]`, with what its tokens may see."""

    start: int
    end: int
    mask: Tensor


@dataclass(frozen=True, slots=True)
class Line:
    """The tokens that stand first and see each other, and the rests that see them and themselves."""

    shared: int
    rests: tuple[Rest, ...]


_lines: ContextVar[tuple[Line, ...] | None] = ContextVar("lines", default=None)


def read_lines(segment: Tensor) -> tuple[Line, ...]:
    """What stands where in every line.

    Args:
        segment: int64[line, place]: 0 in the shared part, k in the k-th rest, -1 on padding.
    """
    found = []
    for row in segment.cpu():
        numbers, counts = torch.unique_consecutive(row, return_counts=True)
        sizes = {int(number): int(count) for number, count in zip(numbers, counts, strict=True)}
        shared = sizes.pop(0, 0)
        sizes.pop(-1, None)
        rests, start = [], shared
        for size in sizes.values():
            own = torch.ones(size, size, dtype=torch.bool).tril()
            mask = torch.cat([torch.ones(size, shared, dtype=torch.bool), own], dim=1)
            rests.append(Rest(start, start + size, mask))
            start += size
        found.append(Line(shared, tuple(rests)))
    return tuple(found)


@contextmanager
def shared_attention(model: nn.Module, segment: Tensor) -> Iterator[None]:
    """Within this, attention of `model` is computed piece by piece where that is possible and pays.

    The model is still given the mask of the whole line, which is what counts wherever the pieces cannot be used: on another
    device than a processor, with another attention than `sdpa`, and where activations are computed again on the way back.

    Args:
        model: a transformers model, bare or wrapped.
        segment: int64[line, place], as in `read_lines`.
    """
    config: Any = getattr(unwrapped(model), "config", None)
    again = model.training and any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    if segment.device.type != "cpu" or again or getattr(config, "_attn_implementation", None) not in ("sdpa", NAME):
        yield
        return
    _register()
    token = _lines.set(read_lines(segment))
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = "sdpa"
        _lines.reset(token)


def attend(query: Tensor, key: Tensor, value: Tensor, lines: Sequence[Line], scale: float | None) -> Tensor:
    """Scaled dot-product attention of lines.

    Args:
        query: float[line, head, place, width].
        key: float[line, key head, place, width], with as many heads or a divisor of them.
        value: like `key`.
        lines: what stands where.
        scale: of the products; None for one over the root of the width.

    Returns:
        float[line, place, head, width]; 0 on padding.
    """
    grouped = query.shape[1] != key.shape[1]
    finished = []
    for number, line in enumerate(lines):
        asked, keys, values = query[number : number + 1], key[number : number + 1], value[number : number + 1]
        common = slice(line.shared)
        pieces = []
        if line.shared:
            pieces.append(
                _product(
                    asked[:, :, common], keys[:, :, common], values[:, :, common],
                    is_causal=True, scale=scale, enable_gqa=grouped,
                )
            )  # fmt: skip
        for rest in line.rests:
            own = slice(rest.start, rest.end)
            seen = torch.cat([keys[:, :, common], keys[:, :, own]], dim=2)
            said = torch.cat([values[:, :, common], values[:, :, own]], dim=2)
            pieces.append(_product(asked[:, :, own], seen, said, attn_mask=rest.mask, scale=scale, enable_gqa=grouped))
        end = line.rests[-1].end if line.rests else line.shared
        if end < query.shape[2]:
            pieces.append(query.new_zeros(1, query.shape[1], query.shape[2] - end, value.shape[3]))
        finished.append(torch.cat(pieces, dim=2))
    return torch.cat(finished).transpose(1, 2)


_product = nn.functional.scaled_dot_product_attention


def _forward(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """The attention that transformers finds under `NAME`."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    lines = _lines.get()
    plain = not options.get("dropout") and options.get("position_bias") is None and options.get("softcap") is None
    if lines is None or not plain or not (len(lines) == len(query) and query.shape[2] == key.shape[2]):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    return attend(query, key, value, lines, options.get("scaling")).contiguous(), None


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, _forward)
    AttentionMaskInterface.register(NAME, sdpa_mask)
