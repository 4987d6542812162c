"""`rewardlab train`: train a policy on a reward, as a YAML file says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rewardlab.cli.running import AsJson, Check, Overrides, Quiet, run_and_tell, say_valid

NAME = "train"
EXAMPLES = (
    ("rewardlab train examples/tool_agent.yaml", "warm start, then reinforcement learning; writes a run folder"),
    ("rewardlab train config.yaml training.steps=10 seed=3 -o runs/third", "values changed from the command line"),
    ("rewardlab train config.yaml --check", "checks the file and runs nothing"),
    ("accelerate launch -m rewardlab.cli train config.yaml", "the same on several GPUs"),
)


def command(
    config: Annotated[Path, typer.Argument(help="The YAML file; rewardlab schema describes it.")],
    overrides: Overrides = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Run folder, instead of the file's.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on from the last checkpoint in the run folder, or refuse.")
    ] = True,
    check: Check = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a policy: warm start, then reinforcement learning; prints success on held-out tasks before and after.

    The run folder gets the policy, the trajectories, metrics.jsonl and one self-contained report.html.
    """
    from rewardlab.config import load_config

    settings = load_config(config, overrides or [])
    if output is not None:
        settings.output = str(output)
    if check:
        say_valid(config, as_json=as_json)
        return
    from rewardlab.config.run import run
    from rewardlab.training import TrainingStopped

    run_and_tell(
        settings,
        lambda: run(settings, resume=resume, progress_bar=not quiet and not as_json),
        stopped=TrainingStopped,
        as_json=as_json,
    )
