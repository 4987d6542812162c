"""What a training configuration holds. Options of policies, rewards and the rest are checked against the classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from rewardlab.registry import KeyPath, SpecError

Spec = dict[str, Any] | str
"""A name, or a mapping with `type` and options."""


class Section(BaseModel):
    """A part of a configuration: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        hint = cls.model_fields[info.field_name or ""].annotation
        kinds = {hint, *get_args(hint)}
        if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:
            raise PydanticCustomError("int_type" if int in kinds else "float_type", "true and false are no numbers")
        return value

    def plain(self) -> dict[str, Any]:
        """Every key as plain values, without those that are null by default."""
        content: dict[str, Any] = {}
        for name, entry in type(self).model_fields.items():
            value = getattr(self, name)
            if value is not None or entry.default is not None:
                content[name] = value.plain() if isinstance(value, Section) else value
        return content


class Tasks(Section):
    """Where tasks come from: the environment's own world, or files."""

    train: int = Field(256, ge=1, description="How many training tasks, when the environment makes them.")
    test: int = Field(128, ge=1, description="How many held-out tasks, when the environment makes them.")
    file: str | None = Field(None, description="JSON Lines file of training tasks, instead of the environment's own.")
    test_file: str | None = Field(None, description="JSON Lines file of held-out tasks.")
    seed: int | None = Field(None, description="Seed of the tasks; the run's own when not given.")


class WarmStart(Section):
    """Supervised learning on demonstrations before reinforcement learning."""

    demonstrations: int = Field(64, ge=1, description="How many; made by the environment from training tasks.")
    file: str | None = Field(None, description="Trajectories to learn from instead (.jsonl or .parquet).")
    steps: int = Field(100, ge=1, description="Optimiser steps.")
    batch_size: int = Field(16, ge=1, description="Demonstrations in each step.")
    learning_rate: float = Field(1e-3, gt=0, description="Highest learning rate.")


class Training(Section):
    """The loop: how many steps, over what, and who sits in the seats."""

    steps: int = Field(50, ge=0, description="Updates; 0 only warms up.")
    tasks_per_step: int = Field(8, ge=1, description="Tasks in each step.")
    group_size: int = Field(8, ge=1, description="Attempts at each task.")
    objective: Spec = Field("grpo", description="What an update optimises; `rewardlab list objectives`.")
    credit: Spec | None = Field(None, description="Who earned the reward; the objective's own when not given.")
    curriculum: Spec = Field("shuffled", description="Which tasks come next; `rewardlab list curricula`.")


class Evaluation(Section):
    """Measuring on held-out tasks, before, during and after."""

    every: int = Field(10, ge=0, description="Steps between evaluations; 0 for only before and after.")
    reward: Spec | None = Field(None, description="What counts as success; the training reward when not given.")
    success_at: float = Field(1.0, description="Lowest value that is a success.")
    group_size: int = Field(1, ge=1, description="Attempts at each task.")
    temperature: float = Field(0.0, ge=0, description="Sampling temperature; 0 takes the most likely token.")
    before_warm_start: bool = Field(True, description="Whether to measure the policy as it was given, too.")


class Output(Section):
    """What the run folder keeps."""

    checkpoint_every: int = Field(1, ge=1, description="Steps between checkpoints; a crash loses at most so many.")
    keep_checkpoints: int = Field(2, ge=1, description="How many checkpoints stay.")
    trajectories_every: int = Field(1, ge=0, description="Steps between stored batches of trajectories; 0 for none.")
    tokens: bool = Field(False, description="Whether stored trajectories keep their tokens (ten times the size).")
    trackers: list[Literal["tensorboard", "wandb", "trackio"]] = Field(
        default_factory=list, description="Beside the progress bar and metrics.jsonl."
    )


class Config(Section):
    """A whole document."""

    SPECS: ClassVar[tuple[KeyPath, ...]] = ()
    """Where specs stand: a bare name there stands for `{type: name}`."""

    _place: Callable[[SpecError], SpecError] | None = PrivateAttr(None)

    def place_errors_with(self, place: Callable[[SpecError], SpecError]) -> None:
        """Remember how to say where in a file an error arose."""
        self._place = place

    def placed(self, error: SpecError) -> SpecError:
        """An error of the run with the line of the key that is at fault, where this came from a file."""
        return error if self._place is None else self._place(error)

    def check(self) -> None:
        """Check every option against the class that takes it.

        Raises:
            SpecError: the first that is wrong, with the path of its key.
        """


class TrainConfig(Config):
    """A whole training run."""

    SPECS: ClassVar[tuple[KeyPath, ...]] = (
        ("policy",),
        ("environment",),
        ("reward",),
        ("training", "objective"),
        ("training", "credit"),
        ("training", "curriculum"),
        ("evaluation", "reward"),
    )

    seed: int = Field(0, description="Every random choice comes from it.")
    output: str = Field("runs/default", description="The run folder.")
    device: str | None = Field(None, description="cpu, cuda, cuda:1, mps; the best there is when not given.")
    threads: int | None = Field(None, ge=1, description="Processor threads for torch; its own default when not given.")
    policy: Spec = Field("tiny", description="What acts; `rewardlab list policies`.")
    environment: Spec = Field(description="Where it acts; `rewardlab list environments`.")
    reward: Spec = Field(description="What is rewarded: a spec, or the name of a spec file.")
    tasks: Tasks = Field(default_factory=Tasks)  # type: ignore[arg-type]
    warm_start: WarmStart | None = None
    training: Training = Field(default_factory=Training)  # type: ignore[arg-type]
    sampling: dict[str, Any] = Field(default_factory=dict, description="How tokens are drawn while training.")
    limits: dict[str, Any] = Field(default_factory=dict, description="Most turns, tokens and seconds of an attempt.")
    stepping: dict[str, Any] | None = Field(
        None,
        description="How environments are stepped: worker processes, overlap with the policy; a thread when not given.",
    )
    evaluation: Evaluation = Field(default_factory=Evaluation)  # type: ignore[arg-type]
    keep: Output = Field(default_factory=Output)  # type: ignore[arg-type]

    def check(self) -> None:
        """Check every option against the class that takes it.

        Raises:
            SpecError: the first that is wrong, with the path of its key.
        """
        from rewardlab.config.names import POLICIES
        from rewardlab.config.options import check_options
        from rewardlab.environments import ENVIRONMENTS, EnvironmentPool
        from rewardlab.policies.engines.base import Sampling
        from rewardlab.policies.rollout import Limits
        from rewardlab.training import CREDITS, CURRICULA, OBJECTIVES

        self.build_reward(self.reward, ("reward",))
        if self.evaluation.reward is not None:
            self.build_reward(self.evaluation.reward, ("evaluation", "reward"))
        for registry, spec, path, given in (
            (POLICIES, self.policy, ("policy",), ("corpus", "seed", "device")),
            (ENVIRONMENTS, self.environment, ("environment",), ()),
            (OBJECTIVES, self.training.objective, ("training", "objective"), ("accelerator", "seed")),
            (CREDITS, self.training.credit, ("training", "credit"), ()),
            (CURRICULA, self.training.curriculum, ("training", "curriculum"), ("tasks", "count", "seed")),
        ):
            if spec is None:
                continue
            target, options = registry.target(spec, path=path, given=given)
            name = spec if isinstance(spec, str) else spec["type"]
            check_options(target, options, kind=f"{registry.kind} {name!r}", path=path, leave_out=given)
            if registry is POLICIES and getattr(target, "cannot_train", False):
                self._check_evaluation_only(name)
        sampling = _built(Sampling, self.sampling, "sampling")
        if not sampling.temperature > 0:
            raise SpecError(
                "sampling.temperature must be above 0 while training, since greedy attempts are all equal, got 0",
                ("sampling", "temperature"),
            )
        _built(Limits, self.limits, "limits")
        if self.stepping is not None:
            check_options(EnvironmentPool, self.stepping, kind="stepping", path=("stepping",), leave_out=("factory",))
        self._check_groups()
        self._check_seats()
        self._check_files()
        self._check_demonstrations()

    def _check_evaluation_only(self, name: str) -> None:
        if self.training.steps or self.warm_start is not None:
            raise SpecError(
                f"policy {name!r} has no weights here, so it can be evaluated, but not trained; set training.steps: 0 and "
                "leave warm_start out, or name a policy of type pretrained or tiny",
                ("policy",),
            )

    def _check_groups(self) -> None:
        """Credit that compares attempts at the same task needs more than one."""
        from rewardlab.training import CREDITS, OBJECTIVES

        credit = self.training.credit
        if credit is None:
            credit = getattr(OBJECTIVES.target(self.training.objective)[0], "default_credit", "group")
        name = credit if isinstance(credit, str) else credit["type"]
        if self.training.group_size == 1 and getattr(CREDITS.resolve(name), "needs_groups", False):
            raise SpecError(
                f"credit {name!r} compares attempts at the same task, but training.group_size is 1; use 4 or more, or "
                "training.credit: batch",
                ("training", "group_size"),
            )

    def _check_seats(self) -> None:
        """Objective and credit can be made, so that values out of range are found, too, and go together."""
        from rewardlab.config.options import build
        from rewardlab.training import CREDITS, OBJECTIVES

        objective = build(OBJECTIVES, self.training.objective, path=("training", "objective"))
        if self.training.credit is None:
            return
        credit = build(CREDITS, self.training.credit, path=("training", "credit"))
        # a rule of one's own may fill `Advantages.targets`; of ours, only those that ask the policy do
        ours = type(credit).__module__.startswith("rewardlab.")
        if getattr(objective, "value_coefficient", 0.0) and ours and not hasattr(credit, "bind"):
            raise SpecError(
                f"objective {_spec_name(self.training.objective)!r} trains a value head, but credit "
                f"{_spec_name(self.training.credit)!r} gives no targets for it; use training.credit: gae, or "
                "value_coefficient: 0 to train none",
                ("training", "credit"),
            )

    def _check_files(self) -> None:
        """Files that are named are there."""
        from pathlib import Path

        from rewardlab.storage.lines import missing_message

        warm_start = None if self.warm_start is None else self.warm_start.file
        for name, path in (
            (self.tasks.file, ("tasks", "file")),
            (self.tasks.test_file, ("tasks", "test_file")),
            (warm_start, ("warm_start", "file")),
        ):
            if name is not None and not Path(name).exists():
                raise SpecError(missing_message(Path(name)), path)

    def _check_demonstrations(self) -> None:
        """Demonstrations are made from training tasks, so there cannot be more of them."""
        warm_start, tasks = self.warm_start, self.tasks
        if warm_start is None or warm_start.file is not None or tasks.file is not None:
            return
        if warm_start.demonstrations > tasks.train:
            raise SpecError(
                f"warm_start.demonstrations is {warm_start.demonstrations}, but there are only {tasks.train} training "
                "tasks to make them from; raise tasks.train",
                ("warm_start", "demonstrations"),
            )

    @staticmethod
    def build_reward(spec: Spec, path: tuple[str, ...]) -> Any:
        """The reward that a spec (or the name of a spec file) stands for."""
        from rewardlab.rewards.spec import from_spec, load_reward

        if isinstance(spec, str):
            try:
                return load_reward(spec)
            except (SpecError, FileNotFoundError) as error:
                raise SpecError(str(error), path) from error
        return from_spec(spec, path=path)


def _spec_name(spec: Spec) -> str:
    return spec if isinstance(spec, str) else str(spec["type"])


def _built(target: Any, options: dict[str, Any], key: str) -> Any:
    """Options of a section made into what takes them, so that values out of range are found, too."""
    from rewardlab.config.options import check_options

    checked = check_options(target, options, kind=key, path=(key,))
    try:
        return target(**checked)
    except ValueError as error:
        at = next((name for name in checked if name in str(error)), None)
        raise SpecError(f"{key}: {error}", (key,) if at is None else (key, at)) from None
