"""Measures with intervals, for rows that come in prompts.

Answers to one prompt are judged alike, so what is drawn again is the prompt, never the row. A measure is a function of how
often each prompt was drawn, which serves intervals and paired differences alike: two rewards that are measured with the same
draws are compared on the same prompts.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional.intervals import share_interval
from rewardlab.scoring.summary import number_or_none

Floats = NDArray[np.float64]

RESAMPLES = 2_000
_CHUNK = 2_000_000  # numbers held at once
_HALF = 0.025


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measure with its 95% interval.

    Args:
        value: the measure; NaN where there is nothing to measure.
        low, high: ends of the interval; NaN where there are fewer than two prompts.
        rows: how many rows it is about.
        prompts: how many prompts they belong to.
        method: how the interval was found: "wilson", "bootstrap by prompt" or "none".
    """

    value: float
    low: float
    high: float
    rows: int
    prompts: int
    method: str

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "-"
        if math.isnan(self.low):
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def to_dict(self) -> dict[str, float | int | str | None]:
        """Plain values, with None where a number is not known."""
        return {
            "value": number_or_none(self.value),
            "low": number_or_none(self.low),
            "high": number_or_none(self.high),
            "rows": self.rows,
            "prompts": self.prompts,
            "interval": self.method,
        }


class Measure(ABC):
    """A number that depends on how often each cluster was drawn.

    Args:
        clusters: int64[row], the prompt of every row, numbered from 0 without gaps.
    """

    share = False
    """Whether the measure is a share of rows, for which an interval without width would be wrong."""

    def __init__(self, clusters: NDArray[np.int64]) -> None:
        self.clusters = clusters
        self.count = int(clusters.max()) + 1 if clusters.size else 0

    @property
    def rows(self) -> int:
        """How many rows it is about."""
        return int(self.clusters.size)

    @abstractmethod
    def compute(self, drawn: Floats) -> Floats:
        """The measure of every draw.

        Args:
            drawn: float64[draw, cluster], how often each cluster was drawn.

        Returns:
            float64[draw]; NaN where nothing can be said.
        """

    @property
    def value(self) -> float:
        """The measure of the rows as they are."""
        return float(self.compute(np.ones((1, self.count)))[0]) if self.count else math.nan

    @property
    def single(self) -> bool:
        """Whether every row is a prompt of its own and counts alike, so that rows are independent tries."""
        return False


class Linear(Measure):
    """A function of sums over rows.

    Args:
        clusters: int64[row].
        statistics: float64[row, statistic], what is summed.
        combine: the measure from sums, float64[draw, statistic] -> float64[draw].
        share: whether it is a share of rows whose weights are the last statistic.
    """

    def __init__(
        self,
        clusters: NDArray[np.int64],
        statistics: Floats,
        combine: Callable[[Floats], Floats],
        *,
        share: bool = False,
    ) -> None:
        super().__init__(clusters)
        self.share = share
        self.sums = np.zeros((self.count, statistics.shape[1]))
        np.add.at(self.sums, clusters, statistics)
        self._combine = combine
        self._single = share and self.count == self.rows and bool((statistics[:, -1] == 1.0).all())

    def compute(self, drawn: Floats) -> Floats:
        """Sums of the drawn clusters, combined."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._combine(drawn @ self.sums)

    @property
    def single(self) -> bool:
        """Whether it is a share of rows with one row for every prompt, all of the same weight."""
        return self._single


class RankCorrelation(Measure):
    """Spearman's correlation; ranks are those within each draw, ties share their mean rank."""

    def __init__(self, clusters: NDArray[np.int64], first: Floats, second: Floats) -> None:
        super().__init__(clusters)
        self._columns = [_Order(column) for column in (first, second)]

    def compute(self, drawn: Floats) -> Floats:
        """Correlation of mean ranks."""
        weight = drawn[:, self.clusters]
        one, other = (column.ranks(weight) for column in self._columns)
        total = weight.sum(1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            one = one - (one * weight).sum(1, keepdims=True) / total
            other = other - (other * weight).sum(1, keepdims=True) / total
            spread = np.sqrt((one**2 * weight).sum(1) * (other**2 * weight).sum(1))
            return np.asarray(np.where(spread > 0, (one * other * weight).sum(1) / spread, np.nan))


class AreaUnderCurve(Measure):
    """Probability that a positive row has a higher value than a negative one; ties count half (Mann and Whitney 1947)."""

    def __init__(self, clusters: NDArray[np.int64], values: Floats, positive: NDArray[np.bool_]) -> None:
        super().__init__(clusters)
        self._order, self._positive = _Order(values), positive

    def compute(self, drawn: Floats) -> Floats:
        """Rank sum of the positive rows, scaled."""
        weight = drawn[:, self.clusters]
        right, wrong = weight * self._positive, weight * ~self._positive
        below = self._order.below(wrong)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((right * below).sum(1) / (right.sum(1) * wrong.sum(1)))


class MeanOf(Measure):
    """The mean of several measures that share their clusters; NaN where one of them is."""

    def __init__(self, clusters: NDArray[np.int64], parts: Sequence[Measure]) -> None:
        super().__init__(clusters)
        self._parts = parts

    def compute(self, drawn: Floats) -> Floats:
        """Their mean."""
        return np.asarray(np.mean([part.compute(drawn[:, : part.count]) for part in self._parts], axis=0))


class _Order:
    """The order of a column, so that weighted ranks cost one running sum."""

    def __init__(self, column: Floats) -> None:
        _, self._level = np.unique(column, return_inverse=True)
        self._levels = int(self._level.max()) + 1 if column.size else 0

    def below(self, weight: Floats) -> Floats:
        """Weight of the rows that stand lower, and half of those that stand level; float64[draw, row]."""
        at = np.zeros((len(weight), self._levels))
        for draw, one in enumerate(weight):
            at[draw] = np.bincount(self._level, one, minlength=self._levels)
        return np.asarray((np.cumsum(at, axis=1) - at / 2)[:, self._level])

    def ranks(self, weight: Floats) -> Floats:
        """Mean ranks from 1 on; float64[draw, row]."""
        return self.below(weight) + 0.5


def weighted_share(clusters: NDArray[np.int64], right: Floats, weight: Floats | None = None) -> Linear:
    """The share of rows that are right, by weight."""
    each = np.ones_like(right) if weight is None else weight
    return Linear(clusters, np.stack([right * each, each], axis=1), lambda sums: sums[:, 0] / sums[:, 1], share=True)


def estimate(measure: Measure) -> Estimate:
    """A measure with its interval.

    A share of independent rows has Wilson's interval. Everything else is a percentile bootstrap that draws whole prompts
    (2,000 times with a fixed seed, so that the same data give the same numbers). Where all prompts of a share went one way,
    the bootstrap has no width, and Wilson's interval over prompts stands in.
    """
    value, prompts = measure.value, measure.count
    if math.isnan(value) or prompts < 2:
        return Estimate(value, math.nan, math.nan, measure.rows, prompts, "none")
    if measure.single:
        return Estimate(value, *share_interval(value, prompts), measure.rows, prompts, "wilson")
    found = np.concatenate([measure.compute(drawn) for drawn in draws(prompts, width=measure.rows)])
    found = found[~np.isnan(found)]
    if not found.size:
        return Estimate(value, math.nan, math.nan, measure.rows, prompts, "none")
    low, high = (float(end) for end in np.quantile(found, (_HALF, 1 - _HALF)))
    if measure.share and high - low < 1e-12:
        return Estimate(value, *share_interval(min(max(value, 0.0), 1.0), prompts), measure.rows, prompts, "wilson")
    return Estimate(value, low, high, measure.rows, prompts, "bootstrap by prompt")


def draws(count: int, *, width: int = 0) -> Iterator[Floats]:
    """How often each of so many prompts is drawn, float64[draw, prompt], in pieces; the same on every call.

    Args:
        count: of the prompts.
        width: how many numbers a measure needs for each draw.
    """
    generator = np.random.default_rng(0)
    step = max(1, _CHUNK // max(count, width, 1))
    done = 0
    while done < RESAMPLES:
        size = min(step, RESAMPLES - done)
        chosen = generator.integers(0, count, size=(size, count)) + count * np.arange(size)[:, None]
        yield np.bincount(chosen.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)
        done += size


def paired_difference(first: Measure, second: Measure) -> tuple[Estimate, float]:
    """First minus second on the same rows, and how surprising that is where both were equally good.

    The interval draws prompts for both at once. The p value is McNemar's exact one for shares of independent rows that are
    right or wrong, and twice the smaller share of draws on one side of 0 for everything else.

    Args:
        first, second: the same measure of two rewards, on the same rows.

    Returns:
        The difference with its interval, and the two-sided p value (NaN where there is none).

    Raises:
        ValueError: the rows differ.
    """
    if first.rows != second.rows or first.count != second.count:
        raise ValueError(f"a paired difference needs the same rows, got {first.rows} and {second.rows}")
    value, prompts = first.value - second.value, first.count
    if math.isnan(value) or prompts < 2:
        return Estimate(value, math.nan, math.nan, first.rows, prompts, "none"), math.nan
    found = np.concatenate(
        [first.compute(drawn) - second.compute(drawn) for drawn in draws(prompts, width=2 * first.rows)]
    )
    found = found[~np.isnan(found)]
    low, high = (float(end) for end in np.quantile(found, (_HALF, 1 - _HALF)))
    exact = _mcnemar(first, second)
    if exact is None:
        below, above = int((found <= 0).sum()), int((found >= 0).sum())
        exact = min(1.0, 2.0 * (min(below, above) + 1) / (found.size + 1))
    return Estimate(value, low, high, first.rows, prompts, "bootstrap by prompt"), exact


def _mcnemar(first: Measure, second: Measure) -> float | None:
    """The exact two-sided p value, or None where rows are not independent, or some are half right."""
    if not (isinstance(first, Linear) and isinstance(second, Linear) and first.single and second.single):
        return None
    difference = first.sums[:, 0] - second.sums[:, 0]
    if not np.isin(difference, (-1.0, 0.0, 1.0)).all():
        return None
    better, worse = int((difference > 0).sum()), int((difference < 0).sum())
    tries = better + worse
    if not tries:
        return 1.0
    few = min(better, worse)
    # sum of binomial probabilities as exp of logarithms, since the coefficients overflow beyond 1,000 tries
    logs = [
        math.lgamma(tries + 1) - math.lgamma(k + 1) - math.lgamma(tries - k + 1) - tries * math.log(2)
        for k in range(few + 1)
    ]
    return min(1.0, 2.0 * math.fsum(math.exp(one) for one in logs))


def holm(values: Sequence[float]) -> list[float]:
    """p values adjusted for how many there are (Holm 1979); NaN stays NaN and does not count."""
    known = sorted((value, place) for place, value in enumerate(values) if not math.isnan(value))
    adjusted, highest = [math.nan] * len(values), 0.0
    for rank, (value, place) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * value))
        adjusted[place] = highest
    return adjusted


def numbered(names: Sequence[object]) -> NDArray[np.int64]:
    """Names as numbers from 0 without gaps, equal names alike."""
    known: dict[object, int] = {}
    return np.asarray([known.setdefault(name, len(known)) for name in names], np.int64)
