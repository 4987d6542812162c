"""What a scoring run found: means with intervals for the whole and for every part, counts, and the most frequent reasons."""

from __future__ import annotations

import io
import json
import math
import re
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rewardlab.scoring.rows import NAMES, Row
from rewardlab.scoring.statistics import Mean, clustered_mean

if TYPE_CHECKING:
    from rich.console import Group as RenderableGroup

REASONS_SHOWN = 8
_REASONS_KEPT = 1_000
_DETAIL = re.compile(r"'[^']*'|\"[^\"]*\"|\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class PartSummary:
    """Mean and counts of one column: the whole reward, a part of it, or one label of `by`.

    Args:
        mean: of the scored samples, with its interval.
        scored, abstained, failed: how many samples met each fate; together, the samples that have this column.
    """

    mean: Mean
    scored: int
    abstained: int
    failed: int


@dataclass(frozen=True, slots=True)
class Reason:
    """Why samples were not scored.

    Args:
        status: "abstained" or "failed".
        count: how many samples have this reason, or one that differs only in its numbers and quoted values.
        example: the reason of the first of them, word for word.
    """

    status: str
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """The end of a scoring run.

    Args:
        label: the name of the reward.
        reward_hash: content hash of its spec, or None.
        source: what was scored.
        output: the file of scores, or None where none was asked for.
        total: mean and counts of the whole reward.
        parts: the same for each part, by dotted name; only samples that have the part are counted.
        by: the same for each label, where `by` was given.
        groups: how many groups there were; a trajectory without one is a group of its own.
        reasons: why samples abstained or failed, the most frequent first.
        set_aside: how many rows of the source could not be read.
        problems: the first of them, with line and reason.
        reused: how many scores were already there when this run began.
        scored_now: how many it scored itself.
    """

    label: str
    reward_hash: str | None
    source: str
    output: str | None
    total: PartSummary
    parts: dict[str, PartSummary]
    by: dict[str, PartSummary]
    groups: int
    reasons: list[Reason]
    set_aside: int
    problems: list[str]
    reused: int
    scored_now: int

    @property
    def mean(self) -> float:
        """Mean of the scored samples; NaN where there are none."""
        return self.total.mean.value

    @property
    def count(self) -> int:
        """How many trajectories were read."""
        return self.total.scored + self.total.abstained + self.total.failed

    @property
    def counts(self) -> dict[str, int]:
        """How many were scored, abstained and failed."""
        return {name: getattr(self.total, name) for name in NAMES}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with None where a number is not known."""
        return {
            "reward": self.label,
            "reward_hash": self.reward_hash,
            "source": self.source,
            "output": self.output,
            "count": self.count,
            "groups": self.groups,
            **part_dict(self.total),
            "parts": {name: part_dict(part) for name, part in self.parts.items()},
            "by": {name: part_dict(part) for name, part in self.by.items()},
            "reasons": [
                {"status": entry.status, "count": entry.count, "example": entry.example} for entry in self.reasons
            ],
            "set_aside": self.set_aside,
            "problems": self.problems,
            "reused": self.reused,
            "scored_now": self.scored_now,
        }

    def to_json(self, *, indent: int | None = 2) -> str:
        """The summary as strict JSON."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    def table(self) -> RenderableGroup:
        """Tables for rich: the reward and its parts, the labels of `by`, and the reasons."""
        from rich.console import Group as RenderableGroup
        from rich.table import Table
        from rich.text import Text

        shown: list[Any] = [_means_table(f"{self.source}", {self.label: self.total, **_indented(self.parts)})]
        if self.by:
            shown.append(_means_table("by label", self.by))
        if self.reasons:
            table = Table(title="why samples have no score", title_justify="left")
            table.add_column("status")
            table.add_column("samples", justify="right")
            table.add_column("reason, such as")
            for entry in self.reasons[:REASONS_SHOWN]:
                table.add_row(entry.status, str(entry.count), Text(_short(entry.example)))
            if len(self.reasons) > REASONS_SHOWN:
                rest = self.reasons[REASONS_SHOWN:]
                table.add_row("", str(sum(entry.count for entry in rest)), f"{len(rest)} more reasons")
            shown.append(table)
        lines = [
            f"interval: 95%, {self.total.mean.method}; {self.groups} groups; {self.reused} scores were there already"
        ]
        if self.set_aside:
            lines.append(f"{self.set_aside} rows of the source could not be read:")
            lines += [f"  {_short(problem)}" for problem in self.problems]
        if self.output is not None:
            lines.append(f"scores: {self.output}")
        return RenderableGroup(*shown, Text("\n".join(lines)))

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=120)
        console.print(self.table())
        return console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO from above


@dataclass(slots=True)
class _Column:
    """Sums and counts of one column for each cluster, and its fates: 16 bytes for a cluster, none for a sample."""

    sums: array[float] = field(default_factory=lambda: array("d"))
    counts: array[float] = field(default_factory=lambda: array("d"))
    fates: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))

    def add(self, cluster: int, value: float | None, status: str) -> None:
        self.fates[status] += 1
        if value is None:
            return
        if len(self.sums) <= cluster:
            missing = array("d", bytes(8 * (cluster + 1 - len(self.sums))))
            self.sums.extend(missing)
            self.counts.extend(missing)
        self.sums[cluster] += value
        self.counts[cluster] += 1.0

    def summary(self) -> PartSummary:
        return PartSummary(mean=clustered_mean(np.array(self.sums), np.array(self.counts)), **self.fates)


class Accumulator:
    """Takes rows one by one and keeps what the summary needs of them."""

    def __init__(self) -> None:
        self._clusters: dict[str, int] = {}
        self._alone = 0  # trajectories without a group
        self._total = _Column()
        self._parts: dict[str, _Column] = {}
        self._labels: dict[str, _Column] = {}
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], str] = {}

    @property
    def part_names(self) -> list[str]:
        """The dotted names of all parts seen so far."""
        return list(self._parts)

    @property
    def failed(self) -> int:
        """How many samples failed so far."""
        return self._total.fates["failed"]

    @property
    def mean(self) -> float:
        """Mean of the samples scored so far."""
        scored = self._total.fates["scored"]
        return sum(self._total.sums) / scored if scored else math.nan

    def add(self, row: Row) -> None:
        """Count one row."""
        group = row["group"]
        if group is None:
            cluster = self._alone + len(self._clusters)
            self._alone += 1
        else:
            known = self._clusters.get(group)
            cluster = self._alone + len(self._clusters) if known is None else known
            if known is None:
                self._clusters[group] = cluster
        status = row["status"]
        self._total.add(cluster, row["value"], status)
        for name, part in row["parts"].items():
            column = self._parts.get(name)
            if column is None:
                column = self._parts.setdefault(name, _Column())
            column.add(cluster, part["value"], part["status"])
        if row.get("by") is not None:
            self._labels.setdefault(row["by"], _Column()).add(cluster, row["value"], status)
        if status != "scored":
            self._note(status, row["note"] or "no reason given")

    def _note(self, status: str, reason: str) -> None:
        key = (status, _DETAIL.sub("#", reason[:500]))
        if key not in self._reasons and len(self._reasons) >= _REASONS_KEPT:
            key, reason = (status, ""), "other reasons"
        self._reasons[key] += 1
        self._examples.setdefault(key, reason)

    def total(self) -> PartSummary:
        """Mean and counts of the whole reward so far."""
        return self._total.summary()

    def parts(self) -> dict[str, PartSummary]:
        """The same for each part, by dotted name."""
        return {name: column.summary() for name, column in self._parts.items()}

    def summary(self, **columns: Any) -> ScoreSummary:
        """The summary of all rows so far; `columns` are the fields that the rows do not tell."""
        reasons = [Reason(key[0], count, self._examples[key]) for key, count in self._reasons.most_common()]
        return ScoreSummary(
            total=self.total(),
            parts=self.parts(),
            by={name: column.summary() for name, column in sorted(self._labels.items())},
            groups=self._alone + len(self._clusters),
            reasons=reasons,
            **columns,
        )


def number_or_none(value: float) -> float | None:
    """A finite number, or None: what strict JSON can say."""
    return value if math.isfinite(value) else None


def part_dict(part: PartSummary) -> dict[str, Any]:
    """Mean and counts of one column as plain values."""
    mean = part.mean
    return {
        "mean": number_or_none(mean.value),
        "low": number_or_none(mean.low),
        "high": number_or_none(mean.high),
        "interval": mean.method,
        **{name: getattr(part, name) for name in NAMES},
    }


def _indented(parts: Mapping[str, PartSummary]) -> dict[str, PartSummary]:
    return {f"  {name}": part for name, part in parts.items()}


def _means_table(title: str, parts: Mapping[str, PartSummary]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left")
    table.add_column("reward")
    table.add_column("mean [95% interval]", justify="right")
    for name in NAMES:
        table.add_column(name, justify="right")
    for name, part in parts.items():
        table.add_row(Text(name), Text(str(part.mean)), *(str(getattr(part, fate)) for fate in NAMES))
    return table


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 160 else line[:157] + "..."
