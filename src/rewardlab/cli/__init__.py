"""The command line. Each command has a file of its own and imports what it needs when it runs, so that `--help` is instant.

Exit status: 0 done; 1 done, and the answer is no (a claim does not hold, samples failed where none may, nothing could be
scored); 2 wrong input; 130 interrupted. Results go to standard output, progress and errors to standard error.
"""

from __future__ import annotations

import os
import sys

import typer

from rewardlab.cli import (
    checklist,
    compare,
    control,
    data,
    doctor,
    evaluate,
    fit,
    imitate,
    listing,
    new,
    prove,
    schema,
    score,
    train,
    write_reward,
)
from rewardlab.cli.examples import epilog

COMMANDS = (
    train,
    control,
    score,
    data,
    fit,
    imitate,
    evaluate,
    compare,
    write_reward,
    prove,
    checklist,
    listing,
    new,
    schema,
    doctor,
)
"""The modules of the commands, in the order in which they are shown; each has NAME, EXAMPLES and `command`."""

_ABOUT = "Write, verify, learn and audit rewards, and train agents on them."
_BEGIN = (
    ("rewardlab new my_agent", "a project with a configuration, a reward of your own and its test"),
    ("rewardlab train examples/tool_agent.yaml", "trains a tool-using agent on this machine"),
    ("rewardlab score --reward math_answer chats.jsonl", "scores what you have"),
)
_STATUS = "Exit status: 0 done; 1 the answer is no; 2 wrong input; 130 interrupted."

app = typer.Typer(
    name="rewardlab",
    epilog=f"{epilog(_BEGIN)}\n\n{_STATUS}",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for module in COMMANDS:
    app.command(module.NAME, epilog=epilog(module.EXAMPLES))(module.command)


def _version(value: bool) -> None:
    if value:
        from rewardlab import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback(help=_ABOUT)
def _top(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line; wrong input ends with one message and status 2 (REWARDLAB_TRACEBACK=1 shows where it arose)."""
    from rewardlab.extras import MissingExtra

    try:
        app()
    except (ValueError, TypeError, OSError, MissingExtra) as error:
        if os.environ.get("REWARDLAB_TRACEBACK"):
            raise
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        if type(error) in (ValueError, TypeError):  # not one of our own errors about files: it may have arisen anywhere
            typer.echo("REWARDLAB_TRACEBACK=1 in front of the command shows where this arose", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
