"""The help of every command, its examples, and what is not imported to print it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from rewardlab.cli import COMMANDS, app

ROOT = Path(__file__).parent.parent.parent
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


EXAMPLES = [line for module in COMMANDS for line, _ in module.EXAMPLES]
PAGES = [page for name in ("cli", "configuration", "index") for page in (ROOT / "docs" / f"{name}.md",)]
IN_PAGES = [
    line
    for page in PAGES
    for block in re.findall(r"^```bash\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]


@pytest.mark.parametrize("line", [line for line in [*EXAMPLES, *IN_PAGES] if line.startswith("rewardlab")])
def test_the_examples_have_the_options_that_the_commands_take(line) -> None:
    words = shlex.split(re.split(r" > |  +#", line)[0])
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


def test_every_command_has_a_section_in_the_documentation_with_all_its_options() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for module in COMMANDS:
        assert f"\n## {module.NAME}\n" in page
    for line in EXAMPLES:
        assert line.partition(" --")[0].partition(" -o")[0] in page
