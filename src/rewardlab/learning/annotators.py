"""Labels that several judges agree on: a rule and a model, say, each of which alone is wrong too often."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.learning.data import RatingData
from rewardlab.rewards.algebra.combine import unique_names
from rewardlab.rewards.base import Reward
from rewardlab.types import Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatorReport:
    """How one annotator compares with the gold labels, and what it said at all.

    Args:
        name: of the annotator.
        labelled: rows that it had an opinion of.
        positive: share of these that it calls right.
        precision: share of what it calls right that is; NaN without gold labels.
        recall: share of what is right that it calls so, of the rows with gold labels; NaN without.
        gold: rows with gold labels.
    """

    name: str
    labelled: int
    positive: float
    precision: float
    recall: float
    gold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotated:
    """What `HybridAnnotator.label` returns.

    Args:
        data: the rows that were kept, rated 1 where right and 0 where wrong.
        kept: int64[row], their places among the rows given.
        votes: float64[annotator, row], 1, 0 or NaN where there was no opinion.
        reports: one for each annotator.
    """

    data: RatingData
    kept: NDArray[np.int64]
    votes: NDArray[np.float64]
    reports: tuple[AnnotatorReport, ...]

    @property
    def disagreements(self) -> NDArray[np.int64]:
        """Rows on which annotators have different opinions, worth a look by hand."""
        with np.errstate(invalid="ignore"):
            found: NDArray[np.int64] = np.flatnonzero((self.votes == 1).any(axis=0) & (self.votes == 0).any(axis=0))
        return found

    def __str__(self) -> str:
        lines = [f"{len(self.kept)} of {self.votes.shape[1]} rows kept, {len(self.disagreements)} disagreements"]
        for one in self.reports:
            lines.append(
                f"{one.name:20s} {one.labelled:6d} labelled, {one.positive:.2f} right; precision {one.precision:.2f}, "
                f"recall {one.recall:.2f} on {one.gold} gold labels"
            )
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class HybridAnnotator:
    """Keeps the rows on which annotators agree.

    Args:
        annotators: rewards by name, or a list of them; an answer is right where one's value reaches `threshold`. Where a
            reward
            failed or abstained it has no opinion: never "wrong".
        agree: "all" of them must have the same opinion, or a "majority" of all.
        threshold: see `annotators`.
    """

    annotators: Mapping[str, Reward] | Sequence[Reward]
    agree: Literal["all", "majority"] = "all"
    threshold: float = 0.5
    _named: dict[str, Reward] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        given = self.annotators
        named = dict(given) if isinstance(given, Mapping) else dict(zip(unique_names(given), given, strict=True))
        if not named:
            raise ValueError("there are no annotators; give a rule and a judge, such as [rl.MathAnswer(), judge]")
        if self.agree not in ("all", "majority"):
            raise ValueError(f'agree must be "all" or "majority", got {self.agree!r}')
        self._named.update(named)

    def label(self, rows: Sequence[Trajectory], *, gold: ArrayLike | None = None) -> Annotated:
        """Ask every annotator about every row.

        Args:
            rows: answers with their tasks, whose references the annotators read.
            gold: float[row], 1 for right, 0 for wrong, NaN where nobody knows; what annotators are compared with.

        Raises:
            ValueError: there is not one gold label for each row.
        """
        count = len(rows)
        truth = np.full(count, np.nan) if gold is None else np.asarray(gold, dtype=np.float64)
        if truth.shape != (count,):
            raise ValueError(f"gold must have one label for each of {count} rows, got shape {truth.shape}")
        votes = np.full((len(self._named), count), np.nan)
        for place, annotator in enumerate(self._named.values()):
            scores = annotator(rows)
            votes[place, scores.scored] = scores.values[scores.scored] >= self.threshold
        yes, no = (votes == 1).sum(axis=0), (votes == 0).sum(axis=0)
        needed = len(votes) if self.agree == "all" else len(votes) // 2 + 1
        kept = np.flatnonzero(np.maximum(yes, no) >= needed)
        data = RatingData(
            items=[rows[int(row)] for row in kept], item=np.arange(len(kept)), value=(yes > no)[kept].astype(np.float64)
        )
        reports = tuple(_report(name, votes[place], truth) for place, name in enumerate(self._named))
        return Annotated(data=data, kept=kept, votes=votes, reports=reports)


def precision_of(rule: Reward, rows: Sequence[Trajectory], gold: ArrayLike, *, threshold: float = 1.0) -> float:
    """The share of the answers that a rule accepts which are right.

    Raises:
        ValueError: the rule accepts none of them, so nothing can be said.
    """
    found = HybridAnnotator(annotators=[rule], threshold=threshold).label(rows, gold=gold).reports[0].precision
    if math.isnan(found):
        raise ValueError(
            f"the rule accepts none of the {len(rows)} answers with gold labels, so they say nothing of its "
            f"precision; audit "
            "answers that it accepts"
        )
    return found


def _report(name: str, votes: NDArray[np.float64], truth: NDArray[np.float64]) -> AnnotatorReport:
    known = np.isfinite(truth)
    positive = votes == 1
    right = truth == 1
    return AnnotatorReport(
        name=name,
        labelled=int(np.isfinite(votes).sum()),
        positive=_share(positive, np.isfinite(votes)),
        precision=_share(right, positive & known),
        recall=_share(positive, right),
        gold=int(known.sum()),
    )


def _share(of: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    return float(of[among].mean()) if among.any() else math.nan
