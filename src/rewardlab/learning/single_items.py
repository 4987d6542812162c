"""Judgements of one item at a time: ratings, and labels of single steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.learning.checks import check_items, check_probabilities
from rewardlab.learning.judgements import Judgements, Rows, indices

if TYPE_CHECKING:
    from rewardlab.learning.data import PreferenceData


@dataclass(kw_only=True)
class RatingData(Judgements):
    """Numbers given to single items.

    Args:
        item: int64[row], which item is rated.
        value: float64[row], the rating.
        aspect: of each row, what was rated ("helpfulness"); None where there is one aspect alone.
    """

    item: Rows
    value: NDArray[np.float64]
    aspect: list[str] | None = None

    def __post_init__(self) -> None:
        self.item, self.value = np.asarray(self.item, np.int64), np.asarray(self.value, np.float64)
        self._check(item=self.item, aspect=self.aspect)
        check_items("item", self.item, len(self.items))
        wrong = np.flatnonzero(~np.isfinite(self.value))
        if wrong.size:
            raise ValueError(f"value must be a finite number, got {self.value[wrong[0]]} in row {wrong[0]}")

    def __len__(self) -> int:
        return len(self.value)

    def first_items(self) -> Rows:
        """The rated item of every row."""
        return self.item

    def select(self, rows: ArrayLike) -> RatingData:
        """Some ratings, by index or mask; the items stay as they are."""
        chosen = indices(rows)
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

    def pairs(self, *, lower_is_better: bool = False, ties: bool = True) -> PreferenceData:
        """Comparisons of items with the same prompt that one annotator rated in the same aspect.

        The distance of two ratings is the strength of their comparison. Comparisons of one prompt by one annotator share the
        weight of one and their `ranking` in metadata, and have the aspect there too.

        Args:
            lower_is_better: whether the ratings are penalties.
            ties: whether equal ratings are kept, with the label 0.5.

        Raises:
            ValueError: no annotator rated two items of one prompt.
        """
        from rewardlab.learning.data import PreferenceData

        prompts = self.prompts()
        nobody: list[str | None] = [None] * len(self)
        who = self.annotators or nobody
        aspects = self.aspect or nobody
        groups: dict[tuple[str, str | None, str | None], list[int]] = {}
        for row, key in enumerate(zip(prompts, who, aspects, strict=True)):
            groups.setdefault(key, []).append(row)
        pairs, weight, number = [], [], []
        for place, ((_, _, aspect), rows) in enumerate(groups.items()):
            found = [
                (one, other)
                for place_of_one, one in enumerate(rows)
                for other in rows[place_of_one + 1 :]
                if self.item[one] != self.item[other] and (ties or self.value[one] != self.value[other])
            ]
            pairs += found
            weight += [1.0 / max(len(found), 1)] * len(found)
            number += [{"ranking": place} if aspect is None else {"ranking": place, "aspect": aspect}] * len(found)
        if not pairs:
            raise ValueError("no annotator rated two different items of one prompt, so the ratings compare nothing")
        first, second = np.asarray(pairs, np.int64).T
        difference = (self.value[second] - self.value[first]) * (1 if lower_is_better else -1)
        told = self.metadata or [{}] * len(self)
        return PreferenceData(
            items=self.items,
            first=self.item[first],
            second=self.item[second],
            label=(np.sign(difference) + 1) / 2,
            strength=np.abs(difference),
            weight=np.asarray(weight),
            annotators=None if self.annotators is None else [who[row] for row in first],
            metadata=[{**told[row], **extra} for row, extra in zip(first, number, strict=True)],
            problems=self.problems,
            layout=self.layout,
        )


@dataclass(kw_only=True)
class StepLabelData(Judgements):
    """Labels of the single steps of items.

    Args:
        item: int64[row], which item is labelled.
        labels: of each row float64[step]: the probability that the step is right; NaN where nobody looked.
    """

    item: Rows
    labels: list[NDArray[np.float64]]

    def __post_init__(self) -> None:
        self.item = np.asarray(self.item, np.int64)
        self.labels = [np.asarray(one, np.float64) for one in self.labels]
        self._check(item=self.item)
        check_items("item", self.item, len(self.items))
        for row, one in enumerate(self.labels):
            known = one[~np.isnan(one)]
            check_probabilities(f"step labels of row {row}", known, "each is the probability that the step is right")

    def __len__(self) -> int:
        return len(self.labels)

    def first_items(self) -> Rows:
        """The labelled item of every row."""
        return self.item

    def select(self, rows: ArrayLike) -> StepLabelData:
        """Some rows, by index or mask; the items stay as they are."""
        chosen = indices(rows)
        return replace(
            self, item=self.item[chosen], labels=[self.labels[row] for row in chosen], **self._rows_with(chosen)
        )

    def without_unused_items(self) -> StepLabelData:
        """The same labels over only those items that they use."""
        used, places = np.unique(self.item, return_inverse=True)
        return replace(self, items=[self.items[item] for item in used], item=places)
