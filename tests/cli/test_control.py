"""`rewardlab control`: a training in a real environment from a YAML file, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

FILE = """\
environment: CartPole-v1
environments: 2
reward:
  type: sum
  parts:
    own: {type: environment_return}
    near: {type: potential, discount: 0.99, phi: {type: distance, point: [0], target: {at: [0.0]}}}
options: {n_steps: 32, batch_size: 32, n_epochs: 1}
steps: 512
evaluation_episodes: 2
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "control.yaml"
    path.write_text(f"output: {tmp_path / 'run'}\n{FILE}", encoding="utf-8")
    return path


def test_a_training_writes_its_folder_and_goes_on_from_it(run, config: Path, tmp_path: Path) -> None:
    told = run("control", str(config), "--json").json
    assert told["steps"] == 512
    assert told["evaluations"][-1]["return"] > 0
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert any({"parts/own", "parts/near"} <= set(line) for line in lines)
    assert (tmp_path / "run/policy/weights.safetensors").is_file()
    again = run("control", str(config), "--json", "-q").json
    assert again["steps"] == 512
    refused = run("control", str(config), "--no-resume")
    assert refused.status == 2
    assert "holds a training already" in refused.err


def test_the_example_is_fine(run) -> None:
    assert "is fine" in run("control", "examples/control.yaml", "--check").out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("environment=CartPole-v7", "CartPole"),
        ("learner=pppo", "did you mean 'ppo'"),
        ("options.n_step=3", "did you mean 'n_steps'"),
        ("reward=math_answer", "cannot be stepped"),
        ("modules=[no_such_module]", "there is no module 'no_such_module'"),
        ("steps=0", "'steps' must be at least 1, got 0"),
        ("stpes=10", "did you mean 'steps'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(run, config: Path, change: str, message: str) -> None:
    shown = run("control", str(config), change, "--check")
    assert shown.status == 2
    assert message in shown.err
    assert change.partition("=")[0] in shown.err
