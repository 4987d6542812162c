"""A configuration made into a run: build the seats, train, write the report, and say what came of it."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewardlab.config.model import Spec, TrainConfig
from rewardlab.config.names import POLICIES
from rewardlab.config.options import build, check_options
from rewardlab.environments import ENVIRONMENTS, EnvironmentPool
from rewardlab.registry import SpecError
from rewardlab.types import Message, Task, Trajectory

if TYPE_CHECKING:
    from rewardlab.environments.base import Environment
    from rewardlab.policies.rollout import Limits
    from rewardlab.training.evaluation import Evaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """What a run gave.

    Args:
        output: the run folder.
        report: the self-contained page.
        steps: training steps done.
        evaluations: the lines of evaluations.jsonl.
        tasks: how many held-out tasks were tried.
    """

    output: Path
    report: Path | None
    steps: int
    evaluations: list[dict[str, Any]]
    tasks: int

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "output": str(self.output),
            "report": None if self.report is None else str(self.report),
            "steps": self.steps,
            "tasks": self.tasks,
            "evaluations": [{key: _plain(value) for key, value in line.items()} for line in self.evaluations],
        }

    def table(self) -> Any:
        """A rich table of success on held-out tasks, before and after."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        from rewardlab.functional.intervals import share_interval

        grid = Table(title=f"Held-out tasks ({self.tasks})", title_justify="left")
        for column in ("", "step", "success", "95% interval", "mean reward"):
            grid.add_column(column)
        labels = {"initial": "as given", "start": "before training"}
        shown = [line for line in self.evaluations if line["phase"] in labels]
        last = [line for line in self.evaluations if line["phase"] == "training"][-1:]
        for line in [*shown, *last]:
            scored = int(line.get("samples/scored") or 0)
            low, high = share_interval(line["success"] or 0.0, scored)
            grid.add_row(
                labels.get(line["phase"], "after training"),
                str(line["step"]),
                _shown(line["success"], ".1%"),
                f"[{low:.1%}, {high:.1%}]" if scored else "-",
                _shown(line["reward/mean"], ".3f"),
            )
        notes = [f"run folder: {self.output}"]
        if self.report is not None:
            notes.append(f"report: {self.report}")
        if not self.evaluations:
            return Group(*map(Text, ["there were no held-out tasks to measure success on", *notes]))
        return Group(grid, *map(Text, notes))


def run(config: TrainConfig, *, resume: bool = True, progress_bar: bool = True) -> RunOutcome:
    """Train as a configuration says.

    Args:
        config: a checked configuration.
        resume: whether to go on from the last checkpoint in the run folder.
        progress_bar: whether a bar shows the training.

    Raises:
        SpecError: the configuration does not fit together (a world without tasks and no file of them, say).
    """
    environment = environment_factory(config.environment)
    if config.stepping is None:
        return _run(config, environment, resume, progress_bar)
    options = check_options(
        EnvironmentPool, config.stepping, kind="stepping", path=("stepping",), leave_out=("factory",)
    )
    with EnvironmentPool(environment, **options) as pool:
        return _run(config, pool, resume, progress_bar)


def _run(config: TrainConfig, environment: Callable[[], Environment], resume: bool, progress_bar: bool) -> RunOutcome:
    from rewardlab.policies.engines.base import Sampling
    from rewardlab.policies.language_model import LanguageModelPolicy
    from rewardlab.policies.rollout import Limits
    from rewardlab.training import CREDITS, OBJECTIVES
    from rewardlab.training.evaluation import Evaluation
    from rewardlab.training.loop import Trainer
    from rewardlab.training.report import write_report
    from rewardlab.training.trackers import TRACKERS
    from rewardlab.training.warm_start import WarmStart

    _prepare(config.threads, progress_bar)
    output = Path(config.output)
    try:
        world = environment()
    except (TypeError, ValueError) as error:
        raise SpecError(f"environment {_name(config.environment)!r}: {error}", ("environment",)) from error
    train_tasks, test_tasks = _tasks(config, world)
    policy = _policy(config, world, train_tasks)
    sampling = Sampling(**check_options(Sampling, config.sampling, kind="sampling", path=("sampling",)))
    held_out = config.evaluation
    evaluation = None
    if test_tasks:
        evaluation = Evaluation(
            tasks=test_tasks,
            every=held_out.every,
            reward=None if held_out.reward is None else config.build_reward(held_out.reward, ("evaluation", "reward")),
            sampling=Sampling(temperature=held_out.temperature, max_new_tokens=sampling.max_new_tokens),
            group_size=held_out.group_size,
            success_at=held_out.success_at,
            before_warm_start=held_out.before_warm_start,
        )
    warm_start = None
    if config.warm_start is not None:
        warm_start = WarmStart(
            demonstrations=_demonstrations(config, world, train_tasks),
            steps=config.warm_start.steps,
            batch_size=config.warm_start.batch_size,
            learning_rate=config.warm_start.learning_rate,
        )
    limits = Limits(**check_options(Limits, config.limits, kind="limits", path=("limits",)))
    reward = config.build_reward(config.reward, ("reward",))
    if not isinstance(policy, LanguageModelPolicy):
        line = _evaluate_only(config, policy, environment, reward, evaluation, limits)
        return RunOutcome(
            output=output, report=write_report(output), steps=0, evaluations=[line], tasks=len(test_tasks)
        )
    trainer = Trainer(
        policy=policy,
        environment=environment,
        reward=reward,
        tasks=train_tasks,
        credit=None
        if config.training.credit is None
        else build(CREDITS, config.training.credit, path=("training", "credit")),
        objective=build(OBJECTIVES, config.training.objective, path=("training", "objective")),
        curriculum=config.training.curriculum,
        steps=config.training.steps,
        group_size=config.training.group_size,
        tasks_per_step=config.training.tasks_per_step,
        sampling=sampling,
        limits=limits,
        evaluation=evaluation,
        warm_start=warm_start,
        output=config.output,
        seed=config.seed,
        resume=resume,
        trackers=[
            TRACKERS.resolve(name)() for name in [*(["progress"] if progress_bar else []), *config.keep.trackers]
        ],
        checkpoint_every=config.keep.checkpoint_every,
        keep_checkpoints=config.keep.keep_checkpoints,
        trajectories_every=config.keep.trajectories_every,
        save_tokens=config.keep.tokens,
        config=config.plain(),
    )
    result = trainer.run()
    return RunOutcome(
        output=output,
        report=write_report(output) if trainer.processes.main else None,
        steps=result.steps,
        evaluations=result.evaluations,
        tasks=len(test_tasks),
    )


def _evaluate_only(
    config: TrainConfig,
    policy: Any,
    environment: Callable[[], Any],
    reward: Any,
    evaluation: Evaluation | None,
    limits: Limits,
) -> dict[str, Any]:
    """Try the held-out tasks once with a policy that has no weights here, and write what came of it to the run folder."""
    import yaml

    from rewardlab.policies.rollout import rollout
    from rewardlab.training.metrics import RunFolder
    from rewardlab.training.seats import derived_seed, score_batch

    if config.training.steps or config.warm_start is not None:
        raise SpecError(
            f"a {type(policy).__name__} cannot be trained; set training.steps: 0 and leave warm_start out", ("policy",)
        )
    if evaluation is None:
        raise SpecError("there is nothing to evaluate; give tasks.test_file, a JSON Lines file of tasks", ("tasks",))
    folder = RunFolder(config.output)
    if any(folder.sizes().values()):
        raise FileExistsError(f"{config.output!r} holds the logs of a run already; choose another output folder")
    trajectories = rollout(
        policy,
        environment,
        evaluation.tasks,
        group_size=evaluation.group_size,
        limits=limits,
        sampling=evaluation.sampling,
        seed=derived_seed(config.seed, "evaluation", 0),
    )
    scores = score_batch(reward if evaluation.reward is None else evaluation.reward, trajectories, 0.0)
    line = {"step": 0, "phase": "start", **evaluation.metrics(trajectories, scores)}
    (folder.path / "config.yaml").write_text(yaml.safe_dump(config.plain(), sort_keys=False), encoding="utf-8")
    folder.write_trajectories("evaluation-start", 0, trajectories, scores)
    folder.append("evaluations.jsonl", line)
    return line


def environment_factory(spec: Spec) -> Callable[[], Any]:
    """A factory of the environment that a spec names."""
    target, options = ENVIRONMENTS.target(spec, path=("environment",))
    checked = check_options(target, options, kind=f"environment {_name(spec)!r}", path=("environment",))
    if hasattr(sys.modules.get(target.__module__), "__rewardlab_file__"):
        return functools.partial(_environment_of_a_file, spec)
    return functools.partial(target, **checked)


def _environment_of_a_file(spec: Spec) -> Any:
    """By its name, since a worker process cannot import the module that a file of the user's became here."""
    target, options = ENVIRONMENTS.target(spec)
    return target(**check_options(target, options, kind=f"environment {_name(spec)!r}"))


def _plain(value: Any) -> Any:
    """A value that strict JSON can say: null for a number that does not exist."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None or not math.isfinite(value) else format(value, form)


def _policy(config: TrainConfig, world: Any, tasks: Sequence[Task]) -> Any:
    given = {"corpus": _corpus(world, tasks, config.seed), "seed": config.seed, "device": config.device}
    try:
        return build(POLICIES, config.policy, path=("policy",), given=given)
    except OSError as error:  # what transformers raises where there is no such model
        raise SpecError(f"policy {_name(config.policy)!r}: {error}", ("policy",)) from error


def _prepare(threads: int | None, progress_bar: bool) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    if not progress_bar:
        from transformers.utils import logging

        logging.disable_progress_bar()


def _tasks(config: TrainConfig, world: Any) -> tuple[list[Task], list[Task]]:
    tasks = config.tasks
    seed = config.seed if tasks.seed is None else tasks.seed
    if tasks.file is not None:
        from rewardlab.storage import read_tasks

        train = read_tasks(tasks.file)
    elif hasattr(world, "tasks"):
        train = world.tasks("train", tasks.train, seed)
    else:
        raise SpecError(
            f"environment {_name(config.environment)!r} brings no tasks of its own; give tasks.file, a JSON Lines file "
            "of them",
            ("tasks",),
        )
    if tasks.test_file is not None:
        from rewardlab.storage import read_tasks

        return train, read_tasks(tasks.test_file)
    return train, world.tasks("test", tasks.test, seed) if tasks.file is None else []


def _demonstrations(config: TrainConfig, world: Any, tasks: Sequence[Task]) -> list[Trajectory]:
    warm_start = config.warm_start
    assert warm_start is not None  # only asked for where there is one
    if warm_start.file is not None:
        from rewardlab.storage import read_trajectories

        return list(read_trajectories(warm_start.file))
    if not hasattr(world, "demonstrations"):
        raise SpecError(
            f"environment {_name(config.environment)!r} brings no demonstrations; give warm_start.file, a file of "
            "trajectories",
            ("warm_start",),
        )
    if len(tasks) < warm_start.demonstrations:
        raise SpecError(
            f"warm_start.demonstrations is {warm_start.demonstrations}, but there are only {len(tasks)} training tasks; "
            "raise tasks.train",
            ("warm_start", "demonstrations"),
        )
    demonstrations: list[Trajectory] = world.demonstrations(tasks[: warm_start.demonstrations])
    return demonstrations


def _name(spec: Spec) -> str:
    return spec if isinstance(spec, str) else str(spec["type"])


def _corpus(world: Any, tasks: Sequence[Task], seed: int) -> list[str | list[Message]]:
    """Texts like those of the environment, to fit a tokenizer on."""
    if hasattr(world, "corpus"):
        return list(world.corpus(seed))
    return [list(task.prompt) for task in tasks if task.prompt]
