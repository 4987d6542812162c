"""What is counted over comparisons: repeated and contradictory rows, circles, which side wins, and what length explains.

Rows about the same two responses are one comparison, whoever judged it and in whichever order the two stood. Intervals are
taken over prompts, since comparisons of one prompt share their responses.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.data import PreferenceData
from rewardlab.learning.evaluation.statistics import estimate, weighted_share
from rewardlab.learning.report.result import Found, LengthReport
from rewardlab.scoring.statistics import Mean, clustered_mean
from rewardlab.types import Trajectory

Floats = NDArray[np.float64]

RATIOS = (1.0, 1.1, 1.25, 1.5, 2.0, 4.0, math.inf)
"""How many times as long the longer response is: the edges of the bins."""

MOST_IN_CIRCLE = 40
"""Prompts with more responses than this are left out of the search for circles."""

ANONYMOUS_SHARE = 0.05
"""Where nobody is named, at least this share of the comparisons must stand on several lines to tell of agreement."""


class Comparisons:
    """Rows of comparisons, brought into one order: the probability that the item with the lower number is better.

    Args:
        data: comparisons.
    """

    def __init__(self, data: PreferenceData) -> None:
        self.data = data
        lower, higher = np.minimum(data.first, data.second), np.maximum(data.first, data.second)
        self.label = np.where(data.first <= data.second, data.label, 1.0 - data.label)
        self.different = lower != higher
        pairs, self.unit = np.unique(np.stack([lower, higher], 1), axis=0, return_inverse=True)
        self.unit = self.unit.reshape(-1)
        self.pairs = pairs
        self.who: list[str | None] = data.annotators or [None] * len(data)
        prompts: dict[str, int] = {}
        numbers = [prompts.setdefault(key, len(prompts)) for key in data.prompts()]
        self.prompts = len(prompts)
        self.prompt = np.zeros(len(pairs), np.int64)
        self.prompt[self.unit] = numbers
        counts = np.bincount(self.unit, minlength=len(pairs))
        self.mean = np.bincount(self.unit, self.label, minlength=len(pairs)) / np.maximum(counts, 1)

    def duplicates(self) -> Found:
        """Rows that say once more what an earlier row said: the same two responses, the same person, the same label."""
        seen: dict[Any, int] = {}
        found = []
        for row, key in enumerate(zip(self.unit.tolist(), self.who, self.label.tolist(), strict=True)):
            if key in seen:
                found.append(f"{self._place(row)} repeats {self._place(seen[key])}")
            else:
                seen[key] = row
        return Found(count=len(found), examples=found[:5])

    def contradictions(self) -> Found:
        """Comparisons that one person (or nobody in particular) decided both ways."""
        said: dict[Any, dict[bool, int]] = {}
        for row, (unit, who, label) in enumerate(zip(self.unit.tolist(), self.who, self.label.tolist(), strict=True)):
            if label != 0.5:
                said.setdefault((unit, who), {}).setdefault(label > 0.5, row)
        found = [
            f"{self._place(min(ways.values()))} and {self._place(max(ways.values()))}"
            for ways in said.values()
            if len(ways) == 2
        ]
        return Found(count=len(found), examples=found[:5])

    def circles(self) -> tuple[int, int]:
        """Triples of responses that were all compared with each other, and how many go round (a > b > c > a).

        No single score can order a circle. Each comparison counts as most of its rows decided it.
        """
        beats: dict[int, dict[int, set[int]]] = {}
        for (low, high), mean, prompt in zip(
            self.pairs.tolist(), self.mean.tolist(), self.prompt.tolist(), strict=True
        ):
            if mean != 0.5 and low != high:
                winner, loser = (low, high) if mean > 0.5 else (high, low)
                beats.setdefault(prompt, {}).setdefault(winner, set()).add(loser)
                beats[prompt].setdefault(loser, set())
        triples = round_ones = 0
        for graph in beats.values():
            if not 3 <= len(graph) <= MOST_IN_CIRCLE:
                continue
            for a, b, c in itertools.combinations(graph, 3):
                wins = [sum(other in graph[one] for other in (a, b, c)) for one in (a, b, c)]
                if sum(wins) == 3:
                    triples += 1
                    round_ones += wins == [1, 1, 1]
        return triples, round_ones

    def share(self, units: NDArray[np.int64], successes: NDArray[np.bool_]) -> Mean:
        """A share over some comparisons, with its interval over prompts."""
        return _share(self.prompt[units], successes)

    def _mean(self, prompt: NDArray[np.int64], values: Floats) -> Mean:
        """A mean of values that belong to prompts, with its interval over prompts."""
        sums = np.asarray(np.bincount(prompt, values, minlength=self.prompts), np.float64)
        return clustered_mean(sums, np.bincount(prompt, minlength=self.prompts).astype(np.float64))

    def first_wins(self) -> Mean:
        """How often the response wins that stands first in its row, over the rows that are decided."""
        decided = (self.data.label != 0.5) & self.different
        return _share(self.prompt[self.unit[decided]], self.data.label[decided] > 0.5)

    def length(self, lengths: Floats) -> LengthReport | None:
        """What the length of the responses says about the winner; None where the items have no text.

        Args:
            lengths: float64[item], in characters; NaN for what is no text.
        """
        low, high = lengths[self.pairs[:, 0]], lengths[self.pairs[:, 1]]
        there = np.isfinite(low) & np.isfinite(high) & (self.pairs[:, 0] != self.pairs[:, 1])
        decided = np.flatnonzero(there & (self.mean != 0.5))
        if not decided.size:
            return None
        won = self.mean[decided] > 0.5
        better, worse = np.where(won, low[decided], high[decided]), np.where(won, high[decided], low[decided])
        apart = better != worse
        ratio = np.maximum(better, worse) / np.maximum(np.minimum(better, worse), 1.0)
        bins = []
        for lower, upper in itertools.pairwise(RATIOS):
            inside = apart & (ratio >= lower) & (ratio < upper)
            if inside.any():
                share = self.share(decided[inside], (better > worse)[inside])
                bins.append((lower, upper, int(inside.sum()), share))
        difference = self._mean(self.prompt[decided], better - worse)
        return LengthReport(
            longer_wins=self.share(decided[apart], (better > worse)[apart]),
            compared=int(apart.sum()),
            equal=int((~apart).sum()),
            difference=difference,
            better=float(np.median(better)),
            worse=float(np.median(worse)),
            by_ratio=bins,
        )

    def table(self) -> tuple[Floats, list[str]]:
        """Labels by judge and comparison, float64[judge, unit], NaN where there is none; only units with two or more.

        Where nobody is named, the first label of each comparison stands in the first row, the second in the second, and so
        on: whose it was does not matter to alpha and kappa. A few repeated rows are no second opinion: without names, one
        comparison in twenty must have been judged twice, on different lines.
        """
        rows = np.flatnonzero(self.different).tolist()
        judges: dict[Any, int] = {}
        cells: dict[tuple[int, int], float] = {}
        seen: dict[Any, int] = {}
        lines: set[tuple[int, str]] = set()
        named = self.data.annotators is not None
        for row in rows:
            unit, who = int(self.unit[row]), self.who[row]
            if named and who is None:
                continue
            if not named:
                place = (unit, self._place(row))
                if place in lines:
                    continue
                lines.add(place)
                number = seen.get(unit, 0)
                seen[unit] = number + 1
                who = f"label {number + 1}"
            judge = judges.setdefault(who, len(judges))
            cells.setdefault((judge, unit), float(self.label[row]))
        table = filled(cells, len(judges))
        if not named and table.shape[1] < ANONYMOUS_SHARE * len(self.pairs):
            table = table[:, :0]
        return table, list(judges)

    def _place(self, row: int) -> str:
        told = (self.data.metadata or [{}] * len(self.data))[row]
        return f"line {told['line']}" if "line" in told else f"row {row}"


def _share(prompt: NDArray[np.int64], successes: NDArray[np.bool_]) -> Mean:
    """A share with an interval over prompts that stays in [0, 1], however few there are."""
    clusters = np.unique(prompt, return_inverse=True)[1].reshape(-1)
    found = estimate(weighted_share(clusters, successes.astype(np.float64)))
    return Mean(found.value, found.low, found.high, found.method)


def filled(cells: dict[tuple[int, int], float], judges: int) -> Floats:
    """A table out of cells, with only those units that two judges or more have said something about."""
    said: dict[int, int] = {}
    for _, unit in cells:
        said[unit] = said.get(unit, 0) + 1
    place = {unit: number for number, unit in enumerate(sorted(unit for unit, count in said.items() if count > 1))}
    table = np.full((judges, len(place)), np.nan)
    for (judge, unit), value in cells.items():
        if unit in place:
            table[judge, place[unit]] = value
    return table


def lengths_of(items: Sequence[Trajectory]) -> Floats:
    """The characters that the policy wrote, float64[item]; NaN for what is no chat."""
    return np.asarray([float(len(item.completion)) if item.is_chat else math.nan for item in items], np.float64)
