"""`rewardlab list`: what can be named in a configuration. Descriptions are read from the source, so nothing is imported."""

from __future__ import annotations

import ast
import importlib.util
import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rewardlab.registry import Registry, UnknownName

NAME = "list"
EXAMPLES = """**Examples**

`rewardlab list` everything

`rewardlab list rewards` only rewards

`rewardlab list rewards --json` for scripts
"""


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

    console = Console()
    for title, rows in table.items():
        grid = Table(
            title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0), show_header=False
        )
        grid.add_column(style="cyan", no_wrap=True)
        grid.add_column()
        for row in rows:
            grid.add_row(row["name"], row["summary"])
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


def summary_of(place: str) -> str:
    """First line of the docstring of `module:attribute` (or of a module), read from its source without running it.

    Raises:
        UnknownName: the source cannot be found.
    """
    module_name, _, attribute = place.partition(":")
    tree = _parse(module_name)
    node: ast.AST = tree
    for step in attribute.split(".") if attribute else []:
        found = _find(node, step)
        if found is None:
            moved = _imported_from(tree, step)
            if moved is None:
                return ""
            return summary_of(f"{moved}:{step}")
        node = found
    text = ast.get_docstring(node) if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) else None
    return (text or "").partition("\n\n")[0].replace("\n", " ")


def _parse(module_name: str) -> ast.Module:
    specification = importlib.util.find_spec(module_name)
    if specification is None or specification.origin is None:
        raise UnknownName(f"the source of {module_name!r} cannot be found")
    return ast.parse(Path(specification.origin).read_text(encoding="utf-8"))


def _find(node: ast.AST, name: str) -> ast.AST | None:
    for child in getattr(node, "body", []):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and child.name == name:
            return child
    return None


def _imported_from(tree: ast.Module, name: str) -> str | None:
    """The module that a package's `__init__` takes a name from, whether it imports it now or lazily."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and any(entry.name == name for entry in node.names):
            return node.module
    return None
