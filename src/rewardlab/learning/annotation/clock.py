"""When an annotator's questions are asked and its answers arrive, in environment steps: for tests and for proofs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualClock:
    """An annotator that takes environment steps instead of seconds, so that a run repeats exactly.

    Args:
        delay: environment steps from the question to the arrival of the labels; None: they never arrive.
        every: environment steps between two batches.

    Raises:
        ValueError: an option is out of its range.
    """

    delay: int | None
    every: int = 1

    def __post_init__(self) -> None:
        if self.delay is not None and self.delay < 0:
            raise ValueError(f"delay must be at least 0 environment steps, or None for never, got {self.delay}")
        if self.every < 1:
            raise ValueError(f"every must be at least 1 environment step, got {self.every}")
