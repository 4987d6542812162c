"""Objectives that train a value head beside the policy: proximal policy optimisation and advantage-weighted regression."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from rewardlab.functional.kl import Estimator, kl_estimate
from rewardlab.functional.policy_losses import Normalise, negative_log_likelihood, token_weights, whiten
from rewardlab.functional.ppo import (
    adapted_kl_coefficient,
    advantage_weights,
    clipped_value_loss,
    rewards_reaching_back,
)
from rewardlab.policies.reading import Reading
from rewardlab.training.credit.base import Advantages
from rewardlab.training.objectives.base import Objective
from rewardlab.training.objectives.learner import Learner
from rewardlab.training.objectives.policy_gradient import GRPO
from rewardlab.training.objectives.rows import Piece, Row, Totals, pad, unpad
from rewardlab.types import Trajectory


@dataclass(kw_only=True)
class ValueObjective(Objective):
    """An objective that may train the policy's value head on `Advantages.targets`.

    The loss of the value head is a mean over the states at which it is asked: the first token of each action with credit
    over actions, every written token with credit over tokens.

    Args:
        value_coefficient: weight of the value head's loss; 0 trains none.
        value_clip: values are not rewarded for moving further than this from those before the update; None for no limit.
        value_learning_rate: of the value head; None for `learning_rate`. It follows the same schedule.
        value_warmup: optimiser steps at the start in which the value head alone is trained: it has seen nothing yet.
        detach_values: whether the value head's gradient stays out of the model.
    """

    value_coefficient: float = 0.5
    value_clip: float | None = None
    value_learning_rate: float | None = None
    value_warmup: int = 0
    detach_values: bool = False

    own_statistics: ClassVar[tuple[str, ...]] = ("targets", "value_loss", "value_clipped", "bonus")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("value_coefficient", "value_learning_rate", "value_warmup"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} must be finite and not negative, got {value}")
        if self.value_clip is not None and not self.value_clip > 0:
            raise ValueError(f"value_clip must be positive, or None for no limit, got {self.value_clip}")
        if self.value_warmup and not self.value_coefficient:
            raise ValueError(
                f"value_warmup={self.value_warmup} trains the value head, so value_coefficient must not be 0"
            )

    @property
    def warming(self) -> bool:
        """Whether the value head alone is being trained."""
        return self.updates < self.value_warmup

    def heads(self, policy: Any) -> dict[str, torch.nn.Module]:
        """The policy's value head, where it has one and it is trained."""
        head = getattr(policy, "value_head", None) if self.value_coefficient else None
        return {} if head is None else {"value_head": head}

    def further_loss(self, reading: Reading, piece: Piece, totals: Totals) -> tuple[Tensor | None, list[Tensor]]:
        """The loss of the value head."""
        nothing = torch.zeros((), device=piece.mask.device)
        if reading.values is None or piece.target is None:
            return None, [nothing] * 4
        asked = torch.isfinite(piece.target)
        found = clipped_value_loss(
            reading.values[asked],
            piece.target[asked],
            None if piece.baseline is None else piece.baseline[asked],
            clip=self.value_clip,
        )
        loss = self.value_coefficient * found.losses.sum() / max(totals.targets, 1)
        sums = [asked.sum(), found.losses.detach().sum(), found.clipped.sum(), nothing]
        return loss, [part.to(nothing.dtype) for part in sums]

    def summary(self, totals: dict[str, float], rate: float) -> dict[str, float]:
        """With the value head's own numbers."""
        asked = totals["sum_targets"]
        return {
            **super().summary(totals, rate),
            "value_loss": totals["sum_value_loss"] / asked if asked else math.nan,
            "value_clip_fraction": totals["sum_value_clipped"] / asked if asked else math.nan,
        }

    def _rows(self, trajectories: Sequence[Trajectory], advantages: Advantages) -> list[Row]:
        if self.value_coefficient:
            name = type(self).__name__.lower()
            if advantages.targets is None:
                raise ValueError(
                    f"{name} trains a value head, but the credit gives no targets for it; use credit gae, or "
                    "value_coefficient=0 to train none"
                )
            if self.value_clip is not None and advantages.baselines is None:
                raise ValueError(f"value_clip of {name} needs Advantages.baselines, the values before the update")
        return super()._rows(trajectories, advantages)

    def _read(self, learner: Learner, piece: Piece, **options: Any) -> Reading:
        head: Any = learner.heads.get("value_head")
        detached = self.detach_values or self.warming
        return super()._read(learner, piece, value_head=head, detach_states=detached, **options)

    def _optimise(self, learner: Learner, batch: list[Row], rate: float, totals: dict[str, float]) -> None:
        if self.value_coefficient and not learner.heads:
            from rewardlab.policies.value_head import FRESH, MissingValueHead

            raise MissingValueHead(f"the policy has no value head to train; {FRESH}")
        learner.head_rate = rate
        if self.value_learning_rate is not None:
            learner.head_rate = self.value_learning_rate * (rate / self.learning_rate if self.learning_rate else 1.0)
        # at rate 0 not even weight decay moves the model
        super()._optimise(learner, batch, 0.0 if self.warming else rate, totals)

    def _needs_loss(self, row: Row) -> bool:
        return bool(self.value_coefficient and row.target is not None) or super()._needs_loss(row)


@dataclass(kw_only=True)
class PPO(ValueObjective, GRPO):
    """Proximal policy optimisation with a value head (Schulman et al. 2017, arXiv 1707.06347); goes with credit "gae".

    Args:
        whitening: normalise the advantages of all tokens of the step together.
        entropy_coefficient: price of certainty: this times the entropy is taken off the loss of each token.
        kl_in: where divergence from the reference is paid for: in the "loss" of each token, or in the "reward", where it
            reaches back as the credit's discount and smoothing say.
        kl_target: divergence (mean over tokens) that `kl_coefficient` is moved towards; None leaves it as it is.
        kl_horizon: trajectories over which `kl_coefficient` may change by a fifth.
    """

    normalise: Normalise = "token_mean"
    whitening: bool = True
    entropy_coefficient: float = 0.0
    kl_in: Literal["loss", "reward"] = "loss"
    kl_estimator: Estimator = "k3"
    kl_target: float | None = None
    kl_horizon: float = 10_000.0

    default_credit: ClassVar[str] = "gae"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kl_in not in ("loss", "reward"):
            raise ValueError(f"kl_in must be one of loss, reward, got {self.kl_in!r}")
        if not 0 <= self.entropy_coefficient < math.inf:
            raise ValueError(f"entropy_coefficient must be finite and not negative, got {self.entropy_coefficient}")
        if not self.kl_horizon > 0:
            raise ValueError(f"kl_horizon must be a positive number of trajectories, got {self.kl_horizon}")
        if self.kl_target is not None and not self.kl_coefficient:
            raise ValueError("kl_target moves kl_coefficient, which must not begin at 0")
        if self.kl_target is not None:
            adapted_kl_coefficient(0.0, 0.0, target=self.kl_target, horizon=self.kl_horizon, samples=0)

    @property
    def kl_in_reward(self) -> bool:
        """As `kl_in` says."""
        return self.kl_in == "reward"

    def shape_advantages(self, rows: list[Row]) -> None:
        """Pay for divergence in the rewards, and normalise."""
        if not rows:
            return
        advantages = pad([row.advantage for row in rows])
        mask = pad([row.written.astype("float32") for row in rows]).bool()
        if self.kl_in_reward and self.kl_coefficient:
            advantages = advantages + self._paid(rows, mask)
        if self.whitening:
            advantages = whiten(advantages, mask)
        for row, shaped in zip(rows, unpad(torch.where(mask, advantages, 0.0), rows), strict=True):
            row.advantage = shaped

    def _paid(self, rows: list[Row], mask: Tensor) -> Tensor:
        """What divergence takes off advantages; it is taken off the value head's targets, too."""
        references = [row.reference for row in rows if row.reference is not None]
        divergence = kl_estimate(pad([row.old for row in rows]), pad(references), self.kl_estimator)
        step = None if rows[0].over_tokens else pad([row.tokens.step.astype("float32") for row in rows]).long()
        price = -self.kl_coefficient * divergence
        paid = rewards_reaching_back(price, mask, decay=rows[0].decay, step=step)
        for row, own in zip(rows, unpad(paid, rows), strict=True):
            if row.target is not None:
                row.target = row.target + own
        return paid

    def token_losses(self, logprobs: Tensor, piece: Piece) -> tuple[Tensor, Tensor, Tensor]:
        """The clipped surrogate; nothing while the value head alone is trained."""
        losses, ratio, clipped = super().token_losses(logprobs, piece)
        return (losses * 0.0, ratio, clipped) if self.warming else (losses, ratio, clipped)

    def further_loss(self, reading: Reading, piece: Piece, totals: Totals) -> tuple[Tensor | None, list[Tensor]]:
        """The loss of the value head, less the bonus for entropy."""
        loss, sums = super().further_loss(reading, piece, totals)
        if not self.entropy_coefficient or self.warming:
            return loss, sums
        weights = token_weights(
            piece.mask, normalise=self.normalise, constant=self.constant, sequences=totals.sequences, tokens=totals.tokens,
            step=piece.step, steps=totals.steps,
        )  # fmt: skip
        bonus = self.entropy_coefficient * torch.where(piece.mask, reading.entropies * weights, 0.0).sum()
        return (-bonus if loss is None else loss - bonus), [*sums[:-1], bonus.detach()]

    def update(
        self, policy: Any, trajectories: Sequence[Trajectory], advantages: Advantages, *, progress: float = 0.0
    ) -> dict[str, float]:
        """Change the policy's weights and those of its value head; see `Objective.update`."""
        measured = super().update(policy, trajectories, advantages, progress=progress)
        measured["kl_coefficient"] = self.kl_coefficient
        if self.kl_target is not None:
            self.kl_coefficient = adapted_kl_coefficient(
                self.kl_coefficient,
                measured["kl"],
                target=self.kl_target,
                horizon=self.kl_horizon,
                samples=int(advantages.included.sum()),
            )
        return measured

    def state_dict(self) -> dict[str, Any]:
        """With the price of divergence, which may have moved."""
        return {**super().state_dict(), "kl_coefficient": self.kl_coefficient}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        rest = dict(state)
        moved = rest.pop("kl_coefficient", None)
        if self.kl_target is not None and moved is not None:
            self.kl_coefficient = float(moved)
        super().load_state_dict(rest)

    def _read(self, learner: Learner, piece: Piece, **options: Any) -> Reading:
        return super()._read(learner, piece, entropy_gradient=bool(self.entropy_coefficient), **options)

    def _needs_loss(self, row: Row) -> bool:
        return bool(self.entropy_coefficient) or super()._needs_loss(row)


@dataclass(kw_only=True)
class AWR(ValueObjective):
    """Advantage-weighted regression: every trajectory is imitated, with a weight that grows with its advantage.

    Source: Peng et al. 2019 (arXiv 1910.00177). It has no ratios, so trajectories may come from anybody. With credit "batch"
    the baseline is the batch's mean; with credit "gae" and `value_coefficient` above 0 it is a value head, as in the paper.

    Args:
        beta: the temperature of the weights `exp(advantage / beta)`.
        limit: the largest weight.
        value_coefficient: weight of the value head's loss; 0, the default, trains none.
    """

    normalise: Normalise = "token_mean"
    value_coefficient: float = 0.0
    beta: float = 1.0
    limit: float = 20.0

    default_credit: ClassVar[str] = "batch"

    def __post_init__(self) -> None:
        super().__post_init__()
        advantage_weights(torch.zeros(1), beta=self.beta, limit=self.limit)

    def shape_advantages(self, rows: list[Row]) -> None:
        """Turn advantages into weights."""
        for row in rows:
            weights = advantage_weights(torch.from_numpy(row.advantage), beta=self.beta, limit=self.limit)
            row.advantage = torch.where(torch.from_numpy(row.written), weights, 0.0).numpy()

    def token_losses(self, logprobs: Tensor, piece: Piece) -> tuple[Tensor, Tensor, Tensor]:
        """Minus the weighted log-probability; nothing while the value head alone is trained."""
        losses = negative_log_likelihood(logprobs, piece.advantages, piece.mask) * (0.0 if self.warming else 1.0)
        return losses, torch.ones_like(losses), torch.zeros_like(losses, dtype=torch.bool)
