"""`rewardlab write-reward`, with a scripted server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.policies.server import ChatServer

VIEW = "rewardlab.recipes.text2reward.hopper:HopperView"
WRONG = "```python\ndef compute_dense_reward(self, action):\n    return self.torso.speed\n```"
RIGHT = "```python\ndef compute_dense_reward(self, action):\n    return self.torso.forward_velocity\n```"


def test_a_served_model_writes_and_corrects(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("openai")
    with ChatServer(lambda body, number: {"content": [WRONG, RIGHT][number]}) as server:
        shown = run("write-reward", "Run.", "--view", VIEW, "--model", "m", "--url", server.url, "--fix", "1", "-o", str(tmp_path), "--json")  # fmt: skip
    assert shown.status == 0
    (row,) = json.loads(shown.out)
    assert row["passed"]
    saved = json.loads((tmp_path / "program_0.json").read_text())
    assert saved["parent"] is not None
    assert "forward_velocity" in saved["source"]


def test_nothing_usable_is_status_1_and_no_model_is_wrong_input(run: Any, tmp_path: Path) -> None:
    with ChatServer(lambda body, number: {"content": WRONG}) as server:
        shown = run("write-reward", "Run.", "--view", VIEW, "--model", "m", "--url", server.url, "-o", str(tmp_path))
    assert shown.status == 1
    assert "has no attribute 'speed'" in shown.out
    assert run("write-reward", "Run.", "--view", VIEW).status == 2
    prompt = run("write-reward", "Run.", "--view", VIEW, "--prompt")
    assert prompt.status == 0
    assert "class HopperView:" in prompt.out
