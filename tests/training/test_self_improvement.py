from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from rewardlab.training.curricula import Curriculum
from rewardlab.training.self_improvement import SUFFIX, SelfImprove, better_of_both
from rewardlab.types import Scores, Status, Task, Trajectory

TASKS = [Task(id=name, prompt=[{"role": "user", "content": f"task {name}"}]) for name in "ab"]


def tried(task: Task, text: str, log: str = "a log") -> Trajectory:
    return Trajectory.from_messages(
        [*(task.prompt or []), {"role": "assistant", "content": text}], task=task, info={"log": log}
    )


def observed(**options: Any) -> SelfImprove:
    curriculum = SelfImprove(tasks=TASKS, count=2, **options)
    for text, score in (("first", 0.2), ("second", 0.9), ("third", 0.5)):
        curriculum.observe([tried(TASKS[0], text)], Scores(values=np.array([score])))
    return curriculum


def shown(curriculum: SelfImprove, draws: int = 60) -> list[str]:
    tasks = [task for _ in range(draws) for task in curriculum.sample() if task.id.endswith(SUFFIX)]
    return [(task.prompt or [])[-1]["content"] for task in tasks]


def test_half_of_the_tasks_that_were_solved_before_are_shown_with_their_best_solution() -> None:
    curriculum = observed()
    assert isinstance(curriculum, Curriculum)
    texts = shown(curriculum)
    assert 15 < len(texts) < 45  # of 60 draws of task a
    assert set(texts) == {"task a\nAn earlier solution:\nsecond\nWhat came of it:\na log\nDo better."}
    assert TASKS[0].prompt == [{"role": "user", "content": "task a"}]
    assert not shown(observed(p=0.0))
    assert len(shown(observed(p=1.0))) == 60


def test_which_solution_is_shown() -> None:
    assert "third" in shown(observed(source="last", p=1.0))[0]
    some = {text.split("\n")[2] for text in shown(observed(source="topk", k=2, p=1.0))}
    assert some == {"second", "third"}
    assert not shown(observed(valid_only=0.95, p=1.0))


def test_code_or_plan_of_the_last_call_with_its_output() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "program", "arguments": json.dumps({"code": "x = 1"})}}
    attempt = Trajectory(
        observations=[TASKS[0].prompt, [{"role": "tool", "content": "ran"}], []],
        actions=[
            {"role": "assistant", "content": "my plan", "tool_calls": [call]},
            {"role": "assistant", "content": "run 1"},
        ],
        task=TASKS[0],
    )
    for history, expected in (("code", "x = 1"), ("plan", "my plan")):
        curriculum = SelfImprove(tasks=TASKS, count=2, p=1.0, history=history)  # type: ignore[arg-type]
        curriculum.observe([attempt], Scores(values=np.array([1.0])))
        assert f"solution:\n{expected}\nWhat came of it:\nran\n" in shown(curriculum)[0]


def test_failed_attempts_are_not_kept_and_improved_ones_count_for_their_task() -> None:
    curriculum = SelfImprove(tasks=TASKS, count=2, p=1.0)
    failed = Scores(values=np.array([np.nan]), status=np.array([Status.FAILED], dtype=np.int8))
    curriculum.observe([tried(TASKS[0], "x")], failed)
    assert not shown(curriculum, 3)
    better = curriculum.improving(TASKS[0], {"text": "x", "output": "", "score": 0})
    assert better.id == "a/improve"
    curriculum.observe([tried(better, "improved")], Scores(values=np.array([1.0])))
    assert "improved" in shown(curriculum, 3)[0]


def test_both_ways_are_evaluated_and_the_better_counts() -> None:
    tasks = observed().both(TASKS)
    assert [task.id for task in tasks] == ["a", "a/improve", "b"]
    values = np.array([0.3, 0.6, np.nan])
    scores = Scores(values=values, status=np.array([Status.SCORED, Status.SCORED, Status.FAILED], dtype=np.int8))
    assert better_of_both([tried(task, "x") for task in tasks], scores) == {"a": 0.6}


def test_long_output_is_cut_in_the_middle() -> None:
    curriculum = SelfImprove(tasks=TASKS, count=2, p=1.0, longest=60)
    curriculum.observe([tried(TASKS[0], "x", "head" + "-" * 500 + "tail")], Scores(values=np.array([1.0])))
    (text, *_) = shown(curriculum, 3)
    assert "head---" in text
    assert "[...]" in text
    assert "---tail" in text
    assert len(text) < 200


def test_it_goes_on_where_it_was() -> None:
    curriculum = observed()
    curriculum.sample()
    again = SelfImprove(tasks=TASKS, count=2)
    again.load_state_dict(json.loads(json.dumps(curriculum.state_dict())))
    for _ in range(5):
        assert curriculum.sample() == again.sample()


def test_wrong_options_are_refused() -> None:
    for options in ({"p": 2.0}, {"history": "all"}, {"source": "first"}, {"k": 0}, {"longest": 3}):
        with pytest.raises(ValueError, match="must"):
            SelfImprove(tasks=TASKS, **options)  # type: ignore[arg-type]
