"""A reward among people who judged the same comparisons: with each of them, with their majority, beside what they agree."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha, pairwise_agreement
from rewardlab.learning.data import PreferenceData
from rewardlab.learning.evaluation.pairs import PairUnits
from rewardlab.learning.evaluation.result import Agreement, AnnotatorAgreement
from rewardlab.learning.evaluation.statistics import Estimate, estimate, numbered, weighted_share

Floats = NDArray[np.float64]


def agreement_of(units: PairUnits) -> Agreement | None:
    """How far the reward agrees with people, beside how far they agree.

    A comparison is a row of the file, or else a pair of items, whichever stands first; what one person says of a pair for
    the second time is another comparison. Judgements are 1 (the first is better), 0 and 0.5 (a tie); soft ones are rounded.
    Ties are judgements among people, but are left out where the reward is asked, which has to choose.

    Returns:
        None where no comparison was judged by two people.
    """
    data = units.data
    if data.annotators is None:
        return None
    people = sorted({name for name in data.annotators if name is not None})
    turned = data.first > data.second
    low, high = np.minimum(data.first, data.second), np.maximum(data.first, data.second)
    comparison = _comparisons(data, low, high)
    label = np.where(turned, 1.0 - data.label, data.label)
    label = np.where(label == 0.5, 0.5, np.round(label))
    says = np.where(np.isnan(units.right), np.nan, 0.5 + 0.5 * np.sign(units.logits) * np.where(turned, -1.0, 1.0))
    told, reward = _tables(people, data.annotators, comparison, label, says)
    several = (~np.isnan(told)).sum(0) >= 2
    if not several.any():
        return None
    first_row = np.full(comparison.max() + 1, -1)
    first_row[comparison[::-1]] = np.arange(len(comparison))[::-1]
    prompts = [units.prompts[row] for row in first_row]
    found = {}
    for number, name in enumerate(people):
        own = told[number]
        others = _majority(np.delete(told, number, axis=0))
        chosen = ~np.isnan(own) & (own != 0.5)
        beside = chosen & ~np.isnan(others) & ~np.isnan(reward[number])
        asked = chosen & ~np.isnan(reward[number])
        found[name] = AnnotatorAgreement(
            rows=int(chosen.sum()),
            reward=_share(reward[number], own, asked, prompts),
            others=_share(others, own, beside, prompts),
            reward_others=_share(reward[number], others, beside, prompts),
            kappa=cohen_kappa(reward[number][asked], own[asked]),
        )
    counts = np.stack([(told == value).sum(0) for value in (0.0, 0.5, 1.0)], axis=1)
    judges = counts.sum(1)
    equal = judges[several].min() == judges[several].max()
    majority, whole = _majority(told), _first_known(reward)
    return Agreement(
        annotators=found,
        majority=_share(whole, majority, ~np.isnan(majority) & ~np.isnan(whole), prompts),
        pairwise=pairwise_agreement(told),
        alpha=krippendorff_alpha(told),
        kappa=fleiss_kappa(counts[several]) if equal else float("nan"),
        comparisons=int(several.sum()),
    )


def _comparisons(data: PreferenceData, low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which comparison each row judges, numbered without gaps."""
    told = data.metadata or [{}] * len(data)
    seen: Counter[tuple[object, ...]] = Counter()
    keys: list[object] = []
    assert data.annotators is not None
    for row, who in enumerate(data.annotators):
        if "comparison" in told[row]:
            keys.append(("comparison", told[row]["comparison"]))
            continue
        pair = (int(low[row]), int(high[row]))
        keys.append((*pair, seen[(who, *pair)]))
        seen[(who, *pair)] += 1
    return numbered(keys)


def _tables(
    people: list[str], annotators: list[str | None], comparison: NDArray[np.int64], label: Floats, says: Floats
) -> tuple[Floats, Floats]:
    """What each person said of each comparison, and what the reward said beside it; float64[person, comparison]."""
    place = {name: number for number, name in enumerate(people)}
    told = np.full((len(people), comparison.max() + 1 if len(comparison) else 0), np.nan)
    reward = np.full_like(told, np.nan)
    for row, name in enumerate(annotators):
        if name is not None:
            told[place[name], comparison[row]] = label[row]
            reward[place[name], comparison[row]] = says[row]
    return told, reward


def _majority(told: Floats) -> Floats:
    """What more people chose, ties left out; NaN where as many chose either. float64[comparison]"""
    first, second = (told == 1.0).sum(0), (told == 0.0).sum(0)
    return np.where(first > second, 1.0, np.where(second > first, 0.0, np.nan))


def _first_known(table: Floats) -> Floats:
    """The first number of every column that is one; NaN where none is."""
    there = ~np.isnan(table)
    return np.where(there.any(0), table[there.argmax(0), np.arange(table.shape[1])], np.nan)


def _share(one: Floats, other: Floats, chosen: NDArray[np.bool_], prompts: list[str]) -> Estimate:
    """How often two agree; half where the reward left a draw."""
    rows = np.flatnonzero(chosen)
    right = 1.0 - np.abs(one[rows] - other[rows])
    return estimate(weighted_share(numbered([prompts[row] for row in rows]), right))
