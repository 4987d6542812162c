"""Files and their lines: where a path leads, what kind of file stands there, and its lines with their numbers.

A line that cannot be parsed comes out as a `BadRow` in its place, so that the reader goes on with the next one.
"""

from __future__ import annotations

import difflib
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rewardlab.storage.problems import BadRow

SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".parquet")
"""What is read from a folder, and what the name of a written file ends in: JSON Lines under either name, or Parquet."""


Line = tuple[int, Any, bool]
"""A line's number, counted from 1; the parsed JSON, or the `BadRow` that says why there is none; and whether a key in it
begins with "$", so that tagged values may stand in it."""

_scan = json.JSONDecoder().raw_decode


def files_at(path: Path) -> list[Path]:
    """The files that a path stands for: itself, or all trajectory files of a folder in natural order (2 before 10).

    Raises:
        FileNotFoundError: there is nothing there; the message names the nearest path that exists.
        ValueError: the folder holds no such file.
    """
    if path.is_file():
        return [path]
    if path.is_dir():
        found = [entry for entry in path.iterdir() if entry.is_file() and entry.name.endswith(SUFFIXES)]
        if not found:
            raise ValueError(f"the folder {str(path)!r} holds no file that ends in {', '.join(SUFFIXES)}")
        return sorted(found, key=natural_key)
    raise FileNotFoundError(missing_message(path))


def missing_message(path: Path) -> str:
    """What to say where a path leads nowhere: the nearest folder that exists, and what in it has a similar name."""
    wanted = path
    parent = path.absolute().parent
    while not parent.exists():
        wanted, parent = parent, parent.parent
    message = f"there is no file {str(path)!r}; the nearest folder that exists is {str(parent)!r}"
    if parent.is_dir():
        close = difflib.get_close_matches(wanted.name, [entry.name for entry in parent.iterdir()], n=1, cutoff=0.5)
        if close:
            message += f", which holds {close[0]!r}: did you mean {str(parent / close[0])!r}?"
    return message


def natural_key(path: Path) -> list[tuple[int, Any]]:
    """Sorting key that takes the numbers in a name as numbers."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", path.name) if part]


def is_parquet(path: Path) -> bool:
    """Whether a file begins as Parquet files do."""
    with path.open("rb") as stream:
        return stream.read(4) == b"PAR1"


def open_lines(path: Path) -> tuple[IO[bytes], IO[bytes]]:
    """Open a text file for reading, through gzip where its first bytes say so.

    Returns:
        The stream of lines, and the raw stream, whose position over its size is the share that has been read.
    """
    raw = path.open("rb")
    magic = raw.read(2)
    raw.seek(0)
    if magic == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=raw), raw  # type: ignore[return-value]  # it reads lines of bytes like any stream
    return raw, raw


def parsed_lines(stream: IO[bytes]) -> Iterator[Line]:
    """Every line that is not blank, parsed; a torn or unreadable one with the reason in its place."""
    number = 0
    lines = iter(stream)
    while True:
        try:
            raw = next(lines, None)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            reason = f"the gzip stream is damaged or was cut off here ({error}); the rest of the file cannot be read"
            yield number + 1, BadRow(reason), False
            return
        if raw is None:
            return
        number += 1
        if number == 1 and raw.startswith(b"\xef\xbb\xbf"):
            raw = raw[3:]
        if raw.isspace() or not raw:
            continue
        yield number, parse_line(raw), b'"$' in raw


def parse_line(raw: bytes) -> Any:
    """The JSON value of one line, or the `BadRow` that says why there is none."""
    try:
        text = raw.decode("utf-8").strip(" \t\n\r")
        value, end = _scan(text)
        if end == len(text):
            return value
        raise json.JSONDecodeError("more text after the end of the value", text, end)
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        return _reason(raw, error)


def _reason(raw: bytes, error: Exception) -> BadRow:
    torn = "" if raw.endswith(b"\n") else "; the line has no end, so the program that wrote it was probably killed"
    if isinstance(error, UnicodeDecodeError):
        return BadRow(f"not UTF-8: byte 0x{raw[error.start]:02x} at position {error.start} of the line{torn}")
    if isinstance(error, json.JSONDecodeError):
        return BadRow(f"not JSON: {error.msg} at column {error.colno}: {error.doc[:60]!r}{torn}")
    if isinstance(error, RecursionError):
        return BadRow("not readable: nested too deeply")
    return BadRow(f"not readable: {error}")  # an integer of more than 4,300 digits
