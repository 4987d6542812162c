"""How hard the desk is: `small` for a tiny model trained from scratch on a CPU, `full` for real models."""

from __future__ import annotations

from dataclasses import dataclass

from rewardlab.environments.tool_desk.questions import KINDS
from rewardlab.environments.tool_desk.tables import COLUMNS, Ranges


@dataclass(frozen=True, slots=True)
class Level:
    """How hard the desk is.

    Args:
        kinds: which kinds of questions it can ask.
        calls: fewest and most calls that a question may need.
        ranges: how large its world is.
        size: rows of the tables of people and items.
        wordings: in how many ways each question may be put.
        show_tools: whether the policy is shown the descriptions of the tools.
        system: the message that opens every conversation.
    """

    kinds: tuple[str, ...]
    calls: tuple[int, int]
    ranges: Ranges
    size: int
    wordings: int
    show_tools: bool
    system: str


_SMALL = Ranges()
_FULL = Ranges(people=40, items=40, numbers=40, imperial=True, tables=tuple(COLUMNS))

LEVELS: dict[str, Level] = {
    "small": Level(
        kinds=tuple(name for name, kind in KINDS.items() if set(kind.tables) <= set(_SMALL.tables)),
        calls=(2, 3),
        ranges=_SMALL,
        size=8,
        wordings=1,
        show_tools=False,
        system="Use the tools, then answer.",
    ),
    "full": Level(
        kinds=tuple(KINDS),
        calls=(2, 5),
        ranges=_FULL,
        size=12,
        wordings=3,
        show_tools=True,
        system=(
            "You answer questions at a desk with five tables: "
            "orders (row: person; columns: item, count, date), "
            "items (row: item; columns: price, stock, weight, length), "
            "people (row: person; columns: city, age), "
            "cities (row: city; columns: distance, days), "
            "shifts (row: weekday, such as Mon; column: clerk). "
            "Price, weight and length are those of one piece; days are how long a delivery to the city takes. "
            "Find what you need with the tools. Then reply with the answer alone: a name, a number (at most two decimals, "
            "with its unit where the question asks for one), or a date like 14 Mar."
        ),
    ),
}
"""Every level by name."""
