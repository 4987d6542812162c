"""The options that all objectives share: how fast weights change, how often, how tokens count, and what holds them back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from rewardlab.functional.kl import Estimator
from rewardlab.functional.policy_losses import Normalise
from rewardlab.training.objectives.learner import Schedule

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(kw_only=True)
class UpdateOptions:
    """How an update goes, whatever it optimises.

    Args:
        learning_rate: of AdamW, at its highest.
        schedule: "constant", or falling to 0 over the training along a line ("linear") or half a "cosine".
        warmup: optimiser steps over which the learning rate rises.
        betas: of AdamW.
        weight_decay: of AdamW.
        max_grad_norm: gradients are scaled down to this norm; None for no limit.
        epochs: how often each trajectory is used.
        mini_batches: optimiser steps in each epoch.
        micro_batch_tokens: most padded tokens that go through the model at once; bounds memory, and changes numbers only
            by rounding. None for 2048 on a CPU (where larger pieces are slower) and 8192 elsewhere.
        share_prompts: whether answers to one prompt go through the model behind a single copy of it, where that is less
            work and the model gives the same numbers; changes numbers only by rounding.
        normalise: how tokens are weighted; see `rewardlab.functional.token_weights`.
        constant: the length that `normalise="constant"` divides by.
        kl_coefficient: weight of the divergence from the reference in the loss; 0 needs no reference.
        kl_estimator: "k1", "k2" or "k3"; see `rewardlab.functional.kl_estimate` for what each does as a loss.
        reference: the policy as it was at its first update ("start": a copy of the trained weights, so with LoRA of the
            adapter alone), or the model below its LoRA adapter ("base").
        old_logprobs: ratios are taken to the log-probabilities recorded while sampling ("behaviour"), or to those of the
            policy before the update, computed again ("recomputed"; free of charge with a single optimiser step).
        temperature: at which the trajectories were sampled; None for what the loop samples at, and 1 outside of it.
        entropy: whether to measure the entropy of the policy at each token.
        on_non_finite: "raise" where a loss or gradient is not finite, or "skip" that mini-batch and count it.
        seed: of the order of trajectories when there are several mini-batches.
        accelerator: a configured `accelerate.Accelerator`; None for a default one.
    """

    learning_rate: float = 1e-5
    schedule: Schedule = "constant"
    warmup: int = 0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    max_grad_norm: float | None = 1.0
    epochs: int = 1
    mini_batches: int = 1
    micro_batch_tokens: int | None = None
    share_prompts: bool = True
    normalise: Normalise = "sequence_mean"
    constant: float | None = None
    kl_coefficient: float = 0.0
    kl_estimator: Estimator = "k3"
    reference: Literal["start", "base"] = "start"
    old_logprobs: Literal["behaviour", "recomputed"] = "behaviour"
    temperature: float | None = None
    entropy: bool = True
    on_non_finite: Literal["raise", "skip"] = "raise"
    seed: int = 0
    accelerator: Accelerator | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("mini_batches", 1), ("micro_batch_tokens", 1), ("warmup", 0)):
            value = getattr(self, name)
            if value is None and name == "micro_batch_tokens":
                continue
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
        for name in ("learning_rate", "weight_decay", "kl_coefficient"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be finite and not negative, got {value}")
        if self.max_grad_norm is not None and not self.max_grad_norm > 0:
            raise ValueError(f"max_grad_norm must be positive, or None for no limit, got {self.max_grad_norm}")
        if self.temperature is not None and not self.temperature > 0:
            raise ValueError(
                f"temperature must be positive, got {self.temperature}; greedy samples cannot be trained on"
            )
        if self.constant is not None and not 0 < self.constant < math.inf:
            raise ValueError(f"constant must be a positive length, got {self.constant}")
        if self.normalise == "constant" and self.constant is None:
            raise ValueError(
                'normalise="constant" needs constant=, the length to divide by (the longest answer allowed)'
            )
        for name, allowed in (
            ("schedule", ("constant", "linear", "cosine")),
            ("normalise", get_args(Normalise)),
            ("kl_estimator", ("k1", "k2", "k3")),
            ("reference", ("start", "base")),
            ("old_logprobs", ("behaviour", "recomputed")),
            ("on_non_finite", ("raise", "skip")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
