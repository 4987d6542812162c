"""A head that values every step of a trajectory: a process reward model.

Step values are log-odds that a step is right. The value of the whole is the log-odds of one probability that is made of
those of the steps, so that it is comparable whatever the way, and never saturates where probabilities would.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from rewardlab.registry import SpecError
from rewardlab.rewards.models.base import Context, Encoded, Head, Outputs

Whole = Literal["min", "product", "last", "mean"]


class ProcessHead(Head):
    """One number for every step, from features at the step's end.

    Source: Lightman et al. 2023, "Let's Verify Step by Step" (arXiv 2305.20050), whose scores of solutions are the product
    and the minimum of the steps' probabilities.

    Args:
        width: of the features.
        hidden: width of a layer between; None for none.
        whole: how steps make the value of a trajectory: `min`, its weakest step; `product`, that all steps are right if each
            were so by itself; `last`, its last step; `mean`, a step drawn at random.
        dropout: share of hidden units that are switched off while training.
        seed: of the weights.

    Raises:
        SpecError: an unknown way to make the whole.
    """

    kind = "process"
    needs_steps = True

    def __init__(
        self,
        width: int,
        *,
        hidden: int | None = None,
        whole: Whole = "min",
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if whole not in get_args(Whole):
            raise SpecError(f"whole must be one of {', '.join(get_args(Whole))}, got {whole!r}")
        self._options = {"width": width, "hidden": hidden, "whole": whole, "dropout": dropout, "seed": seed}
        self.whole = whole
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            last = nn.Linear(width if hidden is None else hidden, 1)
            nn.init.normal_(last.weight, std=(last.in_features + 1) ** -0.5)
            nn.init.zeros_(last.bias)
            between = [] if hidden is None else [nn.Linear(width, hidden), nn.SiLU(), nn.Dropout(dropout)]
            self.layers = nn.Sequential(*between, last)

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._options)

    def forward(self, encoded: Encoded) -> Outputs:
        """`steps` float[trajectory, step], log-odds that each is right, and `mask` bool[trajectory, step], where they stand.

        Raises:
            ValueError: the encoder gave no features of steps.
        """
        if encoded.steps is None or encoded.step_mask is None:
            raise ValueError(
                "a process head needs features of the steps, and the encoder gave none; use an encoder of steps (text, mlp)"
            )
        logits = self.layers(encoded.steps).squeeze(-1)
        return {"steps": torch.where(encoded.step_mask, logits, 0.0), "mask": encoded.step_mask}

    def value(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        """Log-odds that the whole is right; NaN for a trajectory without steps."""
        return whole_value(outputs["steps"], outputs["mask"], self.whole)

    def step_values(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Log-odds that each step is right, and where they stand."""
        return outputs["steps"], outputs["mask"]


def whole_value(logits: Tensor, mask: Tensor, whole: Whole = "min") -> Tensor:
    """One number for all steps of a trajectory.

    Args:
        logits: float[trajectory, step], log-odds that a step is right.
        mask: bool[trajectory, step], where steps stand.
        whole: how they make one, as for `ProcessHead`.

    Returns:
        float[trajectory], log-odds; NaN where there is no step.
    """
    there = mask.any(1)
    if whole == "min":
        found = torch.where(mask, logits, torch.inf).amin(1)
    elif whole == "last":
        places = torch.arange(mask.shape[1], device=mask.device)
        last = torch.where(mask, places, -1).amax(1).clamp(min=0)
        found = logits.gather(1, last[:, None]).squeeze(1)
    elif whole == "product":
        right = torch.where(mask, logsigmoid(logits), 0.0).sum(1)
        found = right - torch.log(-torch.expm1(right.clamp(max=-1e-30)))
    else:
        right, wrong = (torch.where(mask, logsigmoid(sign * logits), -torch.inf).logsumexp(1) for sign in (1.0, -1.0))
        found = right - wrong
    return torch.where(there, found, torch.nan)
