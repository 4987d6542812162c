"""Rankings and ratings out of rows that hold one response or several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rewardlab.learning.data import RankingData, RatingData
from rewardlab.learning.items import content_hash
from rewardlab.learning.reading.building import Builder, Cells, list_of
from rewardlab.learning.reading.labels import number_or_none
from rewardlab.learning.reading.layouts import Layout, names_in
from rewardlab.storage.problems import BadRow, Problems


class RankingBuilder(Builder):
    """Orders of K responses, given as the rank of each (1 or 0 is best) or as their order (best first)."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.rankings: list[Any] = []
        self.ties: list[Any] = []

    def add(self, row: Cells, line: int, folder: Path | None) -> None:
        """Take one ranking."""
        found = _responses(row, self._columns)
        if len(found) < 2:
            raise BadRow(f"a ranking needs at least two responses, got {len(found)}")
        role = "order" if "order" in self._columns else "ranks"
        given = list_of(self._cell(row, role), repr(self._columns[role]), len(found))
        numbers = [number_or_none(value, repr(self._columns[role])) for value in given]
        ranks = np.asarray([math.nan if value is None else value for value in numbers])
        if np.isnan(ranks).any():
            raise BadRow(f"{self._columns[role]!r} leaves a response without a place")
        if role == "order":
            if sorted(ranks.tolist()) != list(range(len(found))):
                raise BadRow(f"{self._columns[role]!r} must name every response once, from 0, best first; got {given}")
            best = ranks.astype(np.int64)
            ranks = np.argsort(best).astype(np.float64)
        else:
            best = np.argsort(ranks, kind="stable")
        answers = self._answers(row, folder, found)
        keys = [content_hash(one.messages) for one in answers]
        if len(set(keys)) < len(keys):
            raise BadRow("two of the responses are equal, so their order says nothing")
        who, about = self._who(row), self._about(row, line)
        places = np.asarray([self.items.place(one) for one in answers], np.int64)
        self.rankings.append(places[best])
        self.ties.append(np.diff(ranks[best]) == 0)
        self.annotators.append(who)
        self.metadata.append(about)

    def finish(self, problems: Problems) -> RankingData:
        """All rows as `RankingData`."""
        tied = any(bool(one.any()) for one in self.ties)
        return RankingData(rankings=self.rankings, ties=self.ties if tied else None, **self._common(problems))


class RatingBuilder(Builder):
    """Numbers given to responses: a column for each aspect, or lists beside a list of responses."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.item: list[int] = []
        self.value: list[float] = []
        self.aspect: list[str] = []

    def add(self, row: Cells, line: int, folder: Path | None) -> None:
        """Take every rating of one row."""
        who, about = self._who(row), self._about(row, line)
        if "response" in self._columns:
            responses = [(self._cell(row, "response"), repr(self._columns["response"]))]
            names = names_in(self._columns["ratings"])
            rated = [{name: number_or_none(self._cell_named(row, name), repr(name)) for name in names}]
        else:
            responses = _responses(row, self._columns)
            rated = self._rated(row, [value for value, _ in responses])
        if all(value is None for one in rated for value in one.values()):
            raise BadRow("the row holds no rating")
        for place, (answer, numbers) in enumerate(zip(self._answers(row, folder, responses), rated, strict=True)):
            item = self.items.place(answer)
            for aspect, value in numbers.items():
                if value is not None:
                    self.item.append(item)
                    self.value.append(value)
                    self.aspect.append(aspect)
                    self.annotators.append(who)
                    self.metadata.append({**about, "response": place} if len(responses) > 1 else dict(about))

    def _rated(self, row: Cells, responses: list[Any]) -> list[dict[str, float | None]]:
        if self.layout.known == "UltraFeedback":
            return [_annotations(one) for one in responses]
        rated: list[dict[str, float | None]] = [{} for _ in responses]
        for name in names_in(self._columns["ratings"]):
            for one, value in zip(rated, list_of(self._cell_named(row, name), repr(name), len(responses)), strict=True):
                one[name] = number_or_none(value, repr(name))
        return rated

    def finish(self, problems: Problems) -> RatingData:
        """All rows as `RatingData`."""
        return RatingData(
            item=np.asarray(self.item, np.int64),
            value=np.asarray(self.value, np.float64),
            aspect=self.aspect if len(set(self.aspect)) > 1 else None,
            **self._common(problems),
        )


def _responses(row: Cells, columns: Mapping[str, str | Sequence[str]]) -> list[tuple[Any, str]]:
    names = names_in(columns["responses"])
    missing = next((name for name in names if name not in row), None)
    if missing is not None:
        raise BadRow(f"the column {missing!r} is missing; the row has {', '.join(map(repr, row)) or 'nothing'}")
    if len(names) > 1:
        return [(row[name], repr(name)) for name in names]
    value = row[names[0]]
    if not isinstance(value, (list, tuple)):
        raise BadRow(f"{names[0]!r} must be a list of responses, got {value!r:.60}")
    return [(one, f"{names[0]!r}[{place}]") for place, one in enumerate(value)]


def _annotations(response: Any) -> dict[str, float | None]:
    """The ratings inside one of UltraFeedback's completions; "N/A" is none."""
    found: dict[str, float | None] = {}
    annotations = response.get("annotations") if isinstance(response, Mapping) else None
    if annotations is not None and not isinstance(annotations, Mapping):
        raise BadRow(f"annotations must be an object with a rating for each aspect, got {annotations!r:.60}")
    for aspect, entry in (annotations or {}).items():
        rating = entry.get("Rating") if isinstance(entry, Mapping) else None
        found[str(aspect)] = None if rating in (None, "N/A") else number_or_none(rating, f"the rating of {aspect}")
    return found
