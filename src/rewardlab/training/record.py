"""What a running training writes down: its run folder, its trackers, and the checkpoints that it is resumed from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import fields, is_dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch

from rewardlab.extras import available
from rewardlab.training.checkpoint import Checkpoints, load_module_state, module_state
from rewardlab.training.metrics import RunFolder
from rewardlab.types import Scores, Trajectory

if TYPE_CHECKING:
    from rewardlab.training.loop import StepReport, Trainer, Training
    from rewardlab.training.trackers import Tracker

SEATS = ("reward", "credit", "curriculum")
"""Seats that may have `state_dict` and `load_state_dict`, besides the policy and the objectives."""


class Record:
    """Everything that a training leaves behind. A context manager; on entering, the trainer is brought to where the run
    folder's newest checkpoint is.

    Args:
        trainer: the training to record.

    Raises:
        ValueError: the run folder belongs to another training; the message names what differs.
        FileExistsError: it holds a training, and the trainer was told not to resume.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.folder: RunFolder | None = None
        self.metrics: list[dict[str, Any]] = []
        self.evaluations: list[dict[str, Any]] = []
        self.trackers: list[Tracker] = []
        # before anything is restored: a reward's spec holds what it has learned
        self._config = dict(trainer.config) if trainer.config is not None else describe(trainer)
        self._open = ExitStack()
        self.checkpoints: Checkpoints | None = None

    def __enter__(self) -> Record:
        trainer = self.trainer
        if trainer.output is not None:
            self.folder = RunFolder(trainer.output)
            self.checkpoints = Checkpoints(self.folder.checkpoints, keep=trainer.keep_checkpoints)
            if trainer.processes.main:
                self.checkpoints.tidy()
            trainer.processes.wait()
            if self.checkpoints.numbers():
                if not trainer.resume:
                    raise FileExistsError(
                        f"{str(self.folder.path)!r} holds a training already; choose another output folder, remove this "
                        "one, or pass resume=True to go on with it"
                    )
                self._restore(self.checkpoints.load())
            elif any(self.folder.sizes().values()):
                raise FileExistsError(
                    f"{str(self.folder.path)!r} holds the logs of a training but no checkpoint, so it cannot go on; choose "
                    "another output folder, or remove this one"
                )
        trainer.processes.wait()
        if trainer.processes.main:
            self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.close()

    # ---- what happened ------------------------------------------------------------------------------------------------

    def step(self, report: StepReport) -> None:
        """A training step is done."""
        self.metrics.append(dict(report.metrics))
        if not self.trainer.processes.main:
            return
        every = self.trainer.trajectories_every
        if self.folder is not None:
            if every and report.step % every == 0:
                self.folder.write_trajectories(
                    "step",
                    report.step,
                    report.trajectories,
                    report.scores,
                    report.advantages,
                    tokens=self.trainer.save_tokens,
                )
            self.folder.append("metrics.jsonl", report.metrics)
        self._track("training", report.step, report.metrics)

    def warm_step(self, metrics: dict[str, float]) -> None:
        """A supervised step is done."""
        if not self.trainer.processes.main:
            return
        if self.folder is not None:
            self.folder.append("warm_start.jsonl", metrics)
        self._track("warm_start", int(metrics["step"]), metrics)

    def evaluation(self, phase: str, metrics: dict[str, float], trajectories: list[Trajectory], scores: Scores) -> None:
        """Held-out tasks were tried: "initial" (as given), "start" (before the first step) or "training"."""
        line: dict[str, Any] = {"step": self.trainer.done, "phase": phase, **metrics}
        self.evaluations.append(line)
        if not self.trainer.processes.main:
            return
        if self.folder is not None:
            if self.trainer.trajectories_every:
                self.folder.write_trajectories(f"evaluation-{phase}", self.trainer.done, trajectories, scores)
            self.folder.append("evaluations.jsonl", line)
        self._track("evaluation", self.trainer.done, metrics)

    def evaluated(self, phase: str, step: int) -> bool:
        """Whether an evaluation is on record."""
        return any(line["phase"] == phase and line["step"] == step for line in self.evaluations)

    def result(self) -> Training:
        """Training is over: save the policy, and hand out what was recorded."""
        from rewardlab.training.loop import Training

        trainer = self.trainer
        if self.folder is not None and trainer.processes.main and hasattr(trainer.policy, "save"):
            trainer.policy.save(self.folder.policy)
        trainer.processes.wait()
        return Training(
            policy=trainer.policy,
            steps=trainer.done,
            metrics=self.metrics,
            evaluations=self.evaluations,
            output=None if self.folder is None else self.folder.path,
        )

    # ---- checkpoints --------------------------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Save everything that the rest of the training depends on."""
        trainer = self.trainer
        if self.checkpoints is not None and self.folder is not None and trainer.processes.main:
            state, unchanging = self._state()
            number = trainer.warmed + trainer.done
            self.checkpoints.save(number, state, unchanging=unchanging)
        trainer.processes.wait()

    def _state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        trainer, folder = self.trainer, self.folder
        assert folder is not None  # only called where there is a run folder
        objective = dict(trainer.objective.state_dict()) if hasattr(trainer.objective, "state_dict") else {}
        reference = objective.pop("reference", None)
        head = getattr(trainer.policy, "value_head", None)
        warming = trainer.warm_start is not None and trainer.warmed < trainer.warm_start.steps
        state = {
            "policy": module_state(_module(trainer.policy)),
            **({} if head is None else {"value_head": module_state(head)}),
            "objective": objective,
            "warm_start": trainer.warm_start.objective.state_dict()
            if warming and trainer.warm_start is not None
            else {},
            "seats": {
                name: getattr(trainer, name).state_dict()
                for name in SEATS
                if hasattr(getattr(trainer, name), "state_dict")
            },
            "random": {"torch": torch.get_rng_state()},
            "training": {
                "done": trainer.done,
                "warmed": trainer.warmed,
                "unscored": trainer.unscored,
                "sizes": folder.sizes(),
                "trajectories": folder.trajectory_files(),
                "fingerprint": trainer.fingerprint,
            },
        }
        return state, {} if reference is None else {"reference": reference}

    def _restore(self, state: dict[str, Any]) -> None:
        trainer, folder = self.trainer, self.folder
        assert folder is not None  # only called where there is a run folder
        training = state["training"]
        present = trainer.fingerprint
        different = [name for name, value in training["fingerprint"].items() if value != present.get(name)]
        if different:
            shown = "; ".join(
                f"{name} was {training['fingerprint'][name]}, is {present.get(name)}" for name in different
            )
            raise ValueError(
                f"{str(folder.path)!r} holds another training ({shown}); choose another output folder, or remove this one"
            )
        if training["done"] > trainer.steps:
            raise ValueError(f"{str(folder.path)!r} holds {training['done']} steps, more than steps={trainer.steps}")
        load_module_state(_module(trainer.policy), state["policy"])
        self._restore_value_head(state.get("value_head"))
        if hasattr(trainer.objective, "load_state_dict"):
            reference = {"reference": state["reference"]} if "reference" in state else {}
            trainer.objective.load_state_dict({**state["objective"], **reference})
        if state["warm_start"] and trainer.warm_start is not None:
            trainer.warm_start.objective.load_state_dict(state["warm_start"])
        for name, part in state["seats"].items():
            getattr(trainer, name).load_state_dict(part)
        torch.set_rng_state(state["random"]["torch"])
        trainer.done, trainer.warmed, trainer.unscored = training["done"], training["warmed"], training["unscored"]
        trainer.processes.wait()
        if trainer.processes.main:
            folder.rewind(training["sizes"], training["trajectories"])
        trainer.processes.wait()
        self.metrics, self.evaluations = folder.read("metrics.jsonl"), folder.read("evaluations.jsonl")

    def _restore_value_head(self, saved: dict[str, torch.Tensor] | None) -> None:
        head, folder = getattr(self.trainer.policy, "value_head", None), self.folder
        assert folder is not None  # only called where there is a run folder
        if head is None and saved is None:
            return
        if saved is None:
            from rewardlab.policies.value_head import MissingValueHead

            raise MissingValueHead(
                f"the checkpoint in {str(folder.path)!r} has no value head, but the policy has one: the training was begun "
                "without; go on without it (policy.value_head = None and credit that needs none), or choose another output "
                "folder, where the policy starts with a fresh one"
            )
        if head is None:
            raise ValueError(
                f"the checkpoint in {str(folder.path)!r} has a value head, but the policy has none; use the credit and "
                "objective that the training was begun with, or call policy.add_value_head() first"
            )
        load_module_state(head, saved)

    # ---- trackers -----------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        from rewardlab.training.trackers import TRACKERS

        trainer = self.trainer
        if self.folder is not None:
            import yaml

            text = yaml.safe_dump(self._config, sort_keys=False, allow_unicode=True)
            (self.folder.path / "config.yaml").write_text(text, encoding="utf-8")
        chosen = trainer.trackers
        if chosen is None:
            chosen = ["progress", *(["tensorboard"] if self.folder is not None and available("tensorboard") else [])]
        with ExitStack() as started:  # closes those that did start when one cannot
            for entry in chosen:
                tracker = TRACKERS.resolve(entry)() if isinstance(entry, str) else entry
                started.callback(tracker.close)
                tracker.start(
                    folder=None if self.folder is None else self.folder.path,
                    config=self._config,
                    step=trainer.done,
                    steps=trainer.steps,
                )
                self.trackers.append(tracker)
            self._open = started.pop_all()

    def _track(self, kind: str, step: int, metrics: Mapping[str, float]) -> None:
        for tracker in self.trackers:
            tracker.log(kind, step, metrics)


def fingerprint(trainer: Trainer) -> dict[str, Any]:
    """What must be the same for a run folder to be resumed; the number of steps may grow."""
    tasks = getattr(trainer.curriculum, "tasks", trainer.tasks) or ()
    ids = "\n".join(task.id for task in tasks)
    return {
        "seed": trainer.seed,
        "group_size": trainer.group_size,
        "tasks": hashlib.sha256(ids.encode()).hexdigest()[:16],
        "tasks_per_step": getattr(trainer.curriculum, "count", trainer.tasks_per_step),
        "curriculum": type(trainer.curriculum).__name__,
        "credit": type(trainer.credit).__name__,
        "objective": type(trainer.objective).__name__,
        "reward": getattr(trainer.reward, "spec_hash", None),
        "warm_start": None if trainer.warm_start is None else trainer.warm_start.steps,
    }


def describe(trainer: Trainer) -> dict[str, Any]:
    """What a trainer knows of itself, as plain values, for config.yaml."""
    numbers = {
        name: getattr(trainer, name)
        for name in ("seed", "steps", "group_size", "tasks_per_step", "checkpoint_every", "max_unscored_steps")
    }
    seats = {
        name: _options(getattr(trainer, name)) for name in ("objective", "credit", "curriculum", "sampling", "limits")
    }
    return {**numbers, **seats, "reward": _spec(trainer.reward)}


def _options(seat: Any) -> Any:
    """A seat's class and those of its options that are plain values."""
    if not is_dataclass(seat):
        return None if seat is None else type(seat).__name__
    values = {entry.name: getattr(seat, entry.name) for entry in fields(seat) if entry.init}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return {
        "type": type(seat).__name__,
        **{name: value for name, value in plain.items() if isinstance(value, (bool, int, float, str)) or value is None},
    }


def _spec(reward: Any) -> Any:
    from rewardlab.rewards.spec import UnwritableReward

    try:
        return reward.to_spec() if hasattr(reward, "to_spec") else type(reward).__name__
    except UnwritableReward:
        return getattr(reward, "label", type(reward).__name__)


def _module(policy: Any) -> torch.nn.Module:
    model = getattr(policy, "model", None)
    if isinstance(model, torch.nn.Module):
        return model
    raise TypeError(
        f"checkpoints need a policy with a torch .model, got {type(policy).__name__}; train without output, or use "
        "LanguageModelPolicy"
    )
