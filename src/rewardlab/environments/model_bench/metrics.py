"""How predictions are judged, and how a metric becomes a reward of a known range.

Rewards for failures and for progress only make sense beside a score whose worst value is known. Metrics such as the root
mean squared error have none, so each score goes through one of `SCALES` first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rewardlab.environments.model_bench.data import Kind

Scale = Literal["relative", "identity", "exponential", "reciprocal", "percentile"]
SCALES: tuple[str, ...] = get_args(Scale)


@dataclass(frozen=True, slots=True)
class Metric:
    """One way to judge predictions.

    Args:
        kind: which problems it is for.
        higher: whether more is better.
        best: of a perfect prediction.
    """

    kind: Kind
    higher: bool
    best: float


METRICS: dict[str, Metric] = {
    "accuracy": Metric("classification", True, 1.0),
    "balanced_accuracy": Metric("classification", True, 1.0),
    "macro_f1": Metric("classification", True, 1.0),
    "r2": Metric("regression", True, 1.0),
    "mean_absolute_error": Metric("regression", False, 0.0),
    "root_mean_squared_error": Metric("regression", False, 0.0),
}


def measure(metric: str, target: NDArray[Any], predicted: NDArray[Any]) -> float:
    """The metric of some predictions.

    Args:
        metric: a name in `METRICS`.
        target: what is true, [row].
        predicted: what was predicted, [row].
    """
    if metric == "accuracy":
        return float((target == predicted).mean())
    if metric == "mean_absolute_error":
        return float(np.abs(target - predicted).mean())
    if metric == "root_mean_squared_error":
        return float(np.sqrt(((target - predicted) ** 2).mean()))
    if metric == "r2":
        spread = float(((target - target.mean()) ** 2).sum())
        return 1.0 - float(((target - predicted) ** 2).sum()) / spread if spread else 0.0
    labels = np.unique(target)
    hits = np.array([(predicted[target == label] == label).sum() for label in labels], dtype=np.float64)
    recall = hits / np.array([(target == label).sum() for label in labels])
    if metric == "balanced_accuracy":
        return float(recall.mean())
    if metric == "macro_f1":
        said = np.array([(predicted == label).sum() for label in labels])
        true = np.array([(target == label).sum() for label in labels])
        return float((2 * hits / (said + true)).mean())
    raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}")


def dummy_score(metric: str, train: NDArray[Any], test: NDArray[Any]) -> float:
    """The metric of a prediction that looks at no feature: the most common class, or the mean."""
    if METRICS[metric].kind == "classification":
        constant: Any = np.bincount(train).argmax()
    else:
        constant = train.mean()
    return measure(metric, test, np.full(test.shape, constant))


def scaled(
    score: float,
    metric: str,
    scale: Scale = "relative",
    *,
    dummy: float | None = None,
    leaderboard: Sequence[float] | None = None,
) -> float:
    """A metric as a number where more is better.

    Args:
        score: the metric's own value.
        metric: a name in `METRICS`.
        scale: `relative` is 0 for a prediction that looks at no feature, 1 for a perfect one, and never below -1;
            `identity` leaves it (with the sign turned where less is better); `exponential` is `exp(-score / 3)` and
            `reciprocal` is `1 / (1 + score / 3)`, for errors; `percentile` is the share of a leaderboard that it beats,
            ties count half.
        dummy: the score of a prediction that looks at no feature; needed for `relative`.
        leaderboard: scores of others, for `percentile`.

    Raises:
        ValueError: the score is not finite, or the scale does not fit the metric.
    """
    if not math.isfinite(score):
        raise ValueError(f"the score must be finite, got {score}")
    known = METRICS.get(metric)
    if known is None:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}")
    if scale == "identity":
        return score if known.higher else -score
    if scale == "relative":
        if dummy is None:
            raise ValueError('scale "relative" needs the score of a prediction that looks at no feature')
        room = known.best - dummy
        return max(-1.0, (score - dummy) / room) if room else float(score == known.best)
    if scale == "percentile":
        if not leaderboard:
            raise ValueError('scale "percentile" needs a leaderboard with at least one score')
        return percentile(score, leaderboard, higher=known.higher)
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}")
    if known.higher:
        raise ValueError(f"scale {scale!r} is for errors, which are at least 0; {metric} is better when higher")
    return math.exp(-score / 3) if scale == "exponential" else 1 / (1 + score / 3)


def percentile(score: float, leaderboard: Sequence[float], *, higher: bool = True) -> float:
    """The share of a leaderboard that a score beats; ties count half."""
    others = np.asarray(leaderboard, dtype=np.float64)
    beaten = others < score if higher else others > score
    return float((beaten.sum() + 0.5 * (others == score).sum()) / others.size)
