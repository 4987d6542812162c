"""Right or wrong as a probability: the loss of a reward model that says how likely an answer is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from rewardlab.learning.losses import Kind, Loss, expect_rows
from rewardlab.learning.rows import RatingRows
from rewardlab.rewards.models.base import Head, Outputs, rows_of


@dataclass(frozen=True, kw_only=True)
class CorrectnessLoss(Loss):
    """Binary cross-entropy of values, taken as log-odds of being right, against ratings in [0, 1].

    Fit with `normalise=False`, so that the sigmoid of a value stays the probability.
    """

    reads: ClassVar[Kind] = "ratings"

    def __call__(self, head: Head, outputs: Outputs, rows: RatingRows) -> Tensor:
        """The loss of every rating."""
        expect_rows(rows, RatingRows, self)
        wrong = ((rows.value < 0) | (rows.value > 1)).nonzero()
        if len(wrong):
            raise ValueError(
                f"a rating of correctness must be in [0, 1], got {float(rows.value[wrong[0]])}; it is the "
                f"probability of being "
                "right"
            )
        logits = head.value(rows_of(outputs, rows.item), rows.context)
        return binary_cross_entropy_with_logits(logits, rows.value.to(torch.float32).to(logits.dtype), reduction="none")
