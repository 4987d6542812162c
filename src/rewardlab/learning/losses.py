"""What a reward model is fitted to: a loss for each kind of judgement, chosen by name.

A loss sees the head and its outputs, and never the network beneath, so any head goes with any loss that reads its kind of
judgement: comparisons go through `head.preference`, everything else through `head.value`, `head.parts` or the step values.
It gives one number per row and leaves weights and the mean to the fitter.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from rewardlab.functional.contrastive import info_nce
from rewardlab.functional.general_preference import general_preference_logistic, general_preference_regression
from rewardlab.functional.preferences import bradley_terry, centring, hinge
from rewardlab.learning.rows import PairRows, RankRows, RatingRows, Rows, StepRows
from rewardlab.registry import Registry, SpecError
from rewardlab.rewards.models.base import Head, Outputs, rows_of

Kind = Literal["preferences", "rankings", "ratings", "steps"]


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What all losses are: options, and a call that gives one number per row."""

    reads: ClassVar[Kind]
    """Which judgements it is for."""

    @property
    def needs_views(self) -> bool:
        """Whether outputs must hold `features` and `second_view`: the encoder's features from two passes with dropout."""
        return False

    @abstractmethod
    def __call__(self, head: Head, outputs: Outputs, rows: Any) -> Tensor:
        """The loss of every row, unweighted.

        Args:
            head: that gave the outputs.
            outputs: of all items that the rows name.
            rows: the judgements, of the kind that `reads` says.

        Returns:
            float[row], differentiable in the outputs.

        Raises:
            TypeError: the rows are of another kind.
        """


@dataclass(frozen=True, kw_only=True)
class _PairLoss(Loss):
    reads: ClassVar[Kind] = "preferences"

    def _sides(self, head: Head, outputs: Outputs, rows: PairRows) -> tuple[Outputs, Outputs, Tensor]:
        expect_rows(rows, PairRows, self)
        first, second = rows_of(outputs, rows.first), rows_of(outputs, rows.second)
        logits = head.preference(first, second, rows.context)
        return first, second, logits


@dataclass(frozen=True, kw_only=True)
class BradleyTerryLoss(_PairLoss):
    """Negative log-likelihood of comparisons.

    Args:
        margin: by how much the preferred side has to win; "strength" takes that of each row, and 0 where it has none.
        margin_scale: what strengths are multiplied by.
        margin_limit: strengths count at most this, before they are multiplied; None for no limit.
        smoothing: probability that a label is wrong.
        centring: weight of the squared sum of both values, which needs a head that gives values.
    """

    margin: float | Literal["strength"] = 0.0
    margin_scale: float = 1.0
    margin_limit: float | None = None
    smoothing: float = 0.0
    centring: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.margin, str) and self.margin != "strength":
            raise SpecError(f'margin must be a number or "strength", got {self.margin!r}')
        if not 0.0 <= self.smoothing <= 1.0:
            raise SpecError(
                f"smoothing must be in [0, 1], got {self.smoothing}; it is the probability of a wrong label"
            )
        if self.centring < 0:
            raise SpecError(f"centring must not be negative, got {self.centring}")

    def __call__(self, head: Head, outputs: Outputs, rows: PairRows) -> Tensor:
        """The loss of every comparison."""
        first, second, logits = self._sides(head, outputs, rows)
        label = rows.label.to(logits.dtype)
        loss = bradley_terry(logits, label, margin=self._margin(rows, logits), smoothing=self.smoothing)
        if self.centring:
            values = (head.value(first, rows.context), head.value(second, rows.context))
            loss = loss + self.centring * centring(*values)
        return loss

    def _margin(self, rows: PairRows, logits: Tensor) -> Tensor | float:
        if self.margin != "strength":
            return float(self.margin)
        if rows.strength is None:
            raise ValueError('margin="strength" needs comparisons with a strength, and these have none; give a number')
        strength = rows.strength.to(logits.dtype).nan_to_num(0.0)
        if self.margin_limit is not None:
            strength = strength.clamp(max=self.margin_limit)
        return strength * self.margin_scale


@dataclass(frozen=True, kw_only=True)
class HingeLoss(_PairLoss):
    """How far the preferred side falls short of winning by a margin.

    Args:
        margin: of log-odds.
    """

    margin: float = 1.0

    def __call__(self, head: Head, outputs: Outputs, rows: PairRows) -> Tensor:
        """The loss of every comparison."""
        _, _, logits = self._sides(head, outputs, rows)
        return hinge(logits, rows.label.to(logits.dtype), margin=self.margin)


@dataclass(frozen=True, kw_only=True)
class GeneralPreferenceLoss(_PairLoss):
    """For heads that compare without giving values; the head's log-odds are taken as scaled by its temperature already.

    Args:
        form: "logistic" is the likelihood; "regression" draws log-odds to a target.
        margin: of log-odds, for "logistic".
        target: log-odds of a sure comparison, for "regression".
    """

    form: Literal["logistic", "regression"] = "logistic"
    margin: float = 0.0
    target: float = 10.0

    def __post_init__(self) -> None:
        if self.form not in ("logistic", "regression"):
            raise SpecError(f'form must be "logistic" or "regression", got {self.form!r}')

    def __call__(self, head: Head, outputs: Outputs, rows: PairRows) -> Tensor:
        """The loss of every comparison."""
        _, _, logits = self._sides(head, outputs, rows)
        label = rows.label.to(logits.dtype)
        if self.form == "regression":
            return general_preference_regression(logits, label, target=self.target)
        return general_preference_logistic(logits, label, margin=self.margin)


@dataclass(frozen=True, kw_only=True)
class MixtureLoss(_PairLoss):
    """Negative log-likelihood of comparisons under a head that mixes judges: its log-odds are those of the mixture."""

    def __call__(self, head: Head, outputs: Outputs, rows: PairRows) -> Tensor:
        """The loss of every comparison."""
        _, _, logits = self._sides(head, outputs, rows)
        return bradley_terry(logits, rows.label.to(logits.dtype))


@dataclass(frozen=True, kw_only=True)
class ContrastiveLoss(_PairLoss):
    """Another loss for comparisons, plus a weight times how badly responses are told apart from one another.

    Outputs must hold `features` and `second_view`, float[item, width]: features of two passes with active dropout.

    Args:
        base: the loss that it is added to, or its spec.
        weight: of the addition.
        temperature: of the comparison of directions.
        on: "responses", or the "difference" of each pair in both directions.
    """

    base: Any = "bradley_terry"
    weight: float = 0.1
    temperature: float = 0.05
    on: Literal["responses", "difference"] = "responses"

    def __post_init__(self) -> None:
        if self.on not in ("responses", "difference"):
            raise SpecError(f'on must be "responses" or "difference", got {self.on!r}')
        object.__setattr__(self, "base", make_loss(self.base))
        if self.base.reads != "preferences":
            raise SpecError(f"a contrastive addition needs a loss for preferences, got one for {self.base.reads}")

    @property
    def needs_views(self) -> bool:
        """Two passes with dropout are needed."""
        return True

    def __call__(self, head: Head, outputs: Outputs, rows: PairRows) -> Tensor:
        """The base loss of every comparison, plus that of telling its two responses apart."""
        from rewardlab.functional.contrastive import difference_views

        expect_rows(rows, PairRows, self)
        missing = [name for name in ("features", "second_view") if name not in outputs]
        if missing:
            raise ValueError(
                f"the contrastive loss needs {' and '.join(missing)} among the outputs: the encoder's features from two "
                "passes with dropout"
            )
        one, other = outputs["features"], outputs["second_view"]
        if bool((one == other).all()):
            raise ValueError(
                "both views are equal, so the contrastive loss is constant; give the encoder a dropout above 0, and train it"
            )
        base: Tensor = self.base(head, outputs, rows)
        count = len(rows)
        if self.on == "difference":
            views = [difference_views(view, rows.first, rows.second) for view in (one, other)]
            each = info_nce(*views, temperature=self.temperature)
            return base + self.weight * (each[:count] + each[count:]) / 2
        items, place = torch.unique(torch.cat([rows.first, rows.second]), return_inverse=True)
        each = info_nce(one[items], other[items], temperature=self.temperature)[
            place
        ]  # an item is its own negative once
        return base + self.weight * (each[:count] + each[count:]) / 2


LOSSES = Registry(
    "loss",
    {
        "bradley_terry": "rewardlab.learning.losses:BradleyTerryLoss",
        "hinge": "rewardlab.learning.losses:HingeLoss",
        "general_preference": "rewardlab.learning.losses:GeneralPreferenceLoss",
        "classifier": "rewardlab.learning.choice_losses:ClassifierLoss",
        "prospect": "rewardlab.learning.choice_losses:ProspectLoss",
        "identity": "rewardlab.learning.choice_losses:IdentityLoss",
        "mixture": "rewardlab.learning.losses:MixtureLoss",
        "mixture_likelihood": "rewardlab.learning.mixture:MixtureLikelihood",
        "per_head": "rewardlab.learning.mixture:PerHeadLikelihood",
        "plackett_luce": "rewardlab.learning.item_losses:PlackettLuceLoss",
        "regression": "rewardlab.learning.item_losses:RegressionLoss",
        "ordinal": "rewardlab.learning.item_losses:OrdinalLoss",
        "correctness": "rewardlab.learning.correctness:CorrectnessLoss",
        "process": "rewardlab.learning.item_losses:ProcessLoss",
        "contrastive": "rewardlab.learning.losses:ContrastiveLoss",
        "evidence_lower_bound": "rewardlab.learning.latent_fit:EvidenceLoss",
    },
    group="rewardlab.losses",
)
"""Every loss that a configuration can name."""

DEFAULTS: dict[Kind, str] = {
    "preferences": "bradley_terry",
    "rankings": "plackett_luce",
    "ratings": "regression",
    "steps": "process",
}
"""The loss for each kind of judgement where nobody names one."""


def make_loss(spec: Any) -> Loss:
    """A loss out of its name, its spec (`{"type": "bradley_terry", "smoothing": 0.1}`), or itself.

    Raises:
        SpecError: there is no such loss, or an option is unknown or out of its range.
    """
    if isinstance(spec, Loss):
        return spec
    target, options = LOSSES.target(spec)
    made: Loss = target(**options)
    return made


def expect_rows(rows: Rows, kind: type, loss: Loss) -> None:
    """Refuse rows of another kind than a loss reads.

    Raises:
        TypeError: they are; the message names the usual loss for them.
    """
    if isinstance(rows, kind):
        return
    usual = {PairRows: "preferences", RankRows: "rankings", RatingRows: "ratings", StepRows: "steps"}.get(type(rows))
    hint = f"; the usual loss for them is {DEFAULTS[usual]!r}" if usual is not None else ""  # type: ignore[index]
    raise TypeError(f"{type(loss).__name__} reads {loss.reads}, as {kind.__name__}; got {type(rows).__name__}{hint}")
