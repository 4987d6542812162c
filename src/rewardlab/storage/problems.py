"""Rows that could not be read: set aside with their place and reason, counted and reported, never silently dropped."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

KEPT = 1000
"""How many problems are kept in full; beyond that they are only counted, so that a broken file cannot fill the memory."""


class BadRow(ValueError):
    """One row that cannot become a trajectory; the message says why."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """One row that was set aside.

    Args:
        source: the file it stands in, or "iterable".
        line: its line number, counted from 1 (for Parquet the row number, counted from 1); 0 for the file as a whole.
        reason: why it could not be read.
    """

    source: str
    line: int
    reason: str

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line else self.source
        return f"{place}: {self.reason}"


class TooManyProblems(ValueError):
    """More rows were set aside than the caller allows."""


@dataclass(slots=True)
class Problems:
    """What was set aside while reading.

    Args:
        kept: the first thousand problems, in order.
        count: how many there were in all.
    """

    kept: list[BadLine] = field(default_factory=list)
    count: int = 0

    def add(self, source: str, line: int, reason: str) -> None:
        """Set one row aside."""
        self.count += 1
        if len(self.kept) < KEPT:
            self.kept.append(BadLine(source, line, reason))

    def __len__(self) -> int:
        return self.count

    def __bool__(self) -> bool:
        return self.count > 0

    def __iter__(self) -> Iterator[BadLine]:
        return iter(self.kept)

    @property
    def first(self) -> list[BadLine]:
        """The first few problems, for a message."""
        return self.kept[:5]

    def raise_if(self, *, more_than: int = 0) -> None:
        """Raise where more rows than allowed were set aside.

        Raises:
            TooManyProblems: `count` is above `more_than`; the message lists the first few.
        """
        if self.count > more_than:
            raise TooManyProblems(f"{self} (allowed: {more_than})")

    def warn(self) -> None:
        """Report what was set aside as a Python warning; silent where there was nothing."""
        if self.count:
            warnings.warn(str(self), stacklevel=3)

    def __str__(self) -> str:
        if not self.count:
            return "no row was set aside"
        shown = "; ".join(str(problem) for problem in self.first)
        rest = f"; and {self.count - len(self.first)} more" if self.count > len(self.first) else ""
        return f"{self.count} {'row was' if self.count == 1 else 'rows were'} set aside: {shown}{rest}"
