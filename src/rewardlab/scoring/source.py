"""Where the trajectories of a run come from: something that is read once, or as often as asked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewardlab.scoring.batches import Batch, adjacent_groups, count_groups, gathered_groups, plain_batches
from rewardlab.storage import Problems, TrajectoryReader, read_trajectories
from rewardlab.storage.lines import files_at


@dataclass
class Source:
    """Trajectories that are read once or, where possible, as often as asked."""

    given: Any
    format: str
    reference: str | None
    problems: Problems

    def __post_init__(self) -> None:
        self.reader: TrajectoryReader | None = None
        self.opened = False
        if isinstance(self.given, TrajectoryReader):
            self.paths, self.again = list(self.given.sources), False
        else:
            self.paths = files_at(Path(self.given)) if isinstance(self.given, (str, os.PathLike)) else []
            self.again = bool(self.paths) or isinstance(self.given, Sequence)
        self.name = os.fspath(self.given) if isinstance(self.given, (str, os.PathLike)) else "trajectories"

    def open(self) -> TrajectoryReader:
        """The trajectories; what cannot be read is counted the first time only."""
        if self.opened and not self.again:
            raise ValueError(
                "this source can be read only once; give a file or a list to score its failed samples again"
            )
        if isinstance(self.given, TrajectoryReader):
            self.problems = self.given.problems
            self.reader = self.given
        else:
            self.reader = self._read(Problems() if self.opened else self.problems)
        self.opened = True
        return self.reader

    def first_pass(self) -> TrajectoryReader:
        """The same trajectories, before they are read for good."""
        return self._read(Problems())

    def fraction(self) -> float | None:
        """The share that has been read."""
        return None if self.reader is None else self.reader.fraction

    def _read(self, problems: Problems) -> TrajectoryReader:
        return read_trajectories(self.given, format=self.format, reference=self.reference, problems=problems)


def batches_for(source: Source, whole_groups: bool, size: int, window: int) -> Iterator[Batch]:
    """The source in batches, cut in the same places every time.

    Args:
        source: where the trajectories come from.
        whole_groups: whether no group may be cut.
        size: how many trajectories a batch has, or at least has where groups are kept whole.
        window: how many trajectories may wait for the rest of their group.

    Raises:
        ScatteredGroups: the members of a group are too far apart.
    """
    if not whole_groups:
        return plain_batches(enumerate(source.open()), size)
    if not source.again:
        return adjacent_groups(source.open(), size)
    sizes = count_groups(source.first_pass(), window)
    return gathered_groups(source.open(), size, sizes)
