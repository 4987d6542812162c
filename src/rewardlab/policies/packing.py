"""Sequences that begin alike in one line: the shared tokens stand once, the rests behind them.

Each rest goes on with the positions behind the shared part, sees it and itself, and nothing of the other rests, so every
token's hidden state is the one it has in a row of its own. The answers to one prompt then read it once and not once each.
Attention is computed over whole lines, so a line takes sequences only while what is saved is more than that costs.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rewardlab.policies.wrapping import unwrapped

LEAST_SAVED = 0.1
"""Share of the work that a line has to save: attention with a mask of its own is slower than plain causal attention."""

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Packing:
    """Some rows as lines.

    Args:
        ids: int64[line, place], padded on the right.
        positions: int64[line, place], the position of every token in its own sequence.
        segment: int64[line, place]: 0 in the shared part, k in the k-th rest, -1 on padding.
        line: int64[row, token], in which line a row's token stands; 0 on padding.
        place: int64[row, token], where in that line; 0 on padding.
    """

    ids: Tensor
    positions: Tensor
    segment: Tensor
    line: Tensor
    place: Tensor


@dataclass(frozen=True, slots=True)
class PackingLimits:
    """What a model allows, and when packing pays for it.

    Args:
        width: of the model; a token's own work grows with its square, attention with width times length.
        longest: how far attention reaches where that is limited; longer sequences stay alone. None for no limit.
    """

    width: int
    longest: int | None = None

    def cost(self, length: int) -> float:
        """The work of a line, in tokens; a layer's own weights are about 12 width^2, attention 2 width per pair."""
        return length + length * length / (6.0 * self.width)


def packing_limits(model: nn.Module) -> PackingLimits | None:
    """What packing a model allows; None where it gives other numbers for packed rows, which is tried out.

    Args:
        model: a transformers causal language model, bare or wrapped.
    """
    config: Any = getattr(unwrapped(model), "config", None)
    if config is None or getattr(config, "_attn_implementation", None) not in ("sdpa", "eager"):
        return None
    text = config.get_text_config()
    width = getattr(text, "hidden_size", None)
    if not width or not _same_numbers(model, int(text.vocab_size)):
        return None
    return PackingLimits(width=int(width), longest=attention_window(text))


def shared_length(sequences: Sequence[Ids]) -> int:
    """How many tokens all sequences begin with."""
    shared = len(sequences[0])
    for first, second in pairwise(sequences):
        most = min(shared, len(second))
        differ = np.flatnonzero(first[:most] != second[:most])
        shared = int(differ[0]) if differ.size else most
    return shared


def find_lines(
    sequences: Sequence[Ids], groups: Sequence[Hashable], limits: PackingLimits, *, longest: int
) -> list[list[int]]:
    """Which sequences share a line.

    Args:
        sequences: the tokens of each.
        groups: sequences of equal groups may share one.
        limits: of the model.
        longest: the most tokens in a line that several share.

    Returns:
        Lists of indices: each index once.
    """
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    lines: list[list[int]] = []
    for group_members in members.values():
        if len(group_members) == 1:
            lines.append(group_members)
            continue
        shared = shared_length([sequences[index] for index in group_members])
        ordered = sorted(group_members, key=lambda index: (-len(sequences[index]), index))
        for line in _fill([len(sequences[index]) for index in ordered], shared, limits, longest):
            lines.append([ordered[place] for place in line])
    return lines


def line_length(sequences: Sequence[Ids]) -> int:
    """Tokens of a line with these sequences."""
    if len(sequences) == 1:
        return len(sequences[0])
    shared = shared_length(sequences)
    return shared + sum(len(one) - shared for one in sequences)


def pack(sequences: Sequence[Ids], sizes: Sequence[int], device: torch.device | str = "cpu") -> Packing:
    """Put sequences into lines.

    Args:
        sequences: the tokens of each row; those of a line stand together.
        sizes: how many rows each line has.
        device: where the result goes.
    """
    lines, segments, positions = [], [], []
    longest_row = max(map(len, sequences))
    where = np.zeros((2, len(sequences), longest_row), np.int64)
    row = 0
    for number, size in enumerate(sizes):
        members = sequences[row : row + size]
        shared = shared_length(members)
        ids, segment, position = [members[0][:shared]], [np.zeros(shared, np.int64)], [np.arange(shared)]
        end = shared
        for part, sequence in enumerate(members, start=1):
            rest = len(sequence) - shared
            ids.append(sequence[shared:])
            segment.append(np.full(rest, part))
            position.append(np.arange(shared, len(sequence)))
            where[0, row, : len(sequence)] = number
            where[1, row, :shared] = np.arange(shared)
            where[1, row, shared : len(sequence)] = np.arange(end, end + rest)
            end += rest
            row += 1
        lines.append(np.concatenate(ids))
        segments.append(np.concatenate(segment))
        positions.append(np.concatenate(position))
    columns = [_padded(lines, 0), _padded(positions, 0), _padded(segments, -1), where[0], where[1]]
    return Packing(*(torch.from_numpy(column).to(device) for column in columns))


def segment_mask(segment: Tensor, model: nn.Module) -> Tensor:
    """Which tokens see which, as the model's attention takes it: [line, 1, token, token].

    Args:
        segment: int64[line, place], as in `Packing`.
        model: a transformers model, whose attention is `sdpa` (which takes truths) or `eager` (which adds numbers).
    """
    size = segment.shape[1]
    before = torch.ones(size, size, dtype=torch.bool, device=segment.device).tril()
    seen = (segment.unsqueeze(1) == 0) | (segment.unsqueeze(1) == segment.unsqueeze(2))
    allowed = (seen & before).unsqueeze(1)  # padding sees padding, so that no row of attention is empty
    inner: Any = unwrapped(model)
    if inner.config._attn_implementation == "sdpa":
        return allowed
    kind = next(weight.dtype for weight in inner.parameters() if weight.is_floating_point())
    return torch.zeros(allowed.shape, dtype=kind, device=segment.device).masked_fill(~allowed, torch.finfo(kind).min)


def attention_window(text: Any) -> int | None:
    """How far attention reaches where that is limited; None for all the way.

    Args:
        text: the configuration of a model's text part, `config.get_text_config()`.
    """
    found = getattr(text, "sliding_window", None)
    kinds = getattr(text, "layer_types", None)
    if not found or getattr(text, "use_sliding_window", True) is False:
        return None
    if kinds is not None and "sliding_attention" not in kinds:
        return None
    return int(found)


def _fill(lengths: Sequence[int], shared: int, limits: PackingLimits, longest: int) -> list[list[int]]:
    """Cut sequences of a group, from long to short, into lines; places in `lengths`."""
    lines: list[list[int]] = []
    line: list[int] = []
    total = 0
    for place, length in enumerate(lengths):
        joined = total + length - shared
        reach = limits.longest is None or length <= limits.longest
        if line and reach and joined <= longest and limits.cost(joined) < limits.cost(total) + limits.cost(length):
            line.append(place)
            total = joined
            continue
        if line:
            lines.append(line)
        line, total = [place], length
        if not reach:
            lines.append(line)
            line = []
    if line:
        lines.append(line)
    kept: list[list[int]] = []
    for line in lines:
        alone = sum(limits.cost(lengths[place]) for place in line)
        together = limits.cost(shared + sum(lengths[place] - shared for place in line))
        kept += [line] if together <= (1 - LEAST_SAVED) * alone else [[place] for place in line]
    return kept


def _same_numbers(model: nn.Module, vocabulary: int) -> bool:
    """Whether a model says the same of packed rows and of plain ones, on three short sequences."""
    from rewardlab.policies.logprobs import token_logprobs

    rows = [
        np.asarray(line, dtype=np.int64) % vocabulary
        for line in ([3, 5, 7, 11, 13, 2], [3, 5, 7, 11, 19, 23, 29], [3, 5, 7, 11, 31])
    ]
    device = next(model.parameters()).device
    ids, mask = (torch.from_numpy(_padded(rows, fill)).to(device) for fill in (0, -1))
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            plain = token_logprobs(model, ids, mask >= 0)
            packed = token_logprobs(model, ids, mask >= 0, packing=pack(rows, [3], device))
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError):
        return False  # an architecture that has no use for such a mask
    finally:
        model.train(was_training)
    exact = next(model.parameters()).dtype in (torch.float32, torch.float64)
    return bool((plain - packed).abs().max() <= (1e-4 if exact else 0.05) * max(float(plain.abs().max()), 1e-6))


def _padded(lines: Sequence[NDArray[Any]], fill: int) -> Ids:
    filled = np.full((len(lines), max(map(len, lines))), fill, np.int64)
    for row, line in enumerate(lines):
        filled[row, : len(line)] = line
    return filled
