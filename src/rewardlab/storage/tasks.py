"""Tasks on disk: JSON Lines with one task on each line.

    {"id": "t1", "prompt": "What is 2 + 2?", "reference": "4"}
    {"id": "t2", "prompt": [{"role": "user", "content": "..."}], "tools": [...], "metadata": {"level": 3}}

A prompt that is a string becomes one message of the user. Only `id` is required, and ids are unique: attempts at tasks with
the same id could not be told apart.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from rewardlab.registry import nearest
from rewardlab.storage.encoding import Unwritable, decode, encode, to_json
from rewardlab.storage.lines import files_at, is_parquet, open_lines, parsed_lines
from rewardlab.storage.problems import BadRow, Problems
from rewardlab.storage.write import kind_of
from rewardlab.types import Task

_FIELDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "id": (str, "a string"),
    "prompt": ((str, list), "a string or a list of chat messages"),
    "reference": (object, "any value"),
    "tools": (list, "a list of tool descriptions"),
    "metadata": (dict, "an object"),
}


def read_tasks(
    path: str | os.PathLike[str],
    *,
    on_problem: Literal["collect", "raise"] = "collect",
    problems: Problems | None = None,
) -> list[Task]:
    """Read tasks from a JSON Lines file (plain or gzip), or from all such files of a folder.

    Args:
        path: the file or folder.
        on_problem: "collect" sets a bad line aside and goes on; "raise" stops there.
        problems: where to collect them; without it a warning reports them at the end.

    Raises:
        FileNotFoundError: there is no such file; the nearest path that exists is named.
        BadRow: `on_problem` is "raise" and a line could not be read; the message begins with `file:line`.
        ValueError: no line of the file could be read as a task, or it is a Parquet file.
    """
    if on_problem not in ("collect", "raise"):
        raise ValueError(f'on_problem must be "collect" or "raise", got {on_problem!r}')
    found = Problems() if problems is None else problems
    before = found.count
    tasks: list[Task] = []
    seen: dict[str, str] = {}
    for file in files_at(Path(path)):
        if is_parquet(file):
            raise ValueError(f"{str(file)!r} is a Parquet file; tasks are read from JSON Lines")
        stream, raw = open_lines(file)
        with raw, stream:
            for number, row, _ in parsed_lines(stream):
                try:
                    task = _task(row)
                    if task.id in seen:
                        raise BadRow(f"the id {task.id!r} stands here again; it is already at {seen[task.id]}")
                except (ValueError, TypeError) as error:
                    found.add(str(file), number, str(error))
                    if on_problem == "raise":
                        raise BadRow(f"{file}:{number}: {error}") from None
                    continue
                seen[task.id] = f"{file}:{number}"
                tasks.append(task)
    if not tasks:
        reason = f": {found}" if found.count > before else "; it is empty"
        raise ValueError(f"{os.fspath(path)!r} holds no task{reason}")
    if problems is None:
        found.warn()
    return tasks


def write_tasks(path: str | os.PathLike[str], tasks: Iterable[Task]) -> int:
    """Write tasks to a JSON Lines file that appears only when it is complete.

    Args:
        path: where to; ends in `.jsonl`. A file of that name is replaced.
        tasks: what to write.

    Returns:
        How many were written.

    Raises:
        TypeError: one of them is no task, or holds what JSON cannot.
        ValueError: the name has another ending.
    """
    target = Path(path)
    if kind_of(target) != "lines":
        raise ValueError(f"tasks are written to JSON Lines, got {str(target)!r}; give a name that ends in .jsonl")
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{os.getpid()}.{target.name}")
    count = 0
    try:
        with unfinished.open("w", encoding="utf-8") as stream:
            for task in tasks:
                if not isinstance(task, Task):
                    raise TypeError(f"expected a Task, got a {type(task).__name__} as number {count}")
                stream.write(_line(task) + "\n")
                count += 1
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _line(task: Task) -> str:
    record: dict[str, Any] = {"id": task.id}
    for name in ("prompt", "reference", "tools", "metadata"):
        value = getattr(task, name)
        if value is None or (name in ("tools", "metadata") and not value):
            continue
        try:
            record[name] = encode(value)
        except Unwritable as error:
            raise error.under(f"{name} of task {task.id!r}") from None
    return to_json(record)


def _task(row: Any) -> Task:
    if isinstance(row, BadRow):
        raise row
    if not isinstance(row, Mapping):
        raise BadRow(f"a task must be an object with the key 'id', got {row!r:.60}")
    for name, value in row.items():
        if name not in _FIELDS:
            raise BadRow(
                f"a task has no field {name!r}{nearest(str(name), _FIELDS)}; put other values under 'metadata'"
            )
        kind, expected = _FIELDS[name]
        if not isinstance(value, kind) and not (value is None and name != "id"):
            raise BadRow(f"{name!r} must be {expected}, got {value!r:.60}")
    if "id" not in row:
        raise BadRow(f"the field 'id' is missing; the line has {', '.join(map(repr, row)) or 'no fields'}")
    fields = {name: decode(value) for name, value in row.items() if value is not None}
    if isinstance(fields.get("prompt"), str):
        fields["prompt"] = [{"role": "user", "content": fields["prompt"]}]
    return Task(**fields)
