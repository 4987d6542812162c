"""Comparisons: accuracy, best of several, ties, calibration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional.calibration import brier_score, expected_calibration_error, reliability_curve
from rewardlab.learning.data import PreferenceData
from rewardlab.learning.evaluation.judging import Judged
from rewardlab.learning.evaluation.result import Calibration
from rewardlab.learning.evaluation.statistics import Measure, weighted_share
from rewardlab.learning.evaluation.units import Floats, Mask, Units
from rewardlab.types import Status, Trajectory, message_text

ALIKE = 0.1
"""Answers whose lengths differ by less than this share of the longer one are about as long."""


@dataclass(kw_only=True)
class PairUnits(Units):
    """Comparisons with their outcomes.

    Args:
        own_users: whether each row is judged as its annotator would; of heads that know users.
        tie_margin: up to this difference the reward counts as saying "tie"; None where it never does.
        logits: float64[row], for the first item; NaN where undecided.
        right: float64[row], 1 where the winner is told, 0.5 for a draw; NaN of ties and where undecided.
    """

    kind: ClassVar[str] = "preferences"
    headline: ClassVar[str] = "accuracy"

    data: PreferenceData
    own_users: bool = False
    tie_margin: float | None = None
    logits: Floats = field(init=False)
    right: Floats = field(init=False)

    def __post_init__(self) -> None:
        data = self.data
        self.fate = self.worst([np.asarray(pair) for pair in zip(data.first, data.second, strict=True)])
        users = data.annotators if self.own_users else None
        self.logits = self.judged.compare(data.first, data.second, users)
        self.fail(~np.isfinite(self.logits), "the reward compared with a number that is not finite")
        self.logits[self.fate != Status.SCORED] = np.nan
        told = np.sign(data.label - 0.5)
        self.right = np.where(told == 0, np.nan, 0.5 + 0.5 * np.sign(self.logits) * told)
        self.weight = np.ones(len(data)) if data.weight is None else data.weight
        self._groups = _groups(data)

    @property
    def tied(self) -> Mask:
        """bool[row], where people said that both are as good."""
        return self.data.label == 0.5

    def counts(self) -> dict[str, int]:
        """Beside the fates: rows that are ties, and decided rows that the reward left a draw."""
        counts = {
            **super().counts(),
            "labelled ties": int(self.tied.sum()),
            "drawn": int((self.right == 0.5).sum()),
        }
        if self.judged.unknown_users:
            counts["annotators unknown to the model"] = len(self.judged.unknown_users)
        return counts

    def names(self) -> list[str]:
        """Accuracy; where one response is compared with several, best of n; with a margin, accuracy over ties too."""
        names = ["accuracy"]
        if self._groups is not None:
            names.append("best of n")
        if self.tie_margin is not None:
            names.append("accuracy with ties")
        return names

    def relevant(self, name: str) -> Mask:
        """Ties bear on accuracy with ties alone."""
        return np.ones(len(self), np.bool_) if name == "accuracy with ties" else ~self.tied

    def measure(self, name: str, rows: Mask) -> Measure:
        """A measure of some rows."""
        if name == "best of n":
            return self._best_of(rows)
        if name == "accuracy with ties":
            assert self.tie_margin is not None
            chosen = np.flatnonzero(rows & self.decided)
            says = np.sign(self.logits[chosen]) * (np.abs(self.logits[chosen]) > self.tie_margin)
            right = (says == np.sign(self.data.label[chosen] - 0.5)).astype(np.float64)
        else:
            chosen = np.flatnonzero(rows & self.decided & ~self.tied)
            right = self.right[chosen]
        return weighted_share(self.clusters(chosen), right, self.weight[chosen])

    def _best_of(self, rows: Mask) -> Measure:
        """The share of rows whose better response beats all others; a draw counts half of what is left."""
        assert self._groups is not None
        decided = self.decided
        firsts, right = [], []
        for group in self._groups:
            if rows[group].all() and decided[group].all():
                firsts.append(group[0])
                outcome = self.right[group]
                drawn = int((outcome == 0.5).sum())
                right.append(0.0 if (outcome == 0).any() else 1.0 / (1 + drawn))
        chosen = np.asarray(firsts, np.int64)
        return weighted_share(self.clusters(chosen), np.asarray(right, np.float64))

    def special(self) -> dict[str, list[str | None]]:
        """`length`: whether the better response is longer."""
        lengths = np.asarray([length_of(item) for item in self.data.items], np.float64)
        first, second = lengths[self.data.first], lengths[self.data.second]
        better = np.where(self.data.label > 0.5, first - second, second - first)
        alike = np.abs(better) < ALIKE * np.maximum(np.maximum(first, second), 1.0)
        order = ("better is longer", "about as long", "better is shorter")
        place = np.where(alike, 1, np.where(better > 0, 0, 2))
        names: list[str | None] = [order[one] for one in place]
        return {"length": [None if tie else name for name, tie in zip(names, self.tied, strict=True)]}

    def calibration(self, bins: int) -> Calibration | None:
        """Whether the stated probabilities come true; None where there are none."""
        if not self.judged.probable or not self.decided.any():
            return None
        stated = 1.0 / (1.0 + np.exp(-np.clip(self.logits[self.decided], -700.0, 700.0)))
        label = self.data.label[self.decided]
        turned = stated < 0.5  # every comparison is looked at from the side that the reward prefers
        stated, label = np.where(turned, 1 - stated, stated), np.where(turned, 1 - label, label)
        return Calibration(
            curve=reliability_curve(stated, label, bins=2 * bins),  # the lower half of the bins is empty
            error=expected_calibration_error(stated, label, bins=2 * bins),
            brier=brier_score(stated, label),
            rows=len(stated),
        )


def length_of(item: Trajectory) -> int:
    """Characters of what was answered; the number of actions where it is no text."""
    return sum(len(message_text(action)) for action in item.actions) if item.is_chat else len(item.actions)


def _groups(data: PreferenceData) -> list[NDArray[np.int64]] | None:
    """Rows that compare one response with several others; None where there are none."""
    found: dict[object, list[int]] = {}
    for row, told in enumerate(data.metadata or []):
        if "ranking" in told and data.label[row] > 0.5:
            found.setdefault(told["ranking"], []).append(row)
    groups = [np.asarray(rows) for rows in found.values() if len({int(data.first[row]) for row in rows}) == 1]
    return groups if any(len(group) > 1 for group in groups) else None


def judge_pairs(
    data: PreferenceData, judged: Judged, *, own_users: bool = False, tie_margin: float | None = None
) -> PairUnits:
    """The outcomes of comparisons.

    Raises:
        ValueError: the margin is negative.
    """
    if tie_margin is not None and not tie_margin >= 0:
        raise ValueError(f"tie_margin must not be negative, got {tie_margin}; None is for a reward that never says tie")
    return PairUnits(data=data, judged=judged, prompts=data.prompts(), own_users=own_users, tie_margin=tie_margin)
