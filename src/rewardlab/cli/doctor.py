"""`rewardlab doctor`: what is installed, what is missing, whether the sandbox isolates, which devices there are."""

from __future__ import annotations

import json
import os
import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Annotated, Any

import typer

NAME = "doctor"
EXAMPLES = (
    ("rewardlab doctor", "what is there, what is missing, and how to get it"),
    ("rewardlab doctor --json", "the same for a bug report or a script"),
)

_SKIPPED = ("all", "dev", "docs", "test")
_BESIDE = {"vllm": "sampling on GPUs", "wandb": "tracking", "trackio": "tracking"}
"""Packages that are used where they are installed, and that no extra brings."""


def command(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Tell what this installation can do: extras, sandbox, devices. Always ends with status 0."""
    report = examine()
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(
        f"rewardlab {report['rewardlab']}, Python {report['python']}, {report['system']}, {report['cores']} cores\n"
    )
    grid = Table(
        title="Extras", title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0), show_header=False
    )
    for extra, state in report["extras"].items():
        installed = ", ".join(f"{name} {found}" for name, found in state["installed"].items())
        if state["missing"]:
            note = f'[yellow]missing: {", ".join(state["missing"])}[/]; pip install "rewardlab\\[{extra}]"'
            grid.add_row(extra, f"{installed}; {note}" if installed else note)
        else:
            grid.add_row(extra, f"[green]{installed}[/]")
    for name, entry in report["beside"].items():
        grid.add_row(name, f"[green]{entry['version']}[/]" if entry["version"] else f"not installed ({entry['use']})")
    console.print(grid)
    sandbox = report["sandbox"]
    colour = "green" if sandbox["isolated"] else "yellow"
    console.print(f"\n[bold]Sandbox[/]\n[{colour}]{sandbox['summary']}[/]")
    for line in sandbox["unprotected"]:
        console.print(f"  not protected: {line}", markup=False)
    console.print("\n[bold]Devices[/]")
    for line in report["devices"]:
        console.print(f"  {line}", markup=False)


def examine() -> dict[str, Any]:
    """Everything that `doctor` prints, as plain values."""
    return {
        "rewardlab": version("rewardlab"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "extras": extras(),
        "beside": {name: {"version": _version(name), "use": use} for name, use in _BESIDE.items()},
        "sandbox": sandbox(),
        "devices": devices(),
    }


def extras() -> dict[str, dict[str, Any]]:
    """For each extra, its packages that are installed (with versions) and those that are not."""
    table: dict[str, dict[str, Any]] = {}
    for text in requires("rewardlab") or []:
        requirement, _, marker = text.partition(";")
        name = re.match(r"[\w.-]+", requirement.strip())
        if name is None or "extra ==" not in marker or name[0] == "rewardlab":
            continue
        extra = marker.rpartition("extra ==")[2].strip(" \"')")
        if extra in _SKIPPED:
            continue
        row = table.setdefault(extra, {"installed": {}, "missing": []})
        found = _version(name[0])
        if found is None:
            row["missing"].append(name[0])
        else:
            row["installed"][name[0]] = found
    return table


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def sandbox() -> dict[str, Any]:
    """Whether untrusted code is isolated here, and what is not protected."""
    from rewardlab import sandbox as room

    status = room.status()
    summary = f"{status.mechanism}: " + (
        "programs are isolated" if status.isolated else f"NOT isolated: {status.reason}"
    )
    return {
        "isolated": status.isolated,
        "summary": summary,
        "protected": list(status.protected),
        "unprotected": list(status.unprotected),
    }


def devices() -> list[str]:
    """The devices that torch can use, or why there are none."""
    from rewardlab.extras import available

    if not available("torch"):
        return ['torch is not installed; pip install "rewardlab[lm]"']
    import torch

    lines = [f"cpu: {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        lines.append(f"cuda:{index}: {properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    if torch.backends.mps.is_available():
        lines.append("mps: Apple GPU")
    return lines
