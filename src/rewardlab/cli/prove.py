"""`rewardlab prove`: run the proof of a published system."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

NAME = "prove"
EXAMPLES = """**Examples**

`rewardlab prove raft` five seeds of one recipe

`rewardlab prove toolrl --seeds 10 --first-seed 100`

`rewardlab prove --all -o docs/proofs.md` the table of all of them
"""


def command(
    names: Annotated[list[str] | None, typer.Argument(help="Recipes; `rewardlab list recipes` shows them.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every recipe.")] = False,
    seeds: Annotated[int, typer.Option(help="How many seeds.", min=2)] = 5,
    first_seed: Annotated[int, typer.Option(help="The first seed; the others follow it.", min=0)] = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the table here, as Markdown.")] = None,
    workers: Annotated[int, typer.Option(help="Seeds that run at once, each in a process of its own.", min=1)] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the main claims of a published system against its own baseline, on fresh seeds.

    Ends with status 0 only if every gated claim holds: its whole 95% bootstrap interval lies beyond the stated margin.
    """
    from rewardlab.recipes import RECIPES
    from rewardlab.recipes.proof import prove, table

    chosen = sorted(RECIPES) if everything else (names or [])
    if not chosen:
        raise typer.BadParameter(f"name a recipe ({', '.join(sorted(RECIPES))}), or give --all")
    results = [
        prove(
            RECIPES.resolve(name),
            name=name,
            seeds=seeds,
            first_seed=first_seed,
            workers=workers,
            progress_bar=not as_json,
        )
        for name in chosen
    ]
    if as_json:
        typer.echo(json.dumps([result.to_json() for result in results], indent=2))
    else:
        from rich.console import Console

        console = Console()
        for result in results:
            console.print(result.table())
    if output is not None:
        output.write_text(table(results), encoding="utf-8")
    if not all(result.holds for result in results):
        raise typer.Exit(1)
