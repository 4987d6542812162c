"""How the rows of an update are cut into what goes through the model at once: rows that share a prompt in one line, lines of
similar length in one piece."""

from __future__ import annotations

from collections.abc import Sequence

from rewardlab.policies.batching import micro_batches
from rewardlab.policies.packing import PackingLimits, find_lines, line_length
from rewardlab.training.objectives.rows import Row

Cut = list[list[int]]
"""A piece: its lines, each the indices of its rows."""


def cut_rows(rows: Sequence[Row], token_budget: int, limits: PackingLimits | None) -> list[Cut]:
    """Cut rows into pieces.

    Args:
        rows: of the update.
        token_budget: the most padded tokens in a piece.
        limits: what the model allows; None where every row stands alone.

    Returns:
        Pieces; each row once.
    """
    sequences = [row.tokens.ids for row in rows]
    lines = [[index] for index in range(len(rows))]
    if limits is not None:
        lines = find_lines(sequences, [row.prompt for row in rows], limits, longest=token_budget)
    lengths = [line_length([sequences[index] for index in line]) for line in lines]
    return [[lines[number] for number in piece] for piece in micro_batches(lengths, token_budget)]


def rows_of(cut: Cut, rows: Sequence[Row]) -> tuple[list[Row], list[int]]:
    """The rows of a piece in its order, and how many each line has."""
    return [rows[index] for line in cut for index in line], [len(line) for line in cut]
