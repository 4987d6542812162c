"""Judgements in tensors: which rows of a batch of outputs are compared, ranked, rated or labelled, and how.

A batch of items is scored once; these columns point into its outputs, so an item that is compared ten times costs one row.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from rewardlab.rewards.models.base import Context


@dataclass(frozen=True, slots=True)
class _Rows:
    def __len__(self) -> int:
        return int(getattr(self, fields(self)[0].name).shape[0])

    def select(self, rows: Tensor) -> Self:
        """Some rows, by index or mask."""
        return type(self)(
            *(
                one.select(rows) if isinstance(one, Context) else one[rows] if isinstance(one, Tensor) else one
                for one in self._columns()
            )
        )

    def to(self, device: torch.device | str) -> Self:
        """The same rows on another device."""
        return type(self)(
            *(
                Context(*(None if part is None else part.to(device) for part in (one.users, one.latent)))
                if isinstance(one, Context)
                else one.to(device)
                if isinstance(one, Tensor)
                else one
                for one in self._columns()
            )
        )

    def _columns(self) -> list[Tensor | Context | tuple[str, ...] | None]:
        return [getattr(self, entry.name) for entry in fields(self)]


@dataclass(frozen=True, slots=True)
class PairRows(_Rows):
    """Comparisons of two rows of outputs.

    Args:
        first, second: int64[row], which rows of the outputs.
        label: float[row] in [0, 1], the probability that the first is better.
        strength: float[row], how much better, NaN where nobody said; None for none.
        context: whose judgement each is; None for nobody in particular.
    """

    first: Tensor
    second: Tensor
    label: Tensor
    strength: Tensor | None = None
    context: Context | None = None


@dataclass(frozen=True, slots=True)
class RankRows(_Rows):
    """Orders of several rows of outputs.

    Args:
        ranking: int64[row, place], which rows of the outputs, best first; -1 behind the last.
        ties: bool[row, place - 1], whether a place is as good as the one before; None for no ties.
        context: whose judgement each is; None for nobody in particular.
    """

    ranking: Tensor
    ties: Tensor | None = None
    context: Context | None = None


@dataclass(frozen=True, slots=True)
class RatingRows(_Rows):
    """Numbers given to single rows of outputs.

    Args:
        item: int64[row], which row of the outputs.
        value: float[row], the rating.
        aspect: int64[row], which of `names` was rated; None where there is one aspect alone.
        names: of the aspects; empty means the parts of the head, in their order.
        context: whose judgement each is; None for nobody in particular.
    """

    item: Tensor
    value: Tensor
    aspect: Tensor | None = None
    names: tuple[str, ...] = ()
    context: Context | None = None


@dataclass(frozen=True, slots=True)
class StepRows(_Rows):
    """Labels of the single steps of rows of outputs.

    Args:
        item: int64[row], which row of the outputs.
        labels: float[row, step], the probability that each step is right; NaN where nobody looked and behind the last step.
    """

    item: Tensor
    labels: Tensor


Rows = PairRows | RankRows | RatingRows | StepRows
"""Any kind of judgements."""
