"""What an evaluation found, as tables and as plain values."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rewardlab.functional.calibration import ReliabilityCurve
from rewardlab.learning.evaluation.statistics import Estimate
from rewardlab.scoring.summary import number_or_none

if TYPE_CHECKING:
    from rich.console import Group

    from rewardlab.learning.evaluation.units import Units

_REASONS_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Whether stated probabilities come true.

    Args:
        curve: stated against found, in bins. Of comparisons the side that is preferred is looked at, so that probabilities
            lie between 0.5 and 1; of steps the probability that a step is right, between 0 and 1.
        error: expected calibration error.
        brier: mean squared distance of probability and label; always saying 0.5 gives 0.25.
        rows: how many there are.
    """

    curve: ReliabilityCurve
    error: float
    brier: float
    rows: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "expected_calibration_error": number_or_none(self.error),
            "brier": number_or_none(self.brier),
            "rows": self.rows,
            "curve": {name: column.tolist() for name, column in self.curve._asdict().items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatorAgreement:
    """One annotator beside the reward.

    Args:
        rows: how many comparisons were judged by this annotator, ties left out.
        reward: how often the reward says the same.
        others: how often the majority of the other annotators says the same, of comparisons where there is one.
        reward_others: how often the reward agrees with that majority, on the same comparisons.
        kappa: Cohen's kappa of the reward and this annotator.
    """

    rows: int
    reward: Estimate
    others: Estimate
    reward_others: Estimate
    kappa: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The reward among the people who judged the same comparisons.

    Args:
        annotators: each with what the reward and the other people say of the same comparisons.
        majority: how often the reward agrees with the majority.
        pairwise: share of equal judgements (first, second, tie) among all pairs of people.
        alpha: Krippendorff's alpha of the people.
        kappa: Fleiss' kappa of the people; NaN where comparisons were not all judged equally often.
        comparisons: how many were judged by at least two people.
    """

    annotators: dict[str, AnnotatorAgreement]
    majority: Estimate
    pairwise: float
    alpha: float
    kappa: float
    comparisons: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "majority": self.majority.to_dict(),
            "people": {
                "pairwise": number_or_none(self.pairwise),
                "krippendorff_alpha": number_or_none(self.alpha),
                "fleiss_kappa": number_or_none(self.kappa),
                "comparisons": self.comparisons,
            },
            "annotators": {
                name: {
                    "rows": one.rows,
                    "reward": one.reward.to_dict(),
                    "others": one.others.to_dict(),
                    "reward_with_others": one.reward_others.to_dict(),
                    "cohen_kappa": number_or_none(one.kappa),
                }
                for name, one in self.annotators.items()
            },
        }


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How good a reward is on some judgements.

    Args:
        reward: its name.
        data: the name of the data.
        kind: "preferences", "rankings", "ratings" or "steps".
        headline: the name of the measure that a comparison of rewards uses.
        measures: by name, with intervals.
        counts: of rows: all; decided (the reward said something about all that is needed); abstained and failed (it did
            not); and what is particular to the kind, such as ties.
        strata: column -> its value -> measures of those rows.
        benchmark: the averages of RewardBench or RM-Bench, where the data are in their format.
        benchmark_notes: what has to be known of them.
        calibration: None where the reward gives no probabilities.
        agreement: None where comparisons were not judged by several people.
        reasons: why the reward said nothing, with how many items or rows, the most frequent first.
        threshold: of steps, below which a step is taken as wrong.
        set_aside: how many rows of the source could not be read.
        units: the outcome of every row, for paired comparisons and plots.
    """

    reward: str
    data: str
    kind: str
    headline: str
    measures: dict[str, Estimate]
    counts: dict[str, int]
    strata: dict[str, dict[str, dict[str, Estimate]]] = field(default_factory=dict)
    benchmark: dict[str, Estimate] = field(default_factory=dict)
    benchmark_notes: tuple[str, ...] = ()
    calibration: Calibration | None = None
    agreement: Agreement | None = None
    reasons: list[tuple[str, str, int]] = field(default_factory=list)
    threshold: float | None = None
    set_aside: int = 0
    units: Units = field(repr=False)

    @property
    def main(self) -> Estimate:
        """The measure that a comparison of rewards uses."""
        return self.measures[self.headline]

    def __getitem__(self, name: str) -> Estimate:
        return self.measures[name]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with None where a number is not known."""
        return {
            "reward": self.reward,
            "data": self.data,
            "kind": self.kind,
            "headline": self.headline,
            "measures": _plain(self.measures),
            "counts": self.counts,
            "by": {
                column: {level: _plain(found) for level, found in levels.items()}
                for column, levels in self.strata.items()
            },
            "benchmark": _plain(self.benchmark),
            "benchmark_notes": list(self.benchmark_notes),
            "calibration": None if self.calibration is None else self.calibration.to_dict(),
            "agreement": None if self.agreement is None else self.agreement.to_dict(),
            "reasons": [{"status": status, "reason": why, "count": count} for status, why, count in self.reasons],
            "threshold": self.threshold,
            "set_aside": self.set_aside,
        }

    def to_json(self, *, indent: int | None = 2) -> str:
        """The evaluation as strict JSON."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    def table(self) -> Group:
        """Tables for rich."""
        from rich.console import Group
        from rich.text import Text

        shown: list[Any] = [_measures_table(f"{self.reward} on {self.data}", self.measures)]
        if self.benchmark:
            shown.append(_measures_table("as the benchmark averages", self.benchmark))
        shown += [_strata_table(column, levels, self.headline) for column, levels in self.strata.items()]
        if self.agreement is not None:
            shown.append(_agreement_table(self.agreement))
        lines = [", ".join(f"{count} {name}" for name, count in self.counts.items())]
        if self.threshold is not None:
            lines.append(f"a step is taken as wrong below {self.threshold:.4g}")
        if self.calibration is not None:
            lines.append(
                f"calibration: error {self.calibration.error:.3f}, Brier score {self.calibration.brier:.3f}, of "
                f"{self.calibration.rows} rows"
            )
        if self.agreement is not None:
            people = self.agreement
            lines.append(
                f"people among themselves: pairwise agreement {people.pairwise:.3f}, Krippendorff's alpha "
                f"{people.alpha:.3f}, Fleiss' kappa {people.kappa:.3f}, of {people.comparisons} comparisons"
            )
        lines += [f"note: {note}" for note in self.benchmark_notes]
        lines += [f"{status}, {count} times: {_short(why)}" for status, why, count in self.reasons[:_REASONS_SHOWN]]
        if self.set_aside:
            lines.append(f"{self.set_aside} rows of the source could not be read")
        return Group(*shown, Text("\n".join(lines)))

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=120)
        console.print(self.table())
        return console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO from above


def _measures_table(title: str, measures: Mapping[str, Estimate]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left")
    table.add_column("measure")
    table.add_column("value [95% interval]", justify="right")
    for name in ("rows", "prompts"):
        table.add_column(name, justify="right")
    table.add_column("interval")
    for name, one in measures.items():
        table.add_row(Text(name), str(one), str(one.rows), str(one.prompts), one.method)
    return table


def _strata_table(column: str, levels: Mapping[str, Mapping[str, Estimate]], headline: str) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"{headline} by {column}"), title_justify="left")
    table.add_column(Text(column))
    table.add_column("value [95% interval]", justify="right")
    table.add_column("rows", justify="right")
    for level, found in levels.items():
        table.add_row(Text(level), str(found[headline]), str(found[headline].rows))
    return table


def _agreement_table(agreement: Agreement) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="agreement, ties left out", title_justify="left")
    for name in ("annotator", "reward", "other people", "reward with other people", "Cohen's kappa", "rows"):
        table.add_column(name, justify="left" if name == "annotator" else "right")
    for name, one in agreement.annotators.items():
        kappa = "-" if math.isnan(one.kappa) else f"{one.kappa:.3f}"
        table.add_row(Text(name), str(one.reward), str(one.others), str(one.reward_others), kappa, str(one.rows))
    table.add_row("their majority", str(agreement.majority), "", "", "", str(agreement.majority.rows))
    return table


def _plain(measures: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: one.to_dict() for name, one in measures.items()}


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 160 else line[:157] + "..."
