"""`rewardlab score`: score stored trajectories with a reward."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

NAME = "score"
EXAMPLES = """**Examples**

`rewardlab score --reward spec.yaml trajectories.jsonl -o scores.parquet`

`rewardlab score --reward math_answer chats.jsonl.gz -o scores.jsonl --format openai_chat`

`rewardlab score --reward rewards.py:politeness rollouts.jsonl` prints the table only

`rewardlab score --reward new.yaml --against old.yaml trajectories.jsonl` compares two rewards on the same trajectories
"""


def command(
    trajectories: Annotated[
        Path, typer.Argument(help="JSON Lines (.jsonl, .jsonl.gz) or Parquet file of trajectories.")
    ],
    reward: Annotated[
        str, typer.Option("--reward", "-r", help="A spec file, a name, module:attribute, or file.py:function.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where scores go: .jsonl or .parquet. None: only the table.")
    ] = None,
    file_format: Annotated[
        str, typer.Option("--format", help="Format of the trajectories; found from the file when auto.")
    ] = "auto",
    batch_size: Annotated[int, typer.Option(help="Trajectories scored at once.", min=1)] = 1024,
    progress: Annotated[
        float | None, typer.Option(help="Progress of training in [0, 1], for scheduled rewards.", min=0, max=1)
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on where an earlier run of this command stopped.")] = True,
    retry_failed: Annotated[
        bool, typer.Option(help="Score again only the samples that failed in an earlier run.")
    ] = False,
    against: Annotated[
        str | None, typer.Option(help="Another reward to compare with: rank correlation, changed signs, largest moves.")
    ] = None,
    strict: Annotated[
        bool, typer.Option(help="End with status 1 when a sample failed or a line was set aside.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Score stored trajectories: streams files of any size, resumes after a crash, and ends with a table.

    A line that cannot be read is set aside with its number; the rest is scored.
    """
    from rewardlab.rewards.spec import load_reward

    scorer = load_reward(reward)
    if against is not None:
        from rewardlab.rescoring import rescore
        from rewardlab.storage import read_trajectories

        comparison = rescore(list(read_trajectories(trajectories, format=file_format)), load_reward(against), scorer)
        _print(comparison, as_json)
        return
    from rewardlab.scoring import score

    summary = score(
        scorer,
        trajectories,
        output,
        format=file_format,
        batch_size=batch_size,
        progress=progress,
        resume=resume,
        retry_failed=retry_failed,
        progress_bar=not quiet and not as_json,
    )
    _print(summary, as_json)
    if strict and (summary.counts["failed"] or summary.problems):
        raise typer.Exit(1)


def _print(result: object, as_json: bool) -> None:
    """Print something that has `to_json` and `table`."""
    if as_json:
        typer.echo(json.dumps(result.to_json(), indent=2))  # type: ignore[attr-defined]
        return
    from rich.console import Console

    Console().print(result.table())  # type: ignore[attr-defined]
