"""Pictures of an evaluation: measures, strata, reliability, agreement, what is told apart; PNG or SVG, by matplotlib."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rewardlab.extras import require
from rewardlab.learning.evaluation.comparison import Comparison
from rewardlab.learning.evaluation.result import Calibration, Evaluation
from rewardlab.learning.evaluation.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format = Literal["png", "svg"]

_BLUE, _GREY, _ORANGE = "#1f6f8b", "#8a8a8a", "#c8642b"


def save_plots(
    found: Evaluation | Comparison, folder: str | os.PathLike[str], *, file_format: Format = "png"
) -> list[Path]:
    """Draw everything that can be drawn of an evaluation or a comparison.

    Args:
        found: what `evaluate` or `compare` returned.
        folder: where the pictures go; it is made when it is not there.
        file_format: "png" or "svg".

    Returns:
        The files: `measures`, `by_COLUMN` for each column, `benchmark`, `reliability`, `agreement`, and by kind `margins`
        (comparisons), `ratings` (ratings) or `roc` (steps); `comparison` for a comparison.

    Raises:
        ValueError: another format.
    """
    if file_format not in ("png", "svg"):
        raise ValueError(f'file_format must be "png" or "svg", got {file_format!r}')
    require("matplotlib", extra="plot", why="Drawing an evaluation")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw in _pictures(found).items():
        path = target / f"{name}.{file_format}"
        _save(draw, path)
        written.append(path)
    return written


def _pictures(found: Evaluation | Comparison) -> dict[str, Callable[[Axes], None]]:
    if isinstance(found, Comparison):
        return {"comparison": lambda axes: _comparison(axes, found)}
    title = f"{found.reward} on {found.data}"
    drawn: dict[str, Callable[[Axes], None]] = {"measures": lambda axes: _bars(axes, found.measures, title)}
    for column, levels in found.strata.items():
        shown = {level: one[found.headline] for level, one in levels.items()}
        label = f"{title}: {found.headline} by {column}"
        drawn[f"by_{re.sub('[^A-Za-z0-9]+', '_', column)}"] = lambda axes, shown=shown, label=label: _bars(  # type: ignore[misc]
            axes, shown, label
        )
    if found.benchmark:
        drawn["benchmark"] = lambda axes: _bars(axes, found.benchmark, f"{title}: accuracy")
    if found.calibration is not None:
        curve = found.calibration
        drawn["reliability"] = lambda axes: _reliability(axes, curve, title)
    if found.agreement is not None:
        drawn["agreement"] = lambda axes: _agreement(axes, found, title)
    special = {"preferences": _margins, "ratings": _ratings, "steps": _roc}.get(found.kind)
    if special is not None:
        name = {"preferences": "margins", "ratings": "ratings", "steps": "roc"}[found.kind]
        drawn[name] = lambda axes: special(axes, found, title)
    return drawn


def _save(draw: Callable[[Axes], None], path: Path) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "rewardlab", "font.size": 9}):  # the same picture gives the same file
        figure: Figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        draw(figure.add_subplot())
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)


def _bars(axes: Axes, shown: Mapping[str, Estimate], title: str) -> None:
    known = {name: one for name, one in shown.items() if np.isfinite(one.value)}
    places = np.arange(len(known))[::-1]
    for place, one in zip(places, known.values(), strict=True):
        if np.isfinite(one.low):
            axes.plot([one.low, one.high], [place, place], color=_BLUE, linewidth=2)
        axes.plot([one.value], [place], "o", color=_BLUE)
        axes.annotate(f"{one.value:.3f}  n={one.rows}", (one.value, place), (0, 6), textcoords="offset points", size=7)
    axes.set_yticks(places, list(known))
    axes.set_ylim(-0.6, max(len(known) - 0.4, 0.6))
    low = min([0.0, *(one.value for one in known.values()), *(one.low for one in known.values() if one.low == one.low)])
    axes.set_xlim(low, 1.03)
    axes.axvline(0.5, color=_GREY, linewidth=0.8, linestyle=":")
    axes.set_title(title, size=9)
    axes.set_xlabel("value, with 95% interval")


def _reliability(axes: Axes, calibration: Calibration, title: str) -> None:
    curve = calibration.curve
    start = float(curve.lower.min()) if len(curve.lower) else 0.0
    axes.plot([start, 1], [start, 1], color=_GREY, linestyle=":", label="stated = found")
    axes.plot(curve.stated, curve.found, "o-", color=_BLUE, label="the reward")
    for x, y, rows in zip(curve.stated, curve.found, curve.rows, strict=True):
        axes.annotate(str(int(rows)), (x, y), (4, -9), textcoords="offset points", size=7, color=_GREY)
    axes.set_xlabel("stated probability (numbers: rows)")
    axes.set_ylabel("share that came true")
    axes.set_title(f"{title}: calibration error {calibration.error:.3f}, Brier {calibration.brier:.3f}", size=9)
    axes.legend(frameon=False)


def _agreement(axes: Axes, found: Evaluation, title: str) -> None:
    assert found.agreement is not None
    people = found.agreement.annotators
    places = np.arange(len(people), dtype=np.float64)
    series: list[tuple[str, str, float, list[Estimate]]] = [
        ("reward with this annotator", _BLUE, -0.15, [one.reward for one in people.values()]),
        ("other people with this annotator", _ORANGE, 0.15, [one.others for one in people.values()]),
    ]
    for label, colour, shift, shown in series:
        axes.plot(places + shift, [one.value for one in shown], "o", color=colour, label=label)
        for place, one in zip(places, shown, strict=True):
            axes.plot([place + shift] * 2, [one.low, one.high], color=colour)
    axes.axhline(
        found.agreement.majority.value, color=_BLUE, linestyle=":", linewidth=0.8, label="reward with the majority"
    )
    axes.set_xticks(places, list(people), rotation=30 if len(people) > 5 else 0)
    axes.set_ylabel("agreement, ties left out")
    axes.set_title(title, size=9)
    axes.legend(frameon=False)


def _margins(axes: Axes, found: Evaluation, title: str) -> None:
    units: Any = found.units
    there = units.decided & ~units.tied
    signed = units.logits[there] * np.sign(units.data.label[there] - 0.5)
    if len(signed):
        reach = float(np.quantile(np.abs(signed), 0.99)) or 1.0
        edges = np.linspace(-reach, reach, 41).tolist()
        clipped = np.clip(signed, -reach, reach)
        axes.hist(clipped[clipped < 0], edges, color=_ORANGE, label="wrong")
        axes.hist(clipped[clipped >= 0], edges, color=_BLUE, label="right, or a draw")
        axes.legend(frameon=False)
    scale = "log-odds" if units.judged.probable else "difference of values"
    axes.set_xlabel(f"{scale} of the better response")
    axes.set_ylabel("comparisons")
    axes.set_title(title, size=9)


def _ratings(axes: Axes, found: Evaluation, title: str) -> None:
    units: Any = found.units
    there = units.decided
    axes.plot(units.data.value[there], units.values[there], ".", color=_BLUE, alpha=0.4)
    axes.set_xlabel("rating by people")
    axes.set_ylabel("value of the reward")
    axes.set_title(f"{title}: rank correlation {found.main}", size=9)


def _roc(axes: Axes, found: Evaluation, title: str) -> None:
    units: Any = found.units
    _, values, labels = units.labelled(np.ones(len(units), np.bool_))
    right = labels > 0.5
    order = np.argsort(-values, kind="stable")
    last = np.append(np.diff(values[order]) != 0, True)  # equal values are passed at once
    true = np.concatenate([[0], np.cumsum(right[order])[last]]) / max(1, int(right.sum()))
    false = np.concatenate([[0], np.cumsum(~right[order])[last]]) / max(1, int((~right).sum()))
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":")
    axes.plot(false, true, color=_BLUE)
    axes.set_xlabel("share of wrong steps that pass")
    axes.set_ylabel("share of right steps that pass")
    axes.set_title(f"{title}: area under the curve {found.measures['step AUC']}", size=9)


def _comparison(axes: Axes, found: Comparison) -> None:
    places = np.arange(len(found.data), dtype=np.float64)
    width = 0.7 / len(found.rewards)
    for number, reward in enumerate(found.rewards):
        at = places + (number - (len(found.rewards) - 1) / 2) * width
        shown = [found.cells[(data, reward)].main for data in found.data]
        (line,) = axes.plot(at, [one.value for one in shown], "o", label=reward)
        for place, one in zip(at, shown, strict=True):
            axes.plot([place, place], [one.low, one.high], color=line.get_color())
    heads = [f"{data}\n{found.cells[(data, found.rewards[0])].headline}" for data in found.data]
    axes.set_xticks(places, heads)
    axes.axhline(0.5, color=_GREY, linewidth=0.8, linestyle=":")
    axes.set_ylabel("value, with 95% interval")
    axes.legend(frameon=False)
