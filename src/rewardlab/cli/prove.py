"""`rewardlab prove`: run the proof of a published system."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rewardlab.recipes.proof import Recipe

NAME = "prove"
EXAMPLES = (
    ("rewardlab prove raft", "five seeds of one recipe"),
    ("rewardlab prove toolrl --seeds 10 --first-seed 100", "ten seeds that nobody has seen"),
    ("rewardlab prove --all -o proofs.md", "all recipes, and a Markdown table of them"),
    ("rewardlab prove my_recipe.py:RECIPE --workers 2", "a recipe of your own, two seeds at a time"),
)


def command(
    names: Annotated[list[str] | None, typer.Argument(help="Recipes; `rewardlab list recipes` shows them.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every recipe.")] = False,
    seeds: Annotated[int, typer.Option(help="How many seeds.", min=2)] = 5,
    first_seed: Annotated[int, typer.Option(help="The first seed; the others follow it.", min=0)] = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the table here, as Markdown.")] = None,
    workers: Annotated[int, typer.Option(help="Seeds that run at once, each in a process of its own.", min=1)] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the main claims of a published system against its own baseline, on fresh seeds.

    Ends with status 0 only if every gated claim holds: its whole 95% bootstrap interval lies beyond the stated margin.
    """
    from rewardlab.recipes import RECIPES
    from rewardlab.recipes.proof import prove, table

    if everything and names:
        raise typer.BadParameter("give names of recipes, or --all, not both")
    chosen = sorted(RECIPES) if everything else list(dict.fromkeys(names or []))
    if not chosen:
        raise typer.BadParameter(f"name a recipe ({', '.join(sorted(RECIPES))}), or give --all")
    recipes = {name: recipe_named(name) for name in chosen}  # all names, before the first seed of any of them
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.is_dir():
            raise ValueError(f"{str(output)!r} is a folder; give the name of a file in it")
    results = [
        prove(
            recipe,
            name=name,
            seeds=seeds,
            first_seed=first_seed,
            workers=workers,
            progress_bar=not as_json and not quiet,
        )
        for name, recipe in recipes.items()
    ]
    if as_json:
        typer.echo(json.dumps([result.to_json() for result in results], indent=2, allow_nan=False))
    else:
        from rich.console import Console

        console = Console()
        for result in results:
            console.print(result.table())
    if output is not None:
        output.write_text(table(results), encoding="utf-8")
    if not all(result.holds for result in results):
        raise typer.Exit(1)


def recipe_named(name: str) -> Recipe:
    """The recipe that a name, a `module:attribute` or a `file.py:attribute` stands for.

    Raises:
        UnknownName: there is no such recipe.
        TypeError: the name stands for something else.
    """
    from rewardlab.recipes import RECIPES
    from rewardlab.recipes.proof import Recipe

    recipe = RECIPES.resolve(name)
    if not isinstance(recipe, Recipe):
        raise TypeError(f"{name!r} is a {type(recipe).__name__}, expected a rewardlab.recipes.proof.Recipe")
    return recipe
