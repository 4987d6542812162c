from __future__ import annotations

import itertools
import json
import math
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.environments import ENVIRONMENTS
from rewardlab.environments.base import TaskSource, play
from rewardlab.environments.model_bench import (
    DATA_SETS,
    METRICS,
    MODELS,
    PREPARATIONS,
    STAGES,
    ModelBench,
    ModelBenchScore,
    PipelineError,
    Problem,
    fit_pipeline,
    percentile,
    problem_of,
    read_pipeline,
    scaled,
)
from rewardlab.environments.model_bench.clock import Ledger
from rewardlab.environments.model_bench.data import rows_of
from rewardlab.environments.model_bench.metrics import measure
from rewardlab.environments.timing import action_seconds
from rewardlab.types import Message, Task, Trajectory


def call(**arguments: Any) -> Message:
    function = {"name": arguments.pop("tool", "fit"), "arguments": json.dumps(arguments)}
    return {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function", "function": function}]}


def say(text: str) -> Message:
    return {"role": "assistant", "content": text}


def attempt(bench: ModelBench, *actions: Message, data_set: str = "iris", seed: int = 0) -> Trajectory:
    task = next(task for task in bench.tasks("train", 12) if problem_of(task).data_set == data_set)
    waiting = iter(actions)
    return play(bench, task, lambda _: next(waiting), seed=seed, max_steps=len(actions))


# ---- tasks and data ----------------------------------------------------------------------------------------------------


def test_train_and_test_tasks_never_share_a_problem() -> None:
    bench = ModelBench()
    assert isinstance(bench, TaskSource)
    assert ENVIRONMENTS.resolve("model_bench") is ModelBench
    keys = {
        split: {problem_of(task).key for seed in range(3) for task in bench.tasks(split, 60, seed)}  # type: ignore[arg-type]
        for split in ("train", "test")
    }
    assert not keys["train"] & keys["test"]
    assert len(keys["train"]) > 150
    assert bench.tasks("train", 3) == bench.tasks("train", 9)[:3]


def test_held_out_data_sets_occur_in_test_tasks_alone() -> None:
    bench = ModelBench(held_out=["wine", "diabetes"])
    found = {split: {problem_of(task).data_set for task in bench.tasks(split, 12)} for split in ("train", "test")}  # type: ignore[arg-type]
    assert found == {"train": set(DATA_SETS) - {"wine", "diabetes"}, "test": {"wine", "diabetes"}}


@pytest.mark.parametrize("name", DATA_SETS)
def test_rows_are_those_of_the_data_set_each_in_one_part(name: str) -> None:
    known = DATA_SETS[name]
    metric = next(metric for metric in METRICS if METRICS[metric].kind == known.kind)
    rows = rows_of(Problem(name, metric, 5, known.targets[0]))
    table = np.vstack([rows.train, rows.valid, rows.test])
    assert table.shape == (known.rows, known.columns)
    loaded = getattr(__import__("sklearn.datasets").datasets, f"load_{name}")().data
    order, other = np.lexsort(table.T), np.lexsort(loaded.T)
    np.testing.assert_array_equal(table[order], loaded[other])
    if rows.classes:
        assert set(rows.train_target) == set(rows.test_target) == set(range(rows.classes))


def test_metrics_agree_with_scikit_learn() -> None:
    from sklearn import metrics

    draw = np.random.default_rng(0)
    target, predicted = draw.integers(0, 3, 60), draw.integers(0, 4, 60)
    numbers, guesses = draw.normal(size=40), draw.normal(size=40)
    assert measure("accuracy", target, predicted) == pytest.approx(metrics.accuracy_score(target, predicted))
    mask = predicted < 3  # scikit-learn warns of classes that are only predicted
    assert measure("balanced_accuracy", target[mask], predicted[mask]) == pytest.approx(
        metrics.balanced_accuracy_score(target[mask], predicted[mask])
    )
    assert measure("macro_f1", target, predicted) == pytest.approx(
        metrics.f1_score(target, predicted, average="macro", labels=[0, 1, 2])
    )
    assert measure("r2", numbers, guesses) == pytest.approx(metrics.r2_score(numbers, guesses))
    assert measure("mean_absolute_error", numbers, guesses) == pytest.approx(
        metrics.mean_absolute_error(numbers, guesses)
    )
    assert measure("root_mean_squared_error", numbers, guesses) == pytest.approx(
        metrics.root_mean_squared_error(numbers, guesses)
    )


def test_scales_by_hand() -> None:
    assert scaled(3.0, "mean_absolute_error", "exponential") == pytest.approx(0.3679, abs=1e-4)
    assert scaled(3.0, "mean_absolute_error", "reciprocal") == 0.5
    assert scaled(3.0, "mean_absolute_error", "identity") == -3.0
    assert scaled(0.8, "accuracy", dummy=0.6) == pytest.approx(0.5)
    assert scaled(9.0, "mean_absolute_error", dummy=3.0) == -1.0
    assert percentile(2, [1, 2, 2, 3]) == 0.5
    assert percentile(1, [1, 2, 2, 3], higher=False) == 7 / 8
    for arguments, message in [
        ((math.nan, "accuracy"), "finite"),
        ((0.5, "accuracy", "exponential"), "errors"),
        ((0.5, "accuracy"), "no feature"),
        ((0.5, "speed"), "must be one of"),
        ((0.5, "accuracy", "percentile"), "leaderboard"),
    ]:
        with pytest.raises(ValueError, match=message):
            scaled(*arguments)


# ---- acting ------------------------------------------------------------------------------------------------------------


def test_demonstrations_beat_a_prediction_that_looks_at_nothing() -> None:
    bench = ModelBench(data_sets=["iris", "wine", "breast_cancer", "digits", "diabetes"])
    demonstrations = bench.demonstrations(bench.tasks("test", 5))
    scores = ModelBenchScore()(demonstrations)
    assert scores.scored.all()
    assert (scores.values > 0.2).all()
    assert (scores.parts["stages"].values == 1).all()
    for one in demonstrations:
        assert one.terminated
        assert one.seconds is not None
        assert one.info["seconds"] == one.seconds.tolist()
        assert one.seconds[-1] == 0.1  # naming a run costs next to nothing
        assert one.seconds[1] > one.seconds[0]  # support vectors take longer than a linear model


def test_the_same_seed_gives_the_same_attempt_and_another_seed_other_seconds() -> None:
    actions = [
        call(tool="describe"),
        call(model="tree"),
        call(model="forest", options={"n_estimators": 5}),
        say("run 2"),
    ]
    first, again, other = (attempt(ModelBench(), *actions, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first.info["seconds"] != other.info["seconds"]
    assert first.info["score"] == other.info["score"]


def test_better_and_slower_choices_cost_more_on_the_simulated_clock() -> None:
    problem = Problem("digits", "accuracy", 1, "digit")
    costs = [
        read_pipeline({"model": "forest", "options": {"n_estimators": count}}).cost(problem) for count in (10, 100, 200)
    ]
    assert costs == sorted(costs)
    linear = read_pipeline({"model": "linear"})
    assert linear.cost(problem) < costs[1]
    assert read_pipeline({"model": "linear", "preparation": ["standardise"]}).cost(problem) > linear.cost(problem)


def test_an_answer_may_be_a_pipeline_itself() -> None:
    done = attempt(ModelBench(), say(json.dumps({"model": "naive_bayes"})))
    scores = ModelBenchScore()([done])
    assert done.info["status"] == "submitted"
    assert scores.values[0] > 0.8
    assert len(done.info["seconds"]) == 1
    assert done.info["seconds"][0] > 0.3


@pytest.mark.parametrize(
    ("arguments", "stages", "error"),
    [
        ({"model": "forrest"}, 0, "did you mean 'forest'"),
        ({"model": "forest", "options": {"trees": 3}}, 0, "no option 'trees'"),
        ({"model": "forest", "options": {"n_estimators": 1000000}}, 0, "from 5 to 200"),
        ({"model": "linear", "preparation": ["__import__('os')"]}, 0, "no preparation"),
        ({"model": "linear", "preparation": [{"name": "select", "k": 40}]}, 2, "only 4"),
        ({"model": "neighbours", "options": {"weights": "near"}}, 0, "uniform, distance"),
    ],
)
def test_wrong_pipelines_are_answered_and_the_log_says_how_far_they_came(
    arguments: dict[str, Any], stages: int, error: str
) -> None:
    done = attempt(ModelBench(), call(**arguments), say("run 1"))
    answer = done.observations[1][0]["content"]
    assert answer.startswith("Error: ")
    assert error in answer
    assert sum(f"[bench] {stage}" in done.info["log"] for stage in STAGES) == stages
    assert done.info["status"] == "no submission"
    scores = ModelBenchScore(nothing=-10.0)([done])
    assert scores.values[0] == -10.0
    assert scores.parts["stages"].values[0] == stages / len(STAGES)


def test_a_classifier_for_numbers_breaks_at_the_model() -> None:
    done = attempt(ModelBench(), call(model="naive_bayes"), say("run 1"), data_set="diabetes")
    assert "for classification" in done.info["log"]
    assert sum(f"[bench] {stage}" in done.info["log"] for stage in STAGES) == 3


@settings(max_examples=25)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["model", "options", "preparation", "name", "k"]), inner, max_size=3)
        ),
        max_leaves=6,
    )
)
def test_whatever_is_written_as_a_pipeline_is_answered(value: Any) -> None:
    with pytest.raises(PipelineError):
        read_pipeline(value)
    done = attempt(ModelBench(), say(json.dumps(value) or "x"))
    if done.terminated:
        assert done.info["status"] == "no submission"
    else:  # an object with a name is a tool call that went wrong, and the attempt goes on
        assert done.observations[-1][0]["content"].startswith("Error: ")


def test_hostile_messages_are_answered() -> None:
    bench = ModelBench(max_calls=3)
    wild = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "fit", "arguments": "{{{"}}, 7]}
    done = attempt(bench, wild, say(""), say("run 9999"))
    assert done.info["status"] == "no submission"
    assert len(done.info["seconds"]) == 3
    assert min(done.info["seconds"]) > 0
    with pytest.raises(RuntimeError, match="has ended"):
        bench.step(say("run 1"))
    with pytest.raises(ValueError, match="not one of the model bench"):
        bench.reset(
            Task(id="x", prompt=[{"role": "user", "content": "?"}], metadata={"problem": {"data_set": "iris"}}), 0
        )


@pytest.mark.parametrize(
    "changed",
    [{"number": -1}, {"number": "1"}, {"target": "age"}, {"metric": "r2"}, {"data_set": "mnist"}, {"more": 1}],
)
def test_a_task_that_was_tampered_with_is_refused(changed: dict[str, Any]) -> None:
    task = ModelBench(data_sets=["iris"]).tasks("train", 1)[0]
    task.metadata["problem"] = {**task.metadata["problem"], **changed}
    with pytest.raises(ValueError, match="not one of the model bench"):
        ModelBench().reset(task, 0)


def test_what_scikit_learn_refuses_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    from rewardlab.environments.model_bench import pipelines

    def refuse(*_: Any) -> None:
        raise ValueError("Input X contains infinity\nand more")

    monkeypatch.setattr(pipelines, "_prepare", refuse)
    pipelines.remembered_fit.cache_clear()
    done = attempt(ModelBench(), say(json.dumps({"model": "linear", "preparation": ["robust"]})))
    assert "cannot be fitted: Input X contains infinity" in done.info["log"]
    assert done.info["status"] == "no submission"
    pipelines.remembered_fit.cache_clear()


def test_every_model_and_preparation_of_the_catalogue_fits() -> None:
    for name, data_set in (("accuracy", "iris"), ("r2", "diabetes")):
        problem = Problem(data_set, name, 3, DATA_SETS[data_set].targets[0])
        for preparation in PREPARATIONS:
            assert fit_pipeline(problem, read_pipeline({"model": "linear", "preparation": [preparation]})).error is None
        for model, part in MODELS.items():
            if METRICS[name].kind == "classification" or part.regressor:
                low = {option: 6 for option in part.options if option == "n_estimators"}
                assert fit_pipeline(problem, read_pipeline({"model": model, "options": low})).error is None


# ---- time --------------------------------------------------------------------------------------------------------------


def test_a_budget_ends_the_attempt_and_its_last_action_is_cut_off() -> None:
    done = attempt(ModelBench(budget=5.0), call(model="linear"), call(model="boosting"), say("run 1"))
    assert done.truncated
    assert done.info["status"] == "timeout"
    assert done.info["cut_off"] == [False, True]
    assert sum(done.info["seconds"]) == pytest.approx(5.0)
    scores = ModelBenchScore()([done])
    assert scores.values[0] == 0
    assert scores.parts["in_time"].values[0] == 0


def test_a_long_action_is_stopped_and_the_attempt_goes_on() -> None:
    done = attempt(ModelBench(action_seconds=4.0), call(model="boosting"), call(model="linear"), say("run 1"))
    assert done.info["cut_off"] == [True, False, False]
    assert done.info["seconds"][0] == pytest.approx(4.0)
    assert done.info["status"] == "submitted"


@pytest.mark.parametrize("clock", ["measured", "cpu"])
def test_measured_seconds_are_those_between_the_begin_and_the_end_of_an_action(
    clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = attempt(ModelBench(clock=clock), call(model="linear"), say("run 1"))
    assert min(done.info["seconds"]) > 0
    ticks = itertools.accumulate([0, 5, 1, 2])  # read at the begin and the end of each of two actions
    monkeypatch.setattr(Ledger, "_now", lambda _: float(next(ticks)))
    done = attempt(ModelBench(clock=clock), call(model="extra_trees", options={"n_estimators": 5}), say("run 1"))
    seconds = action_seconds(done)
    assert seconds is not None
    assert seconds.tolist() == [5, 2]
    assert done.info["status"] == "submitted"


def test_wrong_options_name_the_right_ones() -> None:
    for options, message in [
        ({"data_sets": ["iriss"]}, "did you mean 'iris'"),
        ({"data_sets": "iris"}, "list of names"),
        ({"metrics": ["r2"]}, "no metric"),
        ({"clock": "wall"}, "simulated, measured, cpu"),
        ({"actions": "programs"}, "cannot be simulated"),
        ({"budget": 0}, "positive"),
        ({"jitter": 1.0}, "jitter"),
        ({"data_sets": ["iris"], "held_out": ["iris"]}, "none is left"),
    ]:
        with pytest.raises(ValueError, match=message):
            ModelBench(**options)  # type: ignore[arg-type]


def test_the_extra_is_named_where_scikit_learn_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows_of.cache_clear()
    from rewardlab.environments.model_bench import data

    data._whole.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.delitem(sys.modules, "sklearn.datasets", raising=False)
    with pytest.raises(ImportError, match=r"rewardlab\[sklearn\]"):
        ModelBench().tasks("train", 1)


def test_the_reward_sets_aside_what_it_cannot_judge() -> None:
    done = attempt(ModelBench(), say(json.dumps({"model": "linear"})))
    done.info["status"] = "lost"
    scores = ModelBenchScore()([done, Trajectory.from_text("q", "a")])
    assert not scores.scored.any()
    assert "sandbox broke" in (scores.note(0) or "")
    done.info.update(status="submitted", score=math.nan)
    assert "finite" in (ModelBenchScore()([done]).note(0) or "")
