"""How far a verifier agrees with people who judged the same trajectories: what to know of it before training against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rewardlab.functional.agreement import cohen_kappa
from rewardlab.functional.intervals import share_interval
from rewardlab.rewards.base import Reward
from rewardlab.types import Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What `verifier_agreement` found. A failed or abstained sample is in no count but `unscored`.

    Args:
        both: trajectories that both let through.
        neither: that both turned away.
        only_verifier: that the verifier alone let through (what training would exploit).
        only_people: that people alone let through (what training would unlearn).
        unscored: that the verifier could not score, or had nothing to say about.
    """

    both: int
    neither: int
    only_verifier: int
    only_people: int
    unscored: int

    @property
    def count(self) -> int:
        """How many were compared."""
        return self.both + self.neither + self.only_verifier + self.only_people

    @property
    def share(self) -> float:
        """Share on which both agree; NaN where nothing was compared."""
        return (self.both + self.neither) / self.count if self.count else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the share (Wilson)."""
        return share_interval(self.share, self.count) if self.count else (0.0, 1.0)

    @property
    def kappa(self) -> float:
        """Cohen's kappa; NaN where one side always says the same, as chance agreement is then complete."""
        verifier = [1] * (self.both + self.only_verifier) + [0] * (self.neither + self.only_people)
        people = [1] * self.both + [0] * (self.only_verifier + self.neither) + [1] * self.only_people
        if len(set(verifier)) < 2 or len(set(people)) < 2:
            return float("nan")
        return float(cohen_kappa(verifier, people))

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.share:.2f} [{low:.2f}, {high:.2f}] of {self.count} agree (kappa {self.kappa:.2f}); the verifier alone "
            f"passes {self.only_verifier}, people alone {self.only_people}; {self.unscored} unscored"
        )


def verifier_agreement(
    verifier: Reward, trajectories: Sequence[Trajectory], people: Sequence[bool], *, threshold: float = 1.0
) -> Agreement:
    """Compare a verifier with people's judgements.

    Args:
        verifier: what is looked at.
        trajectories: N of them.
        people: bool[trajectory]; whether people let each through.
        threshold: lowest score with which the verifier lets one through.

    Raises:
        ValueError: there is not one judgement for each trajectory.
    """
    if len(people) != len(trajectories):
        raise ValueError(f"there are {len(people)} judgements for {len(trajectories)} trajectories; give one for each")
    scores = verifier(trajectories)
    known = scores.scored
    passed, wanted = scores.values[known] >= threshold, np.asarray(people, dtype=bool)[known]
    return Agreement(
        both=int((passed & wanted).sum()),
        neither=int((~passed & ~wanted).sum()),
        only_verifier=int((passed & ~wanted).sum()),
        only_people=int((~passed & wanted).sum()),
        unscored=int((~known).sum()),
    )
