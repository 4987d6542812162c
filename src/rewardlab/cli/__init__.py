"""The command line. Each command has a file of its own and imports what it needs when it runs, so that `--help` is instant.

Exit status: 0 done; 1 done, and the answer is no (a claim does not hold, samples failed where none may); 2 wrong input;
130 interrupted.
"""

from __future__ import annotations

import os
import sys

import typer

from rewardlab.cli import doctor, listing, new, prove, schema, score, train

app = typer.Typer(
    name="rewardlab",
    help=(
        "Write, verify, learn and audit rewards, and train agents on them.\n\n"
        "Begin with: rewardlab new my_project, or rewardlab train examples/tool_agent.yaml"
    ),
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for module in (train, score, prove, listing, new, schema, doctor):
    app.command(module.NAME, epilog=module.EXAMPLES)(module.command)


def _version(value: bool) -> None:
    if value:
        from rewardlab import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _top(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    """Write, verify, learn and audit rewards, and train agents on them."""


def main() -> None:
    """Run the command line; wrong input ends with one message and status 2 (REWARDLAB_TRACEBACK=1 shows where it arose)."""
    from rewardlab.extras import MissingExtra

    try:
        app()
    except (ValueError, TypeError, OSError, MissingExtra) as error:
        if os.environ.get("REWARDLAB_TRACEBACK"):
            raise
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.secho("interrupted; the same command goes on where it stopped", err=True)
        sys.exit(130)
