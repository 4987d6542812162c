"""`rewardlab checklist`: what published surveys ask for, and what of it is here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

NAME = "checklist"
EXAMPLES = (
    ("rewardlab checklist", "the checklists, with how much of each is there"),
    ("rewardlab checklist irl-llm-survey", "every item of one, with the part that delivers it"),
    ("rewardlab checklist irl-llm-survey --missing", "only what is not there yet"),
)


def command(
    name: Annotated[str | None, typer.Argument(help="A checklist; all are counted when not given.")] = None,
    missing: Annotated[bool, typer.Option("--missing", help="Only items that are not there yet.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every checklist, as the page of the docs.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write Markdown here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a survey of the field asks for, and which part of the library delivers it."""
    from rewardlab.recipes.checklists import CHECKLISTS, catalogue, page

    if everything and name:
        raise typer.BadParameter("give a checklist, or --all, not both")
    if output is not None:
        text = catalogue(name).to_markdown() if name else page()
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
        return
    chosen = {entry: catalogue(entry) for entry in ([name] if name else sorted(CHECKLISTS))}
    if as_json:
        rows = {
            entry: [
                {"section": item.section, "item": item.text, "there": item.there, "parts": list(item.parts)}
                for item in checklist.items
                if not (missing and item.there)
            ]
            for entry, checklist in chosen.items()
        }
        typer.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for entry, checklist in chosen.items():
        there = len(checklist.items) - len(checklist.missing)
        console.print(Text(f"{entry}: {checklist.title}, {there} of {len(checklist.items)} items", style="bold"))
        if not (name or everything or missing):
            continue
        for section, items in checklist.sections():
            grid = Table(title=section, title_justify="left", box=None, padding=(0, 2, 0, 0), show_header=False)
            for item in items:
                if missing and item.there:
                    continue
                parts = ", ".join(part.partition(":")[2] for part in item.parts) if item.there else "missing"
                grid.add_row(Text(item.text), Text(parts, style="green" if item.there else "yellow"))
            if grid.row_count:
                console.print(grid)
