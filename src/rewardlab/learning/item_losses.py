"""Losses for judgements that are no comparisons of two: rankings, ratings and labels of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rewardlab.functional.process import step_binary, step_soft, until_first_error
from rewardlab.functional.rankings import Ties, plackett_luce
from rewardlab.functional.ratings import Distance, ordinal, regression
from rewardlab.learning.losses import Kind, Loss, expect_rows
from rewardlab.learning.rows import RankRows, RatingRows, StepRows
from rewardlab.registry import SpecError
from rewardlab.rewards.models.base import Head, Outputs, rows_of


@dataclass(frozen=True, kw_only=True)
class PlackettLuceLoss(Loss):
    """Negative log-likelihood of whole rankings.

    Args:
        top: how many first places count; None for all.
        ties: how equal places are handled, "efron" or "breslow".
        mean: divide by the number of places that are decided, so that long rankings weigh no more than short ones.
    """

    reads: ClassVar[Kind] = "rankings"
    top: int | None = None
    ties: Ties = "efron"
    mean: bool = True

    def __call__(self, head: Head, outputs: Outputs, rows: RankRows) -> Tensor:
        """The loss of every ranking."""
        expect_rows(rows, RankRows, self)
        present = rows.ranking >= 0
        owner, place = present.nonzero(as_tuple=True)
        items = rows.ranking[owner, place]
        context = None if rows.context is None else rows.context.select(owner)
        found = head.value(rows_of(outputs, items), context)
        values = found.new_zeros(present.shape).index_put((owner, place), found)
        loss = plackett_luce(values, present, rows.ties, top=self.top, method=self.ties)
        if not self.mean:
            return loss
        decided = present.sum(1) - 1
        if self.top is not None:
            decided = decided.clamp(max=self.top)
        return loss / decided.clamp(min=1)


@dataclass(frozen=True, kw_only=True)
class RegressionLoss(Loss):
    """Distance of values from ratings; where ratings have aspects, the head's part of that name is compared.

    Args:
        distance: "squared", "absolute" or "huber".
        delta: where "huber" turns from a square into a line.
    """

    reads: ClassVar[Kind] = "ratings"
    distance: Distance = "squared"
    delta: float = 1.0

    def __call__(self, head: Head, outputs: Outputs, rows: RatingRows) -> Tensor:
        """The loss of every rating."""
        values = _rated(head, outputs, rows, self)
        return regression(values, rows.value.to(values.dtype), distance=self.distance, delta=self.delta)


@dataclass(frozen=True, kw_only=True)
class OrdinalLoss(Loss):
    """Negative log-likelihood of ratings as ordered levels 0, 1, 2 and so on: their order matters, not their distance.

    Args:
        thresholds: between the levels, rising, one fewer than levels; `for_ratings` finds them. A head with an attribute
            `thresholds` brings its own, which are then learned.
        lowest: the rating that is level 0 (1 for stars from 1 to 5).
    """

    reads: ClassVar[Kind] = "ratings"
    thresholds: Sequence[float] = (-1.5, -0.5, 0.5, 1.5)
    lowest: int = 0

    def __post_init__(self) -> None:
        rising = all(one < other for one, other in zip(self.thresholds, self.thresholds[1:], strict=False))
        if not self.thresholds or not rising:
            raise SpecError(f"thresholds must rise strictly, got {list(self.thresholds)}")

    @classmethod
    def for_ratings(cls, ratings: Sequence[float], *, lowest: int | None = None) -> OrdinalLoss:
        """The loss whose thresholds fit the frequencies of ratings where a model says nothing yet.

        Args:
            ratings: whole numbers.
            lowest: of all possible ratings; None for the lowest that occurs.

        Raises:
            ValueError: ratings are no whole numbers, or all alike.
        """
        found = torch.as_tensor(ratings, dtype=torch.float64)
        if bool((found != found.round()).any()):
            raise ValueError("ordinal ratings must be whole numbers; use the regression loss for others")
        start = int(found.min()) if lowest is None else lowest
        counts = torch.bincount((found - start).long()).double() + 0.5  # a level that never occurs still has a width
        if counts.numel() < 2:
            raise ValueError(f"all ratings are {start}, so there is nothing to learn from them")
        below = counts.cumsum(0)[:-1] / counts.sum()
        return cls(thresholds=tuple(torch.logit(below).tolist()), lowest=start)

    def __call__(self, head: Head, outputs: Outputs, rows: RatingRows) -> Tensor:
        """The loss of every rating."""
        values = _rated(head, outputs, rows, self)
        level = rows.value - self.lowest
        if bool((level != level.round()).any()):
            raise ValueError("ordinal ratings must be whole numbers; use the regression loss for others")
        learned = getattr(head, "thresholds", None)
        thresholds = values.new_tensor(list(self.thresholds)) if learned is None else learned
        return ordinal(values, level.long(), thresholds)


@dataclass(frozen=True, kw_only=True)
class ProcessLoss(Loss):
    """Cross-entropy of step labels; the head's step values are taken as log-odds that a step is right.

    Args:
        form: "soft" takes labels as probabilities, "binary" rounds them.
        threshold: labels above it are right, for "binary" and `until_first_error`.
        wrong_weight: of wrong steps relative to right ones, for "binary".
        until_first_error: whether steps behind the first wrong one are left out.
    """

    reads: ClassVar[Kind] = "steps"
    form: Literal["soft", "binary"] = "soft"
    threshold: float = 0.5
    wrong_weight: float = 1.0
    until_first_error: bool = False

    def __post_init__(self) -> None:
        if self.form not in ("soft", "binary"):
            raise SpecError(f'form must be "soft" or "binary", got {self.form!r}')

    def __call__(self, head: Head, outputs: Outputs, rows: StepRows) -> Tensor:
        """The loss of every row: the mean over its labelled steps."""
        expect_rows(rows, StepRows, self)
        found = head.step_values(rows_of(outputs, rows.item))
        if found is None:
            raise TypeError(
                f"a {type(head).kind or type(head).__name__} head gives no values to single steps, which the loss 'process' "
                "is about; use the head 'process'"
            )
        logits, stands = found
        labels = rows.labels.to(logits.dtype)
        steps = max(logits.shape[1], labels.shape[1])
        logits = torch.nn.functional.pad(logits, (0, steps - logits.shape[1]))
        stands = torch.nn.functional.pad(stands, (0, steps - stands.shape[1]), value=False)
        labels = torch.nn.functional.pad(labels, (0, steps - labels.shape[1]), value=float("nan"))
        lost = (~labels.isnan() & ~stands).any(1)
        if bool(lost.any()):
            row = int(lost.nonzero()[0])
            raise ValueError(
                f"row {row} has {int((~labels[row].isnan()).sum())} step labels, but the encoder found "
                f"{int(stands[row].sum())} steps; check how steps are cut, and that none were truncated"
            )
        counted = stands & until_first_error(labels, threshold=self.threshold) if self.until_first_error else stands
        if self.form == "binary":
            return step_binary(logits, labels, mask=counted, threshold=self.threshold, weight=self.wrong_weight)
        return step_soft(logits, labels, mask=counted)


def _rated(head: Head, outputs: Outputs, rows: RatingRows, loss: Loss) -> Tensor:
    """The values that ratings are about: of the head, or of its part for the aspect that was rated."""
    expect_rows(rows, RatingRows, loss)
    chosen = rows_of(outputs, rows.item)
    if rows.aspect is None:
        return head.value(chosen, rows.context)
    parts = head.parts(chosen)
    names = rows.names or tuple(parts)
    lost = [name for name in names if name not in parts]
    if lost or not names:
        raise ValueError(
            f"ratings are of the aspect {lost[0] if lost else 0!r}, but the head has "
            f"{'no parts' if not parts else 'the parts ' + ', '.join(parts)}; name them as the aspects are named"
        )
    columns = torch.stack([parts[name] for name in names], dim=1)
    return columns.gather(1, rows.aspect[:, None]).squeeze(1)
