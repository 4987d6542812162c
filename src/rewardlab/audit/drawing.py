"""The pictures of the audit, with matplotlib's objects alone: no window, no state that other plots share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.extras import require

if TYPE_CHECKING:
    from rewardlab.audit.contributions import RewardParts
    from rewardlab.audit.maps import MapComparison, RewardMap

PALETTE = ("#0f766e", "#b45309", "#4338ca", "#be185d", "#4d7c0f", "#0369a1", "#7c2d12", "#57534e")
_LEVELS = 13


def new_figure(width: float, height: float) -> Any:
    """An empty figure that belongs to no window.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    require("matplotlib", extra="plot", why="drawing a reward")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def write(figure: Any, path: Path) -> Path:
    """Save a figure; the file's ending says in which format.

    Raises:
        ValueError: an ending that is no picture.
    """
    known = figure.canvas.get_supported_filetypes()
    if path.suffix.lstrip(".") not in known:
        raise ValueError(f"cannot draw into {path.name!r}; expected a name that ends in .png, .svg or .pdf")
    figure.savefig(path, dpi=80)
    return path


def draw_maps(maps: Sequence[RewardMap], *, quarrel: bool = True) -> Any:
    """Maps side by side, with one scale of colours around 0."""
    figure = new_figure(4.4 * len(maps) + 0.6, 3.9)
    for place, one in enumerate(maps):
        axes = figure.add_subplot(1, len(maps), place + 1)
        _map(figure, axes, one, quarrel=quarrel)
    return figure


def draw_comparison(comparison: MapComparison) -> Any:
    """Two maps, and where their signs differ."""
    first, second = comparison.first, comparison.second
    figure = new_figure(13.2, 3.9)
    for place, one in enumerate((first, second)):
        _map(figure, figure.add_subplot(1, 3, place + 1), one, quarrel=False)
    axes = figure.add_subplot(1, 3, 3)
    differ = (np.sign(first.values) * np.sign(second.values) < 0).astype(float)
    axes.imshow(differ, origin="lower", extent=_extent(first), aspect="auto", cmap="Reds", vmin=0, vmax=1.4)
    axes.set_title(f"signs differ on {comparison.sign_disagreement:.0%} of the area", fontsize=10)
    axes.set_xlabel(first.labels[0])
    return figure


def draw_timeline(parts: RewardParts, index: int) -> Any:
    """Contributions along one trajectory."""
    figure = new_figure(7.6, 3.2)
    _timeline(figure.add_subplot(1, 1, 1), parts, index)
    return figure


def draw_histogram(groups: Mapping[str, NDArray[np.float64]], part: str, per: str, bins: int) -> Any:
    """The values of a part, one outline for each group."""
    figure = new_figure(5.4, 3.2)
    axes = figure.add_subplot(1, 1, 1)
    everything = np.concatenate(list(groups.values()))
    edges = np.histogram_bin_edges(everything, bins=bins)
    for place, (name, values) in enumerate(groups.items()):
        axes.hist(values, bins=edges, density=True, histtype="step", label=name, color=PALETTE[place % len(PALETTE)])
    axes.set_xlabel(f"{part} of a {per}")
    axes.set_ylabel("density")
    axes.legend(fontsize=8, frameon=False)
    return figure


def draw_parts(parts: RewardParts, index: int) -> Any:
    """Timeline, shares and correlations in one picture."""
    figure = new_figure(11.5, 6.2)
    grid = figure.add_gridspec(2, 2)
    _timeline(figure.add_subplot(grid[0, :]), parts, index)
    axes = figure.add_subplot(grid[1, 0])
    rows = parts.table()[::-1]
    axes.barh([row["part"] for row in rows], [row["share"] for row in rows], color=PALETTE[0])
    axes.set_xlabel("share of the sum of |contribution|")
    names, matrix = parts.correlations()
    axes = figure.add_subplot(grid[1, 1])
    shown = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_title("correlation over steps", fontsize=9)
    figure.colorbar(shown, ax=axes, shrink=0.8)
    return figure


def _map(figure: Any, axes: Any, one: RewardMap, *, quarrel: bool) -> None:
    size = float(np.nanmax(np.abs(one.values))) or 1.0
    levels = np.linspace(-size, size, _LEVELS)
    shown = axes.contourf(one.x, one.y, one.values, levels=levels, cmap="RdBu_r")
    if one.values.min() < 0 < one.values.max():
        axes.contour(one.x, one.y, one.values, levels=[0.0], colors="black", linewidths=1.0)
    title = one.name
    if quarrel and one.quarrel.any():
        axes.contourf(one.x, one.y, one.quarrel.astype(float), levels=[0.5, 1.5], colors="none", hatches=["////"])
        title = f"{one.name} (hatched: parts of both signs, {one.quarrel.mean():.0%})"
    for name, (across, up) in one.marks.items():
        axes.plot(across, up, marker="o", color="black", markersize=5)
        axes.annotate(name, (across, up), textcoords="offset points", xytext=(5, 5), fontsize=8)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(one.labels[0])
    axes.set_ylabel(one.labels[1])
    figure.colorbar(shown, ax=axes)


def _timeline(axes: Any, parts: RewardParts, index: int) -> None:
    if not -len(parts) <= index < len(parts):
        raise IndexError(f"there is no trajectory {index}; {len(parts)} were scored")
    for place, (name, columns) in enumerate(parts.contributions.items()):
        axes.plot(columns[index], label=name, color=PALETTE[place % len(PALETTE)], linewidth=1.3)
    axes.plot(parts.steps["reward"][index], color="black", linewidth=0.9, linestyle="--", label="reward")
    axes.axhline(0.0, color="#9ca3af", linewidth=0.6)
    axes.set_xlabel("step")
    axes.legend(fontsize=8, frameon=False, ncols=3)


def _extent(one: RewardMap) -> tuple[float, float, float, float]:
    return float(one.x[0]), float(one.x[-1]), float(one.y[0]), float(one.y[-1])
