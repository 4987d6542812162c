"""The options of a fit, and what follows from them alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rewardlab.learning.losses import Loss
from rewardlab.rewards.models.model import RewardModel
from rewardlab.training.objectives.learner import Schedule
from rewardlab.types import Trajectory

Monitor = Literal["accuracy", "loss"]


@dataclass(kw_only=True)
class FitOptions:
    """What `rewardlab.learning.fit` takes, which says what each option is."""

    model: RewardModel
    data: Any
    loss: Any
    validation: Any
    epochs: float
    steps: int | None
    batch_size: int
    learning_rate: float
    weight_decay: float
    schedule: Schedule
    warmup: float
    max_grad_norm: float | None
    batch_length: int | None
    patience: int | None
    evaluate_every: int | None
    gradient_checkpointing: bool
    dtype: Any
    normalise: bool
    seed: int
    output: str | Path | None
    resume: bool
    progress_bar: bool
    trackers: Sequence[Any]
    rates: Mapping[str, float] | None
    monitor: Monitor | None
    checkpoint_every: int | None

    def check(self) -> None:
        """Refuse values that mean nothing.

        Raises:
            ValueError: an option is out of its range; the message names it.
        """
        for name in ("epochs", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("steps", "patience", "evaluate_every", "checkpoint_every", "batch_length"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1 or None, got {getattr(self, name)}")
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"warmup must lie between 0 and 1, got {self.warmup}; it is a share of the steps")
        if self.schedule not in ("cosine", "linear", "constant"):
            raise ValueError(f'schedule must be "cosine", "linear" or "constant", got {self.schedule!r}')
        if self.monitor not in (None, "accuracy", "loss"):
            raise ValueError(f'monitor must be "accuracy" or "loss", got {self.monitor!r}')
        if self.patience is not None and self.validation is None:
            raise ValueError("patience needs validation: judgements that are held out, or the share of prompts that is")

    def config(self, loss: Loss, rows: int) -> dict[str, Any]:
        """What the numbers of the fit depend on, beside the data and the model."""
        names = ("steps", "batch_size", "learning_rate", "weight_decay", "schedule", "warmup", "max_grad_norm", "seed")
        return {
            "loss": repr(loss),
            "rows": rows,
            **{name: getattr(self, name) for name in names},
            "evaluate_every": self.evaluate_every,
            "rates": None if self.rates is None else dict(self.rates),
        }

    def rank(self, found: Mapping[str, Any], kind: str) -> tuple[float, ...]:
        """How good an evaluation is; the larger of two is better."""
        monitor = self.monitor or ("accuracy" if kind in ("preferences", "rankings") else "loss")
        loss = -found["loss"] if math.isfinite(found["loss"]) else -math.inf
        return (found["accuracy"], loss) if monitor == "accuracy" and "accuracy" in found else (loss,)

    def why_stopped(self, step: int, loss: float, norm: float, rows: list[int], items: Sequence[Trajectory]) -> str:
        """What to say when the loss or its gradient is no number."""
        what = (
            f"the loss is {loss}" if not math.isfinite(loss) else f"the loss is {loss:.4g}, but its gradient is {norm}"
        )
        kept = "" if self.output is None else f" The last good checkpoint stays in {str(self.output)!r}."
        return (
            f"step {step} of {self.steps}: {what} in {self.where(rows)} "
            f"({'; '.join(map(_shown, items))}).{kept} Look at these rows; where they are sound, lower learning_rate "
            f"({self.learning_rate:g}) or max_grad_norm"
        )

    def where(self, rows: list[int]) -> str:
        """Which rows some are, for messages."""
        named = ", ".join(map(str, rows[:20])) + (" and others" if len(rows) > 20 else "")
        return f"rows {named} of the training data"


def _shown(item: Trajectory) -> str:
    if item.is_chat:
        return repr(item.completion[:60])
    first = np.asarray(item.observations[0], dtype=np.float64).reshape(-1)
    return f"inputs from {first.min():.3g} to {first.max():.3g}"
