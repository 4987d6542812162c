"""`rewardlab new`: start a project from a template."""

from __future__ import annotations

import json
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

NAME = "new"
EXAMPLES = (
    ("rewardlab new my_agent", "a tool-using agent that trains on this machine"),
    ("rewardlab new my_rewards --template score", "your own chat logs, scored with your own reward"),
    ("rewardlab new my_model --template model", "a reward model of your own comparisons"),
)

TEMPLATES = Path(__file__).parent.parent / "templates"


class Template(StrEnum):
    """What the project is for."""

    AGENT = "agent"
    SCORE = "score"
    MODEL = "model"


def command(
    folder: Annotated[Path, typer.Argument(help="The folder to make; must not exist, or be empty.")],
    template: Annotated[
        Template, typer.Option(help="agent: train one; score: score what you have; model: fit a reward.")
    ] = Template.AGENT,
    as_json: Annotated[bool, typer.Option("--json", help="Print the files as JSON.")] = False,
) -> None:
    """Start a project: a configuration, what it needs of your own, and the commands that run it."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{str(folder)!r} exists and is not empty; give the name of a new folder")
    written = []
    for source in sorted((TEMPLATES / template.value).rglob("*")):
        if source.is_dir() or "__pycache__" in source.parts:
            continue
        target = folder / source.relative_to(TEMPLATES / template.value)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
        written.append(target)
    if as_json:
        typer.echo(json.dumps({"folder": str(folder), "files": [str(target) for target in written]}, indent=2))
        return
    for target in written:
        typer.echo(f"wrote {target}")
    typer.echo(f"\nNext: cd {shlex.quote(str(folder))}, and read README.md")
