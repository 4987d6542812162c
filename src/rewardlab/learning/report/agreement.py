"""How far judges agree, with an interval over what they judged, and each of them against the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.functional.agreement import Level, fleiss_kappa, krippendorff_alpha, pairwise_agreement
from rewardlab.learning.report.result import AgreementReport, Person
from rewardlab.scoring.statistics import Mean

Floats = NDArray[np.float64]

RESAMPLES = 300


def agreement_of(table: Floats, *, named: bool, level: Level = "nominal") -> AgreementReport | None:
    """Agreement in a table of judgements, float64[judge, unit], NaN where there is none; None without units.

    Args:
        table: only units with two judgements or more.
        named: whether the judges have names.
        level: of the main alpha, "nominal" for labels and "interval" for ratings.
    """
    if not table.shape[1]:
        return None
    there = ~np.isnan(table)
    alike = np.asarray([len(np.unique(table[seen, unit])) == 1 for unit, seen in enumerate(there.T)])
    judged = there.sum(0)
    sizes, counts = np.unique(judged, return_counts=True)
    size = int(sizes[counts.argmax()])
    same = table[:, judged == size]
    values = np.unique(table[there])
    places = np.stack([(same == value).sum(0) for value in values], 1)
    return AgreementReport(
        units=table.shape[1],
        judges=table.shape[0],
        named=named,
        equal=pairwise_agreement(table),
        unanimous=float(alike.mean()),
        level=level,
        alpha=_alpha(table, level),
        alpha_ordered=krippendorff_alpha(table, "ordinal"),
        kappa=fleiss_kappa(places) if level == "nominal" else math.nan,
        kappa_units=same.shape[1],
        kappa_judges=size,
    )


def _alpha(table: Floats, level: Level) -> Mean:
    """Alpha, with a percentile bootstrap over units (fixed seed)."""
    value = krippendorff_alpha(table, level)
    units = table.shape[1]
    if units < 2 or math.isnan(value):
        return Mean(value, math.nan, math.nan, "none")
    drawn = np.random.default_rng(0).integers(0, units, size=(RESAMPLES, units))
    found = np.asarray([krippendorff_alpha(table[:, chosen], level) for chosen in drawn])
    found = found[~np.isnan(found)]
    if len(found) < RESAMPLES // 2:
        return Mean(value, math.nan, math.nan, "none")
    low, high = np.quantile(found, (0.025, 0.975))
    return Mean(value, float(low), float(high), "bootstrap over units")


def people_of(
    who: Sequence[str | None], tied: NDArray[np.bool_] | None, table: Floats, judges: Sequence[Any]
) -> list[Person]:
    """Every named annotator, those with most rows first.

    Args:
        who: of each row.
        tied: of each row, whether it says tie; None where ties are no matter.
        table: of what several judged, float64[judge, unit].
        judges: whose row of the table each is.
    """
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(who):
        if name is not None:
            rows.setdefault(name, []).append(row)
    place = {name: number for number, name in enumerate(judges)}
    people = []
    for name, own in rows.items():
        share, common = _with_others(table, place[name]) if name in place else (math.nan, 0)
        ties = math.nan if tied is None else float(tied[own].mean())
        people.append(Person(name=name, rows=len(own), ties=ties, with_others=share, in_common=common))
    return sorted(people, key=lambda one: (-one.rows, one.name))


def _with_others(table: Floats, judge: int) -> tuple[float, int]:
    """Share of units on which a judge says what most of the others say, where most of them say one thing."""
    right = common = 0
    for unit in np.flatnonzero(~np.isnan(table[judge])):
        others = np.delete(table[:, unit], judge)
        values, counts = np.unique(others[~np.isnan(others)], return_counts=True)
        if len(values) and (counts == counts.max()).sum() == 1:
            common += 1
            right += bool(values[counts.argmax()] == table[judge, unit])
    return (right / common if common else math.nan), common
