"""`rewardlab train` on a tiny configuration: what it prints and writes, and how it goes on after a kill or Ctrl-C."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.cli.running import start
from tests.policies.server import ChatServer

CONFIG = """\
output: runs/first
threads: 1
policy: {type: tiny, hidden: 16, layers: 1, heads: 2, context: 512, vocabulary_size: 400, tools: hidden}
environment: {type: tool_desk, level: small}
tasks: {train: 12, test: 3}
reward: {type: sum, weights: {success: 1.0, brief: 0.1}, parts: {success: tool_desk_success, brief: length_penalty}}
warm_start: {demonstrations: 4, steps: 2, batch_size: 2}
training: {steps: 2, tasks_per_step: 1, group_size: 2, objective: grpo}
sampling: {max_new_tokens: 4}
limits: {turns: 1, tokens: 300}
evaluation: {every: 1, reward: tool_desk_success}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reward = "{type: length_penalty, unit: words, maximum: 6, buffer: 4}"
    (tmp_path / "config.yaml").write_text(CONFIG.replace("brief: length_penalty", f"brief: {reward}"))
    return tmp_path


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def test_a_training_prints_success_and_writes_its_folder_and_its_report(run, here) -> None:
    done = run("train", "config.yaml")
    assert done.status == 0, done.err
    assert "before training" in done.out
    assert "after training" in done.out
    folder = here / "runs" / "first"
    assert (folder / "report.html").is_file()
    assert (folder / "policy" / "model.safetensors").is_file()
    assert [line["step"] for line in lines(folder / "metrics.jsonl")] == [1, 2]
    # the configuration in the run folder gives the same run again, and more steps go on behind it
    more = run("train", folder / "config.yaml", "training.steps=3", "--json", "--quiet").json
    assert more["steps"] == 3
    assert [line["step"] for line in lines(folder / "metrics.jsonl")] == [1, 2, 3]
    assert [line["phase"] for line in more["evaluations"]] == ["initial", "start", *["training"] * 3]
    refused = run("train", "config.yaml", "training.steps=3", "--no-resume")
    assert refused.status == 2
    assert "holds a training already" in refused.err
    other = run("train", "config.yaml", "seed=1")
    assert other.status == 2
    assert "holds another training (seed was 0, is 1" in other.err


def test_ctrl_c_ends_with_130_and_a_killed_training_goes_on(run, here) -> None:
    metrics = here / "runs" / "long" / "metrics.jsonl"

    def wait_for(steps: int, process) -> None:
        while len(lines(metrics)) < steps:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.1)

    process = start("train", "config.yaml", "training.steps=2000", "-o", "runs/long", "evaluation.every=0", cwd=here)
    wait_for(1, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "goes on from the last checkpoint in runs/long" in errors
    assert "Traceback" not in errors
    reached = len(lines(metrics))
    process = start("train", "config.yaml", "training.steps=2000", "-o", "runs/long", "evaluation.every=0", cwd=here)
    wait_for(reached + 1, process)
    process.kill()
    process.communicate()
    reached = len(lines(metrics))
    done = run(
        "train", "config.yaml", f"training.steps={reached + 1}", "evaluation.every=0", "-o", "runs/long", "--json"
    )
    assert done.json["steps"] == reached + 1
    assert [line["step"] for line in lines(metrics)] == list(range(1, reached + 2))


def test_errors_that_arise_while_seats_are_built_name_the_line_too(run, here) -> None:
    config = (here / "config.yaml").read_text()
    for old, new, line, message in (
        ("heads: 2", "heads: 3", 3, "policy 'tiny': "),
        ("level: small", "level: small, noise: 7", 4, "noise must be a share in [0, 1], got 7"),
        ("objective: grpo", "objective: {type: grpo, epochs: 0}", 8, "objective 'grpo': "),
        ("environment: {type: tool_desk, level: small}", "environment: single_turn", 5, "brings no tasks of its own"),
        ("policy: {type: tiny", "policy: {type: pretrained, name: no/such/model} #", 3, "policy 'pretrained': "),
    ):
        (here / "wrong.yaml").write_text(config.replace(old, new))
        done = run("train", "wrong.yaml", "-o", "runs/wrong")
        assert done.status == 2
        assert f"wrong.yaml:{line}: " in done.err
        assert message in done.err


def test_nothing_that_can_be_scored_is_the_answer_no(run, here) -> None:
    (here / "rewards.py").write_text(
        "import rewardlab as rl\n\n\n@rl.reward\ndef broken(completion: str) -> float:\n    raise RuntimeError('the judge is away')\n"
    )
    done = run(
        "train", "config.yaml", "reward=rewards.py:broken", "training.steps=9", "warm_start=null", "-o", "runs/no", "-q"
    )
    assert done.status == 1
    assert "no trajectory could be scored" in done.err
    assert "the judge is away" in done.err


def test_tasks_come_from_files_and_bad_lines_of_them_are_named(run, here) -> None:
    (here / "tasks.jsonl").write_text('{"id": "a", "prompt": "sky", "reference": "blue"}\n{"id": "b", "promt": 1}\n')
    (here / "test.jsonl").write_text('{"id": "c", "prompt": "leaf", "reference": "green"}\n')
    (here / "words.yaml").write_text(
        "output: runs/words\npolicy: {type: tiny, hidden: 16, layers: 1, heads: 2, context: 64}\nenvironment: single_turn\n"
        "tasks: {file: tasks.jsonl, test_file: test.jsonl}\nreward: exact_match\n"
        "training: {steps: 1, tasks_per_step: 1, group_size: 2}\nsampling: {max_new_tokens: 2}\n"
    )
    with pytest.warns(UserWarning, match=r"tasks\.jsonl:2: a task has no field 'promt'; did you mean 'prompt'"):
        found = run("train", "words.yaml", "--json").json
    assert (found["tasks"], found["steps"]) == (1, 1)
    assert [line["phase"] for line in found["evaluations"]] == ["start", "training"]


def test_a_model_behind_a_server_is_evaluated_and_not_trained(run, here) -> None:
    (here / "tasks.jsonl").write_text('{"id": "a", "prompt": "sky", "reference": "blue"}\n')
    with ChatServer(lambda body, number: {"content": "blue"}) as server:
        (here / "served.yaml").write_text(
            f"output: runs/served\npolicy: {{type: endpoint, model: m, base_url: '{server.url}'}}\nenvironment: single_turn\n"
            "tasks: {file: tasks.jsonl, test_file: tasks.jsonl}\nreward: exact_match\ntraining: {steps: 0}\n"
        )
        found = run("train", "served.yaml", "--json").json
    assert (found["steps"], found["tasks"], len(found["evaluations"])) == (0, 1, 1)
    assert found["evaluations"][0]["success"] == 1.0
    assert (here / "runs" / "served" / "report.html").is_file()
