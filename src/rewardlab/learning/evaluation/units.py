"""The outcome of every row of an evaluation, from which measures, strata and paired comparisons are made.

A kind of judgements is a subclass that says which measures there are of any choice of its rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rewardlab.learning.evaluation.judging import Judged
from rewardlab.learning.evaluation.statistics import Estimate, Measure, estimate, numbered
from rewardlab.registry import nearest
from rewardlab.types import Status

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOST_LEVELS = 12
"""Numbers that take more values than this are put into quarters."""

MOST_STRATA = 200


@dataclass(kw_only=True)
class Units(ABC):
    """Rows with their outcomes.

    Args:
        data: the judgements.
        judged: what the reward says about their items.
        prompts: of each row.
        fate: int8[row] of `Status`: what became of the row, by the worst of its items.
        why: reasons of rows that failed although all of their items were scored.
    """

    kind: ClassVar[str]
    headline: ClassVar[str]

    data: Any
    judged: Judged
    prompts: list[str]
    fate: NDArray[np.int8] = field(init=False)
    why: dict[int, str] = field(init=False, default_factory=dict)

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def decided(self) -> Mask:
        """bool[row], where the reward said something about all that is needed."""
        return self.fate == Status.SCORED

    @abstractmethod
    def names(self) -> list[str]:
        """The measures that there are of these rows, the headline first."""

    @abstractmethod
    def measure(self, name: str, rows: Mask) -> Measure:
        """A measure of some rows; those that do not bear on it are passed over."""

    def relevant(self, name: str) -> Mask:
        """bool[row], which rows bear on a measure whatever the reward says."""
        return np.ones(len(self), np.bool_)

    def counts(self) -> dict[str, int]:
        """How many rows there are, and what became of them."""
        tally = np.bincount(self.fate, minlength=3)
        return {
            "rows": len(self),
            "decided": int(tally[Status.SCORED]),
            "abstained": int(tally[Status.ABSTAINED]),
            "failed": int(tally[Status.FAILED]),
        }

    def measures(self, rows: Mask | None = None) -> dict[str, Estimate]:
        """Every measure of some rows, with intervals."""
        chosen = np.ones(len(self), np.bool_) if rows is None else rows
        return {name: estimate(self.measure(name, chosen)) for name in self.names()}

    def clusters(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The prompts of some rows, numbered without gaps."""
        return numbered([self.prompts[row] for row in rows])

    def levels(self, column: str) -> list[str | None]:
        """The stratum of every row; None for rows that have none.

        Args:
            column: `annotator`, a special name of the kind, or a key of the metadata.

        Raises:
            ValueError: there is no such column.
        """
        if column == "annotator" and self.data.annotators is not None:
            return list(self.data.annotators)
        special = self.special()
        if column in special:
            return special[column]
        told = self.data.metadata or []
        if not any(column in one for one in told):
            known = sorted({*special, *(key for one in told for key in one if key != "line")})
            if self.data.annotators is not None:
                known.append("annotator")
            raise ValueError(
                f"no row has a column {column!r}{nearest(column, dict.fromkeys(known))}; the columns are "
                f"{', '.join(known) or 'none'}"
            )
        return binned([one.get(column) for one in told])

    def special(self) -> dict[str, list[str | None]]:
        """Strata that the kind itself knows."""
        return {}

    def strata(self, column: str) -> dict[str, dict[str, Estimate]]:
        """Every measure by the values of a column, in order."""
        levels = self.levels(column)
        order = {level: None for level in levels if level is not None}
        if len(order) > MOST_STRATA:
            raise ValueError(
                f"the column {column!r} has {len(order)} different values, too many for strata (at most {MOST_STRATA}); "
                "choose one that puts rows together"
            )
        names = list(order) if column in self.special() else sorted(order, key=_numbers_first)
        return {level: self.measures(np.asarray([one == level for one in levels])) for level in names}

    def fail(self, rows: Mask, why: str) -> None:
        """Mark decided rows as failed for a reason that is not one of their items."""
        for row in np.flatnonzero(rows & self.decided):
            self.why[int(row)] = why
            self.fate[row] = Status.FAILED

    def reasons(self) -> list[tuple[str, str, int]]:
        """Why the reward said nothing: status, reason, and of how many items or rows; the most frequent first."""
        found: Counter[tuple[str, str]] = Counter()
        for item in range(len(self.judged.status)):
            state = Status(self.judged.status[item])
            if state != Status.SCORED:
                found[(state.name.lower(), self.judged.notes[item] or "no reason given")] += 1
        found.update(("failed", why) for why in self.why.values())
        return [(state, why, count) for (state, why), count in found.most_common()]

    def worst(self, items: Sequence[NDArray[np.int64]]) -> NDArray[np.int8]:
        """The fate of rows from that of their items: failed before abstained before scored."""
        status = self.judged.status
        return np.asarray([max((status[item] for item in one), default=Status.SCORED) for one in items], np.int8)


def binned(values: Sequence[Any]) -> list[str | None]:
    """Values as names of strata; numbers that take many values are put into quarters."""
    known = [value for value in values if _is_number(value)]
    if len(known) < sum(value is not None for value in values) or len(set(known)) <= MOST_LEVELS:
        return [None if value is None else str(value) for value in values]
    edges = np.quantile(known, (0.25, 0.5, 0.75))
    names = [
        f"up to {edges[0]:g}",
        f"{edges[0]:g} to {edges[1]:g}",
        f"{edges[1]:g} to {edges[2]:g}",
        f"above {edges[2]:g}",
    ]
    return [None if value is None else names[int(np.searchsorted(edges, value))] for value in values]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _numbers_first(level: str) -> tuple[bool, float, str]:
    """Strata in the order of their first number, then by name; "above" comes last."""
    outer = level.startswith(("up to ", "above "))
    word = level.rpartition(" ")[2] if outer else level.partition(" ")[0]
    try:
        number = float(word)
        return False, number + 1e-9 * abs(number) * (level.startswith("above") - level.startswith("up to")), level
    except ValueError:
        return True, 0.0, level
