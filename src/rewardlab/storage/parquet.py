"""Trajectories as Parquet: columns that DuckDB or pandas can query, and still without loss.

Numbers are columns of their own (`task_id`, `group`, `steps`, `reward`, `rewards`, `terminated`, `truncated`, `seconds`, the
tokens); messages, task, reference, info and arrays of control are JSON text, in the same encoding as the JSON Lines files.
Row groups are written as soon as they hold enough, and read one after the other, so memory stays constant both ways. pyarrow
comes with the extra `parquet`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rewardlab.extras import require
from rewardlab.storage.encoding import encode, to_json
from rewardlab.storage.problems import BadRow
from rewardlab.storage.records import SCHEMA, from_record, to_record
from rewardlab.types import Trajectory

ROW_GROUP_ROWS = 2_000
ROW_GROUP_BYTES = 16_000_000
_SCHEMA_KEY = b"rewardlab.schema"
_JSON_COLUMNS = ("messages", "reference", "task", "info", "observations", "actions", "exact")
_LIST_COLUMNS = ("rewards", "seconds", "action_positions", "token_ids", "token_step", "token_logprobs")


def pyarrow(module: str = "pyarrow") -> Any:
    """pyarrow, or an error that says which extra brings it."""
    return require(module, extra="parquet", why="reading and writing Parquet")


def schema() -> Any:
    """The columns of a trajectory file, as a pyarrow schema."""
    arrow = pyarrow()
    text, floats = arrow.string(), arrow.list_(arrow.float64())
    columns = [
        ("task_id", text),
        ("group", text),
        ("steps", arrow.int32()),
        ("reward", arrow.float64()),
        ("rewards", floats),
        ("terminated", arrow.bool_()),
        ("truncated", arrow.bool_()),
        ("seconds", floats),
        ("messages", text),
        ("action_positions", arrow.list_(arrow.int32())),
        ("reference", text),
        ("task", text),
        ("info", text),
        ("observations", text),
        ("actions", text),
        ("token_ids", arrow.list_(arrow.int64())),
        ("token_step", arrow.list_(arrow.int32())),
        ("token_logprobs", arrow.list_(arrow.float32())),
        ("exact", text),
    ]
    return arrow.schema(columns, metadata={_SCHEMA_KEY: SCHEMA.encode()})


class ParquetTrajectories:
    """A Parquet file being written. It gets its name when it is closed: a file without its footer cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._schema = schema()
        self._writer = pyarrow("pyarrow.parquet").ParquetWriter(self._part, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def write(self, trajectory: Trajectory) -> None:
        """Add one trajectory; a row group goes to the file as soon as it is full."""
        row = to_row(trajectory)
        self._rows.append(row)
        self._bytes += sum(len(row[name] or "") for name in _JSON_COLUMNS)
        if len(self._rows) >= ROW_GROUP_ROWS or self._bytes >= ROW_GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is held as one row group."""
        if self._rows:
            arrow = pyarrow()
            columns = [arrow.array([row[field.name] for row in self._rows], field.type) for field in self._schema]
            self._writer.write_table(arrow.Table.from_arrays(columns, schema=self._schema))
            self._rows, self._bytes = [], 0

    def close(self, *, keep: bool = True) -> None:
        """Finish the file and give it its name, or throw it away."""
        if keep:
            self.flush()
        self._writer.close()
        if keep:
            os.replace(self._part, self._path)
        else:
            self._part.unlink(missing_ok=True)


def to_row(trajectory: Trajectory) -> dict[str, Any]:
    """A trajectory as one row.

    Raises:
        Unwritable: it holds something that JSON cannot.
    """
    record = to_record(trajectory)
    task = record["task"]
    row: dict[str, Any] = dict.fromkeys((*_JSON_COLUMNS, *_LIST_COLUMNS))
    exact = {name: value for name, value in (("id", task and task["id"]), ("group", record["group"])) if _tagged(value)}
    row["task_id"] = None if task is None else _searchable(trajectory.task.id)  # type: ignore[union-attr]
    row["group"] = None if trajectory.group is None else _searchable(trajectory.group)
    row["exact"] = to_json(exact) if exact else None
    given = trajectory.rewards[np.isfinite(trajectory.rewards)]
    row["steps"], row["reward"] = len(trajectory), float(given.sum()) if given.size else None
    row["rewards"], row["terminated"], row["truncated"] = trajectory.rewards, record["terminated"], record["truncated"]
    row["seconds"] = trajectory.seconds
    for name in ("messages", "observations", "actions"):
        if name in record:
            row[name] = to_json(record[name])
    row["action_positions"] = record.get("action_positions")
    if task is not None:
        row["reference"] = to_json(task.pop("reference"))
        del task["id"]
        row["task"] = to_json(task)
    row["info"] = to_json(record["info"])
    if trajectory.tokens is not None:
        tokens = trajectory.tokens
        row["token_ids"], row["token_step"], row["token_logprobs"] = tokens.ids, tokens.step, tokens.logprobs
    return row


def is_own(path: Path) -> bool:
    """Whether a Parquet file holds trajectories as written here.

    Raises:
        BadRow: it holds a version that this reader does not know.
    """
    metadata = _open(path).schema_arrow.metadata or {}
    found = metadata.get(_SCHEMA_KEY)
    if found is None:
        return False
    if found != SCHEMA.encode():
        raise BadRow(
            f"schema is {found.decode(errors='replace')!r}, expected {SCHEMA!r}; a newer rewardlab wrote this file"
        )
    return True


def own_rows(path: Path, batch_size: int) -> Iterator[Trajectory | BadRow]:
    """Every trajectory of a file written here; an unreadable row comes out as the reason in its place."""
    for batch in _open(path).iter_batches(batch_size=batch_size):
        columns = {name: _lists(batch.column(name)) for name in _LIST_COLUMNS}
        plain = {name: batch.column(name).to_pylist() for name in batch.schema.names if name not in columns}
        for index in range(batch.num_rows):
            row = {name: values[index] for name, values in plain.items()}
            row.update({name: values[index] for name, values in columns.items()})
            try:
                yield _from_row(row)
            except (ValueError, TypeError, RecursionError) as error:
                yield BadRow(str(error))


def foreign_rows(path: Path, batch_size: int) -> Iterator[dict[str, Any]]:
    """Every row of any Parquet file, as plain values; an empty cell of a column of floats is NaN, as pandas means it."""
    arrow = pyarrow()
    for batch in _open(path).iter_batches(batch_size=batch_size):
        floats = [field.name for field in batch.schema if arrow.types.is_floating(field.type)]
        for row in batch.to_pylist():
            row.update({name: math.nan for name in floats if row[name] is None})
            yield row


def row_count(path: Path) -> int:
    """Number of rows, from the footer alone."""
    return int(_open(path).metadata.num_rows)


def _from_row(row: Mapping[str, Any]) -> Trajectory:
    record: dict[str, Any] = {"schema": SCHEMA}
    for name in ("messages", "info", "observations", "actions"):
        if row[name] is not None:
            record[name] = _parse(name, row[name])
    for name in ("rewards", "seconds", "terminated", "truncated", "group"):
        record[name] = row[name]
    if row["action_positions"] is not None:
        record["action_positions"] = row["action_positions"].tolist()
    exact = _parse("exact", row["exact"]) if row["exact"] is not None else {}
    if row["task"] is not None:
        record["task"] = {
            **_parse("task", row["task"]),
            "id": exact.get("id", row["task_id"]),
            "reference": None if row["reference"] is None else _parse("reference", row["reference"]),
        }
    record["group"] = exact.get("group", row["group"])
    if row["token_ids"] is not None:
        record["tokens"] = {name: row[f"token_{name}"] for name in ("ids", "step", "logprobs")}
    tagged = any('"$' in (row[name] or "") for name in _JSON_COLUMNS)
    return from_record(record, tagged=tagged)


def _parse(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadRow(f"the column {name!r} does not hold JSON: {error}: {text[:60]!r}") from None


def _open(path: Path) -> Any:
    arrow = pyarrow()
    try:
        return pyarrow("pyarrow.parquet").ParquetFile(path)
    except arrow.ArrowInvalid as error:
        raise BadRow(
            f"{path} is not a readable Parquet file: {error}; where the program that wrote it was killed, it has no footer"
        ) from None


def _lists(column: Any) -> list[np.ndarray | None]:
    """A list column as one array for each row, without a Python object for each number."""
    offsets = column.offsets.to_numpy()
    values = column.values.to_numpy(zero_copy_only=False)
    valid = column.is_valid().to_pylist()
    return [values[offsets[index] : offsets[index + 1]].copy() if there else None for index, there in enumerate(valid)]


def _tagged(value: Any) -> bool:
    return isinstance(value, dict)


def _searchable(text: str) -> str:
    """Text that Arrow can hold; lone surrogates are escaped, and the exact text stands in the column `exact`."""
    return text if type(encode(text)) is str else text.encode("utf-8", "backslashreplace").decode("utf-8")
