"""Weights that change with the progress of training, as values that a spec can hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Linear:
    """A straight line from `start` to `end`, flat outside [`begin`, `finish`].

    Args:
        start: the value up to `begin`.
        end: the value from `finish` on.
        begin: progress at which the line begins, in [0, 1].
        finish: progress at which it is over, in [0, 1]; equal to `begin` for a step.
    """

    short_name: ClassVar[str] = "linear"

    start: float
    end: float
    begin: float = 0.0
    finish: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.begin <= self.finish <= 1.0:
            raise ValueError(
                f"a schedule needs 0 <= begin <= finish <= 1, got begin={self.begin}, finish={self.finish}"
            )

    def __call__(self, progress: float) -> float:
        """The value at `progress` in [0, 1]."""
        if progress >= self.finish:
            return self.end
        if progress <= self.begin:
            return self.start
        return self.start + (self.end - self.start) * (progress - self.begin) / (self.finish - self.begin)
