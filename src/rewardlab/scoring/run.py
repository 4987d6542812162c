"""`score`: a reward over a file of any size, with a file of scores that survives a crash and a summary at the end.

Trajectories stream: one batch is in memory at a time (and, for rewards that compare the members of a group, the groups that
are not complete yet). The summary keeps 16 bytes for each group and each part of the reward.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rewardlab.rewards.base import Reward
from rewardlab.rewards.spec import UnwritableReward, load_reward
from rewardlab.scoring.batches import Batch, plain_batches
from rewardlab.scoring.journal import (
    Identity,
    Journal,
    ResumeRefused,
    RunFiles,
    fingerprint,
    merged,
    sort_lines,
)
from rewardlab.scoring.progress import Progress
from rewardlab.scoring.rows import Row, line_of, read_rows, rows_of, write_parquet
from rewardlab.scoring.source import Source, batches_for
from rewardlab.scoring.summary import Accumulator, ScoreSummary
from rewardlab.storage import Problems
from rewardlab.storage.write import kind_of
from rewardlab.types import Trajectory

Labeller = Callable[[Trajectory], str | None]


def score(
    reward: Reward | Mapping[str, Any] | str | Path,
    source: str | os.PathLike[str] | Iterable[Any],
    output: str | os.PathLike[str] | None = None,
    *,
    batch_size: int = 256,
    resume: bool = True,
    retry_failed: bool = False,
    by: str | Labeller | None = None,
    progress: float | None = None,
    progress_bar: bool = True,
    format: str = "auto",
    reference: str | None = None,
    window: int = 20_000,
    problems: Problems | None = None,
) -> ScoreSummary:
    """Score stored trajectories and say what came out.

    Args:
        reward: a reward, its spec, the name of one, or a YAML file that holds a spec.
        source: whatever `read_trajectories` reads: a file, a folder, or an iterable of trajectories or rows.
        output: where to write one row for each trajectory, `.jsonl` or `.parquet`; None for the summary alone.
        batch_size: how many trajectories the reward gets at once; a reward that compares groups gets them whole.
        resume: go on with what an interrupted run left, and reuse a finished one; False starts over.
        retry_failed: score the failed samples of a finished file again (with the whole group where members are compared)
            and leave the rest alone.
        by: also give the mean for each label: dotted keys of a trajectory ("task.metadata.level", "info.model"), or a
            function of it.
        progress: share of training done, in [0, 1], for rewards on a schedule.
        progress_bar: show how far it is, on a terminal.
        format: layout of the rows, as for `read_trajectories`.
        reference: where in a foreign row the ground truth stands, as for `read_trajectories`.
        window: how many trajectories may wait for the rest of their group.
        problems: where to collect rows that cannot be read; they are counted in the summary either way.

    Returns:
        Means with intervals, parts, counts and reasons; `print` it, or `.table()` and `.to_json()`.

    Raises:
        ResumeRefused: the output holds scores of another reward or source.
        FileExistsError: the output exists and is no file of scores.
        ScatteredGroups: a group's members are too far apart for a reward that compares them.
        SpecError: the spec cannot be built.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    scorer = load_reward(reward)
    stream = Source(source, format, reference, Problems() if problems is None else problems)
    run = _Run(scorer, stream, batch_size, progress, window, by, progress_bar)
    if output is None:
        if retry_failed:
            raise ValueError("retry_failed=True needs the output whose failed samples are to be scored again")
        return run.without_file()
    files = RunFiles(Path(output))
    if kind_of(files.output) == "gzip":
        raise ValueError(f"scores are written to .jsonl or .parquet, got {str(files.output)!r}")
    if any(path.exists() and files.output.exists() and path.samefile(files.output) for path in stream.paths):
        raise ValueError(f"the output {str(files.output)!r} is the source itself; give another name")
    if os.path.isdir(stream.name) and files.output.parent.resolve() == Path(stream.name).resolve():
        raise ValueError(
            f"the output would be read as part of the source folder {stream.name!r}; give it another folder"
        )
    return run.with_file(files, resume=resume, retry_failed=retry_failed)


class _Run:
    """One call of `score`."""

    def __init__(
        self,
        reward: Reward,
        source: Source,
        batch_size: int,
        progress: float | None,
        window: int,
        by: str | Labeller | None,
        progress_bar: bool,
    ) -> None:
        self.reward = reward
        self.source = source
        self.batch_size = batch_size
        self.progress = progress
        self.window = window
        self.by = by
        self.label = _labeller(by)
        self.whole_groups = reward.group_wise
        self.accumulator = Accumulator()
        self.reused = self.scored_now = 0
        # unreadable rows as an earlier run counted them, where this one does not read the source
        self.set_aside: tuple[int, list[str]] = (0, [])
        self.bar = Progress(progress_bar, reward.label, source.fraction)

    def without_file(self) -> ScoreSummary:
        with self.bar:
            for indices, trajectories in self.batches():
                self.count(self.rows(indices, trajectories))
        return self.summary(None)

    def with_file(self, files: RunFiles, *, resume: bool, retry_failed: bool) -> ScoreSummary:
        identity = Identity(
            reward_hash=self.reward.spec_hash,
            reward=_spec_or_none(self.reward),
            label=self.reward.label,
            source=fingerprint(self.source.paths) if self.source.paths else None,
            options={
                "format": self.source.format,
                "reference": self.source.reference,
                "by": self.by
                if isinstance(self.by, str) or self.by is None
                else getattr(self.by, "__qualname__", "function"),
                "progress": self.progress,
            },
            batch_size=self.batch_size,
        )
        earlier = files.begin(identity, resume=resume)
        if earlier is not None:
            self.batch_size = identity.batch_size = int(earlier.get("batch_size", self.batch_size))
        with self.bar:
            if files.partial.exists():
                self.fill(files)
                found = self.summary(str(files.output))
                files.describe(identity, complete=False, summary=found.to_dict())
                files.finish(self.accumulator.part_names)
            else:
                self.recall(files, earlier or {}, read=not retry_failed)
            if retry_failed and earlier is not None:
                self.retry(files)
        found = self.summary(str(files.output))
        files.describe(identity, complete=True, summary=found.to_dict())
        return found

    def fill(self, files: RunFiles) -> None:
        """Score what the partial file does not hold yet."""
        journal = Journal(files.partial)
        complete = False
        try:
            for indices, trajectories in self.batches():
                rows = journal.known(indices)
                if rows is None:
                    rows = self.rows(indices, trajectories)
                    journal.write(rows)
                    self.count(rows)
                else:
                    for row, trajectory in zip(rows, trajectories, strict=True):
                        _check_same(row, trajectory)
                    self.count(rows, reused=True)
            complete = True
        finally:
            journal.close(complete=complete)

    def recall(self, files: RunFiles, earlier: dict[str, Any], *, read: bool) -> None:
        """Take the scores of a finished file, and what its run said about unreadable rows."""
        before = earlier.get("summary") or {}
        if read:
            for row in read_rows(files.output):
                self.count([row], reused=True)
        self.set_aside = (before.get("set_aside", 0), before.get("problems", []))

    def retry(self, files: RunFiles) -> None:
        """Score failed samples of the finished output again, and put the new rows in the place of the old."""
        self.accumulator, self.reused, self.scored_now = Accumulator(), 0, 0
        failed = {row["index"] for row in read_rows(files.output) if row["status"] == "failed"}
        renewed: set[int] = set()
        again = files.output.with_name(files.output.name + ".retry")
        with again.open("wb") as stream:
            for indices, trajectories in self.failed_batches(failed):
                rows = self.rows(indices, trajectories)
                renewed.update(indices)
                stream.write(b"".join(line_of(row) for row in rows))
        sort_lines(again)
        unfinished = files.output.with_name(files.output.name + ".merged.jsonl")
        with unfinished.open("wb") as stream:
            for row in merged(read_rows(files.output), again):
                stream.write(line_of(row))
                self.count([row], reused=row["index"] not in renewed)
        if files.is_parquet:
            write_parquet(read_rows(unfinished), files.output, self.accumulator.part_names)
            unfinished.unlink()
        else:
            os.replace(unfinished, files.output)
        again.unlink()

    def failed_batches(self, failed: set[int]) -> Iterator[Batch]:
        """The failed samples in batches; where members of a group are compared, with the whole group."""
        if not failed:
            return
        if not self.whole_groups:
            numbered = ((index, entry) for index, entry in enumerate(self.source.open()) if index in failed)
            yield from plain_batches(numbered, self.batch_size)
            return
        for indices, trajectories in self.batches():
            groups = {entry.group for index, entry in zip(indices, trajectories, strict=True) if index in failed}
            chosen = [
                place
                for place, (index, entry) in enumerate(zip(indices, trajectories, strict=True))
                if index in failed or (entry.group is not None and entry.group in groups)
            ]
            if chosen:
                yield [indices[place] for place in chosen], [trajectories[place] for place in chosen]

    def batches(self) -> Iterator[Batch]:
        """The source in batches that a resumed run cuts in the same places."""
        return batches_for(self.source, self.whole_groups, self.batch_size, self.window)

    def rows(self, indices: list[int], trajectories: list[Trajectory]) -> list[Row]:
        """Score one batch."""
        scores = self.reward(trajectories, progress=self.progress)
        self.scored_now += len(indices)
        labels = None if self.label is None else [self.label(trajectory) for trajectory in trajectories]
        return rows_of(scores, indices, trajectories, labels)

    def count(self, rows: list[Row], *, reused: bool = False) -> None:
        for row in rows:
            self.accumulator.add(row)
        self.reused += len(rows) if reused else 0
        self.bar.update(len(rows), self.accumulator)

    def summary(self, output: str | None) -> ScoreSummary:
        count, first = self.set_aside
        if self.source.opened:
            problems = self.source.problems
            count, first = problems.count, [str(problem) for problem in problems.first]
        return self.accumulator.summary(
            label=self.reward.label,
            reward_hash=self.reward.spec_hash,
            source=self.source.name,
            output=output,
            set_aside=count,
            problems=first,
            reused=self.reused,
            scored_now=self.scored_now,
        )


def _check_same(row: Row, trajectory: Trajectory) -> None:
    task = None if trajectory.task is None else trajectory.task.id
    if (row["id"], row["group"]) != (task, trajectory.group):
        raise ResumeRefused(
            f"the partial file has task {row['id']!r} in group {row['group']!r} as trajectory {row['index']}, but "
            f"the source has task {task!r} in group {trajectory.group!r} there; start over with resume=False"
        )


def _spec_or_none(reward: Reward) -> dict[str, Any] | None:
    try:
        return reward.to_spec()
    except UnwritableReward:
        return None


def _labeller(by: str | Labeller | None) -> Labeller | None:
    if by is None or callable(by):
        return by
    keys = by.split(".")
    if keys[0] not in ("task", "info", "group"):
        raise ValueError(f'by must begin with "task", "info" or "group", got {by!r}, such as "task.metadata.level"')

    def label(trajectory: Trajectory) -> str | None:
        value: Any = trajectory
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)
        return None if value is None else str(value)

    return label
