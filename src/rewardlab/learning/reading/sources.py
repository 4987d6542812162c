"""Where rows of judgements come from: files, folders, data sets of Hugging Face, or rows already parsed.

Every row comes with the name of its source and its line number, so that what is wrong with it can be found again.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rewardlab.extras import require
from rewardlab.storage import lines, parquet
from rewardlab.storage.problems import BadRow

BATCH = 256
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_FILE_SUFFIXES = (*lines.SUFFIXES, ".json", ".json.gz", ".csv", ".txt")


class SourceRow(NamedTuple):
    """One row: where it stands, its cells or why there are none, and the folder that its paths are relative to."""

    source: str
    line: int
    cells: Any
    folder: Path | None


def rows_of_source(source: Any, *, split: str | None, name: str | None) -> Iterator[SourceRow]:
    """Every row of a source, one after the other.

    Args:
        source: a path, a name on the Hugging Face hub, a `datasets` object, or an iterable of mappings.
        split: of a data set.
        name: of a data set's configuration.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the data set has several splits and none was chosen.
        TypeError: nothing of all this.
    """
    if isinstance(source, (str, os.PathLike)):
        if isinstance(source, str) and is_hub_name(source):
            return _hub_rows(source, split, name)
        _no_parts(split, name, f"{os.fspath(source)!r} is a path")
        return _file_rows(Path(source))
    if isinstance(source, Mapping) and source and all(hasattr(part, "features") for part in source.values()):
        return _dataset_rows(_one_split(source, split), "data set")
    if hasattr(source, "features") and hasattr(source, "__iter__"):
        return _dataset_rows(source, "data set")
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise TypeError(
            "expected a path, a name on the Hugging Face hub, a datasets.Dataset or an iterable of rows, got a "
            f"{type(source).__name__}"
        )
    _no_parts(split, name, "the rows come from memory")
    return (SourceRow("iterable", number, row, None) for number, row in enumerate(source, start=1))


def is_hub_name(text: str) -> bool:
    """Whether a text is `owner/name` of the hub, and not a path: nothing of that name is here, nor a folder `owner`."""
    if not _HUB_NAME.fullmatch(text) or text.endswith(_FILE_SUFFIXES) or text.startswith("."):
        return False
    path = Path(text)
    return not path.exists() and not path.parent.is_dir()


def _file_rows(path: Path) -> Iterator[SourceRow]:
    for file in [path] if path.is_file() else lines.files_at(path):
        for number, cells in _rows_of_file(file):
            yield SourceRow(str(file), number, cells, file.parent)


def _rows_of_file(path: Path) -> Iterator[tuple[int, Any]]:
    if lines.is_parquet(path):
        yield from enumerate(parquet.foreign_rows(path, BATCH), start=1)
    elif path.name.endswith((".json", ".json.gz")):
        yield from _rows_of_list(path)
    else:
        stream, raw = lines.open_lines(path)
        with raw, stream:
            for number, value, _ in lines.parsed_lines(stream):
                yield number, value


def _rows_of_list(path: Path) -> Iterator[tuple[int, Any]]:
    """A file that is one JSON list, or (under the wrong name) one object in each line."""
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    try:
        whole = json.loads(content)
    except ValueError:
        whole = None
    if isinstance(whole, list):
        yield from enumerate(whole, start=1)
        return
    for number, raw in enumerate(content.splitlines(keepends=True), start=1):
        if raw.strip():
            yield number, lines.parse_line(raw)


def _hub_rows(source: str, split: str | None, name: str | None) -> Iterator[SourceRow]:
    datasets = require("datasets", extra="datasets", why=f"Reading {source!r} from the Hugging Face hub")
    try:
        found = datasets.load_dataset(source, name, split=split)
    except (OSError, RuntimeError) as error:
        raise FileNotFoundError(
            f"there is no file {source!r}, and no data set of that name could be had from the Hugging Face hub "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'})"
        ) from error
    if isinstance(found, Mapping):
        found = _one_split(found, None)
    return _dataset_rows(found, source)


def _no_parts(split: str | None, name: str | None, why: str) -> None:
    """Refuse to pass over `split` and `name` where they mean nothing."""
    for option, value in (("split", split), ("name", name)):
        if value is not None:
            raise ValueError(f"{option}={value!r} chooses a part of a data set, but {why}; leave {option} out")


def _one_split(parts: Mapping[str, Any], split: str | None) -> Any:
    if split is not None and split in parts:
        return parts[split]
    if split is None and len(parts) == 1:
        return next(iter(parts.values()))
    wanted = "none was chosen" if split is None else f"there is no {split!r}"
    raise ValueError(f"the data set has the splits {', '.join(map(repr, parts))}, and {wanted}; give split=")


def _dataset_rows(dataset: Any, source: str) -> Iterator[SourceRow]:
    for number, row in enumerate(dataset, start=1):
        yield SourceRow(source, number, dict(row) if isinstance(row, Mapping) else BadRow(f"got {row!r:.60}"), None)
