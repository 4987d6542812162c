"""The help of every command, its examples, and what is not imported to print it."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest
import typer

from rewardlab.cli import COMMANDS, app

HEAVY = ("torch", "transformers", "tokenizers", "accelerate", "peft", "pyarrow", "matplotlib", "datasets")


def loaded_by(code: str) -> set[str]:
    """The heavy packages that some code loads, in a fresh process."""
    probe = (
        f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in result.stderr.split()} & {*HEAVY, "rich", "pydantic", "rewardlab"}


def test_importing_the_package_loads_none_of_the_heavy_packages() -> None:
    assert loaded_by("import rewardlab, rewardlab.rewards") & {*HEAVY} == set()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["list"], ["list", "--json"], *([m.NAME, "--help"] for m in COMMANDS)]
)
def test_help_and_list_load_none_of_the_heavy_packages(arguments) -> None:
    loaded = loaded_by(f"sys.argv = {['rewardlab', *arguments]!r}; from rewardlab.cli import main; main()")
    assert "rewardlab" in loaded
    assert loaded & {*HEAVY} == set()


@pytest.mark.parametrize("module", COMMANDS, ids=lambda module: module.NAME)
def test_every_command_shows_its_examples_each_on_a_line_of_its_own(run, module) -> None:
    shown = run(module.NAME, "--help")
    assert shown.status == 0
    lines = [line.strip() for line in shown.out.splitlines()]
    for command, purpose in module.EXAMPLES:
        assert lines.index(purpose) == lines.index(command) + 1
    assert "--json" in shown.out


@pytest.mark.parametrize(
    "line", [line for module in COMMANDS for line, _ in module.EXAMPLES if line.startswith("rewardlab")]
)
def test_the_examples_have_the_options_that_the_commands_take(line) -> None:
    words = shlex.split(line.partition(">")[0])
    command = typer.main.get_command(app).commands[words[1]]
    command.make_context(words[1], words[2:])  # raises where an option is unknown or an argument missing


def test_the_version_is_printed(run) -> None:
    import rewardlab

    assert run("--version").out.strip() == rewardlab.__version__


def test_without_arguments_help_is_shown_and_an_unknown_command_is_wrong_input(run) -> None:
    assert "Begin" not in run().out
    assert "rewardlab new my_agent" in run("--help").out
    unknown = run("trian")
    assert unknown.status == 2
    assert "train" in unknown.err
    assert run("score", "--rewad", "x").status == 2
