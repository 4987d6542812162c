"""Objective, credit and environment of a configuration: what is out of range or does not go together, and files of one's own."""

from __future__ import annotations

import json

import pytest

from rewardlab.config import load_config
from rewardlab.config.run import run
from rewardlab.registry import SpecError
from rewardlab.training.checkpoint import BrokenCheckpoint
from tests.config.test_load import GOOD, written


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.credit={type: return_to_go, discount: 1.5}"], "credit 'return_to_go': discount must be in"),
        (["training.credit={type: anchor_states, state: place}"], 'state must be "observation", "info.NAME" or a func'),
        (["training.credit={type: duration_aware, base: grup}"], "unknown credit 'grup'; did you mean 'group'"),
        (["training.objective={type: awr, beta: 0}"], "objective 'awr': beta and limit must be positive, got 0"),
        (
            ["training.objective=ppo", "training.credit=group"],
            "trains a value head, but credit 'group' gives no targets",
        ),
    ],
)
def test_values_out_of_range_and_seats_that_do_not_fit_are_found_before_anything_runs(tmp_path, overrides, message):
    with pytest.raises(SpecError) as caught:
        load_config(written(tmp_path, GOOD), overrides)
    assert message in str(caught.value)
    assert str(caught.value).startswith(
        "override 'training.credit=" if "credit" in overrides[-1] else "override 'train"
    )


@pytest.mark.parametrize(
    "overrides",
    [
        ["training.objective=ppo", "training.credit=null"],
        ["training.objective=ppo", "training.credit={type: duration_aware, base: gae}"],
        ["training.objective={type: ppo, value_coefficient: 0}", "training.credit=group"],
        ["training.objective=awr", "training.credit=batch"],
    ],
)
def test_seats_that_fit_are_taken(tmp_path, overrides):
    load_config(written(tmp_path, GOOD), overrides)


OWN = '''
import time

import rewardlab as rl
from rewardlab.environments import Environment, Step
from rewardlab.types import Task


class Own(Environment):
    """Answers, raises or hangs, as the task says."""

    def tasks(self, split, count, seed):
        kinds = ["fine", "raises", "hangs", "fine"] if split == "train" else ["fine"] * count
        return [Task(id=f"{split} {i} {kind}", prompt=[{"role": "user", "content": "go"}]) for i, kind in enumerate(kinds)]

    def reset(self, task, seed):
        self.kind = task.id.split()[-1]
        return task.prompt

    def step(self, action):
        if self.kind == "raises":
            raise RuntimeError("the server said 500")
        if self.kind == "hangs":
            time.sleep(3600)
        return Step(observation=[{"role": "user", "content": "on"}], reward=0.5)


@rl.reward
def half(trajectory):
    return float(trajectory.rewards.sum())
'''


def own_world(folder, rest=""):
    (folder / "own.py").write_text(OWN)
    text = f"""
threads: 1
output: {folder / "run"}
policy: {{type: tiny, hidden: 16, layers: 1, heads: 2, vocabulary_size: 300}}
environment: {{type: "{folder}/own.py:Own"}}
tasks: {{test: 1}}
reward: {{type: "{folder}/own.py:half"}}
training: {{steps: 1, tasks_per_step: 4, group_size: 2, objective: ppo, credit: {{type: gae, source: environment}}}}
sampling: {{max_new_tokens: 2}}
limits: {{turns: 1, step_seconds: 0.3}}
evaluation: {{every: 0}}
{rest}"""
    return written(folder, text)


@pytest.mark.parametrize("stepping", ["", "stepping: {processes: true, workers: 1}\n"])
def test_a_run_goes_on_past_an_environment_of_ones_own_that_raises_or_hangs(tmp_path, stepping):
    outcome = run(load_config(own_world(tmp_path, stepping)), progress_bar=False)
    (line,) = map(json.loads, (outcome.output / "metrics.jsonl").read_text().splitlines())
    assert (line["samples/failed"], line["samples/scored"], line["reward/mean"]) == (4, 4, 0.5)
    stored = (outcome.output / "trajectories" / "step-00000001.jsonl").read_text().splitlines()
    reasons = {one["task"]["id"].split()[-1]: one["info"].get("failed") for one in map(json.loads, stored)}
    assert reasons["fine"] is None
    assert reasons["raises"] == "the environment's step raised: RuntimeError: the server said 500"
    assert reasons["hangs"].startswith("the environment's step took longer than 0.3 s (Limits.step_seconds)")


def test_a_value_head_that_was_removed_from_a_checkpoint_is_named_and_none_is_made_in_silence(tmp_path):
    config = own_world(tmp_path)
    folder = run(load_config(config), progress_bar=False).output / "checkpoints"
    checkpoint = max(folder.iterdir())
    (checkpoint / "value_head.safetensors").unlink()
    with pytest.raises(
        BrokenCheckpoint, match=r"value_head\.safetensors' cannot be read .*; remove the folder '.*' to go on"
    ):
        run(load_config(config, ["training.steps=2"]), progress_bar=False)
