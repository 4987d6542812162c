"""Rankings: whether the best of several is found, how good the one that is picked is, and how often two are told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rewardlab.learning.data import RankingData
from rewardlab.learning.evaluation.judging import Judged
from rewardlab.learning.evaluation.statistics import Measure, weighted_share
from rewardlab.learning.evaluation.units import Floats, Mask, Units


@dataclass(kw_only=True)
class RankUnits(Units):
    """Rankings with their outcomes: float64[row] for each measure, NaN where undecided."""

    kind: ClassVar[str] = "rankings"
    headline: ClassVar[str] = "best of n"

    data: RankingData

    def __post_init__(self) -> None:
        data = self.data
        self.fate = self.worst(data.rankings)
        self.outcomes: dict[str, Floats] = {
            name: np.full(len(data), np.nan) for name in ("best of n", "score of the pick", "pairs")
        }
        decided = self.decided
        for row, ranking in enumerate(data.rankings):
            if not decided[row]:
                continue
            size = len(ranking)
            level = np.arange(size)
            if data.ties is not None:
                level = np.concatenate([[0], np.cumsum(~data.ties[row])])
            odds = self._compared(ranking)
            picked = _picked(odds)
            self.outcomes["best of n"][row] = float(picked @ (level == 0))
            beaten = (level[:, None] < level[None, :]) + 0.5 * (level[:, None] == level[None, :])
            np.fill_diagonal(beaten, 0.0)
            self.outcomes["score of the pick"][row] = float(picked @ beaten.sum(1)) / (size - 1) if size > 1 else np.nan
            apart = level[:, None] < level[None, :]
            if apart.any():
                self.outcomes["pairs"][row] = float((0.5 + 0.5 * np.sign(odds[apart])).mean())

    def _compared(self, ranking: np.ndarray) -> Floats:
        """Log-odds or differences of every two items, float64[item, item]."""
        size = len(ranking)
        one, other = np.meshgrid(ranking, ranking, indexing="ij")
        return self.judged.compare(one.ravel(), other.ravel()).reshape(size, size)

    def names(self) -> list[str]:
        """`best of n`: the share of rankings whose best is picked. `score of the pick`: the share of the others that the
        pick is better than, 0.5 for picking blindly. `pairs`: the share of pairs that are told apart."""
        return list(self.outcomes)

    def measure(self, name: str, rows: Mask) -> Measure:
        """A measure of some rankings, each of which counts alike."""
        found = self.outcomes[name]
        chosen = np.flatnonzero(rows & ~np.isnan(found))
        return weighted_share(self.clusters(chosen), found[chosen])


def _picked(odds: Floats) -> Floats:
    """How likely each item is to be picked: the one that wins most comparisons, draws shared; float64[item]."""
    signs = np.sign(odds)
    np.fill_diagonal(signs, 0.0)
    wins = signs.sum(1)
    best = (wins == wins.max()).astype(np.float64)
    return np.asarray(best / best.sum())


def judge_rankings(data: RankingData, judged: Judged) -> RankUnits:
    """The outcomes of rankings."""
    return RankUnits(data=data, judged=judged, prompts=data.prompts())
