"""A penalty on length that looks at the group: wrong answers that are shorter than right ones to the same question.

Answers that are trained by reward drift to short ones where short answers are cheap; a wrong short answer then costs nothing
that a wrong long one would not cost, too. Right short answers are never punished: that would pay for padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.algebra.combine import score_children
from rewardlab.rewards.base import Reward, attempt
from rewardlab.rewards.spec import register
from rewardlab.rewards.verifiers.length import Unit, measure
from rewardlab.types import Scores, Status, Trajectory, group_indices

Mode = Literal["short_wrong", "long_correct", "both"]
Floats = NDArray[np.float64]


@register("group_length")
@dataclass(frozen=True, kw_only=True)
class GroupLength(Reward):
    """A penalty in [-p_max, 0], from the lengths of the right answers of the same group.

    With `L` the mean length of the group's right answers, a wrong answer shorter than `(1 - tolerance) L` gets
    `-p_max min(1, (L - length) / L)`, and in the mirror mode a right one longer than `(1 + tolerance) L` gets
    `-p_max min(1, (length - L) / L)`. A group without a right answer, or with right answers of length 0, gets 0.

    A reconstruction of the length penalty of HARMO (arXiv 2510.05283), whose constants are not published.

    Args:
        right: the reward that says whether an answer is right, where it reaches `threshold`. A sample that it has no value
            for has no penalty either (it fails or abstains alike), and counts for nothing in its group.
        threshold: see `right`.
        mode: "short_wrong", "long_correct", or "both".
        p_max: the largest penalty.
        tolerance: how far, as a share, a length may lie off without a penalty.
        reference: what lengths are measured against: the "mean" or "median" of the group's right answers, or a number, which
            needs no right answer.
        unit: `tokens` (needs `Trajectory.tokens`), `words` or `characters`.
        turns: whether all messages of the policy count, or only its last.
    """

    right: Reward
    threshold: float = 1.0
    mode: Mode = "short_wrong"
    p_max: float = 0.5
    tolerance: float = 0.2
    reference: Literal["mean", "median"] | int = "mean"
    unit: Unit = "tokens"
    turns: Literal["all", "last"] = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.p_max > 0:
            raise ValueError(f"GroupLength: option 'p_max' must be positive, got {self.p_max}; it is taken off")
        if not 0.0 <= self.tolerance < 1.0:
            raise ValueError(f"GroupLength: option 'tolerance' must be in [0, 1), got {self.tolerance}")
        if isinstance(self.reference, int) and self.reference < 1:
            raise ValueError(f"GroupLength: option 'reference' must be at least 1, got {self.reference}")

    @property
    def group_wise(self) -> bool:
        """A sample's penalty depends on the lengths of its group's right answers."""
        return True

    def children(self) -> dict[str, Reward]:
        """The reward that says whether an answer is right."""
        return {"right": self.right}

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        right = score_children(self.children(), trajectories, progress)["right"]
        lengths, status = np.zeros(len(trajectories)), right.status.copy()
        notes = [right.note(index) for index in range(len(trajectories))]
        for index, trajectory in enumerate(trajectories):
            found = attempt(measure, trajectory, self.unit, self.turns)
            if isinstance(found, tuple):
                status[index], notes[index] = found
            else:
                lengths[index] = found
        known = status == Status.SCORED
        values = np.zeros(len(trajectories))
        for group in group_indices(trajectories):
            members = group[known[group]]
            values[members] = length_penalties(
                lengths[members],
                right.values[members] >= self.threshold,
                mode=self.mode,
                p_max=self.p_max,
                tolerance=self.tolerance,
                reference=self.reference,
            )
        return Scores(
            values=np.where(known, values, np.nan),
            status=status,
            notes=notes if any(notes) else None,
            parts={"right": right},
        )


def length_penalties(
    lengths: Floats,
    right: NDArray[np.bool_],
    *,
    mode: Mode = "short_wrong",
    p_max: float = 0.5,
    tolerance: float = 0.2,
    reference: Literal["mean", "median"] | int = "mean",
) -> Floats:
    """The penalties of one group; see `GroupLength`.

    Args:
        lengths: float64[member].
        right: bool[member], whether the answer is right.
        mode, p_max, tolerance, reference: see `GroupLength`.

    Returns:
        float64[member], in [-p_max, 0].
    """
    penalties = np.zeros(len(lengths))
    if isinstance(reference, int):
        expected = float(reference)
    elif not right.any():
        return penalties
    else:
        expected = float(np.median(lengths[right]) if reference == "median" else lengths[right].mean())
    if expected <= 0:
        return penalties
    apart = (lengths - expected) / expected
    if mode in ("short_wrong", "both"):
        short = ~right & (apart < -tolerance)
        penalties[short] = -p_max * np.minimum(1.0, -apart[short])
    if mode in ("long_correct", "both"):
        long = right & (apart > tolerance)
        penalties[long] = -p_max * np.minimum(1.0, apart[long])
    return penalties
