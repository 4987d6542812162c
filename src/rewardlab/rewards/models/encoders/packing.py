"""Prepared texts as tensors: one row each, or several that share their beginning in one row.

In a packed row the shared tokens stand once and the rests follow. Each rest goes on with the positions behind the shared
part, sees it and itself, and nothing of the other rests. With K responses to a prompt of p tokens that saves p (K - 1)
tokens of work; attention is computed over whole rows, so rows are kept short enough that this pays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from rewardlab.policies.packing import line_length, shared_length
from rewardlab.rewards.models.base import Batch
from rewardlab.rewards.models.encoders.text_inputs import PreparedText

LEAST_SAVED = 0.15
"""Share of a group's tokens that has to be saved for packing to pay: masked attention costs more than causal attention."""

LONGEST = 3.0
"""A packed row is at most this many times as long as its longest text, because attention grows with the square of a row."""


def plain(prepared: Sequence[PreparedText], *, pad_id: int, left: bool, prompts: bool) -> Batch:
    """One row per text.

    Args:
        prepared: the texts.
        pad_id: what stands on padding.
        left: whether padding comes first.
        prompts: whether the prompts are wanted as rows of their own, `prompt_ids` and `prompt_mask`.
    """
    count = len(prepared)
    ids, mask, shifts = _padded([one.ids for one in prepared], pad_id, left)
    kinds = np.zeros_like(ids)
    for row, one in enumerate(prepared):
        kinds[row, shifts[row] + one.prompt : shifts[row] + len(one)] = 1
    columns: dict[str, np.ndarray] = {"ids": ids, "mask": mask, "type": kinds, "row": np.arange(count)}
    columns |= _features(prepared, [lambda place, shift=shift: place + shift for shift in shifts])
    if prompts:
        asked = [one.ids[: max(1, one.prompt)] for one in prepared]
        columns["prompt_ids"], columns["prompt_mask"], _ = _padded(asked, pad_id, left)
    return {name: torch.from_numpy(column) for name, column in columns.items()}


def rows(prepared: Sequence[PreparedText], groups: Sequence[Sequence[int]], window: int | None) -> list[list[int]]:
    """Which texts share a row: each index once.

    Args:
        prepared: the texts.
        groups: indices of texts that may share one.
        window: how far the model's attention reaches, None for all the way; longer texts stay alone.

    Raises:
        ValueError: an index stands in two groups.
    """
    seen: set[int] = set()
    made: list[list[int]] = []
    for group in groups:
        members = list(group)
        if seen & set(members) or len(set(members)) < len(members):
            twice = sorted(seen & set(members)) or members
            raise ValueError(f"text {twice[0]} stands in the groups more than once")
        seen |= set(members)
        members.sort(key=lambda index: -len(prepared[index]))
        row: list[int] = []
        for index in members:
            candidate = [*row, index]
            if row and not _pays([prepared[member] for member in candidate], window):
                made.append(row)
                candidate = [index]
            row = candidate
        if row:
            made.append(row)
    return made + [[index] for index in range(len(prepared)) if index not in seen]


def row_length(texts: Sequence[PreparedText]) -> int:
    """Tokens of a packed row."""
    return line_length([one.ids for one in texts])


def packed(prepared: Sequence[PreparedText], members: Sequence[Sequence[int]], *, pad_id: int) -> Batch:
    """Rows that hold several texts each, padded on the right.

    Args:
        prepared: the texts.
        members: of every row its texts, each index once.
        pad_id: what stands on padding.

    Returns:
        `ids`, `mask`, `segment` (0 for the shared part, k for the k-th rest, -1 for padding) and `position`, [row, token],
        and where the features of every text stand.
    """
    lines, segments, positions = [], [], []
    row_of = np.zeros(len(prepared), np.int64)
    places: list[Any] = [None] * len(prepared)
    for row, group in enumerate(members):
        shared = shared_length([prepared[index].ids for index in group])
        line, segment, position = [prepared[group[0]].ids[:shared]], [np.zeros(shared)], [np.arange(shared)]
        start = shared
        for number, index in enumerate(group, start=1):
            rest = prepared[index].ids[shared:]
            line.append(rest)
            segment.append(np.full(len(rest), number))
            position.append(np.arange(shared, shared + len(rest)))
            row_of[index] = row
            behind = start - shared

            def place(at: np.ndarray, shared: int = shared, behind: int = behind) -> np.ndarray:
                return np.where(at < shared, at, at + behind)

            places[index] = place
            start += len(rest)
        lines.append(np.concatenate(line))
        segments.append(np.concatenate(segment).astype(np.int64))
        positions.append(np.concatenate(position).astype(np.int64))
    ids, mask, _ = _padded(lines, pad_id, False)
    columns = {"ids": ids, "mask": mask, "row": row_of}
    columns["segment"] = _padded(segments, -1, False)[0]
    columns["position"] = _padded(positions, 0, False)[0]
    columns |= _features(prepared, places)
    return {name: torch.from_numpy(column) for name, column in columns.items()}


def works(encoder: Any) -> bool:
    """Whether a model gives the same features for packed rows, tried out on three short texts."""
    model = encoder.backbone
    if getattr(model.config, "_attn_implementation", None) not in ("sdpa", "eager"):
        return False
    device = next(model.parameters()).device
    most = model.config.get_text_config().vocab_size
    texts = [
        PreparedText(ids=np.asarray(line) % most, prompt=4, last=len(line) - 1, steps=np.zeros(0, np.int64))
        for line in ([3, 5, 7, 11, 13, 2], [3, 5, 7, 11, 19, 23, 29], [3, 5, 7, 11, 31])
    ]
    was_training = encoder.training
    encoder.eval()
    try:
        with torch.no_grad():
            found = []
            for batch in (
                plain(texts, pad_id=0, left=encoder.padding == "left", prompts=False),
                packed(texts, [[0, 1, 2]], pad_id=0),
            ):
                found.append(encoder({name: column.to(device) for name, column in batch.items()}).response)
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError):
        return False  # an architecture that has no use for such a mask
    finally:
        encoder.train(was_training)
    exact = next(model.parameters()).dtype in (torch.float32, torch.float64)
    size = float(found[0].abs().max())
    return bool((found[0] - found[1]).abs().max() <= (1e-4 if exact else 0.05) * max(size, 1e-6))


def _pays(texts: Sequence[PreparedText], window: int | None) -> bool:
    longest = max(len(one) for one in texts)
    if window is not None and longest > window:
        return False
    shared = shared_length([one.ids for one in texts])
    alone = sum(len(one) for one in texts)
    length = alone - shared * (len(texts) - 1)
    return length <= LONGEST * longest and (alone - length) >= LEAST_SAVED * alone


def _padded(lines: Sequence[np.ndarray], pad: int, left: bool) -> tuple[np.ndarray, np.ndarray, list[int]]:
    longest = max(len(line) for line in lines)
    filled = np.full((len(lines), longest), pad, np.int64)
    mask = np.zeros((len(lines), longest), np.bool_)
    shifts = [longest - len(line) if left else 0 for line in lines]
    for row, (line, shift) in enumerate(zip(lines, shifts, strict=True)):
        filled[row, shift : shift + len(line)] = line
        mask[row, shift : shift + len(line)] = True
    return filled, mask, shifts


def _features(prepared: Sequence[PreparedText], places: Sequence[Any]) -> dict[str, np.ndarray]:
    """Where the features of every text stand in its row: `last`, `prompt`, `steps` and `step_mask`."""
    most = max(len(one.steps) for one in prepared)
    last, prompt = np.zeros(len(prepared), np.int64), np.zeros(len(prepared), np.int64)
    steps, mask = np.zeros((len(prepared), most), np.int64), np.zeros((len(prepared), most), np.bool_)
    for index, (one, place) in enumerate(zip(prepared, places, strict=True)):
        last[index] = place(np.asarray(one.last))
        prompt[index] = place(np.asarray(max(one.prompt - 1, 0)))
        known = one.steps >= 0
        steps[index, : len(known)] = np.where(known, place(np.maximum(one.steps, 0)), 0)
        mask[index, : len(known)] = known
    return {"last": last, "prompt": prompt, "steps": steps, "step_mask": mask}
