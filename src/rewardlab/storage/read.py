"""Reading trajectories, from rewardlab's own files and from what other tools leave on disk.

Every file is recognised by its first rows. Reading streams: memory stays constant whatever the size of the file. A row that
cannot be read is set aside with its line and reason, and the rest is read; who does not look at the problems gets a warning.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rewardlab.registry import nearest
from rewardlab.storage import lines, nemo_gym, openai_chat, parquet, prompt_completion, records, verl
from rewardlab.storage.problems import BadRow, Problems
from rewardlab.types import Trajectory

PEEKED = 20
"""How many rows may be looked at before a file's format must be clear."""


class Format(NamedTuple):
    """One layout of rows: how to recognise it, how to read it, and what it looks like."""

    recognises: Callable[[Mapping[str, Any]], bool]
    trajectories: Callable[[Mapping[str, Any], str, int], Iterator[Trajectory]]
    layout: str


def _own(row: Mapping[str, Any], source: str, line: int) -> Iterator[Trajectory]:
    yield records.from_record(row)


def _is_own(row: Mapping[str, Any]) -> bool:
    return str(row.get("schema")).startswith("rewardlab.trajectory/")


FORMATS: dict[str, Format] = {
    "rewardlab": Format(_is_own, _own, '{"schema": "rewardlab.trajectory/1", ...}, as write_trajectories leaves it'),
    "nemo_gym": Format(nemo_gym.recognises, nemo_gym.trajectories, nemo_gym.LAYOUT),
    "openai": Format(openai_chat.recognises, openai_chat.trajectories, openai_chat.LAYOUT),
    "trl": Format(prompt_completion.recognises, prompt_completion.trajectories, prompt_completion.LAYOUT),
    "verl": Format(verl.recognises, verl.trajectories, verl.LAYOUT),
    "pairs": Format(prompt_completion.recognises_pair, prompt_completion.pairs, prompt_completion.PAIR_LAYOUT),
}
"""Every layout that is read, in the order in which a row is tried against them."""


class UnknownFormat(ValueError):
    """A file whose rows fit no layout; the message says what they look like, and what is known."""


_Row = tuple[int, Any, bool]
"""A row's number; the parsed row, a finished trajectory, or the reason why there is neither; whether it may hold tags."""


class TrajectoryReader(Iterator[Trajectory]):
    """An iterator over trajectories that knows what was set aside and how far it is. Made by `read_trajectories`.

    Attributes:
        problems: what was set aside so far.
        format: the layout of the rows last read ("rewardlab", "openai", ...); None before the first.
        sources: the files, in the order in which they are read; empty for an iterable.
    """

    def __init__(
        self,
        source: Any,
        *,
        format: str,
        on_problem: str,
        problems: Problems | None,
        reference: str | None,
        batch_size: int,
    ) -> None:
        self._asked = format
        self._raises = on_problem == "raise"
        self._reports = problems is None and not self._raises
        self._reference = reference
        self._batch_size = batch_size
        self._done_bytes = 0
        self._position: Callable[[], float] = lambda: 0.0
        self.problems = Problems() if problems is None else problems
        self.format: str | None = None
        self.sources: list[Path] = []
        self._inner: Iterator[Trajectory]
        if isinstance(source, (str, os.PathLike)):
            self.sources = lines.files_at(Path(source))
            self._inner = self._of_files()
        elif isinstance(source, Mapping) or not isinstance(source, Iterable):
            raise TypeError(
                f"expected a path, a folder, or an iterable of trajectories or rows, got a {type(source).__name__}"
            )
        else:
            self._inner = self._of_iterable(source)
        self._total_bytes = sum(path.stat().st_size for path in self.sources)
        if self.sources:  # so that a wrong file is an error here, and not where the first trajectory is asked for
            self._inner = chain(list(islice(self._inner, 1)), self._inner)

    def __next__(self) -> Trajectory:
        return next(self._inner)

    def batches(self, size: int) -> Iterator[list[Trajectory]]:
        """The trajectories in lists of `size`; the last one may be shorter."""
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        while batch := list(islice(self, size)):
            yield batch

    @property
    def fraction(self) -> float | None:
        """The share of the files that has been read, in [0, 1]; None for an iterable, whose length nobody knows."""
        if not self.sources or not self._total_bytes:
            return None
        return min(1.0, (self._done_bytes + self._position()) / self._total_bytes)

    # ---- where the rows come from -----------------------------------------------------------------------------------

    def _of_files(self) -> Iterator[Trajectory]:
        for path in self.sources:
            before = self.problems.count
            read = 0
            for trajectory in self._of_file(path):
                read += 1
                yield trajectory
            if not read and self.problems.count == before:
                self._set_aside(str(path), 0, "the file holds no rows")
            self._done_bytes += path.stat().st_size
            self._position = lambda: 0.0
        if self._reports:
            self.problems.warn()

    def _of_file(self, path: Path) -> Iterator[Trajectory]:
        if lines.is_parquet(path):
            yield from self._of_parquet(path)
            return
        stream, raw = lines.open_lines(path)
        with raw, stream:
            self._position = raw.tell
            yield from self._of_rows(str(path), lines.parsed_lines(stream))

    def _of_parquet(self, path: Path) -> Iterator[Trajectory]:
        try:
            own = self._asked in ("auto", "rewardlab") and parquet.is_own(path)
            total = max(1, parquet.row_count(path))
        except BadRow as error:
            if len(self.sources) == 1:
                raise UnknownFormat(str(error)) from None
            self._set_aside(str(path), 0, str(error))
            return
        size = path.stat().st_size
        found = parquet.own_rows(path, self._batch_size) if own else parquet.foreign_rows(path, self._batch_size)
        rows = self._counted(found, size / total)
        if not own:
            yield from self._of_rows(str(path), rows)
            return
        self.format = "rewardlab"
        for number, value, _ in rows:
            if isinstance(value, BadRow):
                self._set_aside(str(path), number, str(value))
            else:
                yield value

    def _counted(self, values: Iterable[Any], bytes_each: float) -> Iterator[_Row]:
        number = 0
        self._position = lambda: number * bytes_each
        for number, value in enumerate(values, start=1):  # the position above reads it
            yield number, value, True

    def _of_iterable(self, source: Iterable[Any]) -> Iterator[Trajectory]:
        yield from self._of_rows("iterable", ((number, value, True) for number, value in enumerate(source, start=1)))
        if self._reports:
            self.problems.warn()

    # ---- from rows to trajectories ----------------------------------------------------------------------------------

    def _of_rows(self, source: str, rows: Iterator[_Row]) -> Iterator[Trajectory]:
        peeked: list[_Row] = []
        if self._asked == "auto":
            layout, peeked = self._recognise(source, rows)
            if layout is None:
                return
        else:
            layout = self._asked
        self.format = layout
        read, own, reference = FORMATS[layout].trajectories, layout == "rewardlab", self._reference
        for number, value, tagged in chain(peeked, rows):
            try:
                if own and type(value) is dict:
                    found = [records.from_record(value, tagged=tagged)]
                elif isinstance(value, Trajectory):
                    found = [value]
                elif isinstance(value, BadRow):
                    raise value
                elif isinstance(value, Mapping):
                    found = list(read(value, source, number))
                else:
                    raise BadRow(f"expected a JSON object, got {value!r:.60}")
            except (ValueError, TypeError, OverflowError, RecursionError) as error:
                self._set_aside(source, number, str(error) or type(error).__name__)
                continue
            for trajectory in found:
                if reference is not None and trajectory.task is not None and not own:
                    trajectory.task.reference = _dig(value, reference)
                yield trajectory

    def _recognise(self, source: str, rows: Iterator[_Row]) -> tuple[str | None, list[_Row]]:
        """The layout of the first row that has a known one, and the rows looked at so far."""
        peeked: list[_Row] = []
        for row in islice(rows, PEEKED):
            peeked.append(row)
            if isinstance(row[1], Trajectory):
                return "rewardlab", peeked
            if isinstance(row[1], Mapping):
                for name, layout in FORMATS.items():
                    if layout.recognises(row[1]):
                        return name, peeked
        if not peeked:
            return None, []
        message = _unknown(source, peeked)
        if len(self.sources) <= 1:
            raise UnknownFormat(message)
        self._set_aside(source, 0, message)
        return None, []

    def _set_aside(self, source: str, line: int, reason: str) -> None:
        self.problems.add(source, line, reason)
        if self._raises:
            raise BadRow(str(self.problems.kept[-1] if self.problems.kept else reason))


def read_trajectories(
    source: str | os.PathLike[str] | Iterable[Any],
    *,
    format: str = "auto",
    on_problem: Literal["collect", "raise"] = "collect",
    problems: Problems | None = None,
    reference: str | None = None,
    batch_size: int = 256,
) -> TrajectoryReader:
    """Read trajectories one by one; `list(read_trajectories(path))` for all at once.

    Args:
        source: a file (JSON Lines, plain or gzip, or Parquet), a folder of such files, or an iterable of trajectories or of
            rows already parsed.
        format: the layout of the rows: "rewardlab", "openai", "trl", "verl", "nemo_gym", "pairs", or "auto" to recognise it.
        on_problem: "collect" sets a bad row aside and goes on; "raise" stops there.
        problems: where to collect them; without it they are on the reader, and a warning reports them at the end.
        reference: where in a row of another tool the ground truth stands, as dotted keys ("extra.answer"), when it is not
            where that format keeps it.
        batch_size: rows of a Parquet file that are decoded at once.

    Returns:
        An iterator of trajectories, with `.problems`, `.format`, `.fraction` and `.batches(size)`.

    Raises:
        FileNotFoundError: there is no such file; the nearest path that exists is named.
        UnknownFormat: none of the first rows fits a known layout; the message says what they look like.
        BadRow: `on_problem` is "raise" and a row could not be read.
    """
    if format != "auto" and format not in FORMATS:
        raise ValueError(f"unknown format {format!r}{nearest(str(format), {**FORMATS, 'auto': None})}")
    if on_problem not in ("collect", "raise"):
        raise ValueError(f'on_problem must be "collect" or "raise", got {on_problem!r}')
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    return TrajectoryReader(
        source, format=format, on_problem=on_problem, problems=problems, reference=reference, batch_size=batch_size
    )


def _dig(row: Mapping[str, Any], dotted: str) -> Any:
    value: Any = row
    for key in dotted.split("."):
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def _unknown(source: str, peeked: list[_Row]) -> str:
    known = "\n".join(f"  {name}: {layout.layout}" for name, layout in FORMATS.items())
    number, first, _ = peeked[0]
    objects = [value for _, value, _ in peeked if isinstance(value, Mapping)]
    seen = []
    if isinstance(first, BadRow):
        seen.append(f"line {number} is {first}")
    elif isinstance(first, list):
        seen.append("it is one JSON list, expected one object per line (jq -c '.[]' turns one into the other)")
    elif not isinstance(first, Mapping):
        seen.append(f"line {number} is {first!r:.60}")
    if objects:
        seen.append(f"the first object has the keys {', '.join(map(repr, list(objects[0])[:20])) or '(none)'}")
    return f"the format of {source} is not known: {'; '.join(seen)}; known are\n{known}"
