"""Writing trajectories: one at a time as they come, or a whole sequence at once.

JSON Lines grows in place, so that a reader can follow and a crash costs at most the line in flight; `append=True` mends such
a torn line before it goes on. `write_trajectories` and all Parquet files appear under their name only when complete.
"""

from __future__ import annotations

import gzip
import json
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from rewardlab.storage.encoding import Unwritable, to_json
from rewardlab.storage.lines import SUFFIXES
from rewardlab.storage.parquet import ParquetTrajectories
from rewardlab.storage.records import to_record
from rewardlab.types import Trajectory


class TrajectoryWriter:
    """Writes trajectories one by one; a context manager.

    Args:
        path: where to; ends in `.jsonl`, `.jsonl.gz` or `.parquet`. Missing folders are made.
        append: go on at the end of a file that is there, instead of replacing it. Not for Parquet, which ends in a footer.

    Attributes:
        count: how many this writer has written.

    Raises:
        ValueError: the file name has another ending, or the file cannot be appended to.
    """

    def __init__(self, path: str | Path, *, append: bool = False) -> None:
        self.path = Path(path)
        self.count = 0
        self._stream: IO[bytes] | None = None
        self._raw: IO[bytes] | None = None
        self._parquet: ParquetTrajectories | None = None
        kind = kind_of(self.path)
        if self.path.is_dir():
            raise ValueError(f"{str(self.path)!r} is a folder; give the name of a file in it")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "parquet":
            if append:
                raise ValueError(
                    "a Parquet file cannot be appended to; write .jsonl, or a new file into the same folder"
                )
            self._parquet = ParquetTrajectories(self.path)
            return
        if append and self.path.exists():
            mend(self.path)
        self._raw = self.path.open("ab" if append else "wb")
        self._stream = self._raw
        if kind == "gzip":  # no time stamp, so that equal contents give equal files
            self._stream = gzip.GzipFile(filename="", fileobj=self._raw, mode="wb", mtime=0)  # type: ignore[assignment]

    def write(self, trajectory: Trajectory) -> None:
        """Write one trajectory.

        Raises:
            TypeError: it is no trajectory, or holds what a file cannot (bytes, say); the message names the place.
        """
        if not isinstance(trajectory, Trajectory):
            raise TypeError(f"expected a Trajectory, got a {type(trajectory).__name__} as number {self.count}")
        try:
            if self._parquet is not None:
                self._parquet.write(trajectory)
            elif self._stream is not None:
                self._stream.write(to_json(to_record(trajectory)).encode("utf-8") + b"\n")
            else:
                raise ValueError(f"the writer of {str(self.path)!r} is closed")
        except Unwritable as error:
            raise Unwritable(f"trajectory {self.count} cannot be written to {str(self.path)!r}: {error}") from None
        self.count += 1

    def write_many(self, trajectories: Iterable[Trajectory]) -> None:
        """Write every trajectory of an iterable."""
        for trajectory in trajectories:
            self.write(trajectory)

    def flush(self) -> None:
        """Hand everything written so far to the operating system, so that a killed program loses none of it (for Parquet it
        only ends a row group: the file is there when closed)."""
        if self._parquet is not None:
            self._parquet.flush()
        if self._stream is not None and self._raw is not None:
            self._stream.flush()
            self._raw.flush()

    def close(self) -> None:
        """Finish the file; a second call does nothing."""
        if self._parquet is not None:
            self._parquet.close()
            self._parquet = None
        if self._stream is not None and self._raw is not None:
            self._stream.close()
            self._raw.close()
            self._stream = None

    def __enter__(self) -> TrajectoryWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None and self._parquet is not None:
            self._parquet.close(keep=False)
            self._parquet = None
        self.close()


def write_trajectories(path: str | Path, trajectories: Iterable[Trajectory] | Trajectory) -> int:
    """Write trajectories to a file that appears only when it is complete.

    Args:
        path: where to; the ending says how: `.jsonl`, `.jsonl.gz` or `.parquet`. A file of that name is replaced.
        trajectories: any iterable, which is consumed one by one; a million of them need no more memory than one.

    Returns:
        How many were written.

    Raises:
        TypeError: one of them cannot be written; nothing is left behind then, and a file that was there stays.
    """
    target = Path(path)
    kind_of(target)
    if isinstance(trajectories, Trajectory):
        trajectories = [trajectories]
    unfinished = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        with TrajectoryWriter(unfinished) as writer:
            writer.write_many(trajectories)
        if target.is_dir():
            raise ValueError(f"{str(target)!r} is a folder; give the name of a file in it")
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
    return writer.count


def kind_of(path: Path) -> str:
    """ "lines", "gzip" or "parquet", by the ending of a file name.

    Raises:
        ValueError: it has another ending.
    """
    name = path.name.lower()
    if name.endswith(".parquet"):
        return "parquet"
    if name.endswith(SUFFIXES):
        return "gzip" if name.endswith(".gz") else "lines"
    raise ValueError(
        f"cannot tell the format of {str(path)!r}: expected a name that ends in .jsonl, .jsonl.gz or .parquet"
    )


def mend(path: Path) -> int:
    """Take a torn last line off a JSON Lines file, so that it can be appended to.

    Returns:
        How many bytes were taken off; a warning says so.

    Raises:
        ValueError: the file is compressed and its end is damaged, or it is a Parquet file.
    """
    with path.open("rb") as stream:
        magic = stream.read(4)
    if magic == b"PAR1":
        raise ValueError(f"{str(path)!r} is a Parquet file, which cannot be appended to")
    if magic[:2] == b"\x1f\x8b":
        _check_gzip(path)
        return 0
    lost = drop_torn_line(path)
    if lost:
        warnings.warn(f"the last line of {str(path)!r} was torn; its {lost} bytes were taken off", stacklevel=3)
    return lost


def drop_torn_line(path: Path) -> int:
    """Take off what follows the last line break, unless it is a whole JSON object, which only gets its line break.

    Returns:
        How many bytes were taken off.
    """
    size = path.stat().st_size
    with path.open("r+b") as stream:
        tail = _last_line(stream, size)
        if not tail or tail.endswith(b"\n"):
            return 0
        if _is_object(tail):
            stream.seek(size)
            stream.write(b"\n")
            return 0
        stream.truncate(size - len(tail))
    return len(tail)


def _last_line(stream: IO[bytes], size: int) -> bytes:
    """What follows the last line break but one; the whole file where there is none."""
    tail = b""
    position = size
    while position > 0:
        step = min(1 << 16, position)
        position -= step
        stream.seek(position)
        tail = stream.read(step) + tail
        start = tail.rfind(b"\n", 0, len(tail) - 1)
        if start >= 0:
            return tail[start + 1 :]
    return tail


def _is_object(raw: bytes) -> bool:
    try:
        value: Any = json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)


def _check_gzip(path: Path) -> None:
    """Read a compressed file to its end: what is appended after a damaged end could never be read."""
    last = b"\n"
    try:
        with gzip.open(path, "rb") as stream:
            while block := stream.read(1 << 20):
                last = block[-1:]
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        raise ValueError(
            f"the end of {str(path)!r} is damaged ({error}), so nothing can be appended; save what is readable with "
            "write_trajectories(new, read_trajectories(old))"
        ) from None
    if last != b"\n":
        raise ValueError(
            f"the last line of {str(path)!r} is torn, so nothing can be appended; write a new file instead"
        )
