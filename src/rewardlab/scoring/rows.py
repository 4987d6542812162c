"""One row for each scored trajectory: how `Scores` become rows of a file, and how a file of rows is read back as `Scores`.

JSON Lines hold the parts as an object; Parquet has two columns for each, `part.<name>.value` and `part.<name>.status`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rewardlab.storage.encoding import decode, encode, to_json
from rewardlab.storage.lines import is_parquet, missing_message, open_lines, parsed_lines
from rewardlab.storage.parquet import foreign_rows, pyarrow
from rewardlab.storage.problems import BadRow
from rewardlab.types import Scores, Status, Trajectory

SCHEMA = "rewardlab.scores/1"
NAMES = tuple(status.name.lower() for status in Status)
_NUMBERS = {name: Status(number) for number, name in enumerate(NAMES)}
_PARQUET_ROWS = 10_000

Row = dict[str, Any]
"""The score of one trajectory as plain values."""


def rows_of(
    scores: Scores,
    indices: Sequence[int],
    trajectories: Sequence[Trajectory],
    labels: Sequence[str | None] | None = None,
) -> list[Row]:
    """The rows of one scored batch.

    Args:
        scores: of the N trajectories.
        indices: the position of each trajectory in the source, counted from 0.
        trajectories: the N trajectories, for their task and group.
        labels: what each is counted under, or None.
    """
    values, status = _column(scores)
    confidence = None if scores.confidence is None else _numbers(scores.confidence)
    parts = [(name, part, *_column(part)) for name, part in scores.flat_parts()]
    rows = []
    for place, (index, trajectory) in enumerate(zip(indices, trajectories, strict=True)):
        row: Row = {
            "index": index,
            "id": None if trajectory.task is None else trajectory.task.id,
            "group": trajectory.group,
            "value": values[place],
            "status": status[place],
            "note": scores.note(place),
            "confidence": None if confidence is None else confidence[place],
            "parts": {},
        }
        for name, part, part_values, part_status in parts:
            entry: Row = {"value": part_values[place], "status": part_status[place]}
            if part.notes is not None and part.notes[place] is not None:
                entry["note"] = part.notes[place]
            row["parts"][name] = entry
        if scores.steps is not None and (steps := scores.steps[place]) is not None:
            row["steps"] = _numbers(np.asarray(steps, dtype=np.float64))
        if labels is not None:
            row["by"] = labels[place]
        row["reward_hash"] = scores.reward_hash
        rows.append(row)
    return rows


def line_of(row: Row) -> bytes:
    """A row as one line of strict JSON."""
    return to_json(encode(row)).encode("utf-8") + b"\n"


def read_rows(path: str | Path) -> Iterator[Row]:
    """Every row of a file of scores, JSON Lines or Parquet.

    Raises:
        FileNotFoundError: there is no such file.
        BadRow: it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(missing_message(path))
    if is_parquet(path):
        yield from map(_from_parquet, foreign_rows(path, 1024))
        return
    stream, raw = open_lines(path)
    with raw, stream:
        for number, value, tagged in parsed_lines(stream):
            if isinstance(value, BadRow):
                raise BadRow(f"{path}:{number}: {value}")
            row = decode(value) if tagged else value
            if (
                not isinstance(row, dict)
                or not {"index", "value", "status"} <= row.keys()
                or row["status"] not in _NUMBERS
            ):
                raise BadRow(f"{path}:{number} is no row of scores: {value!r:.80}")
            yield row


def read_scores(path: str | Path) -> Scores:
    """A file of scores as one `Scores` object, in the order of the source.

    Raises:
        FileNotFoundError: there is no such file.
        BadRow: it holds something else.
    """
    return scores_from_rows(sorted(read_rows(path), key=lambda row: row["index"]))


def scores_from_rows(rows: Sequence[Row]) -> Scores:
    """Undo `rows_of`, with the parts nested again by their dotted names."""
    names = list(dict.fromkeys(name for row in rows for name in row["parts"]))
    hashes = {row.get("reward_hash") for row in rows}
    steps = [row.get("steps") for row in rows]
    confidence = [row.get("confidence") for row in rows]
    return Scores(
        **_columns([(row["value"], row["status"], row.get("note")) for row in rows]),
        parts=_nest({name: _part([row["parts"].get(name) for row in rows]) for name in names}),
        steps=None
        if all(step is None for step in steps)
        else [None if step is None else _array(step) for step in steps],
        confidence=None if all(entry is None for entry in confidence) else _array(confidence),
        reward_hash=hashes.pop() if len(hashes) == 1 else None,
    )


def write_parquet(rows: Iterator[Row], path: Path, names: Sequence[str]) -> None:
    """Write rows to a Parquet file that appears when it is complete.

    Args:
        rows: consumed one by one.
        path: where to.
        names: the dotted names of all parts that occur in any row; each becomes two columns.
    """
    arrow = pyarrow()
    floats, text = arrow.float64(), arrow.string()
    columns: list[tuple[str, Any]] = [("index", arrow.int64()), ("id", text), ("group", text), ("value", floats)]
    columns += [("status", text), ("note", text), ("confidence", floats), ("steps", arrow.list_(floats)), ("by", text)]
    for name in names:
        columns += [(f"part.{name}.value", floats), (f"part.{name}.status", text), (f"part.{name}.note", text)]
    columns.append(("reward_hash", text))
    schema = arrow.schema(columns, metadata={b"rewardlab.schema": SCHEMA.encode()})
    unfinished = path.with_name(f"{path.name}.part")
    with pyarrow("pyarrow.parquet").ParquetWriter(unfinished, schema, compression="zstd") as writer:
        held: list[Row] = []
        for row in rows:
            held.append(_for_parquet(row))
            if len(held) >= _PARQUET_ROWS:
                writer.write_table(arrow.Table.from_pylist(held, schema=schema))
                held = []
        writer.write_table(arrow.Table.from_pylist(held, schema=schema))
    os.replace(unfinished, path)


def _for_parquet(row: Row) -> Row:
    flat = {key: value for key, value in row.items() if key != "parts"}
    for name, part in row["parts"].items():
        for key, value in part.items():
            flat[f"part.{name}.{key}"] = value
    # Arrow's text is UTF-8: a lone surrogate is shown escaped, as in the columns of a trajectory file
    return {
        key: value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value
        for key, value in flat.items()
    }


def _from_parquet(flat: Mapping[str, Any]) -> Row:
    if not {"index", "value", "status"} <= flat.keys():
        raise BadRow(f"this Parquet file holds no scores; its columns are {', '.join(flat)}")
    row: Row = {"parts": {}}
    for key, value in flat.items():
        if isinstance(value, float) and math.isnan(value):
            value = None
        if key.startswith("part."):
            name, _, kind = key.removeprefix("part.").rpartition(".")
            if kind == "value" or value is not None:
                row["parts"].setdefault(name, {})[kind] = value
        elif value is not None or key not in ("steps", "by"):
            row[key] = value
    row["parts"] = {name: part for name, part in row["parts"].items() if "status" in part}
    return row


def _column(scores: Scores) -> tuple[list[float | None], list[str]]:
    return _numbers(scores.values), [NAMES[status] for status in scores.status.tolist()]


def _numbers(column: np.ndarray) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in column.tolist()]


def _array(numbers: Sequence[float | None]) -> np.ndarray:
    return np.array([math.nan if number is None else number for number in numbers], dtype=np.float64)


def _columns(entries: Sequence[tuple[Any, str, str | None]]) -> dict[str, Any]:
    notes = [note for _, _, note in entries]
    return {
        "values": _array([value for value, _, _ in entries]),
        "status": np.array([_NUMBERS[status] for _, status, _ in entries], dtype=np.int8),
        "notes": notes if any(note is not None for note in notes) else None,
    }


def _part(entries: Sequence[Row | None]) -> Scores:
    blank: Row = {"value": None, "status": "abstained"}
    full = [entry or blank for entry in entries]
    return Scores(**_columns([(entry["value"], entry["status"], entry.get("note")) for entry in full]))


def _nest(flat: Mapping[str, Scores]) -> dict[str, Scores]:
    """Parts by dotted name as a tree: `a.b` goes into `a` where there is an `a`, and keeps its full name otherwise."""
    tree: dict[str, Scores] = {}
    for name, part in flat.items():
        owner, rest = _owner(tree, name)
        owner[rest] = part
    return tree


def _owner(tree: dict[str, Scores], name: str) -> tuple[dict[str, Scores], str]:
    for position, character in enumerate(name):
        if character == "." and name[:position] in tree:
            return _owner(tree[name[:position]].parts, name[position + 1 :])
    return tree, name
