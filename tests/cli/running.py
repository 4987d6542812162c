"""Running the command line: in this process for its answers, in one of its own for signals and for what is imported."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from rewardlab.cli import main


@dataclass
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as strict JSON."""
        return json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


class Runner:
    """Calls `main` as the installed script does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys
        monkeypatch.delenv("REWARDLAB_TRACEBACK", raising=False)
        monkeypatch.setenv("COLUMNS", "120")
        monkeypatch.setenv("NO_COLOR", "1")

    def __call__(self, *arguments: object) -> Ran:
        self.monkeypatch.setattr(sys, "argv", ["rewardlab", *map(str, arguments)])
        self.capsys.readouterr()
        status: Any = 0
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        printed = self.capsys.readouterr()
        return Ran(int(status), printed.out, printed.err)


def start(*arguments: object, cwd: Any) -> subprocess.Popen[str]:
    """The command line in a process of its own, which hears Ctrl-C even where the tests run in the background."""
    command = [sys.executable, "-m", "rewardlab.cli", *map(str, arguments)]

    def hear() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # shells have background jobs ignore it, and children inherit that

    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear
    )
