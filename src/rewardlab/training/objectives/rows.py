"""Trajectories as the rows that an update works on: ragged, on the CPU, cut into padded pieces only when they are needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewardlab.policies.batching import collate
from rewardlab.policies.packing import Packing, pack
from rewardlab.training.credit.base import Advantages
from rewardlab.types import Tokens, Trajectory


@dataclass(slots=True, kw_only=True)
class Row:
    """One trajectory in an update.

    Args:
        index: its place in the batch, for messages.
        tokens: as sampled.
        advantage: float32[token]; 0 on tokens that the policy did not write.
        old: float32[token], log-probabilities that ratios are taken to.
        reference: float32[token], log-probabilities under the reference, or None.
        target: float32[token], what a value head should say before the token; NaN where it is not asked. None without one.
        baseline: float32[token], what it said before the update; NaN where it was not asked. None where not known.
    """

    index: int
    tokens: Tokens
    advantage: NDArray[np.float32]
    old: NDArray[np.float32]
    reference: NDArray[np.float32] | None = None
    target: NDArray[np.float32] | None = None
    baseline: NDArray[np.float32] | None = None

    decay: float = 1.0
    """By how much rewards that an objective adds reach back; see `Advantages.decay`."""
    over_tokens: bool = False
    """Whether they reach back from token to token, and not from action to action."""
    label: float = 1.0
    """Of a comparison whose chosen answer this is: the probability that it is better."""
    weight: float = 1.0
    """Of that comparison in the loss."""

    @property
    def written(self) -> NDArray[np.bool_]:
        """bool[token]: what the policy wrote."""
        return self.tokens.step >= 0

    @property
    def prompt(self) -> bytes:
        """What stands before the first written token."""
        return bytes(self.tokens.ids[: int(self.written.argmax())].tobytes())


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows, right-padded: what goes through the model at once.

    Args:
        ids: int64[batch, token].
        attention_mask: int64[batch, token], 1 on real tokens.
        mask: bool[batch, token], tokens that the policy wrote.
        advantages: float32[batch, token].
        old: float32[batch, token].
        reference: float32[batch, token], or None.
        step: int64[batch, token], `Tokens.step`.
        label: float32[batch], of comparisons; see `Row`.
        weight: float32[batch], of comparisons.
        target: float32[batch, token], NaN where a value head is not asked; or None.
        baseline: float32[batch, token], like `target`; or None.
        packing: the same rows with their prompts once, where that is less work.
    """

    ids: Tensor
    attention_mask: Tensor
    mask: Tensor
    advantages: Tensor
    old: Tensor
    reference: Tensor | None
    step: Tensor
    label: Tensor
    weight: Tensor
    target: Tensor | None = None
    baseline: Tensor | None = None
    packing: Packing | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """What there is in a whole mini-batch, by which losses are normalised.

    Args:
        sequences: rows.
        tokens: written tokens.
        steps: actions that have tokens.
        targets: places at which a value head is asked.
    """

    sequences: int
    tokens: int
    steps: int
    targets: int

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Totals:
        """Count them."""
        return cls(
            sequences=len(rows),
            tokens=sum(int(row.written.sum()) for row in rows),
            steps=sum(np.unique(row.tokens.step[row.written]).size for row in rows),
            targets=sum(int(np.isfinite(row.target).sum()) for row in rows if row.target is not None),
        )


def make_rows(trajectories: Sequence[Trajectory], advantages: Advantages) -> list[Row]:
    """The rows of all included trajectories that have written tokens.

    Raises:
        ValueError: the lengths do not match, or a trajectory has no tokens; the message says which and what to do.
    """
    if len(advantages) != len(trajectories):
        raise ValueError(f"there are advantages for {len(advantages)} trajectories, but {len(trajectories)} were given")
    rows = []
    for index, trajectory in enumerate(trajectories):
        if not advantages.included[index]:
            continue
        tokens = trajectory.tokens
        if tokens is None:
            raise ValueError(
                f"trajectory {index} (task {_name(trajectory)}) has no tokens, so there is nothing to train on; "
                "trajectories must come from a language-model policy's rollout, or get tokens from "
                "policy.encode_demonstration(trajectory)"
            )
        values = advantages.values[index]
        if values.size != len(trajectory):
            raise ValueError(
                f"trajectory {index} has {len(trajectory)} actions but {values.size} advantages; credit gives one per action"
            )
        written = tokens.step >= 0
        if not written.any():
            continue
        if written[0]:
            raise ValueError(
                f"the first token of trajectory {index} is marked as written by the policy, but a causal model gives the "
                "first token no probability; put a start token or a prompt before it"
            )
        advantage = np.zeros(len(tokens), dtype=np.float32)
        if advantages.tokens is None:
            advantage[written] = values[tokens.step[written]]
        else:
            advantage[written] = _per_token(index, advantages.tokens[index], written, "token advantages")
        columns: dict[str, Any] = {
            name: None
            if column is None
            else _value_column(index, tokens, column[index], advantages.tokens is not None, name)
            for name, column in (("target", advantages.targets), ("baseline", advantages.baselines))
        }
        rows.append(
            Row(
                index=index,
                tokens=tokens,
                advantage=advantage,
                old=tokens.logprobs,
                decay=advantages.decay,
                over_tokens=advantages.tokens is not None,
                **columns,
            )
        )
    return rows


def make_piece(rows: Sequence[Row], device: torch.device, sizes: Sequence[int] | None = None) -> Piece:
    """Pad some rows to the longest of them.

    Args:
        rows: those that go through the model at once.
        device: where they go.
        sizes: how many of them share each line, in order; None where all stand alone.
    """
    batch = collate([row.tokens for row in rows], device=device)
    references, targets, baselines = (
        [column for row in rows if (column := getattr(row, name)) is not None]
        for name in ("reference", "target", "baseline")
    )
    return Piece(
        ids=batch.ids,
        attention_mask=batch.attention_mask,
        mask=batch.written,
        advantages=pad([row.advantage for row in rows]).to(device),
        old=pad([row.old for row in rows]).to(device),
        reference=pad(references).to(device) if references else None,
        step=batch.step,
        label=torch.tensor([row.label for row in rows], device=device),
        weight=torch.tensor([row.weight for row in rows], device=device),
        target=pad(targets, math.nan).to(device) if targets else None,
        baseline=pad(baselines, math.nan).to(device) if baselines else None,
        packing=_packing(rows, device, sizes) if sizes is not None and max(sizes) > 1 else None,
    )


def pad(columns: Sequence[NDArray[np.float32]], fill: float = 0.0) -> Tensor:
    """Ragged columns as float32[batch, token], with `fill` on padding."""
    padded = np.full((len(columns), max(column.size for column in columns)), fill, dtype=np.float32)
    for index, column in enumerate(columns):
        padded[index, : column.size] = column
    return torch.from_numpy(padded)


def unpad(padded: Tensor, rows: Sequence[Row]) -> list[NDArray[np.float32]]:
    """The inverse of `pad`."""
    table = padded.detach().cpu().numpy()
    return [table[index, : len(row.tokens)].copy() for index, row in enumerate(rows)]


def _per_token(index: int, given: NDArray[np.float64], written: NDArray[np.bool_], what: str) -> NDArray[np.float64]:
    if given.size != written.sum():
        raise ValueError(f"trajectory {index} has {int(written.sum())} written tokens but {given.size} {what}")
    return given


def _value_column(
    index: int, tokens: Tokens, given: NDArray[np.float64], per_token: bool, what: str
) -> NDArray[np.float32]:
    """What a value head says, or should say, at the tokens before which it is asked: all written, or each action's first."""
    column = np.full(len(tokens), np.nan, dtype=np.float32)
    written = np.flatnonzero(tokens.step >= 0)
    if per_token:
        column[written] = _per_token(index, given, tokens.step >= 0, f"value {what}s")
        return column
    steps = tokens.step[written]
    first = np.flatnonzero(np.diff(steps, prepend=-1))
    if given.size <= int(steps[-1]):
        raise ValueError(f"trajectory {index} writes action {int(steps[-1])}, but has only {given.size} value {what}s")
    column[written[first]] = given[steps[first]]
    return column


def _packing(rows: Sequence[Row], device: torch.device, sizes: Sequence[int]) -> Packing:
    return pack([np.asarray(row.tokens.ids, dtype=np.int64) for row in rows], sizes, device)


def _name(trajectory: Trajectory) -> str:
    return repr(trajectory.task.id) if trajectory.task is not None else "unknown"
