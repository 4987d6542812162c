"""The pictures of a report: curves as inline SVG, whose text stays text and which refer to nothing outside themselves."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

from rewardlab.extras import require

SMOOTH = 0.8
"""Weight of the past in the smoothed curves."""
SMOOTHED_FROM = 8
"""Curves with fewer points are drawn as they are."""
COLOUR = "#0f766e"
_GREY = "#5a6b69"
_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "rewardlab", "font.size": 9, "axes.edgecolor": "#b8c4c2"}
_SIZE = (4.6, 2.1)
_WIDE = (9.4, 2.8)


def plot(
    positions: Sequence[Any],
    values: Sequence[Any],
    *,
    band: Sequence[Any] | None = None,
    intervals: Sequence[tuple[float, float]] | None = None,
    smooth: bool = True,
    bottom: float | None = None,
    top: float | None = None,
    wide: bool = False,
    percent: bool = False,
) -> str:
    """One curve as inline SVG.

    Args:
        positions: steps.
        values: a number for each; None and NaN leave a gap.
        band: half-width of a band around the curve.
        intervals: low and high end of a bar at each point.
        smooth: whether to draw an exponential average over the pale raw values, where there are enough of them.
        bottom, top: limits of the value axis.
        wide: whether it fills the page.
        percent: whether the value axis is in percent.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    require("matplotlib", extra="plot", why="A report's pictures")
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    numbers = [math.nan if value is None else float(value) for value in values]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=_WIDE if wide else _SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        if band is not None:
            width = [math.nan if half is None else float(half) for half in band]
            pairs = list(zip(numbers, width, strict=True))
            low, high = [number - half for number, half in pairs], [number + half for number, half in pairs]
            axes.fill_between(positions, low, high, color=COLOUR, alpha=0.12, linewidth=0)
        if intervals is not None:
            lower = [max(0.0, number - low) for number, (low, _) in zip(numbers, intervals, strict=True)]
            upper = [max(0.0, high - number) for number, (_, high) in zip(numbers, intervals, strict=True)]
            axes.errorbar(positions, numbers, yerr=(lower, upper), fmt="none", ecolor=COLOUR, alpha=0.45, capsize=3)
        if smooth and len(numbers) >= SMOOTHED_FROM:
            axes.plot(positions, numbers, color=COLOUR, alpha=0.3, linewidth=0.9)
            axes.plot(positions, smoothed(numbers), color=COLOUR, linewidth=1.8)
        else:
            axes.plot(positions, numbers, color=COLOUR, linewidth=1.6, marker="o", markersize=3.5)
        axes.set_ylim(bottom, top)
        axes.set_xlabel("step", color=_GREY)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        if percent:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.tick_params(colors=_GREY, length=2)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.02)
        text = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", metadata=nothing, transparent=True)
    content = text.getvalue()
    return content[content.index("<svg") :]


def smoothed(values: Sequence[float], weight: float = SMOOTH) -> list[float]:
    """Exponential moving average that is unbiased at its start and passes over NaN.

    Args:
        values: numbers; NaN where there is none.
        weight: weight of the past, in [0, 1).
    """
    average, total, result = 0.0, 0.0, []
    for value in values:
        if not math.isnan(value):
            average = weight * average + (1 - weight) * value
            total = weight * total + (1 - weight)
        result.append(average / total if total else math.nan)
    return result
