"""The model bench: machine-learning on real data, where what an agent does takes time, and better often takes longer."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, get_args

from rewardlab.environments.base import Split, Step, numbered_tasks, play
from rewardlab.environments.model_bench.catalogue import MODELS, PREPARATIONS, PipelineError
from rewardlab.environments.model_bench.clock import CLOCKS, ClockKind, Ledger
from rewardlab.environments.model_bench.data import DATA_SETS, SPLIT_NUMBERS, Problem, rows_of
from rewardlab.environments.model_bench.demonstrator import Demonstrator
from rewardlab.environments.model_bench.metrics import METRICS
from rewardlab.environments.model_bench.pipelines import (
    MARK,
    Fit,
    Pipeline,
    dummy_of,
    fit_pipeline,
    read_pipeline,
    remembered_fit,
)
from rewardlab.environments.model_bench.posing import Actions, problem_of, prompt
from rewardlab.environments.model_bench.programs import SUBMISSION, run_program
from rewardlab.environments.timing import action_seconds
from rewardlab.environments.tool_environment import ToolEnvironment
from rewardlab.environments.tools import Toolbox, ToolError, tool
from rewardlab.registry import nearest
from rewardlab.sandbox import Isolation
from rewardlab.types import Message, Task, Trajectory

_RUN = re.compile(r"(?:submit\s+)?run\s*(\d{1,4})\.?", re.IGNORECASE)


class ModelBench(ToolEnvironment):
    """Machine-learning tasks on scikit-learn's bundled real data sets; brings its own tasks and demonstrations.

    An agent calls `describe`, fits pipelines with `fit` (or runs programs with `program`), and ends with `run N`, which
    submits the predictions of that run, or with a pipeline as JSON, which is fitted and submitted at once. The score on
    hidden rows stands in the last step's `info` and is never shown.

    `info` of every step holds `seconds` (of each action so far, on the bench's clock), `cut_off` (which of them a limit
    ended) and `log`; that of the last also `status` (`submitted`, `no submission`, `timeout` or `lost`), `score`, `metric`,
    `dummy` and `validation`. The reward `model_bench_score` reads these.

    Args:
        data_sets: which are used; all six when not given.
        held_out: of these, which only test tasks use; test tasks then use no other.
        metrics: which metrics; all that fit the data sets when not given.
        actions: `pipelines` (names and numbers, fitted in this process), `programs` (Python in the sandbox), or `both`.
        clock: `simulated` (the same everywhere; for pipelines only), `measured` (wall time of the work) or `cpu`.
        jitter: chance in simulated seconds, as a share.
        action_seconds: longest action; a pipeline whose simulated time is longer, or a program, is stopped there. Measured
            pipelines are not stopped: the catalogue's ranges bound them.
        budget: seconds of the whole attempt on the bench's clock; None for no limit.
        max_calls: how many calls an attempt may make before it is truncated.
        show_tools: whether the policy is shown the descriptions of the tools.
        terse: prompts of one line, for a tiny model trained from scratch.
        isolation: of programs; see `rewardlab.sandbox`.

    Raises:
        ValueError: an option has an unknown or impossible value; the message says which are possible.
        ImportError: scikit-learn is missing; the message names the extra. Raised where data are first needed.
    """

    def __init__(
        self,
        *,
        data_sets: Sequence[str] | None = None,
        held_out: Sequence[str] = (),
        metrics: Sequence[str] | None = None,
        actions: Actions = "pipelines",
        clock: ClockKind = "simulated",
        jitter: float = 0.2,
        action_seconds: float = 60.0,
        budget: float | None = None,
        max_calls: int = 8,
        show_tools: bool = True,
        terse: bool = False,
        isolation: Isolation = "auto",
    ) -> None:
        super().__init__(max_calls=max_calls)
        for what, value, known in (("actions", actions, get_args(Actions)), ("clock", clock, CLOCKS)):
            if value not in known:
                raise ValueError(f"{what} must be one of {', '.join(known)}, got {value!r}")
        if clock == "simulated" and actions != "pipelines":
            raise ValueError(
                'what a program will take cannot be simulated; use clock="measured" or "cpu" with programs'
            )
        if not 0.0 <= jitter < 1.0:
            raise ValueError(f"jitter must be a share in [0, 1), got {jitter!r}")
        for name, limit in (("action_seconds", action_seconds), ("budget", budget)):
            if limit is not None and not limit > 0:
                raise ValueError(f"{name} must be positive, got {limit!r}")
        self.data_sets = _known("data set", data_sets, DATA_SETS)
        self.held_out = _known("held-out data set", held_out, self.data_sets)
        if self.held_out and len(self.held_out) == len(self.data_sets):
            raise ValueError("every data set is held out, so that none is left for train tasks; hold out fewer")
        kinds = {DATA_SETS[name].kind for name in self.data_sets}
        self.metrics = _known("metric", metrics, [name for name in METRICS if METRICS[name].kind in kinds])
        for name in self.data_sets:
            if not any(METRICS[metric].kind == DATA_SETS[name].kind for metric in self.metrics):
                raise ValueError(f"no metric of {', '.join(self.metrics)} fits {name}, a {DATA_SETS[name].kind}")
        self.actions, self.clock, self.jitter = actions, clock, jitter
        self.action_seconds, self.budget = float(action_seconds), budget
        self.terse, self.isolation = terse, isolation
        functions: list[Callable[..., str]] = [self.describe]
        functions += [self.fit] if actions != "programs" else []
        functions += [self.program] if actions != "pipelines" else []
        self._bench = Toolbox(functions)
        self.tools = self._bench.schemas if show_tools else []
        self._problem: Problem | None = None

    @property
    def blocking(self) -> bool:  # type: ignore[override]  # programs wait for child processes, pipelines do not
        """Whether rollouts should use threads: only where programs are run."""
        return self.actions != "pipelines"

    # ---- acting -----------------------------------------------------------------------------------------------------

    def toolbox_for(self, task: Task) -> Toolbox:
        """The tools, which are the same for every task."""
        return self._bench

    def reset(self, task: Task, seed: int) -> list[Message]:
        """Begin an attempt; `seed` decides the chance in simulated seconds, and nothing else."""
        self._problem = problem_of(task)
        self._seed = seed
        self._ledger = Ledger(kind=self.clock, jitter=self.jitter, key=f"{seed}/{self._problem.key}")
        self._log: list[str] = []
        self._runs: list[tuple[float | None, float]] = []  # validation, hidden score
        self._over = self._lost = False
        self._final: dict[str, Any] = {}
        return super().reset(task, seed)

    def step(self, action: Message) -> Step:
        """As `ToolEnvironment.step`, with seconds and log in `info`."""
        if self._task is not None and not self._ended:
            self._ledger.begin()
        with self._ledger:
            step = super().step(action)
        self._over = self._over or self._left() <= 0
        if (self._over or self._lost) and not step.terminated:
            step.truncated = self._ended = True
        step.info.update(
            seconds=[round(seconds, 6) for seconds in self._ledger.actions],
            cut_off=list(self._ledger.cut_off),
            log="\n".join(self._log),
        )
        if step.ended:
            step.info.update(self._ending())
        return step

    def finish(self, task: Task, answer: str) -> dict[str, Any]:
        """Submit a run, or fit and submit a pipeline."""
        named = _RUN.fullmatch(answer)
        if named:
            number = int(named[1])
            if 1 <= number <= len(self._runs):
                self._submit(*self._runs[number - 1])
            else:
                self._log.append(f"Error: there is no run {number}; there are {len(self._runs)}")
            return {}
        if self.actions == "programs":
            self._log.append("Error: the answer must be the number of a run, such as: run 1")
            return {}
        try:
            value = json.loads(answer)
        except (ValueError, RecursionError):
            self._log.append("Error: the answer is neither the number of a run (run 1) nor a pipeline as JSON")
            return {}
        try:
            fit = self._fitted(read_pipeline(value))
        except (PipelineError, ToolError) as error:
            if not self._log or not self._log[-1].endswith(str(error)):
                self._log.append(f"Error: {error}")
            return {}
        self._submit(fit.valid, float(fit.test if fit.test is not None else "nan"))
        return {}

    # ---- tools ------------------------------------------------------------------------------------------------------

    @tool
    def describe(self) -> str:
        """Say what the data look like: rows, columns, and the spread of each column."""
        problem = self._needed()
        rows = rows_of(problem)
        self._ledger.charge(self._ledger.simulated(0.2, "describe"))
        lines = [f"{len(rows.train)} training rows, {len(rows.valid)} validation rows, {len(rows.test)} hidden rows"]
        if rows.classes:
            counts = [int((rows.train_target == label).sum()) for label in range(rows.classes)]
            lines.append(f"classes in training: {', '.join(map(str, counts))}")
        else:
            spread = rows.train_target
            lines.append(f"{problem.target}: mean {spread.mean():.4g}, deviation {spread.std():.4g}")
        shown = list(zip(rows.names, rows.train.mean(axis=0), rows.train.std(axis=0), strict=True))
        lines += [f"{name}: mean {mean:.4g}, deviation {spread:.4g}" for name, mean, spread in shown[:12]]
        lines += [f"and {len(shown) - 12} more columns"] if len(shown) > 12 else []
        return "\n".join(lines)

    @tool
    def fit(
        self,
        model: str,
        options: dict[str, float | str] | None = None,
        preparation: list[str | dict[str, float | str]] | None = None,
    ) -> str:
        """Fit a pipeline on the training rows and measure it on the validation rows.

        Args:
            model: its name.
            options: of the model, by name.
            preparation: steps before it: names, or objects with a name and options.
        """
        try:
            pipeline = read_pipeline({"model": model, "options": options, "preparation": preparation})
        except PipelineError as error:
            self._log.append(f"Error: {error}")
            raise ToolError(str(error)) from error
        before = len(self._log)
        fit = self._fitted(pipeline)
        self._runs.append((fit.valid, float(fit.test if fit.test is not None else "nan")))
        seconds = self._ledger.actions[-1] if self.clock == "simulated" else fit.seconds
        return "\n".join([*self._log[before:], f"run {len(self._runs)}, {seconds:.1f} s"])

    @tool
    def program(self, code: str) -> str:
        """Run a Python program. It finds train.csv (with the column target) and test.csv, and writes submission.csv.

        Args:
            code: the program; submission.csv must hold one prediction a line for the rows of test.csv, without a header.
        """
        problem = self._needed()
        left = self.action_seconds if self.budget is None else min(self.action_seconds, self._left())
        token = hashlib.sha256(
            f"{self._seed}/{problem.key}/{len(self._runs)}/{code}".encode("utf-8", "replace")
        ).hexdigest()[:24]
        with self._ledger.apart():  # waiting for a free worker is not the program's time
            run = run_program(problem, code, seconds=max(left, 0.1), isolation=self.isolation, token=token)
        stopped = run.status == "timeout"
        self._ledger.charge(run.cpu_seconds if self.clock == "cpu" else run.seconds, cut_off=stopped)
        self._lost = self._lost or run.lost
        self._log += [f"| {line}" for line in run.output.splitlines()]  # so that it cannot pass for the bench's own
        if run.test is None:
            self._log.append(f"Error: {run.trouble}")
            raise ToolError(f"{run.trouble}\n{run.output}".strip())
        self._runs.append((None, run.test))
        self._log.append(f"{MARK} submission valid")
        return f"{run.output}\nrun {len(self._runs)}: {SUBMISSION} can be submitted".strip()

    # ---- tasks ------------------------------------------------------------------------------------------------------

    def tasks(self, split: Split, count: int, seed: int = 0) -> list[Task]:
        """Make tasks, the data sets in turn. No data set, metric and split of rows occurs in both, whatever the seeds.

        Args:
            split: `train` or `test`.
            count: how many; a larger count begins with the same tasks.
            seed: which ones.
        """
        return numbered_tasks(split, count, partial(self._make_task, split, seed))

    def demonstrations(self, tasks: Sequence[Task]) -> list[Trajectory]:
        """Solve tasks by a script: fit a few pipelines and submit the best on the validation rows, or run a program."""
        programs = self.actions == "programs"
        environment = ModelBench(
            actions="programs" if programs else "pipelines",
            clock=self.clock,
            jitter=self.jitter,
            action_seconds=self.action_seconds if programs else 1e9,
            max_calls=max(self.max_calls, 4),
            isolation=self.isolation,
        )
        demonstrations = []
        for task in tasks:
            trajectory = play(environment, task, Demonstrator(problem_of(task), programs=programs))
            trajectory.seconds = action_seconds(trajectory)
            demonstrations.append(trajectory)
        return demonstrations

    def corpus(self, seed: int = 0, count: int = 60) -> list[list[Message]]:
        """Conversations in which the words of the bench occur, for fitting a tokenizer; all from the train split."""
        conversations = [one.messages for one in self.demonstrations(self.tasks("train", count, seed))]
        words = [*MODELS, *PREPARATIONS, *METRICS, *self.data_sets, *(f"run {number}" for number in range(1, 9))]
        words += [option for known in (*MODELS.values(), *PREPARATIONS.values()) for option in known.options]
        return [*conversations, [{"role": "user", "content": " ".join(words)}]]

    def _make_task(self, split: Split, seed: int, index: int) -> Task:
        names = self.data_sets
        if self.held_out:
            names = tuple(name for name in names if (name in self.held_out) == (split == "test"))
        name = names[index % len(names)]
        known = DATA_SETS[name]
        rng = random.Random(f"model_bench/{split}/{seed}/{index}")
        metric = rng.choice([metric for metric in self.metrics if METRICS[metric].kind == known.kind])
        target = rng.choice(known.targets)
        problem = Problem(name, metric, rng.randrange(SPLIT_NUMBERS), target)
        while problem.split != split:
            problem = Problem(name, metric, rng.randrange(SPLIT_NUMBERS), target)
        return Task(
            id=f"model_bench/{split}/{seed}/{index}",
            prompt=prompt(problem, self.actions, self.terse),
            reference={"dummy": dummy_of(problem), "metric": metric},
            tools=list(self.tools),
            metadata={"problem": problem.to_json(), "split": split},
        )

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _needed(self) -> Problem:
        if self._problem is None:
            raise RuntimeError("no attempt was begun; call reset(task, seed) first")
        return self._problem

    def _left(self) -> float:
        return float("inf") if self.budget is None else self.budget - self._ledger.elapsed

    def _fitted(self, pipeline: Pipeline) -> Fit:
        """Fit a pipeline, charge its seconds, and write the log; a ToolError where it broke or was stopped."""
        problem = self._needed()
        if self.clock == "simulated":
            allowed = min(self.action_seconds, self._left())
            seconds = self._ledger.simulated(pipeline.cost(problem), pipeline.text)
            if seconds > allowed:
                self._ledger.charge(max(allowed, 0.0), cut_off=True)
                self._log.append(f"Error: stopped after {max(allowed, 0.0):.1f} s")
                raise ToolError(f"stopped after {max(allowed, 0.0):.1f} s: {pipeline.text} takes longer")
            fit = remembered_fit(problem, pipeline)
            # a fit that breaks has done the share of its work that the log shows
            self._ledger.charge(seconds if fit.error is None else min(seconds, 0.1 + 0.3 * fit.stages))
        else:
            fit = fit_pipeline(problem, pipeline)
        self._log += fit.log.splitlines()
        if fit.error is not None:
            raise ToolError(fit.log)
        return fit

    def _submit(self, valid: float | None, score: float) -> None:
        self._final = {"score": score, "validation": valid}

    def _ending(self) -> dict[str, Any]:
        problem, task = self._needed(), self._task
        assert task is not None  # an attempt that ends has begun
        reference = task.reference if isinstance(task.reference, dict) else {}
        dummy = reference.get("dummy", dummy_of(problem))
        status = "submitted" if self._final else "lost" if self._lost else "timeout" if self._over else "no submission"
        return {
            "score": None,
            "validation": None,
            **self._final,
            "status": status,
            "dummy": dummy,
            "metric": problem.metric,
        }


def _known(what: str, given: Sequence[str] | None, known: Sequence[str] | dict[str, Any]) -> tuple[str, ...]:
    if isinstance(given, str):
        raise ValueError(f"{what}s must be a list of names, got the string {given!r}")
    for name in given or ():
        if name not in known:
            raise ValueError(f"unknown {what} {name!r}{nearest(str(name), known)}")
    return tuple(known) if given is None else tuple(dict.fromkeys(given))
