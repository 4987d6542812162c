"""What a comparison of two rewards found, as fields, as JSON and as tables."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rewardlab.scoring.statistics import Mean
from rewardlab.scoring.summary import PartSummary, number_or_none, part_dict

if TYPE_CHECKING:
    from rich.console import Group as RenderableGroup


@dataclass(frozen=True, slots=True)
class Moved:
    """One trajectory under both rewards.

    Args:
        index: its position in the source, counted from 0.
        id, group: its task and group.
        old, new: its values.
        old_rank, new_rank: the share of samples that it is above, in [0, 1]; equal values share their mean rank.
        old_advantage, new_advantage: value minus the mean of its group (of all samples where no group has two).
    """

    index: int
    id: str | None
    group: str | None
    old: float
    new: float
    old_rank: float
    new_rank: float
    old_advantage: float
    new_advantage: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two rewards on the same trajectories.

    Args:
        old_label, new_label: the names of the two.
        old_hash, new_hash: content hashes of their specs, or None.
        count: how many trajectories there are.
        both: how many both rewards scored; ranks, advantages and the difference are over these.
        spearman, kendall: rank correlations (Kendall's is tau-b); NaN where one side is constant.
        old_total, new_total: mean and counts of each.
        difference: mean of new minus old, with an interval over groups.
        old_parts, new_parts: the same for each part, by dotted name.
        status_changes: how many samples went from one status to another, for every pair that occurs.
        baseline: "group" where advantages are relative to the group, "all" where no group has two members.
        compared: how many samples have an advantage to compare.
        sign_changes: how many of them have an advantage above zero under one reward and below zero under the other.
        changed: the first of these, those with the largest change first.
        groups_compared: how many groups have two members or more that both rewards scored.
        best_changes: in how many of them no best member under the new reward was a best one under the old.
        movers: the trajectories whose rank changes most.
        set_aside: how many rows of the source could not be read.
    """

    old_label: str
    new_label: str
    old_hash: str | None
    new_hash: str | None
    count: int
    both: int
    spearman: float
    kendall: float
    old_total: PartSummary
    new_total: PartSummary
    difference: Mean
    old_parts: dict[str, PartSummary]
    new_parts: dict[str, PartSummary]
    status_changes: dict[tuple[str, str], int]
    baseline: str
    compared: int
    sign_changes: int
    changed: list[Moved]
    groups_compared: int
    best_changes: int
    movers: list[Moved]
    set_aside: int

    @property
    def sign_change_share(self) -> float:
        """Share of the compared samples whose advantage changes its sign; NaN where none is compared."""
        return self.sign_changes / self.compared if self.compared else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with None where a number is not known."""
        return {
            "old": {"reward": self.old_label, "hash": self.old_hash, **part_dict(self.old_total)},
            "new": {"reward": self.new_label, "hash": self.new_hash, **part_dict(self.new_total)},
            "count": self.count,
            "both": self.both,
            "spearman": number_or_none(self.spearman),
            "kendall": number_or_none(self.kendall),
            "difference": {
                "mean": number_or_none(self.difference.value),
                "low": number_or_none(self.difference.low),
                "high": number_or_none(self.difference.high),
            },
            "old_parts": {name: part_dict(part) for name, part in self.old_parts.items()},
            "new_parts": {name: part_dict(part) for name, part in self.new_parts.items()},
            "status_changes": [
                {"old": old, "new": new, "count": count} for (old, new), count in self.status_changes.items()
            ],
            "baseline": self.baseline,
            "compared": self.compared,
            "sign_changes": self.sign_changes,
            "sign_change_share": number_or_none(self.sign_change_share),
            "changed": [asdict(entry) for entry in self.changed],
            "groups_compared": self.groups_compared,
            "best_changes": self.best_changes,
            "movers": [asdict(entry) for entry in self.movers],
            "set_aside": self.set_aside,
        }

    def to_json(self, *, indent: int | None = 2) -> str:
        """The comparison as strict JSON."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    def table(self) -> RenderableGroup:
        """Tables for rich: the agreement, the parts, and the trajectories that change."""
        from rich.console import Group as RenderableGroup
        from rich.text import Text

        shown = [_agreement_table(self)]
        if self.movers:
            shown.append(_moved_table("whose rank changes most", self.movers))
        if self.changed:
            shown.append(_moved_table("whose advantage changes its sign", self.changed))
        lines = [f"status {old} -> {new}: {count}" for (old, new), count in self.status_changes.items() if old != new]
        if self.set_aside:
            lines.append(f"{self.set_aside} rows of the source could not be read")
        return RenderableGroup(*shown, Text("\n".join(lines)))

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=120)
        console.print(self.table())
        return console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO from above


def _agreement_table(found: Comparison) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{found.count} trajectories, {found.both} scored by both", title_justify="left")
    table.add_column("")
    table.add_column(Text(f"old: {found.old_label}"), justify="right")
    table.add_column(Text(f"new: {found.new_label}"), justify="right")
    table.add_row("mean [95% interval]", Text(str(found.old_total.mean)), Text(str(found.new_total.mean)))
    for name in dict.fromkeys([*found.old_parts, *found.new_parts]):
        sides = (found.old_parts.get(name), found.new_parts.get(name))
        table.add_row(Text(f"  {name}"), *(Text("" if side is None else str(side.mean)) for side in sides))
    for name in ("scored", "abstained", "failed"):
        table.add_row(name, str(getattr(found.old_total, name)), str(getattr(found.new_total, name)))
    table.add_section()
    table.add_row("new minus old", "", Text(str(found.difference)))
    table.add_row("rank correlation", "", f"Spearman {found.spearman:.4f}, Kendall {found.kendall:.4f}")
    against = "group mean" if found.baseline == "group" else "mean of all"
    share = (
        f"{found.sign_changes} of {found.compared} ({found.sign_change_share:.1%})"
        if found.compared
        else "none to compare"
    )
    table.add_row(f"advantage ({against}) changes sign", "", share)
    if found.groups_compared:
        table.add_row("groups with another best member", "", f"{found.best_changes} of {found.groups_compared}")
    return table


def _moved_table(title: str, moved: Sequence[Moved]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"trajectories {title}", title_justify="left")
    for name in ("index", "task", "group", "value", "rank", "advantage"):
        table.add_column(name, justify="left" if name in ("task", "group") else "right")
    for entry in moved:
        table.add_row(
            str(entry.index),
            Text(str(entry.id)[:40]),
            Text(str(entry.group)[-40:]),
            f"{entry.old:.4g} -> {entry.new:.4g}",
            f"{entry.old_rank:.2f} -> {entry.new_rank:.2f}",
            f"{entry.old_advantage:+.3g} -> {entry.new_advantage:+.3g}",
        )
    return table
