"""`rewardlab list`: what can be named in a configuration. Descriptions are read from the source, so nothing is imported."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from rewardlab.registry import Registry
from rewardlab.source import summary_of

NAME = "list"
EXAMPLES = (
    ("rewardlab list", "everything"),
    ("rewardlab list rewards", "rewards alone"),
    ("rewardlab list rewards --json", "the same for scripts"),
)


class Kind(StrEnum):
    """What can be listed."""

    ALL = "all"
    REWARDS = "rewards"
    ENVIRONMENTS = "environments"
    POLICIES = "policies"
    OBJECTIVES = "objectives"
    CREDITS = "credits"
    CURRICULA = "curricula"
    RECIPES = "recipes"


def command(
    kind: Annotated[Kind, typer.Argument(help="What to list.")] = Kind.ALL,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the rewards, environments, objectives, recipes and other names that a configuration can use."""
    chosen = [entry for entry in Kind if entry is not Kind.ALL] if kind is Kind.ALL else [kind]
    table = {entry.value: describe(registry_of(entry)) for entry in chosen}
    if as_json:
        typer.echo(json.dumps(table, indent=2))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for title, rows in table.items():
        grid = Table(
            title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0), show_header=False
        )
        grid.add_column(style="cyan", no_wrap=True)
        grid.add_column()
        for row in rows:
            grid.add_row(Text(row["name"]), Text(row["summary"]))
        console.print(grid)
        console.print()


def registry_of(kind: Kind) -> Registry:
    """The registry that holds the names of one kind."""
    match kind:
        case Kind.REWARDS:
            from rewardlab.rewards.spec import REWARDS

            return REWARDS
        case Kind.ENVIRONMENTS:
            from rewardlab.environments import ENVIRONMENTS

            return ENVIRONMENTS
        case Kind.RECIPES:
            from rewardlab.recipes import RECIPES

            return RECIPES
        case Kind.POLICIES:
            from rewardlab.config.names import POLICIES

            return POLICIES
        case Kind.OBJECTIVES:
            from rewardlab.training import OBJECTIVES

            return OBJECTIVES
        case Kind.CREDITS:
            from rewardlab.training import CREDITS

            return CREDITS
        case Kind.CURRICULA:
            from rewardlab.training import CURRICULA

            return CURRICULA
        case Kind.ALL:
            raise ValueError("'all' is every registry, not one")


def describe(registry: Registry) -> list[dict[str, str]]:
    """Name, place and one-line summary of everything in a registry."""
    return [
        {"name": name, "summary": summary_of(place), "defined": place}
        for name, place in sorted(registry.places().items())
    ]
