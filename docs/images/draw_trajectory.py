"""Draw a demonstration of an embedded world as an SVG: what arrived on the left, what the agent did on the right.

python docs/images/draw_trajectory.py shop docs/images/shop.svg --option level=full --split test --place 3
"""

from __future__ import annotations

import argparse
import json
import textwrap
from html import escape
from pathlib import Path

from rewardlab.environments import ENVIRONMENTS
from rewardlab.types import Message, Trajectory, message_text

WIDTH, MARGIN, LINE, LETTER = 820, 16, 17, 7.25
COLOURS = {"system": "#eceff1", "user": "#e3f2fd", "tool": "#fff8e1", "assistant": "#e0f2f1"}


def written(message: Message) -> str:
    """The text of a message, and its calls as one would write them."""
    lines = [message_text(message)]
    for call in message.get("tool_calls") or ():
        arguments = json.loads(call["function"]["arguments"])
        given = ", ".join(f"{name}={json.dumps(value)}" for name, value in arguments.items())
        lines.append(f"{call['function']['name']}({given})")
    return "\n".join(filter(None, lines))


def svg(trajectory: Trajectory, most_lines: int) -> str:
    """The picture; messages longer than `most_lines` lines are cut, and the cut is shown."""
    drawn, top = [], MARGIN
    for message in trajectory.messages:
        role = message["role"]
        lines = [part for line in written(message).splitlines() for part in textwrap.wrap(line, 78) or [""]]
        if len(lines) > most_lines:
            lines = [*lines[: most_lines - 1], f"... {len(lines) - most_lines + 1} more lines"]
        width = max(len(role) + 2, *(len(line) for line in lines)) * LETTER + 24
        height = (len(lines) + 1) * LINE + 12
        left = WIDTH - MARGIN - width if role == "assistant" else MARGIN
        drawn.append(
            f'<rect x="{left:.0f}" y="{top}" width="{width:.0f}" height="{height}" rx="8" fill="{COLOURS[role]}" '
            'stroke="#b0bec5"/>'
        )
        for place, line in enumerate([role, *lines]):
            style = ' fill="#607d8b" font-weight="bold"' if place == 0 else ' fill="#263238"'
            drawn.append(f'<text x="{left + 12:.0f}" y="{top + 18 + place * LINE}"{style}>{escape(line)}</text>')
        top += height + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + MARGIN}" font-family="monospace" '
        f'font-size="12"><rect width="100%" height="100%" fill="#ffffff"/>{"".join(drawn)}</svg>\n'
    )


def main() -> None:
    """Read the command line, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", help="a name of rewardlab.environments.ENVIRONMENTS that brings its own tasks")
    parser.add_argument("output", type=Path)
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the world")
    parser.add_argument("--split", default="test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--place", type=int, default=0, help="which task")
    parser.add_argument("--lines", type=int, default=8, help="most lines of a message")
    given = parser.parse_args()
    world = ENVIRONMENTS.resolve(given.world)(**dict(one.split("=", 1) for one in given.option))
    (trajectory,) = world.demonstrations(world.tasks(given.split, given.place + 1, given.seed)[-1:])
    given.output.write_text(svg(trajectory, given.lines), encoding="utf-8")


if __name__ == "__main__":
    main()
