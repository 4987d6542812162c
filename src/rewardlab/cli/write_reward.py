"""`rewardlab write-reward`: a language model writes rewards, which are read and tried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

NAME = "write-reward"
_VIEW = "rewardlab.recipes.text2reward.hopper:HopperView"
EXAMPLES = (
    (
        f'rewardlab write-reward "Move forward without falling." --view {_VIEW} --prompt',
        "only shows what a model would read",
    ),
    (
        'rewardlab write-reward "Flip forward." --view view.py:HopperView --model coder --url http://localhost:8000/v1 -n 5',
        "five programs of a served model, read by the check, in the folder programs",
    ),
    (
        'rewardlab write-reward "Flip forward." --view view.py:HopperView --model coder --environment Hopper-v5 --fix 3',
        "tried on random actions too, and corrected up to three times",
    ),
)


def command(
    instruction: Annotated[str, typer.Argument(help="The task, in a sentence.")],
    view: Annotated[str, typer.Option("--view", help="The adapter's class: module:Class, or file.py:Class.")],
    model: Annotated[str | None, typer.Option("--model", "-m", help="Name of the model on its server.")] = None,
    url: Annotated[
        str | None, typer.Option("--url", help="Of an OpenAI-compatible server; OPENAI_API_KEY is used.")
    ] = None,
    recording: Annotated[
        Path | None, typer.Option("--recording", help="Answers of a recording, in place of a model.")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many programs.")] = 1,
    environment: Annotated[
        str | None, typer.Option("--environment", "-e", help="Try them here: a Gymnasium id.")
    ] = None,
    sample: Annotated[int, typer.Option("--sample", min=1, help="Transitions on which each is tried.")] = 200,
    fix: Annotated[int, typer.Option("--fix", min=0, help="Rounds of corrections where a check fails.")] = 0,
    robot: Annotated[str, typer.Option("--robot", help="What is controlled, in a few words.")] = "the agent",
    actions: Annotated[str, typer.Option("--actions", help="The action space, with the meaning of every entry.")] = "",
    vectorised: Annotated[bool, typer.Option("--vectorised", help="Programs see N states at once.")] = False,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of programs and reports.")] = Path("programs"),
    prompt: Annotated[bool, typer.Option("--prompt", help="Show the prompt, and ask nobody.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Have a language model write rewards from a description of the environment, and check them."""
    from rewardlab.learning.programs.answers import RecordedAnswers
    from rewardlab.learning.programs.writer import RewardWriter
    from rewardlab.registry import Registry

    adapter = Registry("view", {}, group="rewardlab.views").resolve(view)
    writes: Any = RecordedAnswers({}, name="nobody")
    if recording is not None:
        writes = RecordedAnswers.load(recording)
    elif not prompt:
        if model is None:
            raise typer.BadParameter("give --model (and --url), or --recording; --prompt asks nobody")
        from rewardlab.policies.engines.endpoint import EndpointPolicy

        writes = EndpointPolicy(model, base_url=url)
    space = actions or (_space(environment) if environment is not None else "as the environment takes it")
    author = RewardWriter(
        model=writes, abstraction=adapter, robot=robot, actions=space, form="vectorised" if vectorised else "scalar"
    )
    if prompt:
        text = author.prompt(instruction)
        typer.echo(json.dumps({"prompt": text}) if as_json else text, nl=as_json)
        return
    rows = _write(author, instruction, adapter, count, environment, sample, fix, output)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        for row in rows:
            typer.echo(f"{row['file']}: {row['report']}")
    if not any(row["passed"] for row in rows):
        raise typer.Exit(1)


def _write(
    author: Any, instruction: str, adapter: type, count: int, name: str | None, sample: int, fix: int, output: Path
) -> list[dict[str, Any]]:
    from rewardlab.learning.programs.checking import Report
    from rewardlab.learning.programs.problems import Problem
    from rewardlab.learning.programs.program import RewardProgram
    from rewardlab.learning.programs.refining import refine
    from rewardlab.learning.programs.static import check_source
    from rewardlab.learning.programs.views import schema_of

    environment = None if name is None else _make(name)

    def check(program: RewardProgram) -> Report:
        if environment is not None:
            return program.check(environment, sample, view=adapter)
        if program.failure is not None:
            return Report(problems=(Problem(kind="no code", message=program.failure),))
        return Report(problems=tuple(check_source(program.source, schema_of(adapter), program.form)))

    output.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, program in enumerate(author.write(instruction, count)):
        report = check(program)
        if fix and not report.passed and not program.failed:
            program = refine(author, program, report, check=check, rounds=fix, number=number)
            report = check(program)
        path = output / f"program_{number}.json"
        program.save(path)
        rows.append({"file": str(path), "hash": program.hash, "passed": report.passed, "report": str(report)})
    return rows


def _make(name: str) -> Any:
    from rewardlab.extras import require

    return require("gymnasium", extra="gym", why="trying programs").make(name)


def _space(name: str) -> str:
    environment = _make(name)
    text = str(environment.action_space)
    environment.close()
    return text
