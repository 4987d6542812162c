"""`rewardlab data`: what stands in judgements, before anything is trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

NAME = "data"
EXAMPLES = (
    ("rewardlab data pairs.jsonl.gz", "repeats, contradictions, ties, length, agreement, broken rows"),
    ("rewardlab data pairs.jsonl --labels number", "labels that say 1 or 2 is better, and 0 for a tie"),
    ("rewardlab data ratings.parquet --column response=text --column ratings=score", "a layout of your own"),
    ("rewardlab data owner/name --split train --limit 5000", "a data set of the Hugging Face hub"),
    ("rewardlab data pairs.jsonl --plots plots --json", "pictures, and everything as JSON"),
)


def command(
    source: Annotated[
        str, typer.Argument(help="Comparisons, rankings, ratings or step labels: a file, a folder, or owner/name.")
    ],
    column: Annotated[
        list[str] | None, typer.Option("--column", help="role=name, where it is not clear which column holds what.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="What labels mean: number, index, sign, words or probability.", show_default=False),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of a data set of the hub.", show_default=False)] = None,
    limit: Annotated[int | None, typer.Option(help="Rows to read at most.", min=1, show_default=False)] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for pictures.", show_default=False)] = None,
    svg: Annotated[bool, typer.Option("--svg", help="Pictures as SVG, not PNG.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Status 1 when a row could not be read.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Report on judgements before training: what repeats, contradicts itself, is tied, or is told by length alone."""
    from rewardlab.cli.evaluate import named_columns
    from rewardlab.learning.report import report_preferences

    given = {"columns": named_columns(column), "labels": labels, "split": split, "limit": limit}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    found = report_preferences(source, **options)
    if plots is not None:
        for path in found.save_plots(plots, file_type="svg" if svg else "png"):
            typer.echo(str(path), err=True)
    if as_json:
        typer.echo(found.to_json())
    else:
        from rich.console import Console

        Console().print(found.table())
    if strict and found.set_aside:
        raise typer.Exit(1)
