"""What computes next-token logits over the slot store, and the comparison that admits one for a model."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from rewardlab.policies.engines.store import Span, Store


class UnsupportedModel(ValueError):
    """A way of computing does not fit a model; the message says why."""


class Forward(Protocol):
    """Computes next-token logits for a span of slots, and keeps keys and values in its store."""

    store: Store

    def __call__(self, span: Span) -> Tensor:
        """Logits float[row, vocab] after each row's last token."""

    def refresh(self) -> None:
        """Take over the model's present weights."""


def context_length(model: Any) -> int | None:
    """The most tokens that a model can read, or None where its configuration names no limit."""
    config = model.config.get_text_config(decoder=True)
    for name in ("max_position_embeddings", "n_positions", "n_ctx"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def check_forward(forward: Forward, model: Any) -> None:
    """Compare a forward pass with the model's own on two short rows that are read in pieces.

    Raises:
        UnsupportedModel: the logits differ by more than rounding.
    """
    vocabulary = model.config.get_text_config(decoder=True).vocab_size
    device = model.device
    rows = [[(7 * place + 3 * row + 1) % vocabulary for place in range(length)] for row, length in enumerate((6, 4))]
    expected = torch.stack([model(input_ids=torch.tensor([row], device=device)).logits[0, -1] for row in rows]).float()
    forward.store.reserve(2, 8)

    def read(starts: list[int], ends: list[int]) -> Tensor:
        counts = [end - start for start, end in zip(starts, ends, strict=True)]
        tokens = [token for row, s, e in zip(rows, starts, ends, strict=True) for token in row[s:e]]
        places = [place for s, e in zip(starts, ends, strict=True) for place in range(s, e)]
        return forward(
            Span(
                first=0,
                rows=2,
                tokens=torch.tensor(tokens, device=device),
                positions=torch.tensor(places, device=device),
                counts=None if max(counts) == 1 else counts,
                width=max(ends),
                fresh=not any(starts),
            )
        )

    try:
        read([0, 0], [3, 2])
        read([3, 2], [5, 3])
        logits = read([5, 3], [6, 4]).float()
    except (TypeError, RuntimeError, IndexError, AttributeError, ValueError) as error:
        if isinstance(error, UnsupportedModel):
            raise
        raise UnsupportedModel(f"{type(error).__name__}: {error}") from None
    tolerance = (1e-3 if model.dtype == torch.float32 else 5e-2) * max(1.0, float(expected.abs().max()))
    difference = float((logits - expected).abs().max())
    if not difference <= tolerance:
        raise UnsupportedModel(f"its logits differ from the model's own by {difference:.2g}")
