"""`rewardlab evaluate`: how good a reward is on human judgements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NAME = "evaluate"
EXAMPLES = (
    ("rewardlab evaluate models/first pairs.jsonl", "accuracy with its interval, calibration, agreement with people"),
    ("rewardlab evaluate models/first pairs.jsonl --by subset --by length", "also for each subset and length"),
    ("rewardlab evaluate response_length pairs.jsonl", "what a reward gets that only looks at length"),
    (
        "rewardlab evaluate models/steps test.jsonl --tune-on dev.jsonl",
        "step labels, with a threshold chosen elsewhere",
    ),
    ("rewardlab evaluate models/first pairs.jsonl --plots plots --json", "pictures, and everything as JSON"),
)


def command(
    model: Annotated[
        str, typer.Argument(help="Folder of a saved model, a spec file, a name, module:attribute, file.py:function.")
    ],
    data: Annotated[str, typer.Argument(help="Comparisons, rankings, ratings or step labels: a file or folder.")],
    by: Annotated[
        list[str] | None,
        typer.Option("--by", help="Also for each value of this: a column, annotator, length, aspect or steps."),
    ] = None,
    user: Annotated[str | None, typer.Option(help="Whose judgement a model gives that knows several users.")] = None,
    own_users: Annotated[
        bool, typer.Option("--own-users", help="Judge each comparison as its annotator would, where the model can.")
    ] = False,
    tie_margin: Annotated[
        float | None, typer.Option(help="Up to this difference the reward says tie.", min=0, show_default=False)
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Of steps: below it a step is taken as wrong.", show_default=False)
    ] = None,
    tune_on: Annotated[
        str | None, typer.Option("--tune-on", help="Step labels on which the threshold is chosen.", show_default=False)
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option("--column", help="role=name, where it is not clear which column holds what.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="What labels mean: number, index, sign, words or probability.", show_default=False),
    ] = None,
    bins: Annotated[int, typer.Option(help="Of the reliability curve.", min=1)] = 10,
    plots: Annotated[Path | None, typer.Option(help="Folder for pictures.", show_default=False)] = None,
    svg: Annotated[bool, typer.Option("--svg", help="Pictures as SVG, not PNG.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Status 1 when a row failed or could not be read.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a reward on judgements: accuracy or what fits the data, with 95% intervals by prompt.

    Rows about which the reward says nothing are counted apart; they are neither right nor wrong.
    """
    if threshold is not None and tune_on is not None:
        raise typer.BadParameter("--threshold and --tune-on both choose a threshold; give one of them")
    from rewardlab.learning.data import StepLabelData
    from rewardlab.learning.evaluation.evaluating import evaluate
    from rewardlab.learning.evaluation.sources import data_from, model_from

    columns = named_columns(column)
    tuned = None if tune_on is None else data_from(tune_on, columns=columns)
    if tuned is not None and not isinstance(tuned, StepLabelData):
        raise typer.BadParameter(f"--tune-on must be step labels, but {tune_on} holds a {type(tuned).__name__}")
    found = evaluate(
        model_from(model, user=user),
        data_from(data, columns=columns, labels=labels),
        by,
        own_users=own_users,
        tie_margin=tie_margin,
        threshold=threshold if tuned is None else tuned,
        bins=bins,
        name=short_name(model),
        data_name=short_name(data),
    )
    if plots is not None:
        from rewardlab.learning.evaluation.plots import save_plots

        for path in save_plots(found, plots, file_format="svg" if svg else "png"):
            typer.echo(str(path), err=True)
    if as_json:
        typer.echo(found.to_json())
    else:
        from rich.console import Console

        Console().print(found.table())
    if not found.counts["decided"] or (strict and (found.counts["failed"] or found.set_aside)):
        raise typer.Exit(1)


def named_columns(given: list[str] | None) -> dict[str, str | list[str]] | None:
    """`role=name` and `role=one,two` as a mapping."""
    columns: dict[str, str | list[str]] = {}
    for one in given or []:
        role, equals, name = one.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"--column must be role=name, such as prompt=question; got {one!r}")
        columns[role] = name.split(",") if "," in name else name
    return columns or None


def short_name(source: str) -> str:
    """What a model or a file is called in tables."""
    path = Path(source)
    return path.resolve().name if path.exists() else source
