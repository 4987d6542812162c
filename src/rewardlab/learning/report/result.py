"""The report itself: numbers with their intervals, and the sentences that they call for; as a table, JSON or pictures."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewardlab.scoring.statistics import Mean

if TYPE_CHECKING:
    from rich.console import Group as RenderableGroup

PEOPLE_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How often something was found, and where first.

    Args:
        count: how often.
        examples: the first few places, as text.
    """

    count: int
    examples: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Where numbers lie.

    Args:
        count: how many there are.
        low, median, high: the least, the middle and the greatest.
    """

    count: int
    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthReport:
    """What the length of responses (in characters) says about the winner.

    Args:
        longer_wins: share of comparisons that the longer response wins, which is the accuracy of "longer is better".
        compared: how many have a winner and differ in length.
        equal: how many have a winner and do not.
        difference: mean length of the better less that of the worse.
        better, worse: median lengths.
        by_ratio: for ranges of how many times as long the longer one is: lower and upper end, comparisons, `longer_wins`.
    """

    longer_wins: Mean
    compared: int
    equal: int
    difference: Mean
    better: float
    worse: float
    by_ratio: list[tuple[float, float, int, Mean]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementReport:
    """How far those who judged the same thing agree.

    Args:
        units: things that two or more judged.
        judges: how many judged them.
        named: whether the judges have names.
        equal: share of equal judgements among all pairs of judges.
        unanimous: share of the units on which all agree.
        level: what the main alpha takes judgements for: "nominal" (equal or not) or "interval" (so far apart).
        alpha: Krippendorff's alpha with a 95% interval over units.
        alpha_ordered: the same for ordered categories, in which a tie lies in the middle.
        kappa: Fleiss' kappa over the units with `kappa_judges` judgements; NaN for ratings, and where it says nothing.
        kappa_units, kappa_judges: over how many units, with how many judgements each.
    """

    units: int
    judges: int
    named: bool
    equal: float
    unanimous: float
    level: str
    alpha: Mean
    alpha_ordered: float
    kappa: float
    kappa_units: int
    kappa_judges: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One annotator.

    Args:
        name: as in the data.
        rows: judgements.
        ties: share of ties; NaN where ties are no matter.
        with_others: share of agreement with the majority of the others; NaN where they judged nothing in common.
        in_common: over how many units that is.
    """

    name: str
    rows: int
    ties: float
    with_others: float
    in_common: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """What stands in judgements.

    Args:
        kind: "preferences", "rankings", "ratings" or "steps".
        layout: what the reader took the rows for; None for data that no reader made.
        rows, items, prompts: how many there are.
        annotators: how many are named.
        set_aside: rows that could not be read.
        problems: the first of them, with line and reason.
        counts: rows by what they say.
        duplicates, contradictions: see `Comparisons`; None where that is not asked.
        circles: triples that were compared all round, and how many of them go in a circle; None where there are none.
        ties: share of rows that say tie; NaN where that is not asked.
        first_wins: how often the response wins that stands first; None where the better one always does.
        length: what length says; None without texts.
        agreement: between judges; None where nothing was judged twice.
        people: the annotators, those with most rows first.
        spreads: of numbers beside the rows, by name.
        notes: what a reader should look at before training, as sentences.
    """

    kind: str
    layout: str | None
    rows: int
    items: int
    prompts: int
    annotators: int
    set_aside: int
    problems: list[str]
    counts: dict[str, int]
    duplicates: Found | None = None
    contradictions: Found | None = None
    circles: tuple[int, int] | None = None
    ties: float = math.nan
    first_wins: Mean | None = None
    length: LengthReport | None = None
    agreement: AgreementReport | None = None
    people: list[Person] = field(default_factory=list)
    spreads: dict[str, Spread] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with None where a number is not known."""
        from dataclasses import asdict

        found: dict[str, Any] = plain(asdict(self))
        return found

    def to_json(self, *, indent: int | None = 2) -> str:
        """The report as strict JSON."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False, ensure_ascii=False)

    def save_plots(self, folder: str | Path, *, file_type: str = "png") -> list[Path]:
        """Write the pictures that the data allow.

        Args:
            folder: is made where it is not there.
            file_type: "png" or "svg".

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        from rewardlab.learning.report.plots import save_plots

        return save_plots(self, Path(folder), file_type)

    def table(self) -> RenderableGroup:
        """Tables for rich."""
        from rich.console import Group as RenderableGroup
        from rich.text import Text

        shown: list[Any] = [Text(self.layout or self.kind), _main_table(self)]
        if self.length is not None:
            shown += [Text(_length_title(self.length)), _length_table(self.length)]
        if self.people:
            shown.append(_people_table(self.people))
        lines = [f"- {note}" for note in self.notes] or ["nothing stands out"]
        if self.set_aside:
            lines.append(f"{told(self.set_aside, 'row')} could not be read:")
            lines += [f"  {short(problem)}" for problem in self.problems]
        shown.append(Text("\n".join(lines)))
        return RenderableGroup(*shown)

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=120)
        console.print(self.table())
        return console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO from above


def plain(value: Any) -> Any:
    """Values that strict JSON can hold: NaN and infinities become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def percent(share: Mean | float) -> str:
    """A share in percent, with its interval where it has one."""
    if isinstance(share, float):
        return "-" if math.isnan(share) else f"{100 * share:.1f}%"
    if math.isnan(share.value):
        return "-"
    if math.isnan(share.low):
        return f"{100 * share.value:.1f}%"
    return f"{100 * share.value:.1f}% [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def told(count: int, what: str) -> str:
    """A number of things: "1 row", "2 rows"."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def short(text: str) -> str:
    """A text on one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= 160 else line[:157] + "..."


def _number(mean: Mean, digits: int = 2) -> str:
    if math.isnan(mean.value):
        return "-"
    end = "" if math.isnan(mean.low) else f" [{mean.low:.{digits}f}, {mean.high:.{digits}f}]"
    return f"{mean.value:.{digits}f}{end}"


def _plain_number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _main_table(found: DataReport) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False)
    table.add_column("what")
    table.add_column("value")
    rows: list[tuple[str, str]] = [
        ("rows", ", ".join([str(found.rows), *(f"{count} {name}" for name, count in found.counts.items())])),
        ("items / prompts", f"{found.items} / {found.prompts}"),
        ("annotators", str(found.annotators) if found.annotators else "nobody is named"),
        ("could not be read", str(found.set_aside)),
    ]
    for name, one in (("repeated rows", found.duplicates), ("contradictions", found.contradictions)):
        if one is not None:
            where = f" ({'; '.join(one.examples[:2])}{'; ...' if one.count > 2 else ''})" if one.count else ""
            rows.append((name, f"{one.count}{where}"))
    if found.circles is not None:
        rows.append(("circles", f"{found.circles[1]} of {found.circles[0]} triples that were compared all round"))
    if not math.isnan(found.ties):
        rows.append(("ties", percent(found.ties)))
    if found.first_wins is not None:
        rows.append(("the first one wins", percent(found.first_wins)))
    if found.agreement is not None:
        rows += _agreement_rows(found.agreement)
    for name, spread in found.spreads.items():
        rows.append((name, f"{spread.low:g} to {spread.high:g}, median {spread.median:g} ({spread.count} values)"))
    for name, value in rows:
        table.add_row(name, Text(value))
    return table


def _agreement_rows(agreement: AgreementReport) -> list[tuple[str, str]]:
    who = f"{agreement.judges} annotators" if agreement.named else f"up to {agreement.judges} judgements each"
    rows = [
        ("judged by several", f"{agreement.units} ({who}); unanimous {percent(agreement.unanimous)}"),
        ("two of them agree", percent(agreement.equal)),
        (
            "Krippendorff's alpha",
            f"{_number(agreement.alpha)} {agreement.level}, {_plain_number(agreement.alpha_ordered)} ordinal",
        ),
    ]
    if not math.isnan(agreement.kappa):
        over = f"{agreement.kappa_units} with {agreement.kappa_judges} judgements each"
        rows.append(("Fleiss' kappa", f"{agreement.kappa:.2f} ({over})"))
    return rows


def _length_title(length: LengthReport) -> str:
    return (
        f"length in characters: median {length.better:g} of the better, {length.worse:g} of the worse; better less worse "
        f"{_number(length.difference, 1)}"
    )


def _length_table(length: LengthReport) -> Any:
    from rich.table import Table

    table = Table()
    table.add_column("how many times as long")
    table.add_column("comparisons", justify="right")
    table.add_column("the longer one wins [95% interval]", justify="right")
    table.add_row("any", str(length.compared), percent(length.longer_wins))
    for lower, upper, count, share in length.by_ratio:
        ends = f"{lower:g} to {upper:g}" if math.isfinite(upper) else f"{lower:g} and more"
        table.add_row(f"  {ends}", str(count), percent(share))
    if length.equal:
        table.add_row("  equally long", str(length.equal), "-")
    return table


def _people_table(people: list[Person]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="annotators", title_justify="left")
    for name in ("name", "rows", "ties", "with the others' majority", "in common"):
        table.add_column(name, justify="left" if name == "name" else "right")
    for one in people[:PEOPLE_SHOWN]:
        cells = (str(one.rows), percent(one.ties), percent(one.with_others), str(one.in_common))
        table.add_row(Text(one.name), *cells)
    if len(people) > PEOPLE_SHOWN:
        rest = people[PEOPLE_SHOWN:]
        table.add_row(f"{len(rest)} more", str(sum(one.rows for one in rest)), "", "", "")
    return table
