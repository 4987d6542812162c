"""Human judgements in columns, over a list of items that each stands once.

An item is a trajectory. A response that is compared ten times is one item, so it is tokenised, encoded and scored once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.learning.items import Items, as_trajectory, prompt_key
from rewardlab.storage.problems import Problems
from rewardlab.types import Preference, Trajectory

Rows = NDArray[np.int64]

__all__ = ["PreferenceData", "RankingData", "RatingData", "StepLabelData", "as_trajectory", "prompt_key"]


@dataclass(kw_only=True)
class _Judgements:
    """What all kinds of judgements have: items, whose judgement each row is, what it was about, and what could not be read.

    Args:
        items: trajectories, each once.
        annotators: of each row, or None where nobody is named; None where no row has one.
        metadata: of each row, anything else that stood beside it; None for none.
        problems: rows that could not be read, set aside with line number and reason.
        layout: what a reader took the rows for, in words; None for data that no reader made.
    """

    items: list[Trajectory]
    annotators: list[str | None] | None = None
    metadata: list[dict[str, Any]] | None = None
    problems: Problems = field(default_factory=Problems)
    layout: str | None = None

    def _rows_with(self, rows: Rows) -> dict[str, Any]:
        return {
            "annotators": None if self.annotators is None else [self.annotators[row] for row in rows],
            "metadata": None if self.metadata is None else [self.metadata[row] for row in rows],
        }

    def first_items(self) -> Rows:
        """One item of every row, from which its prompt is known; int64[row]."""
        raise NotImplementedError

    def select(self, rows: ArrayLike) -> Self:
        """Some rows, by index or mask; the items stay as they are."""
        raise NotImplementedError

    def prompts(self) -> list[str]:
        """What identifies the prompt of every row: rows with equal texts here were asked the same."""
        known: dict[int, str] = {}
        for item in self.first_items():
            if int(item) not in known:
                known[int(item)] = prompt_key(self.items[item])
        return [known[int(item)] for item in self.first_items()]

    def split(self, share: float = 0.1, *, seed: int = 0) -> tuple[Self, Self]:
        """Two parts with no prompt in both.

        Args:
            share: of the prompts, in the second part.
            seed: of the choice, which depends on nothing but this and the prompts themselves.

        Raises:
            ValueError: `share` is not between 0 and 1, or a part would be empty.
        """
        if not 0 < share < 1:
            raise ValueError(f"share must lie between 0 and 1, got {share}")
        prompts = self.prompts()
        drawn = {
            key: hashlib.sha256(f"{seed}/{key}".encode("utf-8", "surrogatepass")).hexdigest() for key in set(prompts)
        }
        ordered = sorted(drawn, key=lambda key: drawn[key])
        count = round(share * len(ordered))
        if not 0 < count < len(ordered):
            raise ValueError(
                f"{len(ordered)} different prompts cannot be split with a share of {share}: one part would be empty"
            )
        held = set(ordered[:count])
        outside = np.asarray([key in held for key in prompts])
        return self.select(~outside), self.select(outside)

    def without_unused_items(self) -> Self:
        """The same rows over only those items that they use."""
        raise NotImplementedError


@dataclass(kw_only=True)
class PreferenceData(_Judgements):
    """Comparisons of two items.

    Args:
        first, second: int64[row], which items are compared.
        label: float64[row] in [0, 1], the probability that `first` is better; 0.5 is a tie.
        strength: float64[row], how much better, NaN where nobody said; None for none.
        weight: float64[row], not negative; None for all 1.
    """

    first: Rows
    second: Rows
    label: NDArray[np.float64]
    strength: NDArray[np.float64] | None = None
    weight: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        self.first, self.second = np.asarray(self.first, np.int64), np.asarray(self.second, np.int64)
        self.label = np.asarray(self.label, np.float64)
        if not len(self.first) == len(self.second) == len(self.label):
            raise ValueError(
                f"first, second and label must have one entry per row, got {len(self.first)}, {len(self.second)} and "
                f"{len(self.label)}"
            )
        wrong = np.flatnonzero(~((self.label >= 0) & (self.label <= 1)))
        if wrong.size:
            raise ValueError(
                f"label must be in [0, 1], got {self.label[wrong[0]]} in row {wrong[0]}; it is the probability that the "
                "first is better, and strength is the place for margins"
            )
        for name in ("first", "second"):
            column = getattr(self, name)
            if column.size and (column.min() < 0 or column.max() >= len(self.items)):
                raise ValueError(f"{name} names item {column.max()}, there are {len(self.items)} items")

    def __len__(self) -> int:
        return len(self.label)

    def first_items(self) -> Rows:
        """The first item of every comparison."""
        return self.first

    def select(self, rows: ArrayLike) -> PreferenceData:
        """Some comparisons, by index or mask; the items stay as they are."""
        chosen = _indices(rows)
        return replace(
            self,
            first=self.first[chosen],
            second=self.second[chosen],
            label=self.label[chosen],
            strength=None if self.strength is None else self.strength[chosen],
            weight=None if self.weight is None else self.weight[chosen],
            **self._rows_with(chosen),
        )

    def without_unused_items(self) -> PreferenceData:
        """The same comparisons over only those items that they use."""
        used, places = np.unique(np.concatenate([self.first, self.second]), return_inverse=True)
        count = len(self)
        return replace(self, items=[self.items[item] for item in used], first=places[:count], second=places[count:])

    def flipped(self, rows: ArrayLike) -> PreferenceData:
        """The same comparisons, with the labels of some rows turned round."""
        label = self.label.copy()
        chosen = _indices(rows)
        label[chosen] = 1.0 - label[chosen]
        return replace(self, label=label)

    def __iter__(self) -> Iterator[Preference]:
        for row in range(len(self)):
            first, second = self.items[self.first[row]], self.items[self.second[row]]
            label = float(self.label[row])
            chosen, rejected = (first, second) if label >= 0.5 else (second, first)
            strength = None if self.strength is None or np.isnan(self.strength[row]) else float(self.strength[row])
            yield Preference(
                chosen=chosen,
                rejected=rejected,
                label=max(label, 1.0 - label),
                annotator=None if self.annotators is None else self.annotators[row],
                strength=strength,
                weight=1.0 if self.weight is None else float(self.weight[row]),
            )

    @classmethod
    def from_preferences(cls, preferences: Iterable[Preference]) -> PreferenceData:
        """Columns out of single comparisons; equal trajectories become one item.

        Raises:
            ValueError: one of them holds neither a trajectory, nor a text, nor an array.
        """
        items = Items()
        columns: dict[str, list[Any]] = {name: [] for name in ("first", "second", "label", "strength", "weight", "who")}
        for one in preferences:
            columns["first"].append(items.place(one.chosen))
            columns["second"].append(items.place(one.rejected))
            columns["label"].append(one.label)
            columns["strength"].append(np.nan if one.strength is None else one.strength)
            columns["weight"].append(one.weight)
            columns["who"].append(one.annotator)
        strength = np.asarray(columns["strength"], np.float64)
        return cls(
            items=items.found,
            first=np.asarray(columns["first"], np.int64),
            second=np.asarray(columns["second"], np.int64),
            label=np.asarray(columns["label"], np.float64),
            strength=None if np.isnan(strength).all() else strength,
            weight=np.asarray(columns["weight"], np.float64),
            annotators=None if all(who is None for who in columns["who"]) else columns["who"],
        )

    @classmethod
    def from_arrays(
        cls, first: ArrayLike, second: ArrayLike, label: ArrayLike | None = None, **columns: Any
    ) -> PreferenceData:
        """Comparisons of vectors (or arrays): row i compares `first[i]` with `second[i]`.

        Args:
            first, second: float[row, ...].
            label: float[row]; None where the first is always the better one.
            columns: any other field.
        """
        one, other = np.asarray(first, np.float32), np.asarray(second, np.float32)
        count = len(one)
        return cls(
            items=[as_trajectory(entry) for entry in [*one, *other]],
            first=np.arange(count),
            second=np.arange(count, 2 * count),
            label=np.ones(count) if label is None else np.asarray(label, np.float64),
            **columns,
        )


@dataclass(kw_only=True)
class RankingData(_Judgements):
    """Orders of several items.

    Args:
        rankings: of each row the items, best first.
        ties: of each row bool[len - 1], whether an item is as good as the one before; None for no ties.
    """

    rankings: list[Rows]
    ties: list[NDArray[np.bool_]] | None = None

    def __len__(self) -> int:
        return len(self.rankings)

    def first_items(self) -> Rows:
        """The best item of every ranking."""
        return np.asarray([ranking[0] for ranking in self.rankings], np.int64)

    def select(self, rows: ArrayLike) -> RankingData:
        """Some rankings, by index or mask; the items stay as they are."""
        chosen = _indices(rows)
        return replace(
            self,
            rankings=[self.rankings[row] for row in chosen],
            ties=None if self.ties is None else [self.ties[row] for row in chosen],
            **self._rows_with(chosen),
        )

    def without_unused_items(self) -> RankingData:
        """The same rankings over only those items that they use."""
        used = np.unique(np.concatenate(self.rankings))
        return replace(
            self,
            items=[self.items[item] for item in used],
            rankings=[np.searchsorted(used, ranking) for ranking in self.rankings],
        )

    def pairs(self) -> PreferenceData:
        """Every comparison that the rankings imply; pairs of one ranking share its weight and its `ranking` in metadata."""
        columns: dict[str, list[Any]] = {name: [] for name in ("first", "second", "label", "weight", "row")}
        for row, ranking in enumerate(self.rankings):
            size = len(ranking)
            level = np.arange(size)
            if self.ties is not None:
                level = np.concatenate([[0], np.cumsum(~self.ties[row])])
            for better in range(size):
                for worse in range(better + 1, size):
                    columns["first"].append(ranking[better])
                    columns["second"].append(ranking[worse])
                    columns["label"].append(1.0 if level[better] < level[worse] else 0.5)
                    columns["weight"].append(2.0 / (size * (size - 1)))
                    columns["row"].append(row)
        told = self.metadata or [{}] * len(self)
        return PreferenceData(
            items=self.items,
            first=np.asarray(columns["first"], np.int64),
            second=np.asarray(columns["second"], np.int64),
            label=np.asarray(columns["label"], np.float64),
            weight=np.asarray(columns["weight"], np.float64),
            annotators=None if self.annotators is None else [self.annotators[row] for row in columns["row"]],
            metadata=[{**told[row], "ranking": row} for row in columns["row"]],
            problems=self.problems,
            layout=self.layout,
        )


@dataclass(kw_only=True)
class RatingData(_Judgements):
    """Numbers given to single items.

    Args:
        item: int64[row], which item is rated.
        value: float64[row], the rating.
        aspect: of each row, what was rated ("helpfulness"); None where there is one aspect alone.
    """

    item: Rows
    value: NDArray[np.float64]
    aspect: list[str] | None = None

    def __len__(self) -> int:
        return len(self.value)

    def first_items(self) -> Rows:
        """The rated item of every row."""
        return self.item

    def select(self, rows: ArrayLike) -> RatingData:
        """Some ratings, by index or mask; the items stay as they are."""
        chosen = _indices(rows)
        return replace(
            self,
            item=self.item[chosen],
            value=self.value[chosen],
            aspect=None if self.aspect is None else [self.aspect[row] for row in chosen],
            **self._rows_with(chosen),
        )

    def without_unused_items(self) -> RatingData:
        """The same ratings over only those items that they use."""
        used, places = np.unique(self.item, return_inverse=True)
        return replace(self, items=[self.items[item] for item in used], item=places)


@dataclass(kw_only=True)
class StepLabelData(_Judgements):
    """Labels of the single steps of items.

    Args:
        item: int64[row], which item is labelled.
        labels: of each row float64[step]: the probability that the step is right; NaN where nobody looked.
    """

    item: Rows
    labels: list[NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.labels)

    def first_items(self) -> Rows:
        """The labelled item of every row."""
        return self.item

    def select(self, rows: ArrayLike) -> StepLabelData:
        """Some rows, by index or mask; the items stay as they are."""
        chosen = _indices(rows)
        return replace(
            self, item=self.item[chosen], labels=[self.labels[row] for row in chosen], **self._rows_with(chosen)
        )

    def without_unused_items(self) -> StepLabelData:
        """The same labels over only those items that they use."""
        used, places = np.unique(self.item, return_inverse=True)
        return replace(self, items=[self.items[item] for item in used], item=places)


def _indices(rows: ArrayLike) -> Rows:
    chosen = np.asarray(rows)
    return np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen.astype(np.int64)
