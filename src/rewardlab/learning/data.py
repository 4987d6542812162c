"""Human judgements in columns, over a list of items that each stands once.

An item is a trajectory. A response that is compared ten times is one item, so it is tokenised, encoded and scored once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.learning.checks import check_items, check_probabilities, checked_weight
from rewardlab.learning.items import Items, as_trajectory, prompt_key
from rewardlab.learning.judgements import Judgements, Rows, indices
from rewardlab.learning.single_items import RatingData, StepLabelData
from rewardlab.types import Preference

__all__ = ["PreferenceData", "RankingData", "RatingData", "StepLabelData", "as_trajectory", "prompt_key"]


@dataclass(kw_only=True)
class PreferenceData(Judgements):
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
        self.label, self.weight = np.asarray(self.label, np.float64), checked_weight(self.weight)
        if self.strength is not None:
            self.strength = np.asarray(self.strength, np.float64)
        if not len(self.first) == len(self.second) == len(self.label):
            raise ValueError(
                f"first, second and label must have one entry per row, got {len(self.first)}, {len(self.second)} and "
                f"{len(self.label)}"
            )
        self._check(strength=self.strength, weight=self.weight)
        check_probabilities(
            "label", self.label, "it is the probability that the first is better, and strength is the place for margins"
        )
        for name in ("first", "second"):
            check_items(name, getattr(self, name), len(self.items))

    def __len__(self) -> int:
        return len(self.label)

    def first_items(self) -> Rows:
        """The first item of every comparison."""
        return self.first

    def row_items(self) -> Sequence[Sequence[int]]:
        """Both items of every comparison."""
        return np.stack([self.first, self.second], 1).tolist()

    def select(self, rows: ArrayLike) -> PreferenceData:
        """Some comparisons, by index or mask; the items stay as they are."""
        chosen = indices(rows)
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
        chosen = indices(rows)
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
class RankingData(Judgements):
    """Orders of several items.

    Args:
        rankings: of each row the items, best first.
        ties: of each row bool[len - 1], whether an item is as good as the one before; None for no ties.
    """

    rankings: list[Rows]
    ties: list[NDArray[np.bool_]] | None = None

    def __post_init__(self) -> None:
        self.rankings = [np.asarray(ranking, np.int64) for ranking in self.rankings]
        self._check(ties=self.ties)
        for row, ranking in enumerate(self.rankings):
            check_items(f"ranking {row}", ranking, len(self.items))
            if len(ranking) < 2 or len(np.unique(ranking)) < len(ranking):
                raise ValueError(f"ranking {row} must name at least two different items, got {ranking.tolist()}")
            if self.ties is not None and len(self.ties[row]) != len(ranking) - 1:
                raise ValueError(
                    f"ties of ranking {row} must have {len(ranking) - 1} entries, one between each two neighbours, got "
                    f"{len(self.ties[row])}"
                )

    def __len__(self) -> int:
        return len(self.rankings)

    def first_items(self) -> Rows:
        """The best item of every ranking."""
        return np.asarray([ranking[0] for ranking in self.rankings], np.int64)

    def row_items(self) -> Sequence[Sequence[int]]:
        """All items of every ranking."""
        return [ranking.tolist() for ranking in self.rankings]

    def select(self, rows: ArrayLike) -> RankingData:
        """Some rankings, by index or mask; the items stay as they are."""
        chosen = indices(rows)
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
