"""A pipeline that an agent asked for, read from plain values, built from the catalogue and fitted.

Nothing of the agent is evaluated: a pipeline is names and numbers that the catalogue knows. How far it came is written to a
log, one line a stage, by the bench itself, so that partial credit can be read from it and cannot be forged.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.environments.model_bench.catalogue import MODELS, PREPARATIONS, PipelineError, Value, part
from rewardlab.environments.model_bench.data import DATA_SETS, Problem, Rows, rows_of, sklearn
from rewardlab.environments.model_bench.metrics import METRICS, dummy_score, measure

MOST_PREPARATIONS = 4
STAGES = ("pipeline read", "data loaded", "features prepared", "model trained", "predictions made")
"""What the log says of a fit, in this order; a fit that breaks ends before the stage in which it broke."""
MARK = "[bench]"
"""How each line begins that the bench itself wrote."""

Step = tuple[str, tuple[tuple[str, Value], ...]]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline whose names and options have been checked; it can be compared and remembered."""

    preparation: tuple[Step, ...]
    model: Step

    @property
    def text(self) -> str:
        """In one line, as tables and logs show it."""
        return " > ".join(_shown(step) for step in (*self.preparation, self.model))

    def cost(self, problem: Problem) -> float:
        """Seconds on the simulated clock, before chance."""
        known = DATA_SETS[problem.data_set]
        rows, columns = known.rows // 2, known.columns
        total = 0.2
        for name, options in self.preparation:
            total += PREPARATIONS[name].cost(rows, columns, dict(options))
            if name == "polynomial":
                columns += columns * (columns + 1) // 2
            columns = int(min(columns, *(value for _, value in options))) if options else columns
        return total + MODELS[self.model[0]].cost(rows, columns, dict(self.model[1]))


def read_pipeline(value: Any) -> Pipeline:
    """Check what an agent wrote.

    Args:
        value: `{"model": name, "options": {...}, "preparation": [name or {"name": ..., option: ...}, ...]}`; the last two
            may be left out.

    Raises:
        PipelineError: it is anything else; the text says what, for the agent to read.
    """
    if not isinstance(value, Mapping):
        raise PipelineError(f"a pipeline must be an object with the key 'model', got {value!r:.60}")
    unknown = [key for key in value if key not in ("model", "options", "preparation")]
    if unknown:
        raise PipelineError(f"a pipeline has the keys model, options and preparation, not {unknown[0]!r:.40}")
    steps = value.get("preparation") or []
    if not isinstance(steps, list) or len(steps) > MOST_PREPARATIONS:
        raise PipelineError(f"preparation must be a list of at most {MOST_PREPARATIONS} steps, got {steps!r:.60}")
    preparation = []
    for step in steps:
        given = dict(step) if isinstance(step, Mapping) else {"name": step}
        preparation.append(_step("preparation", given.pop("name", None), given))
    options = value.get("options") or {}
    if not isinstance(options, Mapping):
        raise PipelineError(f"options must be an object, got {options!r:.60}")
    return Pipeline(tuple(preparation), _step("model", value.get("model"), options))


def _step(what: str, name: Any, options: Mapping[Any, Any]) -> Step:
    known = part(MODELS if what == "model" else PREPARATIONS, what, name).options
    for option in options:
        if option not in known:
            raise PipelineError(
                f"{name} has no option {option!r:.40}; its options are {', '.join(known) or 'none at all'}"
            )
    checked = {option: known[option].check(f"{option} of {name}", given) for option, given in options.items()}
    return name, tuple(sorted(checked.items()))


@dataclass(frozen=True, slots=True)
class Fit:
    """What became of a pipeline.

    Args:
        stages: how many of `STAGES` it passed.
        log: what the bench wrote, a line a stage.
        valid: the metric on the validation rows, which the agent is told; None where it broke.
        test: the metric on the hidden rows, which it is not.
        error: why it broke, for the agent to read; None where it did not.
        seconds: wall time that it really took.
        cpu_seconds: processor time of this thread that it really took.
    """

    stages: int
    log: str
    valid: float | None
    test: float | None
    error: str | None
    seconds: float
    cpu_seconds: float


def fit_pipeline(problem: Problem, pipeline: Pipeline) -> Fit:
    """Fit a pipeline on the training rows, and judge it on the others. Chance derives from the problem alone."""
    began, began_cpu = time.perf_counter(), time.thread_time()
    lines = [f"{MARK} {STAGES[0]}: {pipeline.text}"]
    valid = test = error = None
    try:
        valid, test = _fit(problem, pipeline, lines)
    except PipelineError as broken:
        error = str(broken)
    except (ValueError, FloatingPointError, np.linalg.LinAlgError) as broken:  # what scikit-learn says of the numbers
        error = f"the pipeline cannot be fitted: {str(broken).splitlines()[0]:.200}"
    return Fit(
        stages=len(lines),
        log="\n".join(lines if error is None else [*lines, f"Error: {error}"]),
        valid=valid,
        test=test,
        error=error,
        seconds=time.perf_counter() - began,
        cpu_seconds=time.thread_time() - began_cpu,
    )


remembered_fit = lru_cache(maxsize=8192)(fit_pipeline)
"""`fit_pipeline` with its results kept: right wherever the clock is simulated, as a fit depends on its arguments alone."""


def _fit(problem: Problem, pipeline: Pipeline, lines: list[str]) -> tuple[float, float]:
    rows = rows_of(problem)
    lines.append(f"{MARK} {STAGES[1]}: {len(rows.train)} rows, {rows.train.shape[1]} columns")
    parts = [rows.train, rows.valid, rows.test]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of models that have not converged and the like: the score shows it
        for step in pipeline.preparation:
            parts = _prepare(step, parts, rows, problem)
        lines.append(f"{MARK} {STAGES[2]}: {parts[0].shape[1]} columns")
        model = _build_model(pipeline.model, problem, len(rows.train))
        model.fit(parts[0], rows.train_target)
        lines.append(f"{MARK} {STAGES[3]}: {pipeline.model[0]}")
        predicted = [model.predict(part_) for part_ in parts[1:]]
    scores = [
        measure(problem.metric, target, found)
        for target, found in zip((rows.valid_target, rows.test_target), predicted, strict=True)
    ]
    if not np.isfinite(scores).all():
        raise PipelineError("the predictions are not finite")
    lines.append(f"{MARK} {STAGES[4]}: validation {problem.metric} {scores[0]:.4f}")
    return scores[0], scores[1]


def _prepare(step: Step, parts: list[NDArray[np.float64]], rows: Rows, problem: Problem) -> list[NDArray[np.float64]]:
    name, options = step
    columns, count = parts[0].shape[1], len(parts[0])
    for option, value in options:
        most = min(columns, count) if name == "principal_components" else columns
        if int(value) > most:
            raise PipelineError(f"{option} of {name} is {value}, but there are only {most} here")
    if name == "polynomial" and columns > 32:
        raise PipelineError(f"polynomial takes at most 32 columns, and there are {columns}; select some first")
    tool = _build(PREPARATIONS[name], dict(options), problem)
    tool.fit(parts[0], rows.train_target)
    return [tool.transform(part_) for part_ in parts]


def _build_model(step: Step, problem: Problem, rows: int) -> Any:
    name, given = step
    options = dict(given)
    if name == "neighbours" and int(options.get("n_neighbors", 5)) > rows:
        raise PipelineError(f"n_neighbors of neighbours is {options.get('n_neighbors', 5)}, but there are {rows} rows")
    if name == "linear" and "strength" in options:
        strength = float(options.pop("strength"))
        options["C" if METRICS[problem.metric].kind == "classification" else "alpha"] = (
            1 / strength if METRICS[problem.metric].kind == "classification" else strength
        )
    return _build(MODELS[name], options, problem, name)


def _build(known: Any, options: dict[str, Value], problem: Problem, name: str = "") -> Any:
    place = known.classifier if METRICS[problem.metric].kind == "classification" else known.regressor
    if place is None:
        raise PipelineError(f"{name} is for classification, and {problem.target} is a number")
    given: dict[str, Any] = {**dict(known.fixed), **options}
    if known.seeded:
        given["random_state"] = problem.number
    if place[1] == "SelectKBest" and METRICS[problem.metric].kind == "regression":
        given["score_func"] = sklearn("feature_selection").f_regression
    return getattr(sklearn(place[0]), place[1])(**given)


def dummy_of(problem: Problem) -> float:
    """The metric on the hidden rows of a prediction that looks at no feature."""
    rows = rows_of(problem)
    return dummy_score(problem.metric, rows.train_target, rows.test_target)


def _shown(step: Step) -> str:
    name, options = step
    return name + (f"({', '.join(f'{option}={value}' for option, value in options)})" if options else "")
