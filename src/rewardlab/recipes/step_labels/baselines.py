"""What a process reward model has to beat: values that only look at where a step stands, or how long it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rewardlab.learning.data import StepLabelData
from rewardlab.rewards.base import Verdict, Verifier
from rewardlab.types import Trajectory, message_text

BINS = 10


@dataclass(frozen=True, kw_only=True)
class StepPrior(Verifier):
    """How often labelled steps of one kind were right, whatever they say.

    Args:
        edges: between the kinds, rising.
        shares: of right steps, one more than edges.
        looks_at: `place` (the step's number), `place_from_end`, or `length` (characters of the step).
    """

    edges: list[float]
    shares: list[float]
    looks_at: str = "place"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.looks_at not in LOOKS:
            raise ValueError(f"looks_at must be one of {', '.join(LOOKS)}, got {self.looks_at!r}")
        if len(self.shares) != len(self.edges) + 1:
            raise ValueError(
                f"there must be one share more than edges, got {len(self.shares)} shares and {len(self.edges)} edges"
            )

    @classmethod
    def fitted(cls, data: StepLabelData, looks_at: str = "place") -> StepPrior:
        """Count labels in tenths of what is looked at; each share is drawn towards all of them by one step.

        Raises:
            ValueError: there is no labelled step, or nothing such to look at.
        """
        if looks_at not in LOOKS:
            raise ValueError(f"looks_at must be one of {', '.join(LOOKS)}, got {looks_at!r}")
        seen = np.concatenate([LOOKS[looks_at](data.items[item]) for item in data.item]) if len(data) else np.empty(0)
        labels = np.concatenate(data.labels) if len(data) else np.empty(0)
        known = ~np.isnan(labels)
        if not known.any():
            raise ValueError("no step has a label, so there is nothing to count")
        edges = np.unique(np.quantile(seen[known], np.linspace(0, 1, BINS + 1)[1:-1]))
        kind = np.searchsorted(edges, seen[known], side="right")
        counts = np.bincount(kind, minlength=len(edges) + 1)
        right = np.bincount(kind, labels[known], minlength=len(edges) + 1)
        shares = (right + labels[known].mean()) / (counts + 1)
        return cls(edges=edges.tolist(), shares=shares.tolist(), looks_at=looks_at)

    def verify(self, trajectory: Trajectory) -> Verdict:
        """The share of every step, and the lowest of them."""
        kinds = np.searchsorted(self.edges, LOOKS[self.looks_at](trajectory), side="right")
        steps = [self.shares[kind] for kind in kinds]
        return Verdict(min(steps), steps=steps)


LOOKS: dict[str, Callable[[Trajectory], np.ndarray]] = {
    "place": lambda one: np.arange(len(one), dtype=np.float64),
    "place_from_end": lambda one: np.arange(len(one), 0, -1, dtype=np.float64),
    "length": lambda one: np.asarray([len(message_text(action)) for action in one.actions], np.float64),
}
"""What a step is known by."""
