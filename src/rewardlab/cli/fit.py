"""`rewardlab fit`: fit a reward model to judgements, as a YAML file says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rewardlab.cli.running import AsJson, Check, Overrides, Quiet, run_and_tell, say_valid

NAME = "fit"
EXAMPLES = (
    ("rewardlab fit examples/fit_preferences.yaml", "a tiny text model on made-up comparisons, in seconds"),
    ("rewardlab fit config.yaml fit.epochs=2 members=10 -o runs/ensemble", "values changed from the command line"),
    ("rewardlab fit config.yaml --check", "checks the file and fits nothing"),
    ("accelerate launch -m rewardlab.cli fit config.yaml", "the same on several GPUs"),
)


def command(
    config: Annotated[Path, typer.Argument(help="The YAML file; rewardlab schema fit describes it.")],
    overrides: Overrides = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder, instead of the file's.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on from the last checkpoint in the folder, or refuse.")
    ] = True,
    check: Check = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Fit a reward model; prints how it does on held-out judgements before and after, with intervals.

    The folder gets the model, metrics.jsonl, evaluations.jsonl, outcome.json and plots.
    """
    from rewardlab.config import FitConfig, load_as
    from rewardlab.extras import require

    require("torch", extra="torch", why="Fitting a reward model")
    settings = load_as(FitConfig, config, overrides or [])
    if output is not None:
        settings.output = str(output)
    if check:
        say_valid(config, as_json=as_json)
        return
    from rewardlab.config.fitting import run_fit
    from rewardlab.learning import FitStopped

    run_and_tell(
        settings,
        lambda: run_fit(settings, resume=resume, progress_bar=not quiet and not as_json),
        stopped=FitStopped,
        as_json=as_json,
    )
