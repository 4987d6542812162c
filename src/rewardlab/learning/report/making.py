"""`report_preferences`: judgements or a file of them in, a report out."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rewardlab.learning.data import PreferenceData, RankingData, RatingData, StepLabelData
from rewardlab.learning.judgements import Judgements
from rewardlab.learning.report.agreement import agreement_of, people_of
from rewardlab.learning.report.comparisons import Comparisons, filled, lengths_of
from rewardlab.learning.report.notes import notes_on
from rewardlab.learning.report.result import DataReport, LengthReport, Spread
from rewardlab.storage.problems import Problems

PROBLEMS_SHOWN = 20


def report_preferences(source: Any, **options: Any) -> DataReport:
    """What stands in judgements: repeats, contradictions, ties, length against label, agreement, broken rows.

    Args:
        source: judgements of any kind, or whatever `rl.read_preferences` or `rl.read_step_labels` reads.
        options: of these, for a source that is not read yet.

    Raises:
        ValueError: there are no rows, or options were given beside judgements that are read already.
    """
    if isinstance(source, Judgements):
        if options:
            raise ValueError(f"{', '.join(options)} is for a file, and these judgements are read already; leave it out")
        data: Judgements = source
    else:
        data = _read(source, options)
    if not len(data):
        raise ValueError("there are no rows to report on")
    if isinstance(data, PreferenceData):
        found = _on_comparisons(data, "preferences")
    elif isinstance(data, RankingData):
        found = _on_rankings(data)
    elif isinstance(data, RatingData):
        found = _on_ratings(data)
    elif isinstance(data, StepLabelData):
        found = _on_steps(data)
    else:
        raise TypeError(f"expected judgements, got a {type(data).__name__}")
    found = {
        "layout": data.layout,
        "rows": len(data),
        "items": len({item for row in data.row_items() for item in row}),
        "prompts": len(set(data.prompts())),
        "annotators": len({who for who in data.annotators or () if who is not None}),
        "set_aside": len(data.problems),
        "problems": [str(one) for one in data.problems.kept[:PROBLEMS_SHOWN]],
        **found,
    }
    report = DataReport(**found)
    return DataReport(**{**found, "notes": notes_on(report, data)})


def _read(source: Any, options: dict[str, Any]) -> Judgements:
    """Judgements of one kind or the other, without a warning: what was set aside is in the report."""
    from rewardlab.learning.reading import UnclearLayout, read_preferences, read_step_labels

    whole = isinstance(source, (str, os.PathLike, Mapping)) or hasattr(source, "features")
    if isinstance(source, Iterable) and not whole:
        source = list(source)  # it may be read twice
    of_steps = {name: value for name, value in options.items() if name != "labels"}
    if "steps" in (options.get("columns") or {}):
        return read_step_labels(source, problems=Problems(), **of_steps)
    try:
        return read_preferences(source, problems=Problems(), **options)
    except UnclearLayout as unclear:
        try:
            return read_step_labels(source, problems=Problems(), **of_steps)
        except (UnclearLayout, ValueError):
            raise unclear from None


def _on_comparisons(data: PreferenceData, kind: str) -> dict[str, Any]:
    comparisons = Comparisons(data)
    table, judges = comparisons.table()
    tied = data.label == 0.5
    decided = {"first": data.label > 0.5, "second": data.label < 0.5}
    counts = {f"for the {side}": int(rows.sum()) for side, rows in decided.items()} | {"ties": int(tied.sum())}
    soft = int(((data.label % 0.5) != 0).sum())
    if soft:
        counts["soft"] = soft
    if not comparisons.different.all():
        counts["of a response with itself"] = int((~comparisons.different).sum())
    sided = bool((data.label < 0.5).any()) or (data.layout is not None and "first = " in data.layout)
    triples = comparisons.circles()
    spreads = {}
    for name, column in (("strength", data.strength), ("weight", data.weight)):
        if column is not None and np.isfinite(column).any():
            spreads[name] = _spread(column)
    return {
        "kind": kind,
        "counts": counts,
        "duplicates": comparisons.duplicates(),
        "contradictions": comparisons.contradictions(),
        "circles": triples if triples[0] else None,
        "ties": float(tied.mean()),
        "first_wins": comparisons.first_wins() if sided else None,
        "length": comparisons.length(lengths_of(data.items)),
        "agreement": agreement_of(table, named=data.annotators is not None),
        "people": people_of(comparisons.who, tied, table, judges),
        "spreads": spreads,
    }


def _on_rankings(data: RankingData) -> dict[str, Any]:
    found = _on_comparisons(data.pairs(), "rankings")
    sizes = [len(ranking) for ranking in data.rankings]
    found["counts"] = {"comparisons in them": sum(size * (size - 1) // 2 for size in sizes)}
    found["first_wins"] = None
    found["spreads"] = {"responses in a ranking": _spread(sizes)}
    return found


def _on_ratings(data: RatingData) -> dict[str, Any]:
    aspects = data.aspect or ["rating"] * len(data)
    names = list(dict.fromkeys(aspects))
    column = np.asarray(aspects)
    who = data.annotators or [None] * len(data)
    judges: dict[Any, int] = {}
    cells: dict[tuple[int, int], float] = {}
    units: dict[Any, int] = {}
    seen: dict[Any, int] = {}
    for row, (item, aspect, name) in enumerate(zip(data.item.tolist(), aspects, who, strict=True)):
        unit = units.setdefault((item, aspect), len(units))
        if data.annotators is None:
            seen[unit] = seen.get(unit, 0) + 1
            name = f"rating {seen[unit]}"
        elif name is None:
            continue
        cells.setdefault((judges.setdefault(name, len(judges)), unit), float(data.value[row]))
    table = filled(cells, len(judges))
    return {
        "kind": "ratings",
        "counts": {aspect: int((column == aspect).sum()) for aspect in names} if len(names) > 1 else {},
        "length": _length_of_ratings(data),
        "agreement": agreement_of(table, named=data.annotators is not None, level="interval"),
        "people": people_of(who, None, table[:, :0], list(judges)),
        "spreads": {aspect: _spread(data.value[column == aspect]) for aspect in names},
    }


def _length_of_ratings(data: RatingData) -> LengthReport | None:
    try:
        pairs = data.pairs()
    except ValueError:  # nobody rated two responses to one prompt
        return None
    return Comparisons(pairs).length(lengths_of(data.items))


def _on_steps(data: StepLabelData) -> dict[str, Any]:
    labels = np.concatenate(data.labels) if data.labels else np.zeros(0)
    known = ~np.isnan(labels)
    errors = [bool((one[~np.isnan(one)] < 0.5).any()) for one in data.labels]
    first = [int(np.flatnonzero(one < 0.5)[0]) + 1 for one in data.labels if (one < 0.5).any()]
    spreads = {"steps of a solution": _spread([len(one) for one in data.labels])}
    if first:
        spreads["number of the first wrong step"] = _spread(first)
    return {
        "kind": "steps",
        "counts": {
            "with a wrong step": sum(errors),
            "steps right": int((labels[known] > 0.5).sum()),
            "steps wrong": int((labels[known] < 0.5).sum()),
            "steps without a label": int((~known).sum()),
        },
        "spreads": spreads,
    }


def _spread(values: Sequence[float] | np.ndarray) -> Spread:
    numbers = np.asarray(values, np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        return Spread(count=0, low=math.nan, median=math.nan, high=math.nan)
    return Spread(
        count=numbers.size, low=float(numbers.min()), median=float(np.median(numbers)), high=float(numbers.max())
    )
