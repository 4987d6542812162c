"""`rewardlab imitate`: learn a policy, a reward or both from demonstrations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

NAME = "imitate"
EXAMPLES = (
    ("rewardlab imitate expert.npz --environment CartPole-v1", "GAIL in 100,000 steps: a reward and a policy"),
    (
        "rewardlab imitate expert.npz -e CartPole-v1 --method behaviour_cloning",
        "the policy alone, without acting, in seconds",
    ),
    (
        "rewardlab imitate expert.npz -e Pendulum-v1 --method airl --steps 50000 --option updates=8 -o learned",
        "an option of the method, and everything written to a folder (DemonstrationFit.load reads it)",
    ),
    (
        "rewardlab imitate -e Pendulum-v1 --method preferences",
        "from comparisons of what the agent does; no demonstrations",
    ),
)


def command(
    demonstrations: Annotated[
        str | None,
        typer.Argument(
            help="An npz file (obs, actions, rewards, traj_id), trajectories (JSONL, Parquet) or a Minari id."
        ),
    ] = None,
    environment: Annotated[str, typer.Option("--environment", "-e", help="A Gymnasium id.")] = "",
    method: Annotated[
        str,
        typer.Option(
            "--method", "-m", help="behaviour_cloning, gail, airl, density, preferences, maximum_causal_entropy."
        ),
    ] = "gail",
    steps: Annotated[
        int | None, typer.Option(help="Steps of the environment (updates, for methods that do not act).", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.", min=0)] = 0,
    option: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, an option of the method, as YAML.")] = None,
    episodes: Annotated[int, typer.Option(help="Trajectories by which the policy is judged.", min=1)] = 20,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A folder for reward, policy and history.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Learn from demonstrations, and say how well the learned policy does in the environment.

    Which method: behaviour_cloning acts nowhere, and needs many demonstrations; gail acts, and copes with few; airl also
    gives a reward that is meant to outlive its policy; density pays for being where demonstrations were; preferences asks
    (here a synthetic judge that looks at the environment's own reward); maximum_causal_entropy is exact in finite worlds.
    """
    import yaml

    from rewardlab.learning.demonstrations import IMITATION, imitate, mean_return
    from rewardlab.learning.demonstrations.worlds import spaces_of
    from rewardlab.storage.demonstrations import read_demonstrations

    if not environment:
        raise typer.BadParameter("give --environment, a Gymnasium id such as CartPole-v1")
    if method not in IMITATION:
        raise typer.BadParameter(f"unknown method {method!r}; known: {', '.join(sorted(IMITATION))}")
    if demonstrations is None and method != "preferences":
        raise typer.BadParameter(f"{method} needs demonstrations; only preferences does without")
    options: dict[str, Any] = {"type": method}
    for entry in option or ():
        name, sign, value = entry.partition("=")
        if not sign:
            raise typer.BadParameter(f"--option must be NAME=VALUE, got {entry!r}")
        options[name] = yaml.safe_load(value)
    shown = (
        [] if demonstrations is None else read_demonstrations(demonstrations, action_space=spaces_of(environment)[1])
    )

    def progress(line: dict[str, Any]) -> None:
        told = ", ".join(f"{name} {value:.4g}" for name, value in line.items())
        typer.echo(told, err=True)

    found = imitate(shown, environment, method=options, steps=steps, seed=seed, progress=None if quiet else progress)
    result: dict[str, Any] = {"method": method, "environment": environment, "steps": found.steps, "seed": seed}
    if found.policy is not None:
        result["return"] = mean_return(found.policy, environment, episodes=episodes, seed=seed + 1)
    if shown:
        result["demonstrations"] = len(shown)
    if output is not None:
        result["output"] = str(found.save(output))
    if as_json:
        typer.echo(json.dumps(result))
    else:
        typer.echo("\n".join(f"{name:16}{value}" for name, value in result.items()))
