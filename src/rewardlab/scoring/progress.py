"""The progress bar of a scoring run: on a terminal only, on standard error, so that the output of a script stays clean."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from rewardlab.scoring.summary import Accumulator


class Progress:
    """A context manager that shows how far a run is, the mean so far and how many samples failed.

    Args:
        shown: whether it shows anything at all.
        label: the name of the reward.
        fraction: tells the share of the source that has been read, or None where nobody knows.
    """

    def __init__(self, shown: bool, label: str, fraction: Callable[[], float | None]) -> None:
        self._fraction = fraction
        self._count = 0
        self._bar: Any = None
        if not shown:
            return
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        console = Console(stderr=True)
        if console.is_terminal:
            text = TextColumn("{task.description}", markup=False)
            found = TextColumn("{task.fields[found]}", markup=False)
            self._bar = Bar(text, BarColumn(), found, TimeElapsedColumn(), TimeRemainingColumn(), console=console)
            self._task = self._bar.add_task(label, total=None, found="")

    def update(self, count: int, so_far: Accumulator) -> None:
        """Show that `count` more rows are done."""
        self._count += count
        if self._bar is not None:
            found = f"{self._count} done, mean {so_far.mean:.3f}, {so_far.failed} failed"
            share = self._fraction()
            if share is None:
                self._bar.update(self._task, completed=self._count, found=found)
            else:
                self._bar.update(self._task, completed=share, total=1.0, found=found)

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
