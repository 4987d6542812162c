"""Objectives of self-play: log-ratios of whole answers are regressed on how much a model prefers them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rewardlab.functional.self_play import gpo_loss
from rewardlab.training.objectives.base import Objective
from rewardlab.training.objectives.rows import Piece, Row


@dataclass(kw_only=True)
class GPO(Objective):
    """General Preference Optimisation (Zhang et al. 2024, arXiv 2410.02197): `(log pi(y)/pi_t(y) - s(y)/beta)^2`.

    The score is the mean against the policy's own samples: the reward is `PreferenceAgainst(opponents="group",
    measure="log_odds")`, and credit "extremes" keeps the best and the worst of each group, as the paper does. The loss is a
    mean over answers, so `normalise` stays "sequence_mean".

    Args:
        beta: how far one iteration goes: large is careful.
        limit: targets `s / beta` lie in [-limit, limit]; None for no limit.

    The other options are those of `Objective`.
    """

    beta: float = 1.0
    limit: float | None = None

    default_credit: ClassVar[str] = "extremes"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.beta < math.inf:
            raise ValueError(f"beta must be positive and finite, got {self.beta}")
        if self.limit is not None and not self.limit > 0:
            raise ValueError(f"limit must be positive, or None for no limit, got {self.limit}")
        if self.normalise != "sequence_mean":
            raise ValueError(
                f'normalise must be "sequence_mean", got {self.normalise!r}: the loss is one square for each answer, '
                "whatever its length"
            )

    def token_losses(self, logprobs: Tensor, piece: Piece) -> tuple[Tensor, Tensor, Tensor]:
        """The square of each answer on all of its tokens, whose weights add up to one answer."""
        now, old = (torch.where(piece.mask, column, 0.0).sum(-1) for column in (logprobs, piece.old))
        lengths = piece.mask.sum(-1).clamp(min=1)
        scores = torch.where(piece.mask, piece.advantages, 0.0).sum(-1) / lengths
        if self.limit is not None:
            scores = scores.clamp(-self.limit * self.beta, self.limit * self.beta)
        losses = gpo_loss(now, old, scores, beta=self.beta)
        ratio = (now - old).detach().clamp(-20.0, 20.0).exp()
        return (
            losses.unsqueeze(-1).expand_as(logprobs),
            ratio.unsqueeze(-1).expand_as(logprobs),
            torch.zeros_like(logprobs, dtype=torch.bool),
        )

    def _needs_loss(self, row: Row) -> bool:
        """An answer with score 0 is drawn back to where it was, so every row counts."""
        return True
