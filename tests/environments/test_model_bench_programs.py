from __future__ import annotations

import json

import pytest

from rewardlab.environments.base import play
from rewardlab.environments.instrumentation import Instrumented
from rewardlab.environments.model_bench import ModelBench, ModelBenchScore, problem_of
from rewardlab.environments.model_bench.data import rows_of
from rewardlab.environments.model_bench.demonstrator import PROGRAM
from rewardlab.environments.model_bench.programs import _files, run_program
from rewardlab.environments.timing import action_seconds
from rewardlab.rewards.verifiers.milestones import PROGRAM_MILESTONES, RegexMilestones
from rewardlab.types import Message, Trajectory

FORGER = """
print("[bench] submission valid")
print("[bench] model trained")
import os
print(sorted(os.listdir(".")))
"""


def call(code: str) -> Message:
    function = {"name": "program", "arguments": json.dumps({"code": code})}
    return {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function", "function": function}]}


@pytest.fixture(scope="module")
def bench() -> ModelBench:
    return ModelBench(actions="programs", clock="measured", data_sets=["wine", "diabetes"], action_seconds=30)


def run(bench: ModelBench, *actions: Message) -> Trajectory:
    waiting = iter([*actions, {"role": "assistant", "content": "run 1"}])
    return play(bench, bench.tasks("train", 1)[0], lambda _: next(waiting))


def test_demonstrated_programs_are_graded_on_the_hidden_rows(bench: ModelBench) -> None:
    done = bench.demonstrations(bench.tasks("train", 2))
    scores = ModelBenchScore()(done)
    assert scores.scored.all(), scores.notes
    assert (scores.values > [0.8, 0.2]).all()
    seconds = action_seconds(done[0])
    assert seconds is not None
    assert (seconds > 0).all()


def test_what_goes_wrong_is_said_and_nothing_is_forged(bench: ModelBench) -> None:
    wrong = [
        (FORGER, "wrote no submission.csv"),
        ("import os\n1 / 0", "ZeroDivisionError"),
        ("x = = 3", "SyntaxError"),
        ("from sklearn.datasets import load_wine", "may not read"),
        ("open('submission.csv', 'w').write('a\\n' * 43)", "is not a number"),
        ("open('submission.csv', 'w').write('nan\\n' * 43)", "not finite"),
        ("open('submission.csv', 'w').write('0.5\\n' * 43)", "whole numbers"),
        ("open('submission.csv', 'w').write('1\\n')", "43 rows"),
    ]
    done = run(bench, *(call(code) for code, _ in wrong))
    for (_, expected), told in zip(wrong, done.observations[1:], strict=False):
        assert told[0]["content"].startswith("Error: ")
        assert expected in told[0]["content"]
    assert "['main.py', 'test.csv', 'train.csv']" in done.observations[1][0]["content"]
    assert "runpy" not in done.info["log"]
    scores = ModelBenchScore()([done])
    assert scores.values[0] == 0
    assert scores.parts["stages"].values[0] == 0  # lines that a program prints are not the bench's


def test_a_program_is_stopped_at_the_limit() -> None:
    bench = ModelBench(actions="programs", clock="measured", data_sets=["wine"], action_seconds=0.5)
    done = run(bench, call("while True: pass"))
    assert done.info["cut_off"][0]
    assert "stopped" in done.observations[1][0]["content"]


def test_hidden_labels_and_the_real_values_are_not_among_the_files(bench: ModelBench) -> None:
    problem = problem_of(bench.tasks("train", 1)[0])
    files, rows = _files(problem), rows_of(problem)
    assert sorted(files) == ["test.csv", "train.csv"]
    lines = files["test.csv"].splitlines()
    assert len(lines) == len(rows.test) + 1
    assert len(lines[0].split(",")) == rows.test.shape[1]
    assert "target" not in lines[0]
    assert not {f"{value:.6g}" for value in rows.test[:, 0]} & set(",".join(lines).split(","))


def test_a_submission_left_before_the_program_crashed_is_not_graded(bench: ModelBench) -> None:
    problem = problem_of(bench.tasks("train", 1)[0])
    code = "open('submission.csv', 'w').write('1\\n' * 43)\nraise ValueError"
    done = run_program(problem, code, seconds=20, isolation="auto", token="t")
    assert (done.status, done.test) == ("error", None)


def test_an_instrumented_program_that_crashes_shows_how_far_it_came(bench: ModelBench) -> None:
    environment = Instrumented(bench)
    task = environment.tasks("train", 1)[0]
    code = PROGRAM.replace("{module}", "svm").replace("{model}", "SVC")
    broken = code.replace("predictions = model", "1 / 0\npredictions = model")
    waiting = iter([call(broken), {"role": "assistant", "content": "run 1"}])
    done = play(environment, task, lambda _: next(waiting))
    scores = RegexMilestones(milestones=PROGRAM_MILESTONES)([done])
    found = [name for name, part in scores.parts.items() if part.values[0]]
    assert found == ["imported", "loaded", "defined", "trained"]
    assert "ZeroDivisionError" in done.observations[1][0]["content"]
    assert "model trained" not in done.observations[1][0]["content"].partition("ZeroDivision")[0]
