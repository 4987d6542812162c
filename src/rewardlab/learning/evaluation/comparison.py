"""Several rewards on several data sets: one table with intervals, and a paired test of each against a baseline."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rewardlab.learning.evaluation.evaluating import evaluate
from rewardlab.learning.evaluation.result import Evaluation
from rewardlab.learning.evaluation.sources import data_from, model_from
from rewardlab.learning.evaluation.statistics import Estimate, holm, paired_difference
from rewardlab.registry import nearest
from rewardlab.rewards.base import Reward
from rewardlab.scoring.summary import number_or_none

if TYPE_CHECKING:
    from rich.table import Table

FORMATS = (".md", ".csv", ".json")
"""What a comparison can be written as."""

_COLUMNS = (
    *("data", "reward", "measure", "value", "low", "high", "rows", "prompts", "interval", "abstained", "failed"),
    *("baseline", "difference", "difference_low", "difference_high", "compared_rows", "p", "p_holm"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One reward minus the baseline, on the rows about which both say something.

    Args:
        estimate: the difference of the headline measure, with its interval.
        p: two-sided, for equally good rewards; NaN where nothing can be said.
        adjusted: the same by Holm's method for all differences of the comparison.
    """

    estimate: Estimate
    p: float
    adjusted: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Several rewards on several data sets.

    Args:
        rewards: their names, in order.
        data: the names of the data sets, in order.
        baseline: which of the rewards the others are compared with.
        cells: (data, reward) -> evaluation.
        differences: (data, reward) -> reward minus baseline; the baseline itself has none.
    """

    rewards: tuple[str, ...]
    data: tuple[str, ...]
    baseline: str
    cells: dict[tuple[str, str], Evaluation]
    differences: dict[tuple[str, str], Difference]

    def to_rows(self) -> list[dict[str, Any]]:
        """A plain row for every cell, with None where a number is not known."""
        rows = []
        for data in self.data:
            for reward in self.rewards:
                cell = self.cells[(data, reward)]
                told = cell.main.to_dict()
                row: dict[str, Any] = dict.fromkeys(_COLUMNS)
                row |= {"data": data, "reward": reward, "measure": cell.headline, **told}
                row |= {name: cell.counts[name] for name in ("abstained", "failed")}
                difference = self.differences.get((data, reward))
                if difference is not None:
                    one = difference.estimate.to_dict()
                    row |= {
                        "baseline": self.baseline,
                        "difference": one["value"],
                        "difference_low": one["low"],
                        "difference_high": one["high"],
                        "compared_rows": one["rows"],
                        "p": number_or_none(difference.p),
                        "p_holm": number_or_none(difference.adjusted),
                    }
                rows.append(row)
        return rows

    def to_json(self, *, indent: int | None = 2) -> str:
        """The comparison as strict JSON: the table, and every evaluation in full."""
        whole = {
            "baseline": self.baseline,
            "table": self.to_rows(),
            "evaluations": [self.cells[(data, reward)].to_dict() for data in self.data for reward in self.rewards],
        }
        return json.dumps(whole, indent=indent, allow_nan=False)

    def to_csv(self) -> str:
        """The table as CSV, a line for every cell."""
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.to_rows())
        return text.getvalue()

    def to_markdown(self) -> str:
        """The table as Markdown: rewards down, data sets across; a star marks p < 0.05 after Holm's adjustment."""
        heads = [f"{data} ({self.cells[(data, self.rewards[0])].headline})" for data in self.data]
        lines = ["| reward | " + " | ".join(map(_plain, heads)) + " |", "|---" * (len(self.data) + 1) + "|"]
        for reward in self.rewards:
            lines.append(f"| {_plain(reward)} | " + " | ".join(self._cell(data, reward) for data in self.data) + " |")
        return "\n".join([*lines, "", *self._legend(), ""])

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the table; the ending of the name says how.

        Raises:
            ValueError: an ending other than .md, .csv and .json.
        """
        target = Path(path)
        makers = dict(zip(FORMATS, (self.to_markdown, self.to_csv, self.to_json), strict=True))
        if target.suffix not in makers:
            raise ValueError(f"cannot write a comparison to {str(target)!r}; the name must end in {', '.join(FORMATS)}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(makers[target.suffix](), encoding="utf-8")
        return target

    def table(self) -> Table:
        """The table for rich."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title=f"against {self.baseline}", title_justify="left", caption="\n".join(self._legend()))
        table.caption_justify = "left"
        table.add_column("reward")
        for data in self.data:
            head = f"{data}\n{self.cells[(data, self.rewards[0])].headline}"
            table.add_column(Text(head), justify="right")
        for reward in self.rewards:
            table.add_row(Text(reward), *(Text(self._cell(data, reward, "\n")) for data in self.data))
        return table

    def _cell(self, data: str, reward: str, gap: str = "; ") -> str:
        cell = self.cells[(data, reward)]
        text = str(cell.main)
        undecided = cell.counts["abstained"] + cell.counts["failed"]
        if undecided:
            text += f"{gap}{undecided} of {cell.counts['rows']} rows undecided"
        difference = self.differences.get((data, reward))
        if difference is None or math.isnan(difference.estimate.value):
            return text
        star = " *" if difference.adjusted < 0.05 else ""
        return f"{text}{gap}{difference.estimate.value:+.3f}{_ends(difference.estimate)}{star}"

    def _legend(self) -> list[str]:
        rows = ", ".join(f"{data}: {self.cells[(data, self.rewards[0])].counts['rows']}" for data in self.data)
        lines = [f"95% intervals; rows: {rows}."]
        if len(self.rewards) > 1:
            lines.append(
                f"Signed numbers are differences from {self.baseline} on the rows that both decide; * p < 0.05 after Holm's "
                f"adjustment for {len(self.differences)} tests."
            )
        return lines


def compare(
    models: Mapping[str, Any] | Iterable[Any],
    data: Mapping[str, Any] | Iterable[Any],
    *,
    baseline: str | None = None,
    threshold: Any = None,
) -> Comparison:
    """Measure several rewards on several data sets, and test each against a baseline on the same rows.

    Args:
        models: name -> reward (or what `model_from` reads), or rewards alone.
        data: name -> judgements (or what `data_from` reads), or judgements alone.
        baseline: the name of the reward that the others are compared with; None for the first.
        threshold: of step labels, as for `evaluate`.

    Raises:
        ValueError: there are no rewards or no data, two have one name, or the baseline is not among the rewards.
    """
    rewards, sets = _named(models, "reward"), _named(data, "data set")
    chosen = baseline or next(iter(rewards))
    if chosen not in rewards:
        raise ValueError(
            f"the baseline {chosen!r} is none of the rewards {', '.join(rewards)}{nearest(chosen, rewards)}"
        )
    found = {name: model_from(source) for name, source in rewards.items()}
    cells: dict[tuple[str, str], Evaluation] = {}
    for data_name, source in sets.items():
        judgements = data_from(source)
        for name, reward in found.items():
            cells[(data_name, name)] = evaluate(
                reward, judgements, name=name, data_name=data_name, threshold=threshold
            )  # fmt: skip
    tests = {
        (data_name, name): difference(cells[(data_name, name)], cells[(data_name, chosen)])
        for data_name in sets
        for name in rewards
        if name != chosen
    }
    adjusted = holm([p for _, p in tests.values()])
    return Comparison(
        rewards=tuple(rewards),
        data=tuple(sets),
        baseline=chosen,
        cells=cells,
        differences={
            place: Difference(estimate=one, p=p, adjusted=holm_p)
            for (place, (one, p)), holm_p in zip(tests.items(), adjusted, strict=True)
        },
    )


def difference(first: Evaluation, second: Evaluation, measure: str | None = None) -> tuple[Estimate, float]:
    """One evaluation minus another of the same data, on the rows that both decide, and the p value.

    Args:
        first, second: evaluations of the same data.
        measure: which; None for the headline.

    Raises:
        ValueError: they are of different data.
    """
    if first.kind != second.kind or first.units.prompts != second.units.prompts:
        raise ValueError(
            f"{first.reward} and {second.reward} were evaluated on different rows, so they cannot be paired"
        )
    name = measure or first.headline
    both = np.asarray(first.units.decided & second.units.decided)
    return paired_difference(first.units.measure(name, both), second.units.measure(name, both))


def _named(things: Mapping[str, Any] | Iterable[Any], kind: str) -> dict[str, Any]:
    if isinstance(things, Mapping):
        named = dict(things)
    else:
        if isinstance(things, (str, os.PathLike)):
            raise ValueError(f"expected several {kind}s, got {str(things)!r} alone; put it into a list")
        named = {}
        for thing in things:
            if isinstance(thing, (str, os.PathLike)):
                name = Path(os.fspath(thing)).name
                name = str(thing) if name in named else name
            else:
                name = thing.label if isinstance(thing, Reward) else f"{kind} {len(named) + 1}"
            if name in named:
                raise ValueError(f"two {kind}s are called {name!r}; give a mapping of names to {kind}s")
            named[name] = thing
    if not named:
        raise ValueError(f"there is no {kind} to compare")
    return named


def _ends(one: Estimate) -> str:
    return "" if math.isnan(one.low) else f" [{one.low:+.3f}, {one.high:+.3f}]"


def _plain(text: str) -> str:
    return text.replace("|", "\\|")
