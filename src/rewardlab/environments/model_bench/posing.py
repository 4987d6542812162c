"""How a task of the bench is put to an agent, and what is read back out of tasks and trajectories."""

from __future__ import annotations

from typing import Literal

from rewardlab.environments.model_bench.catalogue import MODELS, PREPARATIONS
from rewardlab.environments.model_bench.data import DATA_SETS, Problem
from rewardlab.environments.model_bench.metrics import METRICS
from rewardlab.environments.model_bench.programs import SUBMISSION
from rewardlab.types import Message, Task

Actions = Literal["pipelines", "programs", "both"]


def problem_of(task: Task) -> Problem:
    """The problem of a task of the bench.

    Raises:
        ValueError: the task is another world's.
    """
    given = task.metadata.get("problem")
    keys = {"data_set", "metric", "number", "target"}
    if not isinstance(given, dict) or given.keys() != keys:
        given = dict.fromkeys(keys)
    known, metric = DATA_SETS.get(str(given["data_set"])), METRICS.get(str(given["metric"]))
    fits = known is not None and metric is not None and known.kind == metric.kind and given["target"] in known.targets
    if not fits or type(given["number"]) is not int or given["number"] < 0:
        raise ValueError(f"task {task.id!r} is not one of the model bench; make tasks with ModelBench().tasks(...)")
    return Problem(**given)


def prompt(problem: Problem, actions: Actions, terse: bool) -> list[Message]:
    """The messages that open an attempt; `terse` for one line."""
    known, metric = DATA_SETS[problem.data_set], METRICS[problem.metric]
    asked = (
        f"{problem.data_set}: predict {problem.target} ({known.kind}) from {known.columns} columns of {known.rows} rows. "
        f"Metric: {problem.metric}, {'higher' if metric.higher else 'lower'} is better."
    )
    if terse:
        return [{"role": "user", "content": f"{problem.data_set} {problem.target} {problem.metric}"}]
    ways = {
        "pipelines": "Fit pipelines, then answer `run N`, or answer with a pipeline as JSON.",
        "programs": f"Run programs that write {SUBMISSION}, then answer `run N`.",
        "both": f"Fit pipelines or run programs that write {SUBMISSION}, then answer `run N` or a pipeline as JSON.",
    }[actions]
    system = f"You do machine learning on tables. {ways}"
    if actions != "programs":
        models = [name for name, model in MODELS.items() if known.kind == "classification" or model.regressor]
        system += f" Models: {', '.join(models)}. Preparations: {', '.join(PREPARATIONS)}."
    return [{"role": "system", "content": system}, {"role": "user", "content": asked}]
