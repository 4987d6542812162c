"""Judgements as tensors: what a fitter draws batches of rows from, whatever kind of data it was given.

A table knows which items its rows are about, so that a batch asks the encoder for those alone, and says where in the
outputs each row finds its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from rewardlab.learning.data import PreferenceData, RankingData, RatingData, StepLabelData
from rewardlab.learning.rows import PairRows, RankRows, RatingRows, Rows, StepRows
from rewardlab.rewards.models.base import Context, Head, Outputs

Data = PreferenceData | RankingData | RatingData | StepLabelData

KINDS: dict[type, str] = {
    PreferenceData: "preferences",
    RankingData: "rankings",
    RatingData: "ratings",
    StepLabelData: "steps",
}
"""What the losses call each kind of data."""


class Table(ABC):
    """The rows of some data, as tensors on one device.

    Args:
        data: the judgements; its items keep their numbers.
        head: whose users the rows refer to.
        device: where the tensors go.
    """

    kind: ClassVar[str]
    per_row: int
    """The most items that one row is about."""

    def __init__(self, data: Any, head: Head, device: torch.device) -> None:
        self.data = data
        self.device = device
        self.users = _users(data, head)
        if self.users is not None:
            self.users = self.users.to(device)
        weight = getattr(data, "weight", None)
        self.weight = None if weight is None else self._column(weight, torch.float32)

    def __len__(self) -> int:
        return len(self.data)

    def _column(self, values: Any, dtype: torch.dtype) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=dtype).to(self.device)

    def context(self, rows: Tensor) -> Context | None:
        """Whose judgements some rows are; None where nobody is named or the head knows nobody."""
        return None if self.users is None else Context(users=self.users[rows])

    @abstractmethod
    def items(self, rows: Tensor) -> Tensor:
        """The items that some rows are about, int64[row, item]; -1 where a row has fewer than others."""

    @abstractmethod
    def rows(self, rows: Tensor, places: Tensor) -> Rows:
        """Some rows, for a loss.

        Args:
            rows: int64[row].
            places: as `items(rows)`, but where each item stands in the outputs.
        """

    @abstractmethod
    def one_class(self) -> str | None:
        """Why there is nothing to learn from these rows, or None."""

    def measure(self, head: Head, outputs: Outputs) -> dict[str, float]:
        """How well the outputs of all items agree with the rows, beside the loss."""
        return {}


class PairTable(Table):
    """Comparisons."""

    kind = "preferences"
    per_row = 2

    def __init__(self, data: PreferenceData, head: Head, device: torch.device) -> None:
        super().__init__(data, head, device)
        self.pairs = self._column(np.stack([data.first, data.second], axis=1), torch.int64)
        self.label = self._column(data.label, torch.float32)
        self.strength = None if data.strength is None else self._column(data.strength, torch.float32)

    def items(self, rows: Tensor) -> Tensor:
        """First and second."""
        return self.pairs[rows]

    def rows(self, rows: Tensor, places: Tensor) -> PairRows:
        """The comparisons."""
        return PairRows(
            first=places[:, 0],
            second=places[:, 1],
            label=self.label[rows],
            strength=None if self.strength is None else self.strength[rows],
            context=self.context(rows),
        )

    def one_class(self) -> str | None:
        """All are ties, or compare something with itself."""
        if bool((self.label == 0.5).all()):
            return "every comparison is a tie (label 0.5)"
        if bool((self.pairs[:, 0] == self.pairs[:, 1]).all()):
            return "every comparison is of an item with itself"
        return None

    def measure(self, head: Head, outputs: Outputs) -> dict[str, float]:
        """`accuracy`: the share of comparisons, ties left out, whose winner is told; a draw counts half."""
        told = torch.nonzero(self.label != 0.5).squeeze(1)
        if not len(told):
            return {}
        first, second = ({name: column[self.pairs[told, side]] for name, column in outputs.items()} for side in (0, 1))
        logits = head.preference(first, second, self.context(told))
        right = torch.sign(logits) == torch.sign(self.label[told] - 0.5)
        return {"accuracy": float((right.double() + 0.5 * (logits == 0)).mean())}


class RankTable(Table):
    """Orders of several items."""

    kind = "rankings"

    def __init__(self, data: RankingData, head: Head, device: torch.device) -> None:
        super().__init__(data, head, device)
        self.per_row = max(len(ranking) for ranking in data.rankings)
        ranking = np.full((len(data), self.per_row), -1, dtype=np.int64)
        ties = np.zeros((len(data), max(0, self.per_row - 1)), dtype=np.bool_)
        for row, items in enumerate(data.rankings):
            ranking[row, : len(items)] = items
            if data.ties is not None:
                ties[row, : len(items) - 1] = data.ties[row]
        self.ranking = self._column(ranking, torch.int64)
        self.ties = None if data.ties is None else self._column(ties, torch.bool)
        self._pairs: PairTable | None = None

    def items(self, rows: Tensor) -> Tensor:
        """Best first."""
        return self.ranking[rows]

    def rows(self, rows: Tensor, places: Tensor) -> RankRows:
        """The rankings."""
        return RankRows(ranking=places, ties=None if self.ties is None else self.ties[rows], context=self.context(rows))

    def one_class(self) -> str | None:
        """No ranking says that one item is better than another."""
        several = (self.ranking[:, 1:] >= 0) if self.per_row > 1 else torch.zeros(1, dtype=torch.bool)
        if self.ties is not None:
            several = several & ~self.ties
        return None if bool(several.any()) else "no ranking says that one item is better than another"

    def measure(self, head: Head, outputs: Outputs) -> dict[str, float]:
        """`accuracy`, over all pairs that the rankings imply."""
        if self._pairs is None:
            self._pairs = PairTable(self.data.pairs(), head, self.device)
        return self._pairs.measure(head, outputs)


class RatingTable(Table):
    """Numbers given to items."""

    kind = "ratings"
    per_row = 1

    def __init__(self, data: RatingData, head: Head, device: torch.device) -> None:
        super().__init__(data, head, device)
        self.item = self._column(data.item, torch.int64)
        self.value = self._column(data.value, torch.float32)
        self.names = () if data.aspect is None else tuple(sorted(set(data.aspect)))
        numbers = {name: number for number, name in enumerate(self.names)}
        self.aspect = (
            None if data.aspect is None else self._column([numbers[name] for name in data.aspect], torch.int64)
        )

    def items(self, rows: Tensor) -> Tensor:
        """The rated item."""
        return self.item[rows, None]

    def rows(self, rows: Tensor, places: Tensor) -> RatingRows:
        """The ratings."""
        return RatingRows(
            item=places[:, 0],
            value=self.value[rows],
            aspect=None if self.aspect is None else self.aspect[rows],
            names=self.names,
            context=self.context(rows),
        )

    def one_class(self) -> str | None:
        """All ratings are the same."""
        return f"every rating is {float(self.value[0]):g}" if bool((self.value == self.value[0]).all()) else None


class StepTable(Table):
    """Labels of steps."""

    kind = "steps"
    per_row = 1

    def __init__(self, data: StepLabelData, head: Head, device: torch.device) -> None:
        super().__init__(data, head, device)
        self.item = self._column(data.item, torch.int64)
        labels = np.full((len(data), max(len(entry) for entry in data.labels)), np.nan, dtype=np.float32)
        for row, entry in enumerate(data.labels):
            labels[row, : len(entry)] = entry
        self.labels = self._column(labels, torch.float32)

    def items(self, rows: Tensor) -> Tensor:
        """The labelled item."""
        return self.item[rows, None]

    def rows(self, rows: Tensor, places: Tensor) -> StepRows:
        """The labels."""
        return StepRows(item=places[:, 0], labels=self.labels[rows])

    def one_class(self) -> str | None:
        """All labels are the same, or there are none."""
        known = self.labels[~torch.isnan(self.labels)]
        if not len(known):
            return "no step has a label"
        return f"every step label is {float(known[0]):g}" if bool((known == known[0]).all()) else None

    def measure(self, head: Head, outputs: Outputs) -> dict[str, float]:
        """`accuracy`: the share of labelled steps whose log-odds have the label's sign."""
        found = head.step_values(outputs)
        if found is None:
            return {}
        values, mask = found[0][self.item], found[1][self.item]
        width = min(values.shape[1], self.labels.shape[1])
        labels = self.labels[:, :width]
        known = ~torch.isnan(labels) & mask[:, :width] & (labels != 0.5)
        right = (values[:, :width] > 0) == (labels > 0.5)
        return {"accuracy": float(right[known].double().mean())} if bool(known.any()) else {}


_TABLES: dict[str, type[Table]] = {table.kind: table for table in (PairTable, RankTable, RatingTable, StepTable)}


def make_table(
    data: Any, head: Head, device: torch.device, *, reads: str | None = None, held_out: bool = False
) -> Table:
    """The table of some data.

    Args:
        data: judgements of one of the four kinds.
        head: whose users the rows refer to.
        device: where the tensors go.
        reads: what the loss reads; rankings become comparisons for a loss of those.
        held_out: whether they are only looked at, so that they may all say the same.

    Raises:
        TypeError: it is none of the four kinds.
        ValueError: there are no rows, nothing to learn from, or the loss reads another kind.
    """
    kind = kind_of(data)
    if not len(data):
        raise ValueError(
            f"the {kind} have no rows, so there is nothing to learn from"
            + (f"; {len(data.problems)} rows could not be read, see data.problems" if len(data.problems) else "")
        )
    if reads is not None and reads != kind:
        if (kind, reads) != ("rankings", "preferences"):
            raise ValueError(
                f"the loss reads {reads}, but the data are {kind}; leave the loss out for one that fits, or choose one "
                f"that reads {kind}"
            )
        data, kind = data.pairs(), "preferences"
    table = _TABLES[kind](data, head, device)
    reason = None if held_out else table.one_class()
    if reason is not None:
        raise ValueError(f"there is one class only: {reason}, so there is nothing to learn; give data that differ")
    return table


def kind_of(data: Any) -> str:
    """What the losses call this kind of data.

    Raises:
        TypeError: it is none.
    """
    for known, kind in KINDS.items():
        if isinstance(data, known):
            return kind
    raise TypeError(
        f"data must be PreferenceData, RankingData, RatingData or StepLabelData, got a {type(data).__name__}; "
        "rl.read_preferences reads files, PreferenceData.from_preferences takes a list of Preference"
    )


def _users(data: Any, head: Head) -> Tensor | None:
    """The head's number of each row's annotator, -1 for nobody; None for heads that know nobody."""
    find = getattr(head, "user_index", None)
    if find is None:
        return None
    names = data.annotators
    known = list(getattr(head, "users", ()) or ())
    if not known:
        return None
    different = set() if names is None else {name for name in names if name is not None}
    if len(known) > 1 and not different:
        raise ValueError(
            f"a {type(head).kind} head tells {len(known)} users apart, but no row names its annotator; give data with "
            "annotators, or use a head that knows no users"
        )
    if len(known) == 1 and len(different) < 2:
        raise ValueError(
            f"a {type(head).kind} head models several users, but there is a single annotator, {known[0]!r}; use a scalar "
            "head, or give judgements of several annotators"
        )
    if names is None:
        return None
    places = {name: find(name) for name in different}
    return torch.tensor([-1 if name is None else places[name] for name in names], dtype=torch.int64)
