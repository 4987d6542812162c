"""Reward machines drawn: as DOT text for Graphviz, and as SVG by a layout of our own, which needs no package.

States stand in columns by their distance from the initial one. Parallel edges share an arrow with a line of text each.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import cos, hypot, pi, sin
from typing import TYPE_CHECKING

from rewardlab.rewards.base import Reward

if TYPE_CHECKING:
    from rewardlab.rewards.formal.machines import RewardMachine

_COLUMN, _ROW, _RADIUS, _MARGIN, _LINE = 250, 150, 34, 70, 15
_LONGEST = 34


def to_dot(machine: RewardMachine) -> str:
    """A machine in the DOT language; terminal states have two circles."""
    table = machine.table
    lines = ["digraph reward_machine {", "  rankdir=LR;", '  start [shape=point, label=""];']
    for number, state in enumerate(table.states):
        shape = "doublecircle" if table.terminal[number] else "circle"
        lines.append(f"  {number} [shape={shape}, label={_quoted(state)}];")
    lines.append("  start -> 0;")
    for (source, target), labels in _arrows(machine).items():
        text = "\\n".join(_quoted(label)[1:-1] for label in labels)
        lines.append(f'  {source} -> {target} [label="{text}"];')
    return "\n".join([*lines, "}"]) + "\n"


def to_svg(machine: RewardMachine) -> str:
    """A machine as the text of an SVG file; it follows the page's dark or light scheme."""
    table = machine.table
    arrows = _arrows(machine)
    places, width, height = _layout(len(table.states), list(arrows))
    style = (
        "text{font:13px sans-serif;fill:#222;text-anchor:middle}circle,path{fill:none;stroke:#222;stroke-width:1.4}"
        ".label{font-size:11.5px;paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}"
        ".head{fill:#222;stroke:none}.end{fill:#d7efe9}@media(prefers-color-scheme:dark){text{fill:#eee}"
        ".label{stroke:#1e2129}circle,path{stroke:#ddd}.head{fill:#ddd}.end{fill:#24564c}}"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="reward machine with {len(table.states)} states">',
        f"<style>{style}</style>",
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">'
        '<path class="head" d="M0 0L10 5L0 10z"/></marker></defs>',
    ]
    x, y = places[0]
    parts.append(f'<path d="M{x - _RADIUS - 32:g} {y:g}H{x - _RADIUS - 1:g}" marker-end="url(#head)"/>')
    texts: list[str] = []
    for (source, target), labels in arrows.items():
        bent = (target, source) in arrows
        path, at = _loop(places[source], len(labels)) if source == target else _curve(places, source, target, bent)
        parts.append(f'<path d="{path}" marker-end="url(#head)"/>')
        texts += _lines(labels, at)
    for number, state in enumerate(table.states):
        x, y = places[number]
        kind = ' class="end"' if table.terminal[number] else ""
        parts.append(f'<circle{kind} cx="{x:g}" cy="{y:g}" r="{_RADIUS}"/>')
        if table.terminal[number]:
            parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="{_RADIUS - 4}"/>')
        name = state if len(state) <= 9 else state[:8] + "…"
        parts.append(f'<text x="{x:g}" y="{y + 4.5:g}">{escape(name)}<title>{escape(state)}</title></text>')
    return "\n".join([*parts, *texts, "</svg>"]) + "\n"


def _arrows(machine: RewardMachine) -> dict[tuple[int, int], list[str]]:
    """For each pair of states that an edge joins, a text for each edge: guard, and what it pays unless that is nothing."""
    arrows: dict[tuple[int, int], list[str]] = {}
    for arc in machine.table.arcs:
        edge = machine.transitions[arc.reward] if arc.reward >= 0 else None
        paid = 0.0 if edge is None else edge.reward
        guard = "otherwise" if edge is None else edge.guard
        reward = f" / {paid.label}" if isinstance(paid, Reward) else f" / {paid:g}" if paid else ""
        arrows.setdefault((arc.source, arc.target), []).append(guard + reward)
    return arrows


def _layout(count: int, arrows: Sequence[tuple[int, int]]) -> tuple[dict[int, tuple[float, float]], float, float]:
    """Centres of the states, and the size of the picture."""
    depth = {0: 0}
    frontier = [0]
    while frontier:
        state = frontier.pop(0)
        for source, target in arrows:
            if source == state and target not in depth:
                depth[target] = depth[state] + 1
                frontier.append(target)
    for state in range(count):
        depth.setdefault(state, 0)
    columns: dict[int, list[int]] = {}
    for state, column in depth.items():
        columns.setdefault(column, []).append(state)
    tallest = max(map(len, columns.values()))
    height = 2 * _MARGIN + 50 + (tallest - 1) * _ROW
    places: dict[int, tuple[float, float]] = {}
    for column, states in columns.items():
        for row, state in enumerate(states):
            down = (row - (len(states) - 1) / 2) * _ROW
            places[state] = (_MARGIN + 20 + column * _COLUMN, height / 2 + 18 + down)
    return places, 2 * _MARGIN + 20 + (len(columns) - 1) * _COLUMN, height


def _loop(place: tuple[float, float], lines: int) -> tuple[str, tuple[float, float]]:
    x, y = place
    dx, dy = _RADIUS * sin(pi / 7), _RADIUS * cos(pi / 7)
    top = y - _RADIUS - 38
    path = f"M{x - dx:g} {y - dy:g}C{x - 28:g} {top:g} {x + 28:g} {top:g} {x + dx:g} {y - dy:g}"
    return path, (x, top + 4 - _LINE * (lines - 1) / 2)


def _curve(
    places: dict[int, tuple[float, float]], source: int, target: int, bent: bool
) -> tuple[str, tuple[float, float]]:
    """An arc from edge to edge of two circles; it bends where there is a way back, or where it passes over a column."""
    (x1, y1), (x2, y2) = places[source], places[target]
    far = hypot(x2 - x1, y2 - y1)
    across = abs(x2 - x1) > 1.5 * _COLUMN
    bend = (46 if bent else 0) + (0.28 * far if across else 0)
    nx, ny = (y2 - y1) / far, -(x2 - x1) / far
    mx, my = (x1 + x2) / 2 + nx * bend, (y1 + y2) / 2 + ny * bend

    def rim(x: float, y: float, gap: float) -> tuple[float, float]:
        length = hypot(mx - x, my - y)
        return x + (mx - x) / length * (_RADIUS + gap), y + (my - y) / length * (_RADIUS + gap)

    (ax, ay), (bx, by) = rim(x1, y1, 0), rim(x2, y2, 2)
    path = f"M{ax:.1f} {ay:.1f}Q{mx:.1f} {my:.1f} {bx:.1f} {by:.1f}"
    return path, ((x1 + x2) / 4 + mx / 2, (y1 + y2) / 4 + my / 2 - 7)


def _lines(labels: Sequence[str], at: tuple[float, float]) -> list[str]:
    x, y = at
    result = []
    for number, label in enumerate(labels):
        shown = label if len(label) <= _LONGEST else label[: _LONGEST - 1] + "…"
        line = y + (number - (len(labels) - 1) / 2) * _LINE
        result.append(
            f'<text class="label" x="{x:.1f}" y="{line:.1f}">{escape(shown)}<title>{escape(label)}</title></text>'
        )
    return result


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
