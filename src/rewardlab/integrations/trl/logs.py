"""The parts of a reward in TRL's log: metrics like those of a reward function of its own, and columns per completion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rewardlab.types import Scores, Status

TABLE_COLUMNS = ("step", "prompt", "completion", "advantage", "images")
"""What TRL's table of completions holds already."""


class PartLog:
    """Writes parts through TRL's `log_metric` and `log_extra`.

    TRL's table needs columns of equal length, so a column that was there once is written ever after, and one that comes late
    is filled up with None for the rows before.

    Args:
        total_name: the name of the total, which TRL logs by itself.
        parts: whether parts are logged, or the names of those that are.
    """

    def __init__(self, total_name: str, parts: bool | Sequence[str]) -> None:
        self.total_name = total_name
        self.parts = parts
        self._columns: dict[str, None] = {}
        self._rows = 0

    def __call__(
        self,
        scores: Scores,
        log_metric: Callable[[str, float], None] | None,
        log_extra: Callable[[str, list[Any]], None] | None,
        trainer: Any,
    ) -> None:
        """Log one batch; does nothing where TRL gives no callbacks."""
        parts = self._named(scores, trainer)
        if log_metric is not None:
            counts = scores.counts()
            for outcome in ("failed", "abstained"):
                log_metric(f"rewards/{self.total_name}/{outcome}", counts[outcome] / max(len(scores), 1))
            for name, part in parts.items():
                values = part.values[part.scored]
                if values.size:
                    log_metric(f"rewards/{name}/mean", float(values.mean()))
                if values.size > 1:
                    log_metric(f"rewards/{name}/std", float(values.std(ddof=1)))
        if log_extra is not None:
            self._write_columns(scores, parts, log_extra, trainer)

    def _named(self, scores: Scores, trainer: Any) -> dict[str, Scores]:
        """The parts to log, under names that nothing else in the log has."""
        if self.parts is False:
            return {}
        taken = {*TABLE_COLUMNS, self.total_name, *getattr(trainer, "reward_func_names", ())}
        return {
            f"{self.total_name}.{name}" if name in taken else name: part
            for name, part in scores.flat_parts()
            if self.parts is True or name in self.parts
        }

    def _write_columns(
        self, scores: Scores, parts: dict[str, Scores], log_extra: Callable[[str, list[Any]], None], trainer: Any
    ) -> None:
        count = len(scores)
        columns: dict[str, list[Any]] = {
            name: [float(value) if np.isfinite(value) else None for value in part.values]
            for name, part in parts.items()
        }
        columns[f"{self.total_name}.status"] = [Status(status).name.lower() for status in scores.status]
        columns[f"{self.total_name}.note"] = [scores.note(index) for index in range(count)]
        for name in [*self._columns, *(name for name in columns if name not in self._columns)]:
            before = [] if name in self._columns else [None] * self._rows
            log_extra(name, [*before, *columns.get(name, [None] * count)])
            self._columns[name] = None
        # TRL keeps the last so many rows; nothing is gained by filling up more
        limit = getattr(getattr(trainer, "args", None), "generation_batch_size", None)
        self._rows = self._rows + count if limit is None else min(self._rows + count, int(limit))
