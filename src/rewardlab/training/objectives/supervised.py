"""Supervised objectives: the tokens of good trajectories are imitated. Demonstrations, or the best of what was sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rewardlab.functional.policy_losses import Normalise, negative_log_likelihood
from rewardlab.training.objectives.base import Objective
from rewardlab.training.objectives.rows import Piece, Row


@dataclass(kw_only=True)
class Supervised(Objective):
    """Negative log-likelihood of the written tokens, each weighted by its advantage (1 for plain imitation).

    Tokens count equally by default (`normalise="token_mean"`), as is usual in supervised fine-tuning.
    """

    normalise: Normalise = "token_mean"

    default_credit: ClassVar[str] = "best"

    def shape_advantages(self, rows: list[Row]) -> None:
        """Refuse weights below 0: pushing probabilities down without a bound is no imitation."""
        for row in rows:
            if (row.advantage < 0).any():
                raise ValueError(
                    f"{type(self).__name__} imitates, so weights must not be negative, but trajectory {row.index} has "
                    f'{row.advantage.min():.3g}; use credit="best", or a policy-gradient objective such as "grpo"'
                )

    def token_losses(self, logprobs: Tensor, piece: Piece) -> tuple[Tensor, Tensor, Tensor]:
        """Minus the weighted log-probability."""
        losses = negative_log_likelihood(logprobs, piece.advantages, piece.mask)
        return losses, torch.ones_like(losses), torch.zeros_like(losses, dtype=torch.bool)


@dataclass(kw_only=True)
class RAFT(Supervised):
    """Reward-ranked fine-tuning (Dong et al. 2023, arXiv 2304.06767): imitate the best of each group; goes with "best".

    Trajectories that credit leaves out count nowhere, so the loss is the mean over the tokens that are imitated.
    """


@dataclass(kw_only=True)
class RejectionSampling(Supervised):
    """Rejection-sampling fine-tuning: imitate every attempt that is good enough; goes with credit "threshold".

    Source: Yuan et al. 2023, "Scaling Relationship on Learning Mathematical Reasoning" (arXiv 2308.01825), section 3.3.
    """

    default_credit: ClassVar[str] = "threshold"
