"""A penalty on n-grams that an answer repeats."""

from __future__ import annotations

from dataclasses import dataclass

from rewardlab.rewards.base import Verdict, Verifier
from rewardlab.rewards.spec import register
from rewardlab.rewards.verifiers.words import fold, words
from rewardlab.types import Trajectory


@register("repetition")
@dataclass(frozen=True, kw_only=True)
class Repetition(Verifier):
    """A penalty in [`worst`, 0]: `worst` times the share of the answer's n-grams that stood in it before.

    The n-gram repetition penalty of Yeo et al. 2025, "Demystifying long chain-of-thought reasoning in LLMs" (section
    4.3): `worst * (1 - different n-grams / n-grams)`. An answer with fewer than n words gets 0. Words are found in any
    script, letter case is ignored, and numbers count as words, so that a table of numbers is no repetition.

    Args:
        size: n, the number of words in an n-gram.
        worst: the value, at most 0, that an answer of nothing but repetition would tend to.
    """

    size: int = 3
    worst: float = -1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 1:
            raise ValueError(f"Repetition: option 'size' must be at least 1, got {self.size}")
        if not -1e9 < self.worst <= 0:
            raise ValueError(
                f"Repetition: option 'worst' must be at most 0, got {self.worst}; it is what full repetition costs"
            )

    def verify(self, trajectory: Trajectory) -> Verdict | float:
        """Measure the repetition in one answer."""
        found = words(fold(trajectory.completion))
        count = len(found) - self.size + 1
        if count <= 0:
            return 0.0
        different = len(set(zip(*(found[start:] for start in range(self.size)), strict=False)))
        return self.worst * (1 - different / count) or 0.0
