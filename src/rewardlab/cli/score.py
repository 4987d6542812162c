"""`rewardlab score`: score stored trajectories with a reward."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rewardlab.rescoring import Comparison
    from rewardlab.scoring import ScoreSummary

NAME = "score"
EXAMPLES = (
    ("rewardlab score --reward spec.yaml trajectories.jsonl -o scores.parquet", "a row for each, and the table"),
    ("rewardlab score --reward math_answer chats.jsonl.gz --format openai", "prints the table only"),
    ("rewardlab score --reward rewards.py:polite runs/first/trajectories", "a folder; a reward of your own"),
    ("rewardlab score --reward models/helpful chats.jsonl", "a reward model that was fitted, or one of the hub's kind"),
    ("rewardlab score --reward spec.yaml chats.jsonl --by task.metadata.level", "also a mean for each level"),
    ("rewardlab score --reward new.yaml --against old.yaml chats.jsonl", "what the new reward would change"),
    ("rewardlab score --reward judge.yaml chats.jsonl -o s.jsonl --retry-failed", "only what failed, once more"),
)


def command(
    trajectories: Annotated[
        Path, typer.Argument(help="JSON Lines (.jsonl, .jsonl.gz) or Parquet, or a folder of such files.")
    ],
    reward: Annotated[
        str,
        typer.Option(
            "--reward", "-r", help="A spec file, a model's folder, a name, module:attribute, file.py:function."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where scores go: .jsonl or .parquet.", show_default=False)
    ] = None,
    file_format: Annotated[
        str, typer.Option("--format", help="rewardlab, openai, trl, verl, nemo_gym, pairs, or auto to recognise it.")
    ] = "auto",
    reference: Annotated[
        str | None, typer.Option(help="Where in a row the ground truth stands, as dotted keys (extra.answer).")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Also a mean for each value of this: task.metadata.KEY, info.KEY or group.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Trajectories scored at once.", min=1)] = 256,
    progress: Annotated[
        float | None, typer.Option(help="Share of training done, in 0 to 1, for scheduled rewards.", min=0, max=1)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on where an earlier run stopped, or start over.")
    ] = True,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Score the samples again that failed in an earlier run.")
    ] = False,
    against: Annotated[
        str | None, typer.Option(help="Compare with another reward, a file of scores, recorded, or recorded:NAME.")
    ] = None,
    allow_nondeterministic: Annotated[
        bool, typer.Option("--allow-random", help="Compare even rewards that may score differently each time.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Status 1 when a sample failed or a line was bad.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Score stored trajectories: streams files of any size, resumes after a crash, and ends with a table.

    A line that cannot be read is set aside with its number; the rest is scored.
    """
    result: ScoreSummary | Comparison
    if against is not None:
        for given, option in ((output, "--output"), (retry_failed, "--retry-failed"), (by, "--by")):
            if given:
                raise typer.BadParameter(f"{option} does not go with --against, which only compares")
        from rewardlab.rescoring import rescore

        result = rescore(
            trajectories,
            against,
            reward,
            allow_nondeterministic=allow_nondeterministic,
            progress=progress,
            batch_size=batch_size,
            format=file_format,
            reference=reference,
        )
        broken = result.new_total.failed + result.set_aside
    else:
        if retry_failed and output is None:
            raise typer.BadParameter("--retry-failed needs --output, the file whose failed samples are scored again")
        from rewardlab.scoring import score

        try:
            result = score(
                reward,
                trajectories,
                output,
                batch_size=batch_size,
                resume=resume,
                retry_failed=retry_failed,
                by=by,
                progress=progress,
                progress_bar=not quiet and not as_json,
                format=file_format,
                reference=reference,
            )
        except KeyboardInterrupt as error:
            rest = "" if output is None else f"; the same command goes on where {output} stopped"
            typer.echo(f"interrupted{rest}", err=True)
            raise typer.Exit(130) from error
        broken = result.total.failed + result.set_aside
    if as_json:
        typer.echo(result.to_json())
    else:
        from rich.console import Console

        Console().print(result.table())
    if strict and broken:
        raise typer.Exit(1)
