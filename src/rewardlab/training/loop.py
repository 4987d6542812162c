"""The loop: `Trainer.step` is the whole of it, five seats in order. The rest of this file is how it starts and stops.

Every step derives its seed from the training's seed and its own number alone, and learning rates and schedules depend on how
far training is, so a run that was killed and resumed gives the same numbers as one that was not.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rewardlab.training import credit as credits
from rewardlab.training import curricula, objectives
from rewardlab.training.credit.base import Advantages
from rewardlab.training.curricula import check_tasks
from rewardlab.training.evaluation import Evaluation
from rewardlab.training.metrics import Clock, step_metrics
from rewardlab.training.processes import Processes
from rewardlab.training.record import Record, fingerprint
from rewardlab.training.seats import build_seat, derived_seed, greedy, score_batch
from rewardlab.training.trackers import Tracker
from rewardlab.training.warm_start import WarmStart
from rewardlab.types import Scores, Task, Trajectory

if TYPE_CHECKING:
    from rewardlab.environments.base import Environment


class TrainingStopped(RuntimeError):
    """Training cannot go on, because nothing could be scored for several steps; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What a callback sees after each training step."""

    step: int
    steps: int
    policy: Any
    trajectories: list[Trajectory]
    scores: Scores
    advantages: Advantages
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a training gave.

    Args:
        policy: the trained one, which is the one that was passed in.
        steps: how many were done.
        metrics: the numbers of each step, as in metrics.jsonl.
        evaluations: those of each evaluation, as in evaluations.jsonl.
        output: the run folder, or None.
    """

    policy: Any
    steps: int
    metrics: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    output: Path | None


def train(
    policy: Any,
    environment: Callable[[], Environment],
    reward: Any,
    tasks: Sequence[Task] | None = None,
    **options: Any,
) -> Training:
    """Train a policy.

    Args:
        policy: what acts, and whose weights change.
        environment: a factory of environments (a class, or a function without arguments).
        reward: what scores trajectories.
        tasks: what to train on; None when `curriculum` is an object that has them.
        options: every other option of `Trainer`: `steps`, `group_size`, `objective`, `evaluation`, `output`, ...

    Returns:
        The policy and the numbers.

    Raises:
        ValueError: the options do not fit together; the message says which and what to do.
        TrainingStopped: nothing could be scored for several steps in a row.
    """
    return Trainer(policy=policy, environment=environment, reward=reward, tasks=tasks, **options).run()


@dataclass(kw_only=True)
class Trainer:
    """The loop and its five seats. Seats are objects, or names of the registries, or mappings with `type` and options.

    Args:
        policy: what acts, and whose weights change.
        environment: a factory of environments.
        reward: called with trajectories and `progress`, returns `Scores`.
        tasks: what to train on; None when `curriculum` is an object that has them.
        credit: who earned the score; None for what goes with the objective.
        objective: what an update optimises.
        curriculum: which tasks come next.
        steps: updates of the policy; 0 only warms up.
        group_size: attempts at each task.
        tasks_per_step: tasks in each step, for a curriculum given by name.
        sampling: how the policy acts while it trains (`rewardlab.policies.Sampling`); None for the default.
        limits: most turns, tokens and seconds of an attempt (`rewardlab.policies.Limits`); None for the default.
        evaluation: held-out tasks, and when they are tried.
        warm_start: supervised steps on demonstrations before the first step.
        output: the run folder (see `rewardlab.training.metrics`); None keeps nothing.
        seed: every random choice comes from it.
        resume: go on where the run folder's newest checkpoint is; False refuses a folder that has one.
        callbacks: called with a `StepReport` after each step, in every process; True from one of them ends the training.
        trackers: names or objects of `rewardlab.training.trackers`; None for a progress bar, and TensorBoard where it is
            installed and there is a run folder.
        checkpoint_every: steps between checkpoints; a crash loses at most so many.
        keep_checkpoints: how many of the newest stay.
        trajectories_every: steps between stored batches of trajectories; 0 stores none.
        save_tokens: whether stored trajectories keep their tokens (about ten times the size).
        max_unscored_steps: training stops after so many steps in a row in which nothing could be scored.
        rollout: what makes trajectories; None for `rewardlab.policies.rollout`.
        config: written to config.yaml as it is; None for what the trainer knows of its seats.
    """

    policy: Any
    environment: Callable[[], Environment]
    reward: Any
    tasks: Sequence[Task] | None = None
    credit: Any = None
    objective: Any = "grpo"
    curriculum: Any = "shuffled"
    steps: int = 100
    group_size: int = 8
    tasks_per_step: int = 8
    sampling: Any = None
    limits: Any = None
    evaluation: Evaluation | None = None
    warm_start: WarmStart | None = None
    output: str | Path | None = None
    seed: int = 0
    resume: bool = True
    callbacks: Sequence[Callable[[StepReport], bool | None]] = ()
    trackers: Sequence[str | Tracker] | None = None
    checkpoint_every: int = 1
    keep_checkpoints: int = 2
    trajectories_every: int = 1
    save_tokens: bool = False
    max_unscored_steps: int = 3
    rollout: Callable[..., list[Trajectory]] | None = None
    config: Mapping[str, Any] | None = None

    done: int = field(default=0, init=False)
    """Training steps so far."""
    warmed: int = field(default=0, init=False)
    """Supervised steps so far."""
    unscored: int = field(default=0, init=False)
    """Steps in a row in which nothing could be scored."""

    # ---- the loop -----------------------------------------------------------------------------------------------------

    def step(self) -> StepReport:
        """One turn of the loop."""
        progress, clock = self.done / self.steps, Clock()
        seed = self._seed("step", self.done)
        with clock("curriculum"):
            tasks = self.curriculum.sample()
        with clock("rollout"):
            trajectories = self._act(tasks, self.sampling, self.group_size, seed)
        with clock("reward"):
            trajectories, scores = self._score(self.reward, trajectories, progress)
        with clock("credit"):
            advantages = self.credit(trajectories, scores)
        with clock("update"):
            measured = self._update(trajectories, scores, advantages, progress)
        with clock("observe"):
            for seat in (self.reward, self.curriculum, self.credit):
                if hasattr(seat, "observe"):
                    seat.observe(trajectories, scores)
        self.done += 1
        metrics = {"step": self.done, "progress": progress}
        metrics |= step_metrics(trajectories, scores, advantages, measured)
        metrics |= {f"seconds/{name}": seconds for name, seconds in clock.seconds.items()}
        return StepReport(
            step=self.done, steps=self.steps, policy=self.policy, trajectories=trajectories, scores=scores,
            advantages=advantages, metrics=metrics,
        )  # fmt: skip

    def run(self) -> Training:
        """Warm up, train, evaluate and record, from where the run folder is to the end."""
        with Record(self) as record:
            if not self.warmed and not self.done and not record.evaluated("initial", 0):
                record.checkpoint()  # the weights as they were given
                if self.warm_start is not None and self.evaluation is not None and self.evaluation.before_warm_start:
                    record.evaluation("initial", *self.evaluate())
                    record.checkpoint()
            while self.warm_start is not None and self.warmed < self.warm_start.steps:
                record.warm_step(self._warm_step())
                if self.warmed % self.checkpoint_every == 0 or self.warmed == self.warm_start.steps:
                    record.checkpoint()
            if self.evaluation is not None and not self.done and not record.evaluated("start", 0):
                record.evaluation("start", *self.evaluate())
                record.checkpoint()
            stopped = False
            while self.done < self.steps and not stopped:
                report = self.step()
                record.step(report)
                if self.evaluation is not None and self.evaluation.due(self.done, self.steps):
                    record.evaluation("training", *self.evaluate())
                if self.done % self.checkpoint_every == 0 or self.done == self.steps:
                    record.checkpoint()
                self._stop_where_nothing_is_scored(report)
                answers = [callback(report) for callback in self.callbacks]
                stopped = any(answer is True for answer in answers)
            return record.result()

    def evaluate(self) -> tuple[dict[str, float], list[Trajectory], Scores]:
        """Try the held-out tasks with the policy as it is."""
        evaluation = self.evaluation
        if evaluation is None:
            raise ValueError("there is nothing to evaluate; give the trainer evaluation=Evaluation(tasks=...)")
        clock = Clock()
        with clock("evaluation"):
            seed = self._seed("evaluation", 0)
            sampling = evaluation.sampling if evaluation.sampling is not None else greedy(self.sampling)
            trajectories = self._act(evaluation.tasks, sampling, evaluation.group_size, seed)
            reward = self.reward if evaluation.reward is None else evaluation.reward
            progress = self.done / self.steps if self.steps else 0.0
            trajectories, scores = self._score(reward, trajectories, progress)
        return (
            {**evaluation.metrics(trajectories, scores), "seconds": clock.seconds["evaluation"]},
            trajectories,
            scores,
        )

    # ---- the seats ----------------------------------------------------------------------------------------------------

    def _act(self, tasks: Sequence[Task], sampling: Any, group_size: int, seed: int) -> list[Trajectory]:
        """This process's trajectories."""
        own = self.processes.share_tasks(tasks)
        if (
            self.processes.count > 1
        ):  # a rollout's draws depend on the places of its tasks, which repeat in each process
            seed = derived_seed(seed, "process", self.processes.rank)
        given = {"limits": self.limits, "sampling": sampling}
        options = {name: value for name, value in given.items() if value is not None}
        assert self.rollout is not None  # set when the trainer was built
        return (
            self.rollout(self.policy, self.environment, own, group_size=group_size, seed=seed, **options) if own else []
        )

    def _score(self, reward: Any, trajectories: list[Trajectory], progress: float) -> tuple[list[Trajectory], Scores]:
        """All processes' trajectories and scores; each process scores its own."""
        scores = score_batch(reward, trajectories, progress)
        if self.processes.count == 1:
            return trajectories, scores
        return self.processes.gather(trajectories), Scores.concatenate(self.processes.gather([scores]))

    def _update(
        self, trajectories: list[Trajectory], scores: Scores, advantages: Advantages, progress: float
    ) -> dict[str, float]:
        if not scores.scored.any():
            self.unscored += 1
            return {}
        self.unscored = 0
        measured: dict[str, float] = self.objective.update(self.policy, trajectories, advantages, progress=progress)
        return measured

    def _warm_step(self) -> dict[str, float]:
        assert self.warm_start is not None  # only called where there is one
        self._seed("warm_start", self.warmed)
        measured = self.warm_start.step(self.policy, self.environment, self.warmed, self.seed)
        self.warmed += 1
        return {"step": self.warmed, **measured}

    def _stop_where_nothing_is_scored(self, report: StepReport) -> None:
        if self.unscored < self.max_unscored_steps:
            return
        notes = Counter(report.scores.note(index) or "no reason given" for index in range(len(report.scores)))
        reasons = (
            "; ".join(f"{count} x {note[:200]}" for note, count in notes.most_common(3)) or "there were no trajectories"
        )
        raise TrainingStopped(
            f"no trajectory could be scored in {self.unscored} steps in a row (the last is step {report.step}), so there is "
            f"nothing to learn from. The reasons in the last step: {reasons}. Fix the reward or the environment and start "
            "again (the run resumes), or raise max_unscored_steps"
        )

    def _seed(self, what: str, number: int) -> int:
        """Seed all global generators for one part of the training, and return the seed."""
        seed = derived_seed(self.seed, what, number)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        return seed

    # ---- building -----------------------------------------------------------------------------------------------------

    def __post_init__(self) -> None:
        for name, least in (
            ("steps", 0), ("group_size", 1), ("tasks_per_step", 1), ("checkpoint_every", 1), ("keep_checkpoints", 1),
            ("trajectories_every", 0), ("max_unscored_steps", 1),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not callable(self.reward):
            raise TypeError(
                f"reward must be callable, got {type(self.reward).__name__}; write a function with @rl.reward"
            )
        if not callable(self.environment):
            raise TypeError(
                f"environment must be a factory (a class, or a function without arguments), got a "
                f"{type(self.environment).__name__}; pass the class itself, or lambda: YourEnvironment(...)"
            )
        if self.tasks is not None:
            check_tasks(self.tasks, "tasks")
        self.objective = build_seat(self.objective, objectives.OBJECTIVES)
        if self.credit is None:
            self.credit = getattr(self.objective, "default_credit", "group")
        self.credit = build_seat(self.credit, credits.CREDITS)
        if isinstance(self.curriculum, (str, Mapping)):
            if self.tasks is None:
                raise ValueError(f"curriculum {self.curriculum!r} needs tasks; give tasks=[Task(...), ...]")
            given = {"tasks": self.tasks, "count": self.tasks_per_step}
            self.curriculum = build_seat(self.curriculum, curricula.CURRICULA, given, {"seed": self.seed})
        if self.group_size == 1 and getattr(self.credit, "needs_groups", False):
            raise ValueError(
                f"credit {type(self.credit).__name__} compares attempts at the same task, but group_size is 1; use "
                'group_size=4 or more, or credit="batch", which compares with the whole batch'
            )
        self._set_temperature()
        if self.rollout is None:
            from rewardlab.policies.rollout import rollout

            self.rollout = rollout
        self.processes = Processes(getattr(self.objective, "accelerator", None))
        if isinstance(getattr(self.policy, "model", None), torch.nn.Module):
            self.processes.place(self.policy.model)
        for seat in (self.reward, self.curriculum, self.credit):
            if hasattr(seat, "bind"):
                seat.bind(self.policy)
        if getattr(self.policy, "value_head", None) is not None:
            self.processes.place(self.policy.value_head)
        self.fingerprint = fingerprint(self)

    def _set_temperature(self) -> None:
        """Ratios are taken at the temperature that tokens are sampled at."""
        sampled = getattr(self.sampling, "temperature", 1.0)
        if not sampled > 0:
            raise ValueError(
                f"sampling temperature must be positive while training, got {sampled}: greedy attempts are equal"
            )
        given = getattr(self.objective, "temperature", None)
        if given is not None and given != sampled:
            raise ValueError(
                f"the objective has temperature {given}, but trajectories are sampled at {sampled}; leave the objective's "
                "at None"
            )
        if hasattr(self.objective, "sampled_at"):
            self.objective.sampled_at = sampled
