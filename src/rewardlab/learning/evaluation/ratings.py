"""Ratings: how well values and ratings go together, in rank and in line, and within a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.data import RatingData
from rewardlab.learning.evaluation.judging import Judged
from rewardlab.learning.evaluation.statistics import Linear, MeanOf, Measure, RankCorrelation, weighted_share
from rewardlab.learning.evaluation.units import Floats, Mask, Units


@dataclass(kw_only=True)
class RatingUnits(Units):
    """Ratings with the value that the reward gives: its part of the same name where it has one, else the whole."""

    kind: ClassVar[str] = "ratings"
    headline: ClassVar[str] = "rank correlation"

    data: RatingData

    def __post_init__(self) -> None:
        data, judged = self.data, self.judged
        self.values = judged.values[data.item].copy()
        self.fate = judged.status[data.item].copy()
        self.aspects = data.aspect or ["rating"] * len(data)
        for name in set(self.aspects) & set(judged.parts):
            rows = np.asarray([aspect == name for aspect in self.aspects])
            self.values[rows] = judged.parts[name][data.item[rows]]
        self.fail(~np.isfinite(self.values), "the reward has no value for the aspect that is rated")

    def names(self) -> list[str]:
        """`rank correlation` is Spearman's, `correlation` Pearson's, each the mean over aspects; `pairs`: the share of two
        responses to one prompt, rated apart by the same person, whose order is told."""
        return ["rank correlation", "correlation", "pairs"]

    def special(self) -> dict[str, list[str | None]]:
        """`aspect`: what was rated."""
        return {"aspect": list(self.aspects)}

    def measure(self, name: str, rows: Mask) -> Measure:
        """A measure of some ratings."""
        chosen = np.flatnonzero(rows & self.decided)
        clusters = self.clusters(chosen)
        if name == "pairs":
            return self._pairs(chosen)
        aspects = np.asarray([self.aspects[row] for row in chosen])
        parts: list[Measure] = []
        for aspect in sorted(set(aspects.tolist())):
            there = np.flatnonzero(aspects == aspect)
            values, ratings = self.values[chosen[there]], self.data.value[chosen[there]]
            make = RankCorrelation if name == "rank correlation" else _correlation
            parts.append(make(clusters[there], values, ratings))
        if not parts:
            return weighted_share(clusters, np.empty(0))
        return parts[0] if len(parts) == 1 else MeanOf(clusters, parts)

    def _pairs(self, chosen: NDArray[np.int64]) -> Measure:
        """Of every two rows with one prompt, aspect and annotator and different ratings, whether their order is told."""
        groups: dict[tuple[object, ...], list[int]] = {}
        for row in chosen:
            who = None if self.data.annotators is None else self.data.annotators[row]
            groups.setdefault((self.prompts[row], self.aspects[row], who), []).append(int(row))
        firsts, right, weight = [], [], []
        for group in groups.values():
            ratings, values = self.data.value[group], self.values[group]
            apart = np.triu(ratings[:, None] != ratings[None, :])
            if apart.any():
                agree = np.sign(values[:, None] - values[None, :]) * np.sign(ratings[:, None] - ratings[None, :])
                firsts.append(group[0])
                right.append(float((0.5 + 0.5 * agree[apart]).mean()))
                weight.append(1.0)
        rows = np.asarray(firsts, np.int64)
        return weighted_share(self.clusters(rows), np.asarray(right, np.float64), np.asarray(weight, np.float64))


def _correlation(clusters: NDArray[np.int64], first: Floats, second: Floats) -> Measure:
    """Pearson's correlation; columns are centred first, so that sums of squares keep their digits."""
    one = first - (first.mean() if len(first) else 0.0)
    other = second - (second.mean() if len(second) else 0.0)
    columns = np.stack([one, other, one * one, other * other, one * other, np.ones_like(one)], axis=1)

    def combine(sums: Floats) -> Floats:
        count = sums[:, 5]
        mean, against = sums[:, 0] / count, sums[:, 1] / count
        spread = (sums[:, 2] / count - mean**2) * (sums[:, 3] / count - against**2)
        small = spread <= 1e-24
        return np.asarray(np.where(small, np.nan, (sums[:, 4] / count - mean * against) / np.sqrt(np.abs(spread))))

    return Linear(clusters, columns, combine)


def judge_ratings(data: RatingData, judged: Judged) -> RatingUnits:
    """The outcomes of ratings."""
    return RatingUnits(data=data, judged=judged, prompts=data.prompts())
