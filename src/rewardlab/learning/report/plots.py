"""Pictures of a report: length against label, labels, annotators, and the spread of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewardlab.extras import require
from rewardlab.learning.report.result import DataReport, Person

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOUR, GREY = "#0f766e", "#5a6b69"
MOST_PEOPLE = 30


def save_plots(found: DataReport, folder: Path, file_type: str = "png") -> list[Path]:
    """Write every picture that the report has numbers for.

    Raises:
        MissingExtra: matplotlib is not installed.
        ValueError: an unknown type of file.
    """
    require("matplotlib", extra="plot", why="Pictures of a report on data")
    if file_type not in ("png", "svg"):
        raise ValueError(f"file_type must be 'png' or 'svg', got {file_type!r}")
    pictures: dict[str, Callable[[Axes], None]] = {}
    if found.length is not None:
        pictures["length"] = lambda axes: _length(axes, found)
    if found.counts and found.kind != "rankings":
        pictures["labels"] = lambda axes: _labels(axes, found)
    judged = [one for one in found.people if not math.isnan(one.with_others)]
    if len(judged) > 1:
        pictures["annotators"] = lambda axes: _people(axes, judged[:MOST_PEOPLE])
    folder.mkdir(parents=True, exist_ok=True)
    return [_save(draw, folder / f"{name}.{file_type}") for name, draw in pictures.items()]


def _save(draw: Callable[[Any], None], path: Path) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    draw(axes)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=GREY, length=2)
    figure.savefig(path, dpi=150)
    return path


def _length(axes: Axes, found: DataReport) -> None:
    length = found.length
    assert length is not None
    names = [f"{low:g}-{high:g}" if math.isfinite(high) else f"{low:g}+" for low, high, _, _ in length.by_ratio]
    values = [share.value for *_, share in length.by_ratio]
    ends = [
        [0.0 if math.isnan(share.low) else max(0.0, share.value - share.low) for *_, share in length.by_ratio],
        [0.0 if math.isnan(share.high) else max(0.0, share.high - share.value) for *_, share in length.by_ratio],
    ]
    axes.errorbar(range(len(values)), values, yerr=ends, color=COLOUR, marker="o", capsize=3)
    axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(names)), names)
    axes.set_ylim(0, 1)
    axes.set_xlabel("how many times as long the longer response is")
    axes.set_ylabel("share that it wins")
    axes.set_title(f"length against label ({length.compared} comparisons)", fontsize=10)


def _labels(axes: Axes, found: DataReport) -> None:
    axes.barh(list(found.counts), list(found.counts.values()), color=COLOUR)
    axes.invert_yaxis()
    axes.set_xlabel("rows" if found.kind != "steps" else "solutions or steps")
    axes.set_title(f"what {found.rows} rows say", fontsize=10)


def _people(axes: Axes, people: list[Person]) -> None:
    axes.barh([one.name for one in people], [one.with_others for one in people], color=COLOUR)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of judgements with the majority of the others")
    axes.set_title("annotators", fontsize=10)
