"""Losses of comparisons beside Bradley and Terry's: classification of single responses, prospect theory, general choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from rewardlab.functional.choices import order_consistency, prospect
from rewardlab.functional.direct_preferences import direct_preference_loss
from rewardlab.learning.losses import Kind, Loss, expect_rows
from rewardlab.learning.rows import PairRows
from rewardlab.registry import SpecError
from rewardlab.rewards.models.base import Head, Outputs, rows_of


@dataclass(frozen=True, kw_only=True)
class _ChoiceLoss(Loss):
    reads: ClassVar[Kind] = "preferences"

    def _values(self, head: Head, outputs: Outputs, rows: PairRows) -> tuple[Tensor, Tensor, Tensor]:
        expect_rows(rows, PairRows, self)
        first, second = (head.value(rows_of(outputs, side), rows.context) for side in (rows.first, rows.second))
        return first, second, rows.label.to(first.dtype)


@dataclass(frozen=True, kw_only=True)
class ClassifierLoss(_ChoiceLoss):
    """Each response classified by "was preferred"; a response that won here and lost there counts both times.

    It needs a head that gives values. Fit with `normalise=False` where the sigmoid of a value is to stay a probability.
    """

    def __call__(self, head: Head, outputs: Outputs, rows: PairRows) -> Tensor:
        """The loss of every comparison: the mean over its two responses."""
        return order_consistency(*self._values(head, outputs, rows)) / 2


@dataclass(frozen=True, kw_only=True)
class ProspectLoss(_ChoiceLoss):
    """Gains and losses from a reference point, levelling off: outliers among the judgements pull little.

    The reference point is the mean value of the batch, without a gradient.

    Args:
        beta: how soon they level off.
        desirable, undesirable: weights of the two kinds.
    """

    beta: float = 1.0
    desirable: float = 1.0
    undesirable: float = 1.0

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise SpecError(f"beta must be positive, got {self.beta}")

    def __call__(self, head: Head, outputs: Outputs, rows: PairRows) -> Tensor:
        """The loss of every comparison: the mean over its two responses."""
        first, second, label = self._values(head, outputs, rows)
        middle = (first.detach().mean() + second.detach().mean()) / 2
        weights = (self.desirable, self.undesirable)
        one = prospect(first, label, middle, beta=self.beta, weights=weights)
        return (one + prospect(second, 1.0 - label, middle, beta=self.beta, weights=weights)) / 2


@dataclass(frozen=True, kw_only=True)
class IdentityLoss(_ChoiceLoss):
    """Draws the log-odds of a comparison to `1 / (2 beta)` and no further (IPO), so that sure labels cannot drive them up.

    Args:
        beta: what the preferred side must win by is half of its inverse.
    """

    beta: float = 0.1

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise SpecError(f"beta must be positive, got {self.beta}")

    def __call__(self, head: Head, outputs: Outputs, rows: PairRows) -> Tensor:
        """The loss of every comparison."""
        first, second, label = self._values(head, outputs, rows)
        return direct_preference_loss(first - second, label, beta=self.beta, kind="ipo")
