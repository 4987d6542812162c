"""`rewardlab compare`: several rewards on several data sets, in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NAME = "compare"
EXAMPLES = (
    ("rewardlab compare -m response_length -m models/first -d pairs.jsonl", "a table against the first"),
    ("rewardlab compare -m long=response_length -m new=models/b -d hh=pairs.jsonl -d b.jsonl -o t.md", "with names"),
    ("rewardlab compare -m models/a -m models/b -d x.jsonl --baseline b -o t.csv -o t.json", "several files at once"),
)


def command(
    models: Annotated[
        list[str], typer.Option("--model", "-m", help="A reward as `evaluate` takes it; name=reward to name it.")
    ],
    data: Annotated[list[str], typer.Option("--data", "-d", help="Judgements; name=path to name them.")],
    baseline: Annotated[
        str | None, typer.Option(help="The reward that the others are tested against; the first if not given.")
    ] = None,
    output: Annotated[
        list[Path] | None, typer.Option("--output", "-o", help="Write the table: .md, .csv or .json.")
    ] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for a picture.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Set several rewards side by side on several data sets, with intervals and a paired test against a baseline.

    Differences are of rows about which both rewards say something. p values are adjusted for the number of tests.
    """
    from rewardlab.learning.evaluation.comparison import FORMATS, compare

    for path in output or []:
        if path.suffix not in FORMATS:
            raise typer.BadParameter(f"--output {path} must end in {', '.join(FORMATS)}")
    found = compare(_named(models), _named(data), baseline=baseline)
    for path in output or []:
        found.write(path)
    if plots is not None:
        from rewardlab.learning.evaluation.plots import save_plots

        for path in save_plots(found, plots):
            typer.echo(str(path), err=True)
    if as_json:
        typer.echo(found.to_json())
    else:
        from rich.console import Console

        Console().print(found.table())


def _named(given: list[str]) -> dict[str, str]:
    """`name=source` as a mapping; without a name, the last part of a path."""
    from rewardlab.cli.evaluate import short_name

    named: dict[str, str] = {}
    for one in given:
        name, equals, source = one.partition("=")
        if not equals or Path(one).exists():
            name, source = short_name(one), one
        if name in named:
            raise typer.BadParameter(f"two are called {name!r}; write name={source} for one of them")
        named[name] = source
    return named
