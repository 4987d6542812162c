"""How environments are stepped, from a configuration to the run."""

from __future__ import annotations

import json

import pytest

from rewardlab.config import load_config
from rewardlab.config.run import run
from rewardlab.registry import SpecError
from tests.config.test_load import GOOD, written


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("stepping: {worker: 2}", "did you mean 'workers'?"),
        ("stepping: {workers: many}", "must be a whole number"),
        ("limits: {step_seconds: 0}", r"Limits\.step_seconds must be positive, got 0"),
    ],
)
def test_wrong_options_are_named(tmp_path, line, message):
    text = GOOD.replace("limits: {turns: 4}", line)
    with pytest.raises(SpecError, match=message):
        load_config(written(tmp_path, text)).check()


def test_a_run_is_the_same_however_environments_are_stepped(tmp_path):
    """Worker processes and overlap change who waits for whom, and no number of the rollouts."""
    text = GOOD
    for old, new in (
        ("  steps: 3", "  steps: 1\n  tasks_per_step: 2"),
        ("group_size: 4", "group_size: 2"),
        ("train: 40, test: 6", "train: 20, test: 2"),
        ("trackers: [tensorboard]", "trackers: []"),
        ("{temperature: 1.0}", "{temperature: 1.0, max_new_tokens: 8}"),
    ):
        assert old in text
        text = text.replace(old, new)
    found = {}
    for name, stepping in (("plain", ""), ("processes", "stepping: {processes: true, workers: 1, overlap: true}\n")):
        config = load_config(written(tmp_path, f"{text}{stepping}output: {tmp_path / name}\n"))
        run(config, progress_bar=False)
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        found[name] = [json.loads(line) for line in lines]
    assert len(found["plain"]) == len(found["processes"]) > 0
    for ours, theirs in zip(found["plain"], found["processes"], strict=True):
        for key in ("reward/mean", "tokens/written", "samples/failed"):
            assert ours.get(key) == theirs.get(key)
