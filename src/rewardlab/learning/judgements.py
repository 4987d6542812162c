"""What the kinds of judgements share: items that stand once, whose judgement a row is, splits that keep prompts apart."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.learning.checks import check_columns, together
from rewardlab.learning.items import content_hash, has_prompt, prompt_key
from rewardlab.storage.problems import Problems
from rewardlab.types import Trajectory

if TYPE_CHECKING:
    from rewardlab.learning.report import DataReport

Rows = NDArray[np.int64]


@dataclass(kw_only=True)
class Judgements(ABC):
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

    @abstractmethod
    def __len__(self) -> int:
        """How many rows there are."""

    @abstractmethod
    def first_items(self) -> Rows:
        """One item of every row, from which its prompt is known; int64[row]."""

    def row_items(self) -> Sequence[Sequence[int]]:
        """All items of every row."""
        return self.first_items()[:, None].tolist()

    def _check(self, **columns: Any) -> None:
        check_columns(len(self), annotators=self.annotators, metadata=self.metadata, **columns)

    @abstractmethod
    def select(self, rows: ArrayLike) -> Self:
        """Some rows, by index or mask; the items stay as they are."""

    def prompts(self) -> list[str]:
        """What identifies the prompt of every row: rows with equal texts here were asked the same.

        Responses without a prompt (bare texts, vectors) are taken together where rows compare them, directly or through
        others, so that no such item is in two parts of a split either.
        """
        asked = self.first_items().tolist()
        known = {item: prompt_key(self.items[item]) for item in set(asked) if has_prompt(self.items[item])}
        if len(known) < len(set(asked)):
            known = {**self._bare_keys(), **known}
        return [known[item] for item in asked]

    def _bare_keys(self) -> dict[int, str]:
        """A key for each item without a prompt that a row names: that of the first item it hangs together with."""
        rows = self.row_items()
        named = sorted({item for row in rows for item in row if not has_prompt(self.items[item])})
        keys = {item: _bare_key(self.items[item]) for item in named}
        place = {key: number for number, key in enumerate(dict.fromkeys(keys.values()))}
        joined = [[place[keys[item]] for item in row if item in keys] for row in rows]
        roots, different = together([row for row in joined if row], len(place)), list(place)
        return {item: different[roots[place[key]]] for item, key in keys.items()}

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

    def report(self) -> DataReport:
        """What stands in these judgements, to be looked at before anything is trained on them."""
        from rewardlab.learning.report import report_preferences

        return report_preferences(self)

    @abstractmethod
    def without_unused_items(self) -> Self:
        """The same rows over only those items that they use."""


def indices(rows: ArrayLike) -> Rows:
    """The numbers of some rows, from numbers or from a mask; int64[row]."""
    chosen = np.asarray(rows)
    return np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen.astype(np.int64)


def _bare_key(item: Trajectory) -> str:
    return content_hash(item.messages) if item.is_chat else prompt_key(item)
