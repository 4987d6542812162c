"""Policy-gradient objectives: GRPO with its variants as options, RLOO, and REINFORCE++."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from torch import Tensor

from rewardlab.functional.kl import Estimator, kl_estimate
from rewardlab.functional.policy_losses import (
    Level,
    Normalise,
    clipped_surrogate,
    kl_in_advantages,
    log_importance_weights,
    whiten,
)
from rewardlab.training.objectives.base import Objective
from rewardlab.training.objectives.rows import Piece, Row, pad, unpad


@dataclass(kw_only=True)
class GRPO(Objective):
    """Group-relative policy optimisation (Shao et al. 2024, arXiv 2402.03300); goes with credit "group".

    The known variants are options: Dr. GRPO is `normalise="constant"` with credit `Group(scale="none")`; DAPO is
    `normalise="token_mean", clip_high=0.28`; GSPO is `level="sequence"` with clips of about 3e-4.

    Args:
        clip_low: how far below 1 the ratio is followed; None for no limit.
        clip_high: how far above 1; None for no limit.
        dual_clip: the largest ratio that counts where the advantage is negative, or None.
        level: of the ratio: "token"; "step" (its geometric mean over an action's tokens) or "step_product"; "sequence" (its
            geometric mean over the trajectory's tokens) or "trajectory" (their product).

    The other options are those of `Objective`.
    """

    clip_low: float | None = 0.2
    clip_high: float | None = 0.2
    dual_clip: float | None = None
    level: Level = "token"

    default_credit: ClassVar[str] = "group"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.level not in get_args(Level):
            raise ValueError(f"level must be one of {', '.join(get_args(Level))}, got {self.level!r}")
        # the limits are checked where they are used; here on a single token, so that a wrong one fails at once
        clipped_surrogate(
            torch.zeros(1, 1),
            torch.zeros(1, 1),
            clip_low=self.clip_low,
            clip_high=self.clip_high,
            dual_clip=self.dual_clip,
        )

    def token_losses(self, logprobs: Tensor, piece: Piece) -> tuple[Tensor, Tensor, Tensor]:
        """The clipped surrogate."""
        log_weights = log_importance_weights(logprobs, piece.old, piece.mask, level=self.level, step=piece.step)
        surrogate = clipped_surrogate(
            log_weights, piece.advantages, clip_low=self.clip_low, clip_high=self.clip_high, dual_clip=self.dual_clip
        )
        return surrogate.losses, log_weights.detach().exp().expand_as(logprobs), surrogate.clipped


@dataclass(kw_only=True)
class RLOO(GRPO):
    """REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024, arXiv 2402.14740); goes with credit "leave_one_out".

    The whole trajectory is one action: its ratio is that of the whole sequence, so that on the first step the gradient is
    the advantage times the gradient of the trajectory's log-probability, without any division by its length.
    """

    level: Level = "trajectory"

    default_credit: ClassVar[str] = "leave_one_out"


@dataclass(kw_only=True)
class StepGRPO(GRPO):
    """GRPO over the actions of multi-turn trajectories: one ratio and one weight for each action, whatever its length.

    It goes with credit that tells steps apart; with an outcome's advantage every action of a trajectory gets the same.
    """

    level: Level = "step"
    normalise: Normalise = "step_mean"


@dataclass(kw_only=True)
class StepRLOO(RLOO):
    """RLOO over the actions of multi-turn trajectories: each action is weighed by the ratio of its own probability.

    On the first update the gradient is the sum over actions of the advantage times the gradient of the action's
    log-probability; in later ones a ratio is that of one action, and not of a whole trajectory, which soon is 0 or large.
    """

    level: Level = "step_product"
    normalise: Normalise = "step_sum"


@dataclass(kw_only=True)
class ReinforcePlusPlus(GRPO):
    """REINFORCE++ (Hu et al. 2025, arXiv 2501.03262); goes with credit "batch", or "group" for its baseline variant.

    Each token pays for its divergence from the reference inside the reward, tokens are credited with what follows them, and
    the advantages of all tokens of the batch are normalised together.

    Args:
        whitening: normalise the tokens' advantages over the batch.
    """

    whitening: bool = True
    normalise: Normalise = "token_mean"
    kl_estimator: Estimator = "k1"

    default_credit: ClassVar[str] = "batch"

    @property
    def kl_in_reward(self) -> bool:
        """Always: that is what distinguishes it."""
        return True

    def shape_advantages(self, rows: list[Row]) -> None:
        """Subtract the divergence that is still to come, and normalise."""
        if not rows:
            return
        advantages = pad([row.advantage for row in rows])
        mask = pad([row.written.astype("float32") for row in rows]).bool()
        references = [row.reference for row in rows if row.reference is not None]
        if references:
            divergence = kl_estimate(pad([row.old for row in rows]), pad(references), self.kl_estimator)
            advantages = kl_in_advantages(advantages, divergence, mask, self.kl_coefficient)
        if self.whitening:
            advantages = whiten(advantages, mask)
        for row, shaped in zip(rows, unpad(torch.where(mask, advantages, 0.0), rows), strict=True):
            row.advantage = shaped
