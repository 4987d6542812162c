"""What `train` and `fit` do alike: check a configuration, run it, say how it ended."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

Overrides = Annotated[list[str] | None, typer.Argument(help="key=value, with dots between keys.")]
Check = Annotated[bool, typer.Option("--check", help="Only check the configuration.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")]


class Outcome(Protocol):
    """What came of a run."""

    def to_json(self) -> dict[str, Any]:
        """As plain values."""

    def table(self) -> Any:
        """As a table of rich's."""


def say_valid(config: Path, *, as_json: bool) -> None:
    """Say that a configuration has nothing wrong."""
    typer.echo(json.dumps({"config": str(config), "valid": True}) if as_json else f"{config} is fine")


def run_and_tell(settings: Any, run: Callable[[], Outcome], *, stopped: type[RuntimeError], as_json: bool) -> None:
    """Run, and print the outcome; of several processes the first one does.

    Args:
        settings: the configuration, which knows the lines of its file.
        run: what is run.
        stopped: the error by which a run ends itself.
        as_json: whether JSON is printed, and not a table.

    Raises:
        SpecError: a part of the configuration cannot be built; it names the line.
        typer.Exit: 1 when the run ended itself, 130 when it was interrupted.
    """
    from rewardlab.registry import SpecError

    try:
        outcome = run()
    except SpecError as error:
        raise settings.placed(error) from error
    except stopped as error:
        typer.secho(f"stopped: {error}", fg=typer.colors.RED, err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        typer.echo(f"interrupted; the same command goes on from the last checkpoint in {settings.output}", err=True)
        raise typer.Exit(130) from error
    if os.environ.get("RANK", "0") != "0":
        return  # of the processes that a launcher started, the first one tells
    if as_json:
        typer.echo(json.dumps(outcome.to_json(), indent=2, allow_nan=False))
    else:
        from rich.console import Console

        Console().print(outcome.table())
