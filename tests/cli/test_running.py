"""How the commands that run something tell what came of it."""

from __future__ import annotations

from typing import Any

import pytest

from rewardlab.cli.running import run_and_tell


class Ended:
    def to_json(self) -> dict[str, Any]:
        return {"steps": 3}

    def table(self) -> str:
        return "three steps"


@pytest.mark.parametrize(("rank", "told"), [(None, True), ("0", True), ("1", False)])
@pytest.mark.parametrize("as_json", [False, True])
def test_the_first_of_several_processes_tells(
    rank: str | None, told: bool, as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if rank is None:
        monkeypatch.delenv("RANK", raising=False)
    else:
        monkeypatch.setenv("RANK", rank)
    run_and_tell(None, Ended, stopped=RuntimeError, as_json=as_json)
    assert bool(capsys.readouterr().out) is told
