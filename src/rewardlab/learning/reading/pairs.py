"""Comparisons out of rows: two sides and a label, or better and worse responses, one or several of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rewardlab.learning.data import PreferenceData
from rewardlab.learning.items import content_hash
from rewardlab.learning.reading.building import Builder, Cells, list_of
from rewardlab.learning.reading.labels import number_or_none, probability
from rewardlab.learning.reading.layouts import Layout, names_in
from rewardlab.storage.problems import BadRow, Problems
from rewardlab.types import Trajectory

_LEVELS = {-1: "hard", 0: "normal", 1: "easy"}
"""RM-Bench's levels: whether the better response is less, as much or more adorned than the worse one."""


class PairBuilder(Builder):
    """Comparisons: one response against another, one against several, or several annotators' labels of one pair."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.numbers: dict[str, list[Any]] = {name: [] for name in ("first", "second", "label", "strength", "weight")}
        self._groups = 0

    def add(self, row: Cells, line: int, folder: Path | None) -> None:
        """Take one row, which may hold several comparisons."""
        strength, weight = self._strength(row), 1.0
        if "weight" in self._columns:
            given = number_or_none(self._cell(row, "weight"), repr(self._columns["weight"]))
            weight = 1.0 if given is None else given  # nobody said that it counts for less
            if weight < 0:
                raise BadRow(f"{self._columns['weight']!r} must not be negative, got {weight}")
        who, about = self._who(row) if self._is_one_voice(row) else None, self._about(row, line)
        if "chosen" in self._columns:
            self._better_and_worse(row, folder, who, about, strength, weight)
        else:
            self._two_sides(row, folder, who, about, strength, weight)

    def _better_and_worse(
        self, row: Cells, folder: Path | None, who: str | None, about: dict[str, Any], strength: float, weight: float
    ) -> None:
        better = _several(self._cell(row, "chosen"), repr(self._columns["chosen"]))
        worse = _several(self._cell(row, "rejected"), repr(self._columns["rejected"]))
        if not better or not worse:
            raise BadRow(f"{self._columns['chosen' if not better else 'rejected']!r} holds no response")
        found = self._answers(row, folder, [*better, *worse])
        for one in found[: len(better)]:
            for other in found[len(better) :]:
                self._differ(one, other, "chosen", "rejected")
        label = 1.0
        if "label" in self._columns and self.layout.labels is not None:
            label = probability(self._cell(row, "label"), self.layout.labels, repr(self._columns["label"]))
        together = len(found) > 2
        places = [self.items.place(one) for one in found]
        for i, first in enumerate(places[: len(better)]):
            for j, second in enumerate(places[len(better) :]):
                extra: dict[str, Any] = {"ranking": self._groups} if together else {}
                if len(better) > 1:
                    extra |= {"chosen_index": i, "rejected_index": j}
                if self.layout.known == "RM-Bench":
                    extra["level"] = _LEVELS[int(np.sign(i - j))]
                share = weight / (len(better) * len(worse))
                self._append(first, second, label, strength, share, who, {**about, **extra})
        self._groups += together

    def _two_sides(
        self, row: Cells, folder: Path | None, who: str | None, about: dict[str, Any], strength: float, weight: float
    ) -> None:
        names = names_in(self._columns["label"])
        labels = self.layout.labels
        assert labels is not None
        voices: list[tuple[str | None, float]] = []
        value = self._cell_named(row, names[0])
        if len(names) == 1 and isinstance(value, (list, tuple)):
            people = self._people(row, len(value))
            voices = [(one, probability(said, labels, repr(names[0]))) for one, said in zip(people, value, strict=True)]
            if not voices:
                raise BadRow(f"{names[0]!r} holds no label")
        elif len(names) == 1:
            voices.append((who, probability(value, labels, repr(names[0]))))
        else:
            for name in names:
                value = row.get(name)
                if value is not None and value != "" and not (isinstance(value, float) and math.isnan(value)):
                    voices.append((name, probability(value, labels, repr(name))))
            if not voices:
                raise BadRow(f"none of {', '.join(map(repr, names))} holds a label")
        sides = [(self._cell(row, side), repr(self._columns[side])) for side in ("first", "second")]
        first, second = self._answers(row, folder, sides)
        self._differ(first, second, str(self._columns["first"]), str(self._columns["second"]))
        one, other = self.items.place(first), self.items.place(second)
        extra = {"comparison": self._groups} if len(names) > 1 or isinstance(value, (list, tuple)) else {}
        for person, label in voices:
            self._append(one, other, label, strength, weight, person, {**about, **extra})
        self._groups += 1

    def _is_one_voice(self, row: Cells) -> bool:
        label = self._columns.get("label")
        return not (isinstance(label, str) and isinstance(row.get(label), (list, tuple)))

    def _people(self, row: Cells, count: int) -> list[str | None]:
        """Who gave each of a list of labels."""
        column = self._columns.get("annotator")
        told = row.get(column) if isinstance(column, str) else None
        if told is None:
            return [f"annotator {number}" for number in range(1, count + 1)]
        return [None if one is None else str(one) for one in list_of(told, repr(column), count, of="labels")]

    def _strength(self, row: Cells) -> float:
        if "strength" in self._columns:
            found = number_or_none(self._cell(row, "strength"), repr(self._columns["strength"]))
        elif {"score_chosen", "score_rejected"} <= row.keys() and "chosen" in self._columns:
            scores = [number_or_none(row[name], repr(name)) for name in ("score_chosen", "score_rejected")]
            found = None if scores[0] is None or scores[1] is None else scores[0] - scores[1]
        else:
            found = None
        return math.nan if found is None else found

    def _differ(self, one: Trajectory, other: Trajectory, first: str, second: str) -> None:
        if content_hash(one.messages) == content_hash(other.messages):
            raise BadRow(
                f"{first!r} and {second!r} are equal ({one.completion[:40]!r}), so there is nothing to tell apart"
            )

    def _append(
        self,
        first: int,
        second: int,
        label: float,
        strength: float,
        weight: float,
        who: str | None,
        about: dict[str, Any],
    ) -> None:
        for name, value in zip(self.numbers, (first, second, label, strength, weight), strict=True):
            self.numbers[name].append(value)
        self.annotators.append(who)
        self.metadata.append(about)

    def finish(self, problems: Problems) -> PreferenceData:
        """All rows as `PreferenceData`."""
        strength = np.asarray(self.numbers["strength"], np.float64)
        weight = np.asarray(self.numbers["weight"], np.float64)
        return PreferenceData(
            first=np.asarray(self.numbers["first"], np.int64),
            second=np.asarray(self.numbers["second"], np.int64),
            label=np.asarray(self.numbers["label"], np.float64),
            strength=None if np.isnan(strength).all() else strength,
            weight=None if (weight == 1.0).all() else weight,
            **self._common(problems),
        )


def _several(value: Any, where: str) -> list[tuple[Any, str]]:
    """The responses of a cell: itself, or the texts or objects of a list that is no conversation."""
    if isinstance(value, (list, tuple)) and not any(
        isinstance(one, Mapping) and ("role" in one or "from" in one) for one in value
    ):
        return [(one, f"{where}[{place}]") for place, one in enumerate(value)]
    return [(value, where)]
