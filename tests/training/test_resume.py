"""A training that is killed again and again ends with the numbers of one that was not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rewardlab.storage import read_trajectories

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("training processes")  # one worker, so that the fixture runs once


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills")
    command = [sys.executable, "-m", "tests.training.forked", "kills", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=280)
    return folder


def lines(path):
    """The lines of a log, without what a clock measured."""
    kept = []
    for line in path.read_text().splitlines():
        record = json.loads(line)
        kept.append({key: value for key, value in record.items() if not key.startswith("seconds")})
    return kept


@pytest.mark.parametrize("kind", ["random", "calls"])
def test_killed_and_resumed_gives_the_same_numbers(folder, kind):
    deaths = json.loads((folder / "kills.json").read_text())[kind]
    assert deaths, "the training was never killed, so this test says nothing"
    unbroken, resumed = folder / "unbroken", folder / kind
    for log in ("metrics.jsonl", "evaluations.jsonl", "warm_start.jsonl"):
        assert lines(unbroken / log) == lines(resumed / log), f"{log} differs after kills at {deaths}"
    assert [line["step"] for line in lines(resumed / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
    assert [(line["step"], line["phase"]) for line in lines(resumed / "evaluations.jsonl")] == [
        (0, "initial"),
        (0, "start"),
        (3, "training"),
        (6, "training"),
    ]
    weights = "policy/model.safetensors"
    assert (unbroken / weights).read_bytes() == (resumed / weights).read_bytes()
    assert (unbroken / "config.yaml").read_bytes() == (resumed / "config.yaml").read_bytes()


@pytest.mark.parametrize("kind", ["random", "calls"])
def test_nothing_is_left_over(folder, kind):
    def names(run):
        return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())

    assert names(folder / "unbroken") == names(folder / kind)
    for file in ("step-00000006.jsonl", "evaluation-start-00000000.jsonl"):
        said = [
            [(one.completion, one.info["training"]) for one in read_trajectories(folder / run / "trajectories" / file)]
            for run in ("unbroken", kind)
        ]
        assert said[0] == said[1]
        assert said[0]


def test_the_numbers_depend_on_the_training(folder):
    """What is compared above is not constant: steps differ from one another, and the policy learned something."""
    metrics = lines(folder / "unbroken" / "metrics.jsonl")
    assert len({line["update/loss"] for line in metrics}) == len(metrics)
    assert any(line["update/kl"] > 0 for line in metrics)
    warm = lines(folder / "unbroken" / "warm_start.jsonl")
    assert warm[-1]["loss"] < warm[0]["loss"]
