"""Step labels: whether the first error is found (ProcessBench's F1), and how well right and wrong steps are told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional.calibration import brier_score, expected_calibration_error, reliability_curve
from rewardlab.learning.data import StepLabelData
from rewardlab.learning.evaluation.judging import Judged, judge
from rewardlab.learning.evaluation.result import Calibration
from rewardlab.learning.evaluation.statistics import AreaUnderCurve, Linear, Measure, weighted_share
from rewardlab.learning.evaluation.units import Floats, Mask, Units
from rewardlab.rewards.base import Reward
from rewardlab.types import Status

NO_ERROR = -1
"""The place of the first error in a solution without one, as ProcessBench writes it."""


def first_error(labels: Floats) -> int | None:
    """The place of the first wrong step, from 0; -1 for none; None where a label is missing that would be needed to tell.

    Args:
        labels: float64[step], the probability that a step is right; NaN where nobody looked.
    """
    for place, label in enumerate(labels):
        if np.isnan(label):
            return None
        if label <= 0.5:
            return place
    return NO_ERROR


@dataclass(kw_only=True)
class StepUnits(Units):
    """Labelled solutions with what the reward says of their steps.

    The first error that a reward finds is the first step whose value is below the threshold. Source: Zheng et al. 2024,
    "ProcessBench: Identifying Process Errors in Mathematical Reasoning" (arXiv 2412.06559).

    Args:
        threshold: below it a step is taken as wrong.
    """

    kind: ClassVar[str] = "steps"
    headline: ClassVar[str] = "first-error F1"

    data: StepLabelData
    threshold: float

    def __post_init__(self) -> None:
        data, judged = self.data, self.judged
        self.fate = judged.status[data.item].copy()
        self.values: list[Floats | None] = [None] * len(data)
        for row, item in enumerate(data.item):
            if self.fate[row] != Status.SCORED:
                continue
            found = None if judged.steps is None else judged.steps[item]
            if found is None or len(found) != len(data.labels[row]) or not np.isfinite(found).all():
                self.fate[row] = Status.FAILED
                self.why[row] = _why(found, len(data.labels[row]))
            else:
                self.values[row] = found
        self.error = [first_error(labels) for labels in data.labels]

    def counts(self) -> dict[str, int]:
        """Beside the fates: solutions with an error and without one, and those whose labels do not tell."""
        return {
            **super().counts(),
            "with an error": sum(one is not None and one >= 0 for one in self.error),
            "without an error": sum(one == NO_ERROR for one in self.error),
            "without a clear first error": sum(one is None for one in self.error),
        }

    def names(self) -> list[str]:
        """F1 of the first error, what it is the harmonic mean of, and the area under the curve of single steps."""
        return ["first-error F1", "first error found", "right solutions passed", "step AUC"]

    def relevant(self, name: str) -> Mask:
        """Rows whose labels say what the measure needs."""
        if name == "step AUC":
            return np.ones(len(self), np.bool_)
        return np.asarray([one is not None for one in self.error], np.bool_)

    def measure(self, name: str, rows: Mask) -> Measure:
        """A measure of some solutions."""
        if name == "step AUC":
            owner, values, labels = self.labelled(rows)
            return AreaUnderCurve(self.clusters(owner), values, labels > 0.5)
        chosen = np.flatnonzero(rows & self.decided & self.relevant(name))
        place = np.asarray([self.error[row] for row in chosen], np.int64)
        told = np.asarray([_first_below(self.values[row], self.threshold) for row in chosen], np.int64)
        hit, wrong = (told == place).astype(np.float64), place >= 0
        if name == "first error found":
            return weighted_share(self.clusters(chosen[wrong]), hit[wrong])
        if name == "right solutions passed":
            return weighted_share(self.clusters(chosen[~wrong]), hit[~wrong])
        columns = np.stack([hit * wrong, wrong, hit * ~wrong, ~wrong], axis=1).astype(np.float64)
        return Linear(self.clusters(chosen), columns, _harmonic)

    def labelled(self, rows: Mask) -> tuple[NDArray[np.int64], Floats, Floats]:
        """The steps with a label of some decided rows: int64[step] the row, float64[step] value and label."""
        owner, values, labels = [], [], []
        for row in np.flatnonzero(rows & self.decided):
            there = ~np.isnan(self.data.labels[row]) & (self.data.labels[row] != 0.5)
            owner.append(np.full(int(there.sum()), row))
            values.append(self.values[row][there])  # type: ignore[index]  # decided rows have values
            labels.append(self.data.labels[row][there])
        if not owner:
            return np.empty(0, np.int64), np.empty(0), np.empty(0)
        return np.concatenate(owner).astype(np.int64), np.concatenate(values), np.concatenate(labels)

    def special(self) -> dict[str, list[str | None]]:
        """`steps`: how many steps a solution has."""
        from rewardlab.learning.evaluation.units import binned

        return {"steps": binned([len(labels) for labels in self.data.labels])}

    def calibration(self, bins: int) -> Calibration | None:
        """Whether the stated probabilities that a step is right come true; None where there are none."""
        if not self.judged.probable:
            return None
        _, values, labels = self.labelled(np.ones(len(self), np.bool_))
        if not len(values):
            return None
        stated = 1.0 / (1.0 + np.exp(-np.clip(values, -700.0, 700.0)))
        return Calibration(
            curve=reliability_curve(stated, labels, bins=bins),
            error=expected_calibration_error(stated, labels, bins=bins),
            brier=brier_score(stated, labels),
            rows=len(stated),
        )


def best_threshold(reward: Reward, data: StepLabelData) -> float:
    """The threshold with the best first-error F1 on some data, which must not be those that are reported.

    It lies half way between two values that occur; of equally good ones the middle one is taken.

    Raises:
        ValueError: the reward gives no values to steps, or the data hold no solution with an error, or none without.
    """
    units = StepUnits(data=data, judged=judge(reward, data.items), prompts=data.prompts(), threshold=0.0)
    return threshold_of(units)


def threshold_of(units: StepUnits) -> float:
    """The threshold with the best F1 on rows that are judged already."""
    chosen = np.flatnonzero(units.decided & units.relevant("first-error F1"))
    errors = np.asarray([units.error[row] for row in chosen], np.int64)
    if not (errors >= 0).any() or not (errors < 0).any():
        said = f"{int((errors >= 0).sum())} solutions with an error and {int((errors < 0).sum())} without"
        raise ValueError(f"a threshold needs both kinds, but there are {said}; give threshold= a number")
    # A solution with its first error at k is told right while min(values[:k]) >= threshold > values[k]; one without an
    # error while min(values) >= threshold. So each is an interval of thresholds, and F1 changes at their ends alone.
    low, high = np.empty(len(chosen)), np.empty(len(chosen))
    for number, row in enumerate(chosen):
        values, place = units.values[row], errors[number]
        assert values is not None
        before = values if place < 0 else values[:place]
        high[number] = before.min() if len(before) else np.inf
        low[number] = -np.inf if place < 0 else values[place]
    ends = np.unique(np.concatenate([low, high]))
    ends = ends[np.isfinite(ends)]
    tries = np.concatenate([[ends[0] - 1.0], (ends[:-1] + ends[1:]) / 2, [ends[-1] + 1.0]])
    hits = (tries[:, None] > low) & (tries[:, None] <= high)
    found, passed = hits[:, errors >= 0].mean(1), hits[:, errors < 0].mean(1)
    with np.errstate(invalid="ignore"):
        score = np.nan_to_num(2 * found * passed / (found + passed))
    best = np.flatnonzero(score >= score.max() - 1e-12)
    return float(tries[best[len(best) // 2]])


def judge_steps(
    data: StepLabelData, judged: Judged, reward: Reward, threshold: float | StepLabelData | None
) -> StepUnits:
    """The outcomes of labelled solutions.

    Args:
        data: the solutions.
        judged: what the reward says of them.
        reward: which reward it is.
        threshold: a number, data to choose it on, or None: 0 for learned models, whose step values are log-odds, and 0.5
            for rewards whose step values all lie between 0 and 1.

    Raises:
        ValueError: no threshold was given and none is plain.
    """
    if isinstance(threshold, StepLabelData):
        threshold = best_threshold(reward, threshold)
    if threshold is None:
        threshold = 0.0 if judged.probable else _plain_threshold(judged)
    return StepUnits(data=data, judged=judged, prompts=data.prompts(), threshold=float(threshold))


def _plain_threshold(judged: Judged) -> float:
    values = [one for one in judged.steps or [] if one is not None and len(one)]
    if values and not all(np.nanmin(one) >= 0 and np.nanmax(one) <= 1 for one in values):
        raise ValueError(
            "the step values do not lie between 0 and 1, so there is no plain threshold; give threshold= a number, or "
            "step labels to choose it on"
        )
    return 0.5


def _harmonic(sums: Floats) -> Floats:
    found, passed = sums[:, 0] / sums[:, 1], sums[:, 2] / sums[:, 3]
    both = found + passed
    return np.asarray(np.where(both > 0, 2 * found * passed / both, np.where(np.isnan(both), np.nan, 0.0)))


def _first_below(values: Floats | None, threshold: float) -> int:
    assert values is not None
    below = np.flatnonzero(values < threshold)
    return int(below[0]) if below.size else NO_ERROR


def _why(found: Floats | None, count: int) -> str:
    if found is None:
        return "the reward gives no values to single steps; use a process head, or a reward whose verdict has steps"
    if len(found) != count:
        return f"the reward gave {len(found)} step values for {count} labelled steps; check how steps are cut"
    return "the reward gave a step value that is not a finite number"
