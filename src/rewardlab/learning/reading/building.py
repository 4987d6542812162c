"""What every builder of judgements does with a row: its prompt, its responses, whose judgement it is, what else it says.

A row is taken whole or set aside whole.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rewardlab.learning.items import Items
from rewardlab.learning.reading import cells
from rewardlab.learning.reading.layouts import Layout, names_in
from rewardlab.storage.problems import BadRow, Problems
from rewardlab.types import Message, Trajectory

Cells = Mapping[str, Any]

_PLAIN = (str, int, float, bool, type(None))


class Builder(ABC):
    """Collects rows of one layout.

    Args:
        layout: which column holds what.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.items = Items()
        self.metadata: list[dict[str, Any]] = []
        self.annotators: list[str | None] = []
        self._columns = layout.columns

    @abstractmethod
    def add(self, row: Cells, line: int, folder: Path | None) -> None:
        """Take one row.

        Raises:
            BadRow: it cannot be read; nothing of it was taken.
        """

    @abstractmethod
    def finish(self, problems: Problems) -> Any:
        """All rows as one object."""

    # ---- what the kinds share -----------------------------------------------------------------------------------------

    def _cell(self, row: Cells, role: str) -> Any:
        name = self._columns.get(role)
        if name is None:
            return None
        if not isinstance(name, str):
            raise ValueError(f"columns[{role!r}] must be one column, got {list(name)}")
        if name not in row:
            raise BadRow(f"the column {name!r} is missing; the row has {', '.join(map(repr, row)) or 'nothing'}")
        return row[name]

    def _prompt(self, row: Cells, folder: Path | None) -> list[Message] | None:
        if "prompt" not in self._columns:
            return None
        names = names_in(self._columns["prompt"])
        if len(names) == 1:
            told = cells.prompt_messages(self._cell_named(row, names[0]), repr(names[0]))
        else:
            parts = [self._cell_named(row, name) for name in names]
            wrong = next((name for name, part in zip(names, parts, strict=True) if not _text_or_none(part)), None)
            if wrong is not None:
                raise BadRow(f"{wrong!r} must be a text, got {row[wrong]!r:.60}")
            told = cells.prompt_messages("\n\n".join(part for part in parts if part), " + ".join(map(repr, names)))
        told = cells.read_images_in(told, folder)
        if "images" in self._columns:
            told = cells.with_images(told, self._cell(row, "images"), folder)
        return told

    def _cell_named(self, row: Cells, name: str) -> Any:
        if name not in row:
            raise BadRow(f"the column {name!r} is missing; the row has {', '.join(map(repr, row)) or 'nothing'}")
        return row[name]

    def _answers(self, row: Cells, folder: Path | None, found: Sequence[tuple[Any, str]]) -> list[Trajectory]:
        prompt = self._prompt(row, folder)
        told = [cells.read_images_in(cells.response_messages(value, where), folder) for value, where in found]
        if prompt is None and "images" in self._columns:
            told = [cells.with_images(one, self._cell(row, "images"), folder) for one in told]
        return cells.answers(prompt, told)

    def _who(self, row: Cells) -> str | None:
        who = self._cell(row, "annotator") if "annotator" in self._columns else None
        if who is None or (isinstance(who, float) and math.isnan(who)) or who == "":
            return None
        if isinstance(who, (str, int, float)):
            return str(who)
        raise BadRow(f"{self._columns['annotator']!r} must be a name or a number, got {who!r:.40}")

    def _about(self, row: Cells, line: int) -> dict[str, Any]:
        """Whatever else stands in the row: plain values, those beside a response in its object too, and the line."""
        about: dict[str, Any] = {"line": line}
        for name, value in row.items():
            if name not in self.layout.used:
                if isinstance(value, _PLAIN):
                    about[name] = value
            elif isinstance(value, Mapping):
                about.update(
                    {
                        f"{name}.{key}": one
                        for key, one in value.items()
                        if key not in cells.TEXT_KEYS and _is_short(one)
                    }
                )
        return about

    def _common(self, problems: Problems) -> dict[str, Any]:
        return {
            "items": self.items.found,
            "annotators": None if all(who is None for who in self.annotators) else self.annotators,
            "metadata": self.metadata,
            "problems": problems,
            "layout": str(self.layout),
        }


def list_of(value: Any, where: str, count: int, of: str = "responses or steps") -> list[Any]:
    """A list with an entry for each response, step or label.

    Raises:
        BadRow: it is none, or of another length.
    """
    if not isinstance(value, (list, tuple)) or len(value) != count:
        raise BadRow(f"{where} must be a list with an entry for each of the {count} {of}, got {value!r:.60}")
    return list(value)


def _text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_short(value: Any) -> bool:
    return isinstance(value, _PLAIN) and not (isinstance(value, str) and len(value) > 80)
