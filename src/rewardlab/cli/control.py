"""`rewardlab control`: train a policy in a Gymnasium environment on any reward, as a YAML file says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rewardlab.cli.running import AsJson, Check, Overrides, Quiet, run_and_tell, say_valid

NAME = "control"
EXAMPLES = (
    ("rewardlab control examples/control.yaml", "a shaped reward for a pole on a cart, in half a minute"),
    ("rewardlab control config.yaml steps=1000000 seed=3 -o runs/third", "values changed from the command line"),
    ("rewardlab control config.yaml --check", "checks the file and runs nothing"),
)


def command(
    config: Annotated[Path, typer.Argument(help="The YAML file; rewardlab schema control describes it.")],
    overrides: Overrides = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder, instead of the file's.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on from the last checkpoint in the folder, or refuse.")
    ] = True,
    check: Check = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a control policy with a learner of Stable-Baselines3; evaluations measure the true reward beside it.

    The folder gets metrics.jsonl (the return, every part of the reward, the environment's own), evaluations.jsonl,
    checkpoints and the policy.
    """
    from rewardlab.config import load_as
    from rewardlab.config.control import ControlConfig, run_control

    settings = load_as(ControlConfig, config, overrides or [])
    if output is not None:
        settings.output = str(output)
    if check:
        say_valid(config, as_json=as_json)
        return
    from rewardlab.training import TrainingStopped

    run_and_tell(
        settings,
        lambda: run_control(settings, resume=resume, progress_bar=not quiet and not as_json),
        stopped=TrainingStopped,
        as_json=as_json,
    )
