"""The files of a scoring run, and when a run may go on with them.

While it runs, scores grow in `OUTPUT.partial`, a batch at a time in the order in which batches are cut; what they were made
of stands in `OUTPUT.run.json`. The output appears under its name only when it is complete. After a crash the whole batches
in the partial file are kept, a torn rest is cut off, and the run goes on behind them.
"""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from rewardlab.scoring.rows import Row, line_of, read_rows, write_parquet
from rewardlab.storage.encoding import decode
from rewardlab.storage.write import drop_torn_line

_WHOLE_BYTES = 256_000_000
_BLOCK = 1 << 20


class ResumeRefused(ValueError):
    """A scoring run that cannot go on with the files that are there; the message says why, and what can be done."""


@dataclass(slots=True)
class Identity:
    """What a file of scores was made of; two runs with different identities never share a file.

    Args:
        reward_hash: content hash of the reward, or None where it cannot be written to a spec.
        reward: its spec, or None.
        label: its name.
        source: the fingerprint of the files, or None for an iterable.
        options: whatever else changes the rows (format, reference, by).
        batch_size: how many trajectories were scored at once; a resumed run keeps it.
    """

    reward_hash: str | None
    reward: Any
    label: str
    source: dict[str, Any] | None
    options: dict[str, Any]
    batch_size: int


@dataclass(slots=True)
class RunFiles:
    """The output of a run with its partial file and its description."""

    output: Path
    partial: Path = field(init=False)
    description: Path = field(init=False)

    def __post_init__(self) -> None:
        self.partial = self.output.with_name(self.output.name + ".partial")
        self.description = self.output.with_name(self.output.name + ".run.json")

    @property
    def is_parquet(self) -> bool:
        """Whether the output is Parquet, by its ending."""
        return self.output.name.lower().endswith(".parquet")

    def begin(self, identity: Identity, *, resume: bool) -> dict[str, Any] | None:
        """Get ready to write, or to go on.

        Returns:
            The description of the earlier run where there is one to go on with, else None.

        Raises:
            ResumeRefused: the files that are there were made of something else.
            FileExistsError: the output is there and no scoring run wrote it.
        """
        there = self._read_description()
        if there is None and (self.output.exists() or self.partial.exists()):
            raise FileExistsError(
                f"{str(self.output)!r} is there, and there is no {self.description.name!r} beside it that says how it was "
                "made; give another output, or remove it yourself"
            )
        if there is not None and resume:
            self._check(there, identity)
            if self.output.exists() or self.partial.exists():
                return there
        for path in (self.partial, self.output):
            path.unlink(missing_ok=True)
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self.describe(identity, complete=False)
        self.partial.touch()
        return None

    def describe(self, identity: Identity, *, complete: bool, **more: Any) -> None:
        """Write the description, whole or not at all."""
        content = {
            "schema": "rewardlab.scoring_run/1",
            "reward_hash": identity.reward_hash,
            "reward": identity.reward,
            "label": identity.label,
            "source": identity.source,
            "options": identity.options,
            "batch_size": identity.batch_size,
            "complete": complete,
            **more,
        }
        unfinished = self.description.with_name(f".{os.getpid()}.{self.description.name}")
        unfinished.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
        os.replace(unfinished, self.description)

    def _read_description(self) -> dict[str, Any] | None:
        if not self.description.exists():
            return None
        try:
            content = json.loads(self.description.read_text())
        except ValueError as error:
            raise ResumeRefused(
                f"{str(self.description)!r} is damaged ({error}); remove it, and the scores with it"
            ) from None
        if not isinstance(content, dict):
            raise ResumeRefused(f"{str(self.description)!r} does not describe a scoring run; remove it")
        return content

    def _check(self, there: dict[str, Any], now: Identity) -> None:
        way_out = "give another output, or start over with resume=False"
        if now.reward_hash is None:
            raise ResumeRefused(
                f"{str(self.output)!r} was begun by an earlier run, but this reward has no content hash (it holds "
                "something whose source cannot be read), so nobody can tell whether it is the same; use functions that are "
                f"defined in a file, or {way_out}"
            )
        if there.get("reward_hash") != now.reward_hash:
            raise ResumeRefused(
                f"{str(self.output)!r} holds scores of the reward {there.get('label')!r} with hash "
                f"{there.get('reward_hash')}, this is {now.label!r} with hash {now.reward_hash}; {way_out}"
            )
        if there.get("source") != now.source:
            raise ResumeRefused(
                f"{str(self.output)!r} holds scores of {_source_name(there.get('source'))}, "
                f"this is {_source_name(now.source)}; {way_out}"
            )
        if there.get("options") != now.options:
            raise ResumeRefused(
                f"{str(self.output)!r} was scored with the options {there.get('options')}, "
                f"now they are {now.options}; {way_out}"
            )

    def finish(self, part_names: list[str]) -> None:
        """Turn the partial file into the output: in the order of the source, and as Parquet where its name says so."""
        sort_lines(self.partial)
        if self.is_parquet:
            write_parquet(read_rows(self.partial), self.output, part_names)
            self.partial.unlink()
        else:
            os.replace(self.partial, self.output)


class Journal:
    """The partial file of a run: first read to see what is there, then written behind it."""

    def __init__(self, path: Path) -> None:
        drop_torn_line(path)
        self._stream: IO[bytes] = path.open("r+b")
        self._kept = 0  # where the last whole batch ends
        self._reading = True

    def known(self, indices: list[int]) -> list[Row] | None:
        """The rows of the next batch, where the file has all of them; None from the first batch that it does not have.

        Args:
            indices: the positions of the batch in the source.

        Raises:
            ResumeRefused: the file has other rows there.
        """
        if not self._reading:
            return None
        rows: list[Row] = []
        for index in indices:
            raw = self._stream.readline()
            if not raw:
                self._begin_writing()
                return None
            row = decode(json.loads(raw))
            if row["index"] != index:
                raise ResumeRefused(
                    f"the partial file has trajectory {row['index']} where {index} was expected, so it was made of another "
                    "source; start over with resume=False"
                )
            rows.append(row)
        self._kept = self._stream.tell()
        return rows

    def write(self, rows: list[Row]) -> None:
        """Add the rows of a batch, and hand them to the operating system, so that a killed process loses none of them."""
        self._begin_writing()
        self._stream.write(b"".join(line_of(row) for row in rows))
        self._stream.flush()

    def close(self, *, complete: bool) -> None:
        """Close the file; what stands behind the last batch of a source that was read to its end is cut off."""
        if complete:
            self._begin_writing()
        self._stream.close()

    def _begin_writing(self) -> None:
        if self._reading:
            self._reading = False
            self._stream.seek(self._kept)
            self._stream.truncate()


def sort_lines(path: Path) -> None:
    """Put the rows of a file into the order of their `index`; nothing happens where they already are."""
    starts, indices, position = array("q"), array("q"), 0
    with path.open("rb") as stream:
        for raw in stream:
            starts.append(position)
            position += len(raw)
            indices.append(json.loads(raw)["index"])
        order = np.argsort(np.array(indices), kind="stable")
        if (np.diff(order) == 1).all():
            return
        unfinished = path.with_name(f"{path.name}.sorted")
        with unfinished.open("wb") as target:
            for place in order.tolist():
                stream.seek(starts[place])
                target.write(stream.readline())
    os.replace(unfinished, path)


def merged(old: Iterator[Row], new: Path) -> Iterator[Row]:
    """Rows in the order of the source, each replaced by its newer version where there is one.

    Args:
        old: rows in the order of their index.
        new: a file of rows in that order, with some of the same indices.
    """
    newer = iter(read_rows(new))
    waiting = next(newer, None)
    for row in old:
        if waiting is not None and waiting["index"] == row["index"]:
            if (waiting["id"], waiting["group"]) != (row["id"], row["group"]):
                raise ResumeRefused(
                    f"trajectory {row['index']} is task {row['id']!r} in group {row['group']!r} in the file of scores, and "
                    f"task {waiting['id']!r} in group {waiting['group']!r} in the source; start over with resume=False"
                )
            yield waiting
            waiting = next(newer, None)
        else:
            yield row


def fingerprint(paths: list[Path]) -> dict[str, Any]:
    """What tells the contents of some files apart from other contents, wherever they lie.

    Up to 256 MB every byte counts. Of larger files it is the size and 64 blocks spread evenly, the ends among them: reading
    it all would take longer than many a reward.
    """
    digest = hashlib.sha256()
    total = 0
    for path in paths:
        size = path.stat().st_size
        total += size
        digest.update(str(size).encode() + b"\n")
        with path.open("rb") as stream:
            if size <= _WHOLE_BYTES:
                while block := stream.read(_BLOCK):
                    digest.update(block)
            else:
                for place in range(64):
                    stream.seek((size - _BLOCK) * place // 63)
                    digest.update(stream.read(_BLOCK))
    return {"files": len(paths), "bytes": total, "sha256": digest.hexdigest()[:32]}


def _source_name(source: Any) -> str:
    if not isinstance(source, dict):
        return "a sequence of trajectories"
    return f"{source.get('files')} file(s) with {source.get('bytes')} bytes and hash {str(source.get('sha256'))[:12]}"
