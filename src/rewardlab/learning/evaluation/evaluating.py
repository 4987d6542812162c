"""`evaluate`: any reward on any kind of judgements."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewardlab.learning.evaluation.judging import judge, knows_users
from rewardlab.learning.evaluation.result import Evaluation
from rewardlab.learning.evaluation.sources import data_from, model_from
from rewardlab.learning.evaluation.statistics import Estimate
from rewardlab.rewards.base import Reward

if TYPE_CHECKING:
    from rewardlab.learning.data import PreferenceData, RankingData, RatingData, StepLabelData
    from rewardlab.learning.evaluation.units import Units


def evaluate(
    model: Reward | str | os.PathLike[str],
    data: PreferenceData | RankingData | RatingData | StepLabelData | Any,
    by: str | Sequence[str] | None = None,
    *,
    own_users: bool = False,
    tie_margin: float | None = None,
    threshold: float | StepLabelData | None = None,
    bins: int = 10,
    name: str | None = None,
    data_name: str | None = None,
) -> Evaluation:
    """How good a reward is on judgements that it was not fitted on.

    A row that the reward abstains from or fails at is counted as such and left out of every measure: it is neither right nor
    wrong. A draw (equal values) counts half.

    Args:
        model: a reward of any kind, or what `model_from` reads: a saved model, a spec file, a name.
        data: judgements of one of the four kinds, or what `data_from` reads: a file, a data set.
        by: columns to measure by: keys of the metadata, `annotator`; `length` of comparisons, `aspect` of ratings, `steps`
            of step labels. Numbers that take many values are put into quarters.
        own_users: whether each comparison is judged as its annotator would judge it, by heads that know users; annotators
            whom the model does not know get the population's answer, and are counted.
        tie_margin: up to this difference of values (log-odds of a learned model) the reward says "tie"; adds a measure over
            comparisons that people left a tie too.
        threshold: of step values, below which a step is taken as wrong: a number, or other step labels on which the best one
            is chosen; None for 0 of learned models, and 0.5 of rewards whose step values lie in [0, 1].
        bins: of the reliability curve.
        name, data_name: what they are called in tables.

    Returns:
        Measures with 95% intervals, strata, calibration and agreement, wherever they can be had.

    Raises:
        ValueError: there are no rows, no such column, no threshold, or `own_users` for a model that knows none.
        TypeError: it is no reward, or these are no judgements.
    """
    reward, judgements = model_from(model), data_from(data)
    if not len(judgements):
        raise ValueError(
            f"there are no rows to evaluate on{'' if not len(judgements.problems) else f'; {judgements.problems}'}"
        )
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    judgements = judgements.without_unused_items()
    units = units_of(reward, judgements, own_users=own_users, tie_margin=tie_margin, threshold=threshold)
    benchmark: dict[str, Estimate] = {}
    notes: tuple[str, ...] = ()
    calibration, agreement = None, None
    if units.kind == "preferences":
        from rewardlab.learning.evaluation.benchmarks import benchmark_of
        from rewardlab.learning.evaluation.people import agreement_of

        benchmark, notes = benchmark_of(units)  # type: ignore[arg-type]  # the kind says so
        agreement = agreement_of(units)  # type: ignore[arg-type]
    if units.kind in ("preferences", "steps"):
        calibration = units.calibration(bins)  # type: ignore[attr-defined]
    columns = [by] if isinstance(by, str) else list(by or ())
    return Evaluation(
        reward=name or _label(reward, model),
        data=data_name or _data_label(data),
        kind=units.kind,
        headline=units.headline,
        measures=units.measures(),
        counts=units.counts(),
        strata={column: units.strata(column) for column in columns},
        benchmark=benchmark,
        benchmark_notes=notes,
        calibration=calibration,
        agreement=agreement,
        reasons=units.reasons(),
        threshold=getattr(units, "threshold", None),
        set_aside=len(judgements.problems),
        units=units,
    )


def units_of(
    reward: Reward,
    data: Any,
    *,
    own_users: bool = False,
    tie_margin: float | None = None,
    threshold: float | StepLabelData | None = None,
) -> Units:
    """The outcome of every row of some judgements."""
    from rewardlab.learning.data import PreferenceData, RankingData, RatingData

    if own_users and not (isinstance(data, PreferenceData) and knows_users(reward)):
        raise ValueError(
            "own_users needs comparisons and a learned model whose head knows users (ideal_point, mixture, latent); leave "
            "it out"
        )
    if own_users and data.annotators is None:
        raise ValueError("own_users needs rows that name their annotator, and none does; leave it out")
    judged = judge(reward, data.items)
    if isinstance(data, PreferenceData):
        from rewardlab.learning.evaluation.pairs import judge_pairs

        return judge_pairs(data, judged, own_users=own_users, tie_margin=tie_margin)
    if isinstance(data, RankingData):
        from rewardlab.learning.evaluation.rankings import judge_rankings

        return judge_rankings(data, judged)
    if isinstance(data, RatingData):
        from rewardlab.learning.evaluation.ratings import judge_ratings

        return judge_ratings(data, judged)
    from rewardlab.learning.evaluation.steps import judge_steps

    return judge_steps(data, judged, reward, threshold)


def _label(reward: Reward, source: Any) -> str:
    return reward.label if isinstance(source, Reward) else Path(os.fspath(source)).name or str(source)


def _data_label(source: Any) -> str:
    if isinstance(source, (str, os.PathLike)):
        return Path(os.fspath(source)).name
    return {"PreferenceData": "comparisons", "RankingData": "rankings", "RatingData": "ratings"}.get(
        type(source).__name__, "step labels" if type(source).__name__ == "StepLabelData" else "rows"
    )
