"""Values of any size brought into [0, 1], so that a learned reward can stand beside a rule that says 0 or 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from rewardlab.rewards.base import Reward
from rewardlab.rewards.spec import register
from rewardlab.types import Scores, Trajectory


@register("squash")
@dataclass(frozen=True, kw_only=True)
class Squash(Reward):
    """A reward mapped into [0, 1].

    Args:
        reward: what is mapped.
        by: "sigmoid" of `(value - centre) / width`; "cosine" maps [-1, 1] by `(1 + value) / 2` and clips the rest; "minmax"
            places a value between the lowest and the highest that `observe` saw, and gives 0.5 before it saw two.
        centre: the value that becomes 0.5, for "sigmoid".
        width: see "sigmoid".
        threshold: values from here on (after mapping) become 1 and the others 0; None keeps them soft.
        low: lowest value seen (state of "minmax"; written to the spec).
        high: highest value seen.
    """

    reward: Reward
    by: Literal["sigmoid", "cosine", "minmax"] = "sigmoid"
    centre: float = 0.0
    width: float = 1.0
    threshold: float | None = None
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.width > 0:
            raise ValueError(f"Squash: option 'width' must be positive, got {self.width}")
        if self.threshold is not None and not 0.0 <= self.threshold <= 1.0:
            raise ValueError(f"Squash: option 'threshold' must be in [0, 1] or None, got {self.threshold}")

    def children(self) -> dict[str, Reward]:  # noqa: D102 - documented on Reward
        return {self.reward.label.replace(".", "_"): self.reward}

    def observe(self, trajectories: Sequence[Trajectory], scores: Scores) -> None:
        """Widen the range by the values of this step."""
        super().observe(trajectories, scores)
        if self.by != "minmax":
            return
        (inner,) = scores.parts.values()
        seen = [*inner.values[inner.scored], *(end for end in (self.low, self.high) if end is not None)]
        if seen:
            self._replace(float(min(seen)), float(max(seen)))

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        own = {"": {"low": self.low, "high": self.high}} if self.by == "minmax" else {}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: D102
        if "" in state:
            self._replace(state[""]["low"], state[""]["high"])
        super().load_state_dict({name: entry for name, entry in state.items() if name})

    def _replace(self, low: float | None, high: float | None) -> None:
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        self.__dict__.pop("spec_hash", None)

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        ((name, child),) = self.children().items()
        inner = child._score(trajectories, progress)
        if self.by == "sigmoid":
            place = np.clip((inner.values - self.centre) / self.width, -700.0, 700.0)
            values = 1.0 / (1.0 + np.exp(-place))
        elif self.by == "cosine":
            values = np.clip((1.0 + inner.values) / 2.0, 0.0, 1.0)
        elif self.low is None or self.high is None or not self.high > self.low:
            values = np.where(inner.scored, 0.5, np.nan)
        else:
            values = np.clip((inner.values - self.low) / (self.high - self.low), 0.0, 1.0)
        if self.threshold is not None:
            values = np.where(inner.scored, (values >= self.threshold).astype(np.float64), np.nan)
        return replace(inner, values=values, steps=None, parts={name: inner})
