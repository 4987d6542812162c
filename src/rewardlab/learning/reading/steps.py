"""Labels of single steps out of rows: a label for each step, or the place of the first error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rewardlab.learning.data import StepLabelData
from rewardlab.learning.reading.building import Builder, Cells, list_of
from rewardlab.learning.reading.labels import number_or_none, probability
from rewardlab.learning.reading.layouts import Layout
from rewardlab.storage.foreign import chat
from rewardlab.storage.problems import BadRow, Problems


class StepBuilder(Builder):
    """Labels of steps; every step is one message of the assistant."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.item: list[int] = []
        self.labels: list[Any] = []

    def add(self, row: Cells, line: int, folder: Path | None) -> None:
        """Take one labelled solution."""
        where = repr(self._columns["steps"])
        steps = self._cell(row, "steps")
        if not isinstance(steps, Sequence) or isinstance(steps, str) or not steps:
            raise BadRow(f"{where} must be a list of texts, got {steps!r:.60}")
        empty = next((n for n, step in enumerate(steps) if not isinstance(step, str) or not step.strip()), None)
        if empty is not None:
            raise BadRow(f"{where}[{empty}] must be a text that is not empty, got {steps[empty]!r:.40}")
        labels = self._step_labels(row, len(steps))
        prompt = self._prompt(row, folder) or []
        who, about = self._who(row), self._about(row, line)
        actions = [{"role": "assistant", "content": step} for step in steps]
        self.item.append(self.items.place(chat(prompt, actions)))
        self.labels.append(labels)
        self.annotators.append(who)
        self.metadata.append(about)

    def _step_labels(self, row: Cells, count: int) -> Any:
        if "step_labels" in self._columns:
            where = repr(self._columns["step_labels"])
            labels = np.full(count, np.nan)
            for place, value in enumerate(list_of(self._cell(row, "step_labels"), where, count)):
                if value is not None and value == value:
                    labels[place] = _step_label(value, where)
            if np.isnan(labels).all():
                raise BadRow(f"{where} holds no label")
            return labels
        role = "first_error" if "first_error" in self._columns else "first_error_number"
        where, value = repr(self._columns[role]), self._cell(row, role)
        if value is None or value == -1 or (isinstance(value, str) and value.strip().upper() in ("", "N/A", "NONE")):
            return np.ones(count)
        number = number_or_none(value, where)
        first = -1 if number is None else int(number) - (role == "first_error_number")
        if number is None or number != int(number) or not 0 <= first < count:
            raise BadRow(f"{where} is {value!r:.40}, but there are {count} steps")
        labels = np.full(count, np.nan)
        labels[:first], labels[first] = 1.0, 0.0
        return labels

    def finish(self, problems: Problems) -> StepLabelData:
        """All rows as `StepLabelData`."""
        return StepLabelData(item=np.asarray(self.item, np.int64), labels=self.labels, **self._common(problems))


def _step_label(value: Any, where: str) -> float:
    if value in ("+", "-"):
        return float(value == "+")
    if value == -1:
        return 0.0
    return probability(value, "probability", where)
